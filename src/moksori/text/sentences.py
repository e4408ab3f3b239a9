"""Text of any length, or a stream of it -> sentences short enough to speak in one go."""

import re
from collections.abc import Iterable, Iterator

from moksori.errors import TextError

_CHUNK = 1 << 16
_LOOKAHEAD = 8
_SHORT_LINE = 40
"""A line shorter than this was ended by its writer, not by the margin."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_TITLES = _words("mr mrs ms dr st prof rev gen col capt lt sgt maj hon gov sen rep pres mt ft adm cmdr messrs mme mlle")
_INSIDE = _words("e.g i.e vs approx cf viz al fig figs no nos vol pp p ch sec ed eds ca c est dept univ govt")
_CLOSING = _words("etc jr sr inc ltd co corp esq ave blvd rd a.m p.m u.s u.k ph.d b.c a.d")
_MONTHS = _words("jan feb mar apr jun jul aug sep sept oct nov dec mon tue wed thu fri sat sun")
_NEVER_ENDING = {
    "en": _TITLES | _INSIDE | _MONTHS,
    "de": _words("dr prof hr fr st nr str z.b z b d.h d h u.a u a bzw ca evtl vgl inkl max min geb gest jh bd abs art"),
    "nl": _words("dhr mevr mw bijv bv d.w.z nr dr prof ca o.a m.a.w st ing ir drs mr max min blz jl a.u.b n.v.t"),
}
"""Abbreviations (without the last full stop) after which a sentence goes on."""

_END = re.compile(r"(?:[.!?…]+[\"'”’»)\]]*(?=\s)|[。！？]+[\"'”’»」』)]*|\n+)")
_SPACES = re.compile(r"[^\S\n]+")
_BLANK_LINES = re.compile(r"\n[\s]*\n\s*")
_LINE_END = re.compile(r" ?\n ?")
_LAST_WORD = re.compile(r"[\w.'-]{0,24}\Z")
_STRONG = re.compile(r"[;:—–][\"'”’»)]?(?=\s)|\s[–—-](?=\s)|—")
_COMMA = re.compile(r"[,、，][\"'”’»)]?(?=\s)|[、，]")


def split_sentences(text: str | Iterable[str], language: str = "en-us", maximum_characters: int = 300) -> Iterator[str]:
    """Sentences in order, without line ends; every character but white space is kept.

    text: a text, or its parts as they come (lines of a file, words of a language model); the parts' borders do not
    matter, and memory stays bounded. A blank line ends a sentence; so does the end of a short line before a capital, a
    digit or a bullet; other line ends are spaces. A sentence is cut where it exceeds `maximum_characters`: at a
    semicolon, colon or dash, else at a comma, else at a space, else in the middle of a word.
    A sentence is given as soon as it is known to be complete: with the first letter of the next one, since after "etc."
    or "Stop!" it may go on, or with the blank line that follows.
    Raises TextError if `maximum_characters` is not positive, or for a part that is no string.
    """
    return (sentence for sentence, _ in split_paragraphs(text, language, maximum_characters))


def split_paragraphs(
    text: str | Iterable[str], language: str = "en-us", maximum_characters: int = 300
) -> Iterator[tuple[str, bool]]:
    """As `split_sentences`, each sentence with whether it is the last of its paragraph."""
    if maximum_characters < 1:
        raise TextError(f"maximum_characters = {maximum_characters}: expected at least 1, for example 300")
    parts = _slices(text) if isinstance(text, str) else text
    return _sentences(parts, language.split("-")[0], maximum_characters)


def _slices(text: str) -> Iterator[str]:
    for start in range(0, len(text), _CHUNK):
        yield text[start : start + _CHUNK]


def _sentences(parts: Iterable[str], language: str, maximum: int) -> Iterator[tuple[str, bool]]:
    buffer, pending = "", ""
    for number, part in enumerate(parts, start=1):
        if not isinstance(part, str):
            raise TextError(f"part {number} of the text: expected a string, found {type(part).__name__}")
        pending += part
        # white space at the end is held back, since more of it may follow; a run of it is kept short
        solid = len(pending.rstrip())
        if solid:
            buffer += _single_spaced(pending[:solid])
            pending, position = pending[solid:], 0
            # decisions wait until what follows is known, so that the parts' borders make no difference
            while (end := _next_end(buffer, position, language, maximum, complete=False)) is not None:
                yield from _spoken(buffer, position, end, complete=False)
                position = end
            buffer = buffer[position:]
        if len(pending) >= _CHUNK:
            pending = _single_spaced(pending)
        if buffer and ("\n" in part or "\r" in part) and _ends_paragraph(pending):
            yield from _all(buffer + "\n\n", language, maximum)
            buffer, pending = "", ""
    yield from _all(buffer, language, maximum)


def _single_spaced(text: str) -> str:
    """Runs of white space as one space, one line end or one blank line."""
    text = _SPACES.sub(" ", text.replace("\r\n", "\n").replace("\r", "\n"))
    return _LINE_END.sub("\n", _BLANK_LINES.sub("\n\n", text))


def _ends_paragraph(space: str) -> bool:
    """Whether white space holds a blank line."""
    return "\n\n" in _single_spaced(space)


def _all(buffer: str, language: str, maximum: int) -> Iterator[tuple[str, bool]]:
    """The sentences of a buffer after which nothing of their paragraph comes."""
    position = 0
    while position < len(buffer):
        end = _next_end(buffer, position, language, maximum, complete=True)
        assert end is not None
        yield from _spoken(buffer, position, end, complete=True)
        position = end


def _spoken(buffer: str, start: int, end: int, complete: bool) -> Iterator[tuple[str, bool]]:
    piece, rest = buffer[start:end], buffer[end : end + 2]
    said = " ".join(piece.split())
    if said:
        space = piece[len(piece.rstrip()) :] + rest[: len(rest) - len(rest.lstrip())]
        yield said, "\n\n" in space or (complete and not buffer[end:].strip())


def _next_end(buffer: str, start: int, language: str, maximum: int, complete: bool) -> int | None:
    """Where the sentence that starts at `start` ends, or the piece of it that is not too long.

    None where that depends on what follows the buffer, unless that is `complete`. The buffer must not end within white
    space: what decides is the next letter.
    """
    while start < len(buffer) and buffer[start].isspace():
        start += 1
    limit = min(len(buffer), start + maximum)
    for match in _END.finditer(buffer, start, min(len(buffer), limit + 2)):
        said = match.start() if match[0][0] == "\n" else match.end()
        if said > limit:
            break
        if match.end() == len(buffer) and not complete:
            return None
        if _is_end(buffer, start, match, language):
            return match.end()
    if limit < len(buffer):
        return _cut(buffer, start, limit)
    return len(buffer) if complete else None


def _is_end(buffer: str, start: int, match: re.Match[str], language: str) -> bool:
    mark = match[0]
    following = buffer[match.end() : match.end() + _LOOKAHEAD]
    after = following.lstrip()[:1]
    if mark[0] == "\n":
        if len(mark) > 1:
            return True
        line = buffer[start : match.start()].rsplit("\n", 1)[-1]
        begins = after.isupper() or after.isdigit() or after in '-*•–—"“«'
        return len(line) < _SHORT_LINE and begins and line[-1:] not in ",;:-–—"
    if mark[0] in "。！？":
        return True
    if not after or following.startswith("\n\n"):
        return True
    quoted = mark[-1] in "\"'”’»)]"
    if after.islower():
        # "Stop!" he said. / Oh! what a day. / wait... what
        return mark[0] in "!?" and not quoted
    if mark[0] != "." or mark.startswith(".."):
        return True
    before = buffer[max(start, match.start() - 24) : match.start()]
    found = _LAST_WORD.search(before)
    word = (found[0] if found else "").lstrip("'.-")
    lowered = word.lower()
    if quoted:
        return True
    if lowered in _CLOSING:
        return True
    if lowered in _NEVER_ENDING.get(language, frozenset()):
        # "He said no. Then": a plain word ends a sentence unless a number follows
        return (
            lowered in ("no", "nos", "fig", "figs", "sec", "art", "sun", "sat", "mar", "max", "min")
            and not after.isdigit()
        )
    if len(word) == 1 and word.isupper() and word != "I":
        return False
    if word.isdigit() and len(word) <= 2:
        # "1. First" is one sentence, and so is "am 3. März"
        return language not in ("de",) and buffer[start : match.start()].strip() != word
    return True


def _cut(buffer: str, start: int, limit: int) -> int:
    """The best place to cut an over-long sentence before `limit`."""
    window = buffer[start : limit + 1]
    size = limit - start
    for pattern, earliest in ((_STRONG, 0.4), (_COMMA, 0.25)):
        ends = [m.end() for m in pattern.finditer(window) if size * earliest <= m.end() <= size]
        if ends:
            return start + ends[-1]
    spaces = [index for index, character in enumerate(window) if character.isspace() and index > 0]
    return start + (spaces[-1] if spaces else size)
