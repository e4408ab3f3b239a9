"""Epub files as books: order, table of contents, what is not read, covers, and files that are none."""

import zipfile

import pytest

from moksori.errors import BadInput, MissingExtra
from moksori.pipeline import book_epub
from moksori.pipeline.book_text import read_book

pytest.importorskip("ebooklib", reason="epub files need the package ebooklib: pip install 'moksori[book]'")

PAGE = """<html><head><title>x</title></head><body><h1 id='c1'>Chapter One</h1>
<p>First <i>para</i>graph.<sup><a epub:type='noteref' href='#n'>1</a></sup> More<br/>text.</p>
<h2 id='c2'>Chapter Two</h2><div>Third &amp; last<p>nested</p>tail</div>
<aside epub:type='footnote' id='n'>A note</aside><script>var x</script></body></html>"""
COVER = b"\x89PNG\r\n\x1a\n made up"


@pytest.fixture
def written(tmp_path):
    """Writes an epub by another program than reads it: with a table of contents or without."""
    from ebooklib import epub

    def write(contents: bool):
        book = epub.EpubBook()
        book.set_title("The Long Way")
        book.set_language("en")
        book.add_author("Ann Author")
        book.add_author("Ben Other")
        book.set_cover("cover.png", COVER)
        pages = []
        for name, content in (
            ("text/a.xhtml", "<html><body><p>Copyright nobody.</p></body></html>"),
            ("text/b.xhtml", PAGE),
            ("text/picture.xhtml", "<html><body><img src='x.png' alt='no words'/></body></html>"),
            (
                "text/c.xhtml",
                "<html><body><p><a id='c3'/>The third.</p><ol><li>one</li><li>two</li></ol></body></html>",
            ),
        ):
            page = epub.EpubHtml(title=name, file_name=name, lang="en")
            page.content = content
            book.add_item(page)
            pages.append(page)
        part = epub.Section("Part I")
        links = [epub.Link("text/b.xhtml#c1", "Chapter One", "1"), epub.Link("text/b.xhtml#c2", "Chapter Two", "2")]
        book.toc = [(part, links), epub.Link("text/c.xhtml", "Chapter Three", "3")] if contents else []
        book.add_item(epub.EpubNcx())
        book.add_item(epub.EpubNav())
        book.spine = ["cover", "nav", *pages]
        path = tmp_path / f"{contents}.epub"
        epub.write_epub(str(path), book)
        return path

    return write


def test_chapters_begin_where_the_contents_point(written):
    book = read_book(written(contents=True))
    assert (book.title, book.author, book.language, book.cover) == (
        "The Long Way",
        "Ann Author, Ben Other",
        "en",
        COVER,
    )
    assert [(chapter.title, chapter.text) for chapter in book.chapters] == [
        ("The Long Way", "Copyright nobody."),
        ("Part I, Chapter One", "Chapter One\n\nFirst paragraph. More text."),
        ("Chapter Two", "Chapter Two\n\nThird & last\n\nnested\n\ntail"),
        ("Chapter Three", "The third.\n\none\n\ntwo"),
    ]


def test_without_contents_each_file_is_a_chapter(written):
    book = read_book(written(contents=False))
    assert [chapter.title for chapter in book.chapters] == ["Chapter 1", "Chapter One", "Chapter 4"]


def test_what_is_no_epub_is_told(written, tmp_path, monkeypatch):
    path = written(contents=True)
    (tmp_path / "cut.epub").write_bytes(path.read_bytes()[:500])
    with pytest.raises(BadInput, match=r"cut\.epub"):
        read_book(tmp_path / "cut.epub")
    with zipfile.ZipFile(tmp_path / "other.epub", "w") as archive:
        archive.writestr("a.txt", "no epub")
    with pytest.raises(BadInput, match=r"other\.epub: is no epub"):
        read_book(tmp_path / "other.epub")
    with zipfile.ZipFile(tmp_path / "locked.epub", "w") as archive:
        archive.writestr("META-INF/rights.xml", "x")
    with pytest.raises(BadInput, match="encrypted"):
        read_book(tmp_path / "locked.epub")
    with pytest.raises(BadInput, match=r"none\.epub"):
        read_book(tmp_path / "none.epub")
    with pytest.raises(BadInput, match="cast"):
        read_book(path, script=True)
    monkeypatch.setattr(book_epub, "MAXIMUM_UNPACKED_BYTES", 1000)
    with pytest.raises(BadInput, match="unpacks to"):
        read_book(path)


def test_a_bomb_is_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(book_epub, "MAXIMUM_UNPACKED_BYTES", 10 * 2**20)
    with zipfile.ZipFile(tmp_path / "bomb.epub", "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(6):
            archive.writestr(f"{number}.xhtml", bytes(2 * 2**20))
    assert (tmp_path / "bomb.epub").stat().st_size < 2**16
    with pytest.raises(BadInput, match="unpacks to 12 MiB"):
        read_book(tmp_path / "bomb.epub")


def test_without_the_package_the_extra_is_named(monkeypatch, written):
    path = written(contents=True)
    monkeypatch.setitem(__import__("sys").modules, "ebooklib", None)
    with pytest.raises(MissingExtra, match=r"moksori\[book\]"):
        read_book(path)
