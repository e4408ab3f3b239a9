"""Can one understand it? Word and character error rate of an offline recogniser that knows the sentences in question.

pocketsphinx with its open language model mishears clean human speech every third word; with a trigram of the very
sentences (language_model.py) it mishears one in a hundred, and still fails on speech that is unclear. The number is
therefore relative: it compares voices over the same sentences and the same language model, and says nothing of a
stranger who does not know the sentences. Controls: recordings against other sentences' texts, and noise.
"""

import hashlib
import re
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from moksori.audio.loudness import normalize_loudness
from moksori.audio.resample import resample
from moksori.errors import MissingExtra, TextError
from moksori.evaluation.language_model import perplexity, witten_bell_trigram
from moksori.text.normalize import normalize
from moksori.types import Waveform

if TYPE_CHECKING:
    from pocketsphinx import Decoder

SAMPLE_RATE = 16000
LEVEL_LUFS = -23.0
EDGE_SECONDS = 0.2
LANGUAGE_WEIGHT = 4.0
_NOT_SPOKEN = re.compile(r"[^a-z' ]+")


@dataclass(frozen=True)
class WordErrors:
    """Edits that turn what was heard into what should have been said, in words and in characters."""

    word_errors: int
    words: int
    character_errors: int
    characters: int


@dataclass(frozen=True)
class Sentences:
    """Sentences as the recogniser's words. kept: those whose words all have a pronunciation.

    left_out: written sentence -> its words that are not.
    """

    kept: tuple[tuple[str, ...], ...]
    left_out: dict[str, tuple[str, ...]]


def spoken_words(text: str) -> list[str]:
    """English text as the words that both sides of the comparison use: numbers read out, lower case, letters and '."""
    lowered = normalize(text, "en-us").lower().replace("’", "'")
    words = _NOT_SPOKEN.sub(" ", lowered.replace("-", " ")).split()
    return [bare for word in words if (bare := word.strip("'"))]


def split_by_dictionary(texts: Iterable[str]) -> Sentences:
    """Which sentences the bundled dictionary and its regular endings cover; needs pocketsphinx."""
    kept: dict[tuple[str, ...], None] = {}
    left_out = {}
    for text in texts:
        words = tuple(spoken_words(text))
        unknown = tuple(word for word in words if not dictionary_lines(word))
        if unknown or not words:
            left_out[text] = unknown
        else:
            kept[words] = None
    return Sentences(tuple(kept), left_out)


def dictionary_lines(word: str) -> list[str]:
    """The dictionary's lines for a word, one a pronunciation; for possessives and words in -y of words that are there
    (`factor's`, `springy`) made from them. Empty for a word that it does not know.
    """
    known = _dictionary()
    if word in known:
        return known[word]
    stem, ending = (word[:-2], "'s") if word.endswith("'s") else (word[:-1], word[-1:])
    if ending not in ("'s", "y") or stem not in known:
        return []
    lines = []
    for line in known[stem]:
        head, _, phones = line.partition(" ")
        variant = head[len(stem) :]  # "(2)" of a second pronunciation
        lines.append(f"{word}{variant} {phones} {_ending_phones(ending, phones.split()[-1])}")
    return lines


def _ending_phones(ending: str, before: str) -> str:
    if ending == "y":
        return "IY"
    if before in ("S", "Z", "SH", "ZH", "CH", "JH"):
        return "IH Z"
    return "S" if before in ("P", "T", "K", "F", "TH") else "Z"


def count_errors(text: str, heard: str) -> WordErrors:
    """Errors of `heard` against `text` (jiwer); both go through `spoken_words`.

    Raises TextError for a text without words.
    """
    jiwer = require_jiwer()
    reference, hypothesis = " ".join(spoken_words(text)), " ".join(spoken_words(heard))
    if not reference:
        raise TextError(f"{text!r}: has no words to compare with; leave it out of the test sentences")
    words = jiwer.process_words(reference, hypothesis)
    characters = jiwer.process_characters(reference, hypothesis)
    return WordErrors(
        words.substitutions + words.deletions + words.insertions,
        words.hits + words.substitutions + words.deletions,
        characters.substitutions + characters.deletions + characters.insertions,
        characters.hits + characters.substitutions + characters.deletions,
    )


class Recogniser:
    """pocketsphinx 5 with its U.S. English acoustic model and a closed trigram of `texts`.

    Build one and use it for every system that is compared. Sentences with words outside the bundled dictionary are
    left out of the language model; `covers` tells them. Raises MissingExtra without pocketsphinx, TextError if no
    sentence is left.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        sentences = split_by_dictionary(texts)
        if not sentences.kept:
            raise TextError("recogniser: no test sentence has all its words in the dictionary; is the corpus English?")
        self.name = "pocketsphinx"
        self.texts = tuple(texts)
        self.left_out: Mapping[str, tuple[str, ...]] = sentences.left_out
        model = witten_bell_trigram(sentences.kept)
        self.description = (
            f"Witten-Bell trigram of {len(sentences.kept)} test sentences, {len(model.vocabulary) - 1} words, "
            f"perplexity {perplexity(model, sentences.kept):.1f} on them, language weight {LANGUAGE_WEIGHT:g}; "
            f"{len(self.left_out)} sentences left out for words outside the dictionary"
        )
        arpa = model.to_arpa()
        version = f"pocketsphinx {metadata.version('pocketsphinx')} {LANGUAGE_WEIGHT:g} {LEVEL_LUFS:g} {EDGE_SECONDS:g}"
        self.identity = f"{version} {hashlib.sha256(arpa.encode('utf-8')).hexdigest()}"
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "sentences.arpa"
            path.write_text(arpa, encoding="utf-8")
            # Only the words that the language model knows can be heard, and reading all 135,000 takes a second.
            lines = [line for word in model.vocabulary for line in dictionary_lines(word)]
            words = Path(folder) / "sentences.dict"
            words.write_text("\n".join(lines) + "\n", encoding="utf-8")
            self._decoder = _decoder(words, lm=str(path))

    def covers(self, text: str) -> bool:
        """True where all words of the sentence are in the dictionary, so that it can be recognised at all."""
        words = spoken_words(text)
        return bool(words) and all(dictionary_lines(word) for word in words)

    def transcribe(self, waveform: Waveform) -> str:
        """What is heard, in lower case, empty for nothing; at -23 LUFS and with 0.2 s of silence at both ends."""
        return _heard(self._decoder, waveform)

    def errors(self, text: str, waveform: Waveform) -> WordErrors:
        """Errors of what is heard against `text`."""
        return count_errors(text, self.transcribe(waveform))


class ClosedRecogniser:
    """pocketsphinx that can hear nothing but `count` of the given words, all alike likely: for words spoken alone.

    Raises MissingExtra without pocketsphinx, TextError for a word outside its dictionary.
    """

    def __init__(self, words: Sequence[str], count: int = 1) -> None:
        lines = []
        for word in words:
            found = dictionary_lines(word)
            if not found:
                raise TextError(f"recogniser: the word {word!r} is not in its dictionary: leave it out")
            lines += found
        grammar = f"#JSGF V1.0;\ngrammar words;\npublic <heard> = {'<word> ' * count};\n<word> = {' | '.join(words)};\n"
        with tempfile.TemporaryDirectory() as folder:
            jsgf, dictionary = Path(folder) / "words.gram", Path(folder) / "words.dict"
            jsgf.write_text(grammar, encoding="utf-8")
            dictionary.write_text("\n".join(lines) + "\n", encoding="utf-8")
            self._decoder = _decoder(dictionary, jsgf=str(jsgf))

    def transcribe(self, waveform: Waveform) -> str:
        """The words that fit best, in lower case, or nothing; level and silence as for `Recogniser`."""
        return _heard(self._decoder, waveform)


def require_jiwer() -> Any:
    """The package jiwer; raises MissingExtra where it is not installed."""
    try:
        import jiwer
    except ImportError as error:
        raise MissingExtra("jiwer", "evaluate", "counting word errors") from error
    return jiwer


def _without_variants(hypothesis: str) -> str:
    """'the(2) dog' -> 'the dog': the recogniser may name which pronunciation it heard."""
    return re.sub(r"\(\d+\)", "", hypothesis)


def _heard(decoder: "Decoder", waveform: Waveform) -> str:
    levelled = normalize_loudness(resample(waveform, SAMPLE_RATE), LEVEL_LUFS)
    if not np.any(levelled.samples):
        return ""  # digital silence is unlike any sound the acoustic model learnt: it hears words in it
    edge = np.zeros(round(EDGE_SECONDS * SAMPLE_RATE), np.float32)
    samples = np.concatenate([edge, levelled.samples, edge])
    pcm = np.clip(np.rint(samples * 32767.0), -32768, 32767).astype("<i2").tobytes()
    # Without this the running cepstral mean of one recording would reach the next, and the order would matter.
    decoder.reinit_feat()
    decoder.start_utt()
    decoder.process_raw(pcm, no_search=False, full_utt=True)
    decoder.end_utt()
    heard = decoder.hyp()
    return "" if heard is None else _without_variants(heard.hypstr)


def _decoder(dictionary: Path, **search: str) -> "Decoder":
    """search: `lm` or `jsgf`, a file that tells which words may follow each other."""
    pocketsphinx = _pocketsphinx()
    decoder: Decoder = pocketsphinx.Decoder(
        hmm=str(_model_folder() / "en-us"), dict=str(dictionary), lw=LANGUAGE_WEIGHT, loglevel="FATAL", **search
    )
    return decoder


def _pocketsphinx() -> Any:
    try:
        import pocketsphinx
    except ImportError as error:
        raise MissingExtra("pocketsphinx", "evaluate", "measuring the word error rate") from error
    return pocketsphinx


def _model_folder() -> Path:
    return Path(str(_pocketsphinx().get_model_path())) / "en-us"


@lru_cache(maxsize=1)
def _dictionary() -> dict[str, list[str]]:
    """Word -> its lines in the bundled dictionary, one a pronunciation: `the DH AH`, `the(2) DH IY`."""
    lines = (_model_folder() / "cmudict-en-us.dict").read_text(encoding="utf-8").splitlines()
    found: dict[str, list[str]] = {}
    for line in lines:
        if line:
            found.setdefault(line.split(" ", 1)[0].partition("(")[0], []).append(line)
    return found
