"""SSML (Speech Synthesis Markup Language 1.1, W3C) -> segments: what to speak, how, and the silence after it.

Spoken as meant: speak, p, s, break, prosody (rate, pitch, volume), voice, lang, phoneme, sub, say-as. Other elements
are named in a warning, once each, and their text is spoken. The parser is expat without document types and entities;
depth and size are limited, and a pause has an end.
"""

import logging
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from xml.parsers import expat

from moksori.errors import TextError
from moksori.text.inline import as_sounds, as_words
from moksori.text.say_as import is_order, words_as
from moksori.text.sentences import split_sentences

logger = logging.getLogger(__name__)

MAXIMUM_CHARACTERS = 2_000_000
MAXIMUM_DEPTH = 32
MAXIMUM_PAUSE_SECONDS = 20.0
MAXIMUM_SHIFT_SEMITONES = 12.0
MAXIMUM_VOLUME_DB = 40.0
QUIETEST_DB = -80.0
RATES = (0.1, 10.0)

# a comment ends at its first "-->", so that a text of many has one reading; a document type is found to be refused
_SSML = re.compile(
    r"\ufeff?\s*(?:(?:<\?xml[^>]{0,200}\?>|<!--(?:(?!-->).){0,2000}-->)\s*){0,20}"
    r"(?:<speak[\s>/]|<!(?i:doctype)\s+(?:\w{1,40}:)?speak[\s>\[])",
    re.DOTALL,
)
_STRENGTHS = {"none": 0.0, "x-weak": 0.1, "weak": 0.2, "medium": 0.4, "strong": 0.8, "x-strong": 1.2}
_RATES = {"x-slow": 0.5, "slow": 0.75, "medium": 1.0, "default": 1.0, "fast": 1.33, "x-fast": 2.0}
_PITCHES = {"x-low": -6.0, "low": -3.0, "medium": 0.0, "default": 0.0, "high": 3.0, "x-high": 6.0}
_VOLUMES = {"silent": -80.0, "x-soft": -12.0, "soft": -6.0, "medium": 0.0, "default": 0.0, "loud": 6.0, "x-loud": 12.0}
_REGIONAL = {"en-us", "en-gb", "pt-br", "fr-be", "fr-ch", "es-419"}
_ALIASES = {"en-uk": "en-gb", "zh": "cmn", "zh-cn": "cmn", "zh-hk": "yue"}
_UNSPOKEN = {"metadata", "meta", "desc", "lexicon", "lookup", "mark"}
_BLOCKS = {"speak", "p", "paragraph", "s", "sentence"}
_NUMBER = r"[0-9]{1,6}(?:\.[0-9]{1,6})?|\.[0-9]{1,6}"
_TIME = re.compile(rf"\+?({_NUMBER})(ms|s)")
_PERCENT = re.compile(rf"([+-]?)({_NUMBER})%")
_FACTOR = re.compile(rf"({_NUMBER})")
_SEMITONES = re.compile(rf"([+-]?)({_NUMBER})st")
_DECIBELS = re.compile(rf"([+-]?)({_NUMBER})dB", re.IGNORECASE)


@dataclass(frozen=True)
class Style:
    """How a segment is spoken; None leaves it to the speaker.

    language: an espeak voice. voice: a name of the model's speaker table. rate: 2 = half as long. volume_db: gain.
    """

    language: str | None = None
    voice: str | None = None
    rate: float = 1.0
    shift_semitones: float = 0.0
    volume_db: float = 0.0


@dataclass(frozen=True)
class Segment:
    """A sentence, or the part of one that has a style of its own; `text` may hold sounds as in text.inline.

    pause_seconds: silence after it; None is the speaker's own pause between sentences or paragraphs.
    """

    text: str
    style: Style = Style()
    pause_seconds: float | None = None
    ends_paragraph: bool = False


def is_ssml(text: str) -> bool:
    """Whether a text begins with `<speak` or the document type of it, an XML declaration and comments aside."""
    return bool(_SSML.match(text))


def parse_ssml(text: str, language: str = "en-us", warn: Callable[[str], None] | None = None) -> list[Segment]:
    """The segments of an SSML document, in order.

    language: where the document names none; decides how sentences are split. warn: told of each element or value that
    is not spoken as meant, once; the module's logger by default.
    Raises TextError for a document that is not well formed (with line and column), has a document type or entities, is
    too deep (32) or too long (2,000,000 characters), or has another root than `speak`.
    """
    if len(text) > MAXIMUM_CHARACTERS:
        raise TextError(f"SSML: {len(text):,} characters, {MAXIMUM_CHARACTERS:,} at most: split the document")
    reader = _Reader(language, warn or logger.warning)
    # bytes rather than a string: a declared encoding must not matter, and lone surrogates have none
    reader.parse(text.lstrip("\ufeff \t\r\n").encode("utf-8", "replace"))
    return reader.finished()


def espeak_language(tag: str) -> str:
    """The espeak voice of a BCP 47 tag: de-DE -> de, en-GB -> en-gb, en -> en-us."""
    tag = tag.strip().replace("_", "-").lower()
    tag = _ALIASES.get(tag, tag)
    if tag in _REGIONAL:
        return tag
    base = tag.split("-")[0]
    return "en-us" if base == "en" else _ALIASES.get(base, base)


@dataclass
class _Element:
    name: str
    attributes: Mapping[str, str]
    style: Style
    own_text: list[str] | None = None
    """Collects the text of an element that is spoken as something else."""


@dataclass
class _Reader:
    """Events of the parser -> segments. Text is gathered until the style or the sentence changes."""

    language: str
    warn: Callable[[str], None]
    segments: list[Segment] = field(default_factory=list)
    open: list[_Element] = field(default_factory=list)
    gathered: list[str] = field(default_factory=list)
    told: set[str] = field(default_factory=set)
    silent_depth: int = 0

    def parse(self, document: bytes) -> None:
        parser = expat.ParserCreate("utf-8")
        parser.buffer_text = True
        parser.StartElementHandler = self.start
        parser.EndElementHandler = self.end
        parser.CharacterDataHandler = self.characters
        parser.StartDoctypeDeclHandler = self.refuse_doctype
        parser.EntityDeclHandler = self.refuse_entity
        try:
            parser.Parse(document, True)
        except expat.ExpatError as error:
            raise TextError(
                f"SSML, line {error.lineno}, column {error.offset + 1}: {expat.ErrorString(error.code)}: "
                "close every tag, and write & as &amp; and < as &lt;"
            ) from error

    def refuse_doctype(self, *_: object) -> None:
        raise TextError("SSML: a document type (<!DOCTYPE>) is not read: leave it out")

    def refuse_entity(self, *_: object) -> None:
        raise TextError("SSML: entity declarations are not read: write the characters themselves")

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        name = tag.rpartition(":")[2].lower()
        if not self.open and name != "speak":
            raise TextError(f"SSML: the document starts with <{tag[:20]}>, expected <speak>")
        if len(self.open) >= MAXIMUM_DEPTH:
            raise TextError(f"SSML: elements more than {MAXIMUM_DEPTH} deep: flatten the document")
        style = self.open[-1].style if self.open else Style()
        element = _Element(name, attributes, style)
        if name in _BLOCKS:
            self.flush(ends_sentence=True)
        element.style = self.styled(name, attributes, style)
        if element.style != style:
            self.flush()
        self.open.append(element)
        if name in ("phoneme", "sub", "say-as"):
            element.own_text = []
        elif name == "break":
            self.pause(attributes)
        elif name in _UNSPOKEN:
            self.silent_depth += 1
            self.tell(f"<{name}>", f"SSML: <{name}> has no effect")
        elif name not in _BLOCKS | {"prosody", "voice", "lang"}:
            self.tell(f"<{name}>", f"SSML: <{name[:30]}> is not known, its text is spoken as it is")

    def end(self, tag: str) -> None:
        element = self.open.pop()
        if element.own_text is not None:
            self.characters(self.replaced(element))
        elif element.name in _UNSPOKEN:
            self.silent_depth -= 1
        elif element.name in _BLOCKS:
            self.flush(element.style, ends_sentence=True, ends_paragraph=element.name not in ("s", "sentence"))
        elif self.open and element.style != self.open[-1].style:
            self.flush(element.style)

    def characters(self, text: str) -> None:
        if self.silent_depth:
            return
        for element in reversed(self.open):
            if element.own_text is not None:
                element.own_text.append(text)
                return
        self.gathered.append(text)

    def flush(self, style: Style | None = None, ends_sentence: bool = False, ends_paragraph: bool = False) -> None:
        """Turns the gathered text into segments; without the end of a sentence what follows goes on without a pause."""
        style = style or (self.open[-1].style if self.open else Style())
        text = " ".join("".join(self.gathered).split())
        self.gathered.clear()
        pieces = list(split_sentences(text, style.language or self.language)) if text else []
        self.segments += [Segment(piece, style) for piece in pieces]
        if pieces and not ends_sentence and not _ends_sentence(pieces[-1]):
            self.segments[-1] = replace(self.segments[-1], pause_seconds=0.0)
        elif not pieces and ends_sentence and self.segments and self.segments[-1].pause_seconds == 0.0:
            self.segments[-1] = replace(self.segments[-1], pause_seconds=None)
        if ends_paragraph and self.segments:
            self.segments[-1] = replace(self.segments[-1], ends_paragraph=True)

    def pause(self, attributes: Mapping[str, str]) -> None:
        """A break: its silence stands in place of the usual one after what came before."""
        self.flush()
        seconds = self.break_seconds(attributes)
        if not self.segments:
            self.segments.append(Segment("", pause_seconds=0.0))
        last = self.segments[-1]
        total = min((last.pause_seconds or 0.0) + seconds, MAXIMUM_PAUSE_SECONDS)
        # kept apart from 0, which means "goes on without a pause" and ends with the sentence
        self.segments[-1] = replace(last, pause_seconds=max(total, 1e-9))

    def break_seconds(self, attributes: Mapping[str, str]) -> float:
        time = attributes.get("time")
        if time is not None:
            match = _TIME.fullmatch(time.strip())
            if match:
                seconds = float(match[1]) / (1000.0 if match[2] == "ms" else 1.0)
                if seconds > MAXIMUM_PAUSE_SECONDS:
                    self.tell("time", f"SSML: a break of {seconds:g} s is cut to {MAXIMUM_PAUSE_SECONDS:g} s")
                return min(seconds, MAXIMUM_PAUSE_SECONDS)
            self.bad("break", "time", time, "500ms or 2s")
        strength = attributes.get("strength", "medium")
        if strength not in _STRENGTHS:
            self.bad("break", "strength", strength, ", ".join(_STRENGTHS))
        return _STRENGTHS.get(strength, _STRENGTHS["medium"])

    def styled(self, name: str, attributes: Mapping[str, str], style: Style) -> Style:
        """The style inside an element."""
        tag = attributes.get("xml:lang") or (attributes.get("lang") if name == "lang" else None)
        if tag and (name in _BLOCKS or name in ("voice", "lang")):
            style = replace(style, language=espeak_language(tag))
        if name == "voice":
            voice = attributes.get("name", "").strip()
            style = replace(style, voice=voice or style.voice)
            if not voice and (not tag or "name" in attributes):
                self.bad("voice", "name", voice, "a speaker of the model")
        if name == "prosody":
            style = self.prosody(attributes, style)
        return style

    def prosody(self, attributes: Mapping[str, str], style: Style) -> Style:
        for key, value in attributes.items():
            value = value.strip()
            if key == "rate":
                rate = _rate(value)
                known = rate is not None
                style = replace(style, rate=self.within(key, value, style.rate * (rate or 1.0), *RATES))
            elif key == "pitch":
                shift = _shift(value)
                known = shift is not None
                total = style.shift_semitones + (shift or 0.0)
                limit = MAXIMUM_SHIFT_SEMITONES
                style = replace(style, shift_semitones=self.within(key, value, total, -limit, limit, " st"))
            elif key == "volume":
                volume = _volume(value)
                known = volume is not None
                total = style.volume_db + (volume or 0.0)
                # nested "silent" stays silent; that -80 and -160 sound alike needs no warning
                total = self.within(key, value, max(total, QUIETEST_DB), QUIETEST_DB, MAXIMUM_VOLUME_DB, " dB")
                style = replace(style, volume_db=total)
            else:
                known = True
                self.tell(key, f"SSML: prosody's {key[:20]!r} has no effect")
            if not known:
                self.bad("prosody", key, value, _EXAMPLES[key])
        return style

    def within(self, key: str, value: str, total: float, least: float, most: float, unit: str = "") -> float:
        """A total of nested values in its limits; a cut is told."""
        cut = min(max(total, least), most)
        if cut != total:
            self.tell(
                f"{key} {value} cut",
                f"SSML: prosody's {key} {value[:30]!r} comes to {total:g}{unit}, cut to {cut:g}{unit}",
            )
        return cut

    def replaced(self, element: _Element) -> str:
        """The inline form of what phoneme, sub and say-as stand around."""
        written = " ".join("".join(element.own_text or []).split())
        if element.name == "phoneme":
            sounds, alphabet = element.attributes.get("ph", "").strip(), element.attributes.get("alphabet", "ipa")
            if alphabet.lower() != "ipa":
                self.tell(
                    f"alphabet {alphabet}", f"SSML: phoneme's alphabet {alphabet[:20]!r} is not known, only 'ipa' is"
                )
            elif sounds:
                return as_sounds(written, sounds)
            else:
                self.bad("phoneme", "ph", sounds, "IPA such as həˈloʊ")
            return written
        if element.name == "sub":
            alias = element.attributes.get("alias", "").strip()
            if not alias:
                self.bad("sub", "alias", alias, "the words to speak")
            return as_words(written or alias, alias) if alias else written
        if not written:
            return ""
        kind = element.attributes.get("interpret-as", "").strip().lower()
        order = element.attributes.get("format", "").strip().lower()
        if not kind:
            self.bad("say-as", "interpret-as", kind, "cardinal, ordinal, characters, digits, date or the like")
            return written
        if order and kind == "date" and not is_order(order):
            self.bad("say-as", "format", order, "dmy, mdy, ymd or the like")
            return written
        words = words_as(written, kind, order, element.style.language or self.language)
        if words is None:
            self.tell(f"{kind} {written}", f"SSML: say-as {kind[:20]!r} does not fit {written[:30]!r}, spoken as it is")
            return written
        return as_words(written, words)

    def bad(self, element: str, attribute: str, value: str, expected: str) -> None:
        self.tell(
            f"{element} {attribute} {value}", f"SSML: {element}'s {attribute} {value[:30]!r}: expected {expected}"
        )

    def tell(self, key: str, message: str) -> None:
        if key not in self.told and len(self.told) < 100:
            self.told.add(key)
            self.warn(message)

    def finished(self) -> list[Segment]:
        self.flush(Style(), ends_sentence=True)
        return self.segments


_EXAMPLES = {
    "rate": "slow, 80% or 1.2", "pitch": "high, +2st or +10%", "volume": "loud or +6dB",
}  # fmt: skip


def _ends_sentence(text: str) -> bool:
    return text.rstrip("\"'”’)]")[-1:] in ".!?…"


def _signed(match: re.Match[str]) -> float:
    return -float(match[2]) if match[1] == "-" else float(match[2])


def _rate(value: str) -> float | None:
    """A factor: a label, "80%" of the present one, "+10%" more, or 1.2."""
    if value in _RATES:
        return _RATES[value]
    if match := _PERCENT.fullmatch(value):
        rate = _signed(match) / 100.0 + (1.0 if match[1] else 0.0)
    elif match := _FACTOR.fullmatch(value):
        rate = float(match[1])
    else:
        return None
    return rate if rate > 0.0 else None


def _shift(value: str) -> float | None:
    """Semitones: a label, "+2st", or "+10%"."""
    if value in _PITCHES:
        return _PITCHES[value]
    if match := _SEMITONES.fullmatch(value):
        return _signed(match)
    if match := _PERCENT.fullmatch(value):
        factor = _signed(match) / 100.0 + (1.0 if match[1] else 0.0)
        return 12.0 * math.log2(factor) if factor > 0.0 else None
    return None


def _volume(value: str) -> float | None:
    """dB: a label or "+6dB"."""
    if value in _VOLUMES:
        return _VOLUMES[value]
    match = _DECIBELS.fullmatch(value)
    return _signed(match) if match else None
