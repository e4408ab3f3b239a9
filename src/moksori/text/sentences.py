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
    Raises TextError if `maximum_characters` is not positive.
    """
    if maximum_characters < 1:
        raise TextError(f"maximum_characters = {maximum_characters}: expected at least 1, for example 300")
    parts = _slices(text) if isinstance(text, str) else text
    return _sentences(parts, language.split("-")[0], maximum_characters)


def _slices(text: str) -> Iterator[str]:
    for start in range(0, len(text), _CHUNK):
        yield text[start : start + _CHUNK]


def _sentences(parts: Iterable[str], language: str, maximum: int) -> Iterator[str]:
    buffer, position, pending = "", 0, ""
    for part in parts:
        pending += part
        # white space at the end is held back, since more of it may follow; a run of it is kept short
        solid = len(pending.rstrip())
        if solid == 0:
            pending = pending if len(pending) < _CHUNK else _single_spaced(pending)
            continue
        buffer = buffer[position:] + _single_spaced(pending[:solid])
        pending, position = pending[solid:], 0
        # decisions wait until what follows is known, so that the parts' borders make no difference
        while len(buffer) - position > maximum + _LOOKAHEAD:
            end = _next_end(buffer, position, language, maximum)
            yield from _spoken(buffer[position:end])
            position = end
    buffer, position = buffer[position:], 0
    while position < len(buffer):
        end = _next_end(buffer, position, language, maximum)
        yield from _spoken(buffer[position:end])
        position = end


def _single_spaced(text: str) -> str:
    """Runs of white space as one space, one line end or one blank line."""
    text = _SPACES.sub(" ", text.replace("\r\n", "\n").replace("\r", "\n"))
    return _LINE_END.sub("\n", _BLANK_LINES.sub("\n\n", text))


def _spoken(piece: str) -> Iterator[str]:
    piece = " ".join(piece.split())
    if piece:
        yield piece


def _next_end(buffer: str, start: int, language: str, maximum: int) -> int:
    """Where the sentence that starts at `start` ends, or the piece of it that is not too long."""
    while start < len(buffer) and buffer[start].isspace():
        start += 1
    limit = min(len(buffer), start + maximum)
    for match in _END.finditer(buffer, start, min(len(buffer), limit + 1)):
        if match.end() > limit:
            break
        if _is_end(buffer, start, match, language):
            return match.end()
    return len(buffer) if limit == len(buffer) else _cut(buffer, start, limit)


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
