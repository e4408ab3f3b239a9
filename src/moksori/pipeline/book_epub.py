"""Epub files as books, read by the package ebooklib (extra `[book]`): chapters where the table of contents says so."""

import logging
import posixpath
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from moksori.errors import BadInput, MissingExtra, MoksoriError
from moksori.pipeline.book_text import MAXIMUM_BYTES, Book, Chapter

logger = logging.getLogger(__name__)

MAXIMUM_UNPACKED_BYTES = 512 * 2**20
_MAXIMUM_FILES = 20_000
_BLOCKS = frozenset(
    ("address", "article", "aside", "blockquote", "body", "caption", "center", "dd", "details", "div", "dl", "dt",
     "figcaption", "figure", "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "html", "li", "main",
     "ol", "p", "pre", "section", "summary", "table", "tbody", "td", "tfoot", "th", "thead", "title", "tr", "ul")
)  # fmt: skip
_SILENT = frozenset(
    ("audio", "canvas", "head", "iframe", "math", "nav", "object", "rp", "rt", "script", "style", "svg", "template",
     "video")
)  # fmt: skip
_OPF = "http://www.idpf.org/2007/opf"
_HEADINGS = frozenset(("h1", "h2", "h3"))
_NOT_READ = ("noteref", "pagebreak", "footnote", "endnote", "rearnote", "toc")  # epub:type


def read_epub(path: Path) -> Book:
    """A book of an epub file: title, author, language, cover, and its text in the order of reading.

    Chapters begin where the table of contents points, also in the middle of a file; without one each file is a chapter,
    named by its first heading. Page numbers, footnotes and their marks are left out, and so are parts without words.
    Raises MissingExtra without the package ebooklib, BadInput for a file that is no epub, is encrypted, or unpacks to
    more than 512 MiB, or whose text is longer than 64 MiB.
    """
    try:
        from ebooklib import epub
        from lxml import etree
    except ImportError as error:
        raise MissingExtra("ebooklib", "book", "reading epub files") from error
    _check_archive(path)
    try:
        read = epub.read_epub(str(path))
        documents = [_document(read, item, etree) for item in _spine(read)]
        marks = _contents(read.toc)
        title = _first(read, "title") or path.stem.replace("_", " ")
        author = ", ".join(value for value, _ in read.get_metadata("DC", "creator") if value)
        cover = _cover(read)
    except MoksoriError:
        raise
    except Exception as error:  # whatever ebooklib and lxml raise for what they do not understand
        reason = " ".join(str(getattr(error, "msg", None) or error).split()) or type(error).__name__
        raise BadInput(f"{path}: is no epub that can be read: {reason}: get the file anew, or give its text") from error
    chapters = list(_chapters(documents, marks, title))
    if not chapters:
        raise BadInput(f"{path}: holds no words: its pages may be pictures")
    return Book(title, chapters, author, _first(read, "language"), cover)


@dataclass(frozen=True)
class _Document:
    """A file of the book. parts: (anchor, is a heading, text) in order; of an anchor and a text one is empty."""

    name: str
    parts: Sequence[tuple[str, bool, str]]


@dataclass
class _Open:
    """A chapter that is being gathered."""

    title: str
    paragraphs: list[str]

    def closed(self) -> Chapter | None:
        text = "\n\n".join(self.paragraphs)
        return Chapter(self.title, text) if any(character.isalnum() for character in text) else None


def _chapters(documents: Sequence[_Document], marks: Mapping[str, str], title: str) -> Iterator[Chapter]:
    current = _Open(title, [])
    for number, document in enumerate(documents, start=1):
        begun = marks.get(document.name)
        if not marks:
            heading = next((text for _, is_heading, text in document.parts if is_heading), f"Chapter {number}")
            begun = heading
        if begun is not None:
            if (chapter := current.closed()) is not None:
                yield chapter
            current = _Open(begun, [])
        for anchor, _, text in document.parts:
            if anchor and (new := marks.get(f"{document.name}#{anchor}")) is not None:
                if (chapter := current.closed()) is not None:
                    yield chapter
                current = _Open(new, [])
            if text:
                current.paragraphs.append(text)
    if (chapter := current.closed()) is not None:
        yield chapter


def _check_archive(path: Path) -> None:
    """Raises BadInput for what is no archive, or unpacks to more than can be meant."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            # Names only: what is encrypted is told by what the archive says of it, never tried.
            names = {entry.filename for entry in entries}
            size = sum(entry.file_size for entry in entries)
            locked = any(entry.flag_bits & 1 for entry in entries) or "META-INF/rights.xml" in names
    except (OSError, zipfile.BadZipFile, NotImplementedError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise BadInput(f"{path}: is no epub: {reason.lower()}: check the name") from error
    if size > MAXIMUM_UNPACKED_BYTES or len(entries) > _MAXIMUM_FILES:
        raise BadInput(
            f"{path}: unpacks to {size / 2**20:.0f} MiB in {len(entries)} files, more than "
            f"{MAXIMUM_UNPACKED_BYTES // 2**20} MiB or {_MAXIMUM_FILES}: give a text file of what is to be read"
        )
    if locked:
        raise BadInput(f"{path}: is encrypted (DRM), so that it cannot be read: get a copy without")


def _spine(book: Any) -> Iterator[Any]:
    """The files in the order of reading, without the table of contents and what is off the main line."""
    from ebooklib import epub

    total = 0
    for identity, linear in book.spine:
        item = book.get_item_with_id(identity)
        if item is None or linear == "no" or isinstance(item, epub.EpubNav | epub.EpubCoverHtml):
            continue
        if not isinstance(item, epub.EpubHtml):
            continue
        total += len(item.content)
        if total > MAXIMUM_BYTES:
            raise BadInput(f"the text is longer than {MAXIMUM_BYTES // 2**20} MiB: cut the book into several")
        yield item


def _document(book: Any, item: Any, etree: Any) -> _Document:
    content: bytes = item.content if isinstance(item.content, bytes) else item.content.encode()
    name = posixpath.normpath(item.file_name)
    if not content.strip():
        return _Document(name, ())
    encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8"
    root = etree.fromstring(content, etree.HTMLParser(encoding=encoding, no_network=True, recover=True))
    return _Document(name, () if root is None else tuple(_parts(root, etree)))


def _parts(root: Any, etree: Any) -> Iterator[tuple[str, bool, str]]:
    """Paragraphs of a page, and the anchors between them."""
    text: list[str] = []
    heading = False

    def paragraph() -> Iterator[tuple[str, bool, str]]:
        said = " ".join("".join(text).split())
        text.clear()
        if said:
            yield "", heading, said

    walk = etree.iterwalk(root, events=("start", "end"))
    for event, element in walk:
        tag = element.tag if isinstance(element.tag, str) else ""
        if event == "start":
            anchor = element.get("id") or (element.get("name") if tag == "a" else None)
            if tag in _BLOCKS or anchor:
                # An anchor within a paragraph splits it only if a chapter begins there, which is seldom meant.
                if tag in _BLOCKS:
                    yield from paragraph()
                if anchor and not text:
                    yield anchor, False, ""
            heading = tag in _HEADINGS or (heading and tag not in _BLOCKS)
            kind = element.get("epub:type") or element.get("role") or ""
            if not tag or tag in _SILENT or any(name in kind for name in _NOT_READ):
                walk.skip_subtree()
                continue
            text.append(" " if tag == "br" else "")
            text.append(element.text or "")
        else:
            if tag in _BLOCKS:
                yield from paragraph()
                heading = False
            text.append(element.tail or "")
    yield from paragraph()


def _contents(toc: Any) -> dict[str, str]:
    """Where the table of contents points, `file` or `file#anchor`, with the titles; parts name their first chapter."""
    found: dict[str, str] = {}

    def walk(entries: Any, above: str) -> None:
        for entry in entries if isinstance(entries, list | tuple) else [entries]:
            if isinstance(entry, list | tuple) and len(entry) == 2 and isinstance(entry[1], list | tuple):
                section, children = entry
                add(section, above)
                walk(children, "" if section.href else " ".join((section.title or "").split()))
                above = ""
            else:
                add(entry, above)
                above = ""

    def add(entry: Any, above: str) -> None:
        title, href = " ".join((entry.title or "").split()), unquote(entry.href or "")
        if not (href and title):
            return
        name, hash_mark, anchor = href.partition("#")
        place = posixpath.normpath(name) + (hash_mark + anchor if anchor else "")
        found.setdefault(place, f"{above}, {title}" if above else title)

    walk(toc, "")
    return found


def _first(book: Any, name: str) -> str:
    values = book.get_metadata("DC", name)
    return " ".join((values[0][0] or "").split()) if values else ""


def _cover(book: Any) -> bytes | None:
    """The picture on the cover, where the book names one that is JPEG or PNG."""
    import ebooklib

    said = book.metadata.get(_OPF, {}).get("cover", [])
    named = [extra.get("content") for _, extra in said]
    items = [*book.get_items_of_type(ebooklib.ITEM_COVER), *(book.get_item_with_id(name) for name in named if name)]
    for item in items:
        if item is not None and item.media_type in ("image/jpeg", "image/png") and item.content:
            return bytes(item.content)
    return None
