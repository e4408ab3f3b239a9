"""A corpus of made singing out of a corpus of speech: `moksori corpus sing`.

Each song is one recording, sung (corpus.speech_to_singing); the splits stay those of the sentences, so that nothing of
a test sentence is sung in training. `songs.jsonl` is the journal and the score: its first line holds the settings, each
further line one song with its notes. A run that was interrupted goes on after the last of them.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from moksori.audio.f0 import extract_f0
from moksori.audio.io import write
from moksori.audio.loudness import normalize_loudness
from moksori.audio.world import analyse_world, require_pyworld
from moksori.corpus import ingest
from moksori.corpus.journal import begin_journal, read_journal
from moksori.corpus.manifest import (
    CORPUS_VERSION,
    SPLITS,
    Corpus,
    CorpusInfo,
    read_info,
    read_utterance,
    rewrite,
    write_text,
)
from moksori.corpus.melody import Key, Note, SingingStyle, note_name, note_pitch, singing_style
from moksori.corpus.speech_to_singing import Song, find_syllables, sing, sung_name
from moksori.corpus.splits import order
from moksori.errors import BadInput, CorpusError, unknown_name
from moksori.pipeline.align import align
from moksori.pipeline.progress import Progress, no_progress
from moksori.pipeline.seeds import chosen_seed, sentence_seed
from moksori.pipeline.timings import ALIGNED_HOP, ALIGNED_RATE
from moksori.text.symbols import is_vowel
from moksori.text.tokenizer import TextConfig, Tokenizer
from moksori.types import SpeechNeeds, Utterance, Waveform

SONGS = "songs.jsonl"
RECIPE = 1
"""Raise it when the same settings make other songs: a corpus is of one recipe."""
HELD_OUT_SHARE = 0.1
"""Of the training songs' minutes: so many are made of the sentences of each other split."""
LEAST_RATE = 8000
_STYLED_ON = 12
"""Recordings of a speaker that tell the pitch of the voice."""
_LEAST_SPEECH_SECONDS = 0.8
_LEAST_VOWELS = 0.5
"""Where less of the vowels are voiced, the durations are not those of the recording."""
_MOST_ROUNDS = 20
_README = """# {name}

Made singing, not recordings: {singers} of the corpus {source}, whose read sentences were re-synthesised (WORLD) on
made-up melodies by `moksori corpus sing`. `{songs}` holds every song's source, key, tempo and notes. Nobody of them
sang this. Licence: that of the speech, {licence}; changed as said here.
"""


@dataclass(frozen=True)
class SungSong:
    """A line of `songs.jsonl`: what was made of which recording. notes: start, end in seconds, MIDI number, phone."""

    name: str
    source: str
    split: str
    speaker: str
    key: str
    tempo: float
    seconds: float
    notes: tuple[Note, ...]


@dataclass(frozen=True)
class SungReport:
    """What was made. styles: how each singer sings. made, made_before: songs of this run and of earlier ones.

    short: "SPLIT: SINGER" where there was too little speech for the minutes that were asked for.
    """

    info: CorpusInfo
    styles: Mapping[str, SingingStyle]
    made: int
    made_before: int
    short: tuple[str, ...]


def sing_corpus(
    source: Path | str,
    target: Path | str,
    minutes: float = 20.0,
    sample_rate: int = 16000,
    seed: int = 0,
    singers: Sequence[str] = (),
    ranges: Mapping[str, str] | None = None,
    keys: Mapping[str, str] | None = None,
    *,
    redo: bool = False,
    progress: Progress = no_progress,
) -> SungReport:
    """Makes the corpus `target` of singing in the voices of `source`; goes on with one that was interrupted.

    minutes: of training songs in all, shared equally by the singers; each other split gets a tenth of it. singers: some
    of the corpus's speakers; all without. ranges, keys: "A3-E5" and "G minor" by singer; else two semitones under the
    median of the speaking voice to fourteen above it, and a key drawn by the seed.
    redo: replaces what other settings made. progress: told seconds of song.
    Raises CorpusError for a source without text or a target that cannot be used, UnknownName for a singer that is not
    in it, BadInput for settings out of range, MissingExtra without pyworld.
    """
    require_pyworld("making songs out of speech")
    source, target = Path(source), Path(target)
    corpus, seed = ingest.open_imported(source), chosen_seed(seed)
    if not 0.0 < minutes <= 6000.0:
        raise BadInput(f"minutes {minutes:g}: expected more than 0, and at most 6000")
    if not LEAST_RATE <= sample_rate <= 48000:
        raise BadInput(f"rate {sample_rate} Hz: expected {LEAST_RATE} to 48000, such as 16000")
    chosen = _singers(corpus, singers, ranges or {}, keys or {})
    if target.resolve() == source.resolve() or source.resolve() in target.resolve().parents:
        raise CorpusError(f"{target}: lies in the source {source}; give a destination outside of it")
    styles = {name: _style(corpus, name, seed, ranges or {}, keys or {}) for name in chosen}
    settings = {
        "sample_rate": sample_rate, "seed": seed, "minutes": minutes,
        "singers": {name: _told(style) for name, style in styles.items()},
    }  # fmt: skip
    header = {"version": CORPUS_VERSION, "recipe": RECIPE, "source": str(source.resolve()), **settings}
    journal = _Journal.open(target, header, redo)
    before = len(journal.songs)
    maker = _Maker(corpus, styles, sample_rate, seed, progress)
    parts, short = _make(maker, journal, minutes, progress)
    if not journal.begun and (target / "corpus.json").is_file():
        return SungReport(read_info(target), styles, 0, before, tuple(short))
    if not any(parts.values()):
        raise CorpusError(f"{source}: none of its recordings could be sung; run 'moksori corpus check {source}'")
    info = CorpusInfo(
        name=target.resolve().name,
        licence=corpus.info.licence,
        language=corpus.info.language,
        speakers=tuple(chosen),
        sources=({"name": corpus.info.name, "format": "speech-to-singing", "rows": sum(map(len, parts.values()))},),
        settings=settings,
        split_rule=f"songs stay in the split of their sentences: {corpus.info.split_rule}",
    )
    info = rewrite(target, info, parts)
    told = {"name": info.name, "source": corpus.info.name, "licence": info.licence, "songs": SONGS}
    write_text(target / "README.md", _README.format(singers=", ".join(chosen), **told))
    return SungReport(info, styles, journal.appended, before, tuple(short))


def read_songs(folder: Path | str) -> dict[str, SungSong]:
    """The songs of a made corpus by name, with their notes; raises CorpusError where `folder` is no such corpus."""
    path = Path(folder) / SONGS
    if not path.is_file():
        raise CorpusError(f"{path}: no such file; make songs with 'moksori corpus sing SRC {folder}'")
    return _read_journal(path)[1]


def _singers(
    corpus: Corpus, singers: Sequence[str], ranges: Mapping[str, str], keys: Mapping[str, str]
) -> tuple[str, ...]:
    """The chosen speakers in the corpus's order, those without text left out."""
    for name in (*singers, *ranges, *keys):
        if name not in corpus.info.speakers:
            raise unknown_name(f"speaker of {corpus.folder}", name, corpus.info.speakers)
    spoken = {u.speaker for split in corpus.splits for u in corpus.split(split) if u.text}
    for name in singers:
        if name not in spoken:
            raise CorpusError(f"{corpus.folder}: the recordings of {name} have no text, which the syllables come from")
    chosen = tuple(name for name in corpus.info.speakers if name in spoken and (not singers or name in singers))
    if not chosen:
        raise CorpusError(f"{corpus.folder}: its recordings have no text, which the syllables come from")
    for name in (*ranges, *keys):
        if name not in chosen:
            raise BadInput(f"singer {name!r} has a range or a key, but is not among the singers {', '.join(chosen)}")
    return chosen


def _style(corpus: Corpus, name: str, seed: int, ranges: Mapping[str, str], keys: Mapping[str, str]) -> SingingStyle:
    """A style that follows from the voice, the seed and the name, with what was declared in its place."""
    own = [u for split in corpus.splits for u in corpus.split(split) if u.speaker == name and u.text]
    tracks = []
    for utterance in sorted(own, key=lambda u: order(u.name))[:_STYLED_ON]:
        f0 = extract_f0(read_utterance(utterance, ALIGNED_RATE), ALIGNED_HOP, method="fast")
        tracks.append(f0[f0 > 0.0])
    voiced = np.concatenate(tracks)
    if not len(voiced):
        raise CorpusError(f"{corpus.folder}: nothing of {name} is voiced, so there is no voice to sing with")
    style = singing_style(float(np.median(voiced)), _draw(seed, f"style {name}"))
    if name in keys:
        style = replace(style, key=Key.parse(keys[name]))
    if name in ranges:
        ends = [part.strip() for part in ranges[name].split("-")]
        if len(ends) != 2:
            raise BadInput(f"range {ranges[name]!r}: expected two notes, such as 'A3-E5'")
        style = replace(style, low=note_pitch(ends[0]), high=note_pitch(ends[1]))
    for key in (style.key, *style.key.related):
        if not 24 <= style.low <= style.high <= 96 or len(key.pitches(style.low, style.high)) < 5:
            raise BadInput(
                f"range {note_name(style.low)}-{note_name(style.high)} of {name}: expected five notes of {key.name} or "
                "more between C1 and C7"
            )
    return style


def _told(style: SingingStyle) -> dict[str, Any]:
    """A style as corpus.json tells it."""
    stored = asdict(style)
    return {**stored, "key": style.key.name, "low": note_name(style.low), "high": note_name(style.high),
            "tempo": list(style.tempo)}  # fmt: skip


@dataclass
class _Maker:
    """Makes songs of the corpus's recordings; the aligner is asked once, before the first of them."""

    corpus: Corpus
    styles: Mapping[str, SingingStyle]
    sample_rate: int
    seed: int
    progress: Progress

    def __post_init__(self) -> None:
        self._text = TextConfig(language=self.corpus.info.language)
        self._tokenizer = Tokenizer(self._text)
        self._durations: Mapping[str, np.ndarray] | None = None

    def song(self, utterance: Utterance, name: str) -> Song | None:
        """None where the recording gives no song: too short, too long, or its durations are not right."""
        if self._durations is None:
            needs = SpeechNeeds(ALIGNED_RATE, ALIGNED_HOP)
            splits = [split for split in self.corpus.splits if self.corpus.split(split)]
            self._durations = align(self.corpus, needs, self._text, splits, progress=self.progress).durations
        durations = self._durations.get(utterance.name)
        if durations is None or utterance.duration_seconds < _LEAST_SPEECH_SECONDS:
            return None
        encoded = self._tokenizer.encode(utterance.text, utterance.language)
        phones = [self._text.symbols[token] for token in encoded.tokens]
        frames = analyse_world(read_utterance(utterance, self.sample_rate))
        step = ALIGNED_HOP / ALIGNED_RATE
        syllables = find_syllables(phones, encoded.stress.tolist(), durations, step, frames.f0)
        if len(syllables) < max(1, _LEAST_VOWELS * sum(is_vowel(phone) for phone in phones)):
            return None
        return sing(frames, syllables, self.styles[utterance.speaker], _draw(self.seed, name))


def _make(
    maker: _Maker, journal: "_Journal", minutes: float, progress: Progress
) -> tuple[dict[str, list[Utterance]], list[str]]:
    """All songs, made or found in the journal: their utterances by split, and whoever has too little speech."""
    corpus, singers = maker.corpus, tuple(maker.styles)
    shares = {name: minutes * 60.0 * (1.0 if name == "train" else HELD_OUT_SHARE) for name in corpus.splits}
    parts: dict[str, list[Utterance]] = {name: [] for name in corpus.splits}
    short = []
    total, done = sum(shares.values()), 0.0
    for split in corpus.splits:
        for singer in singers:
            wanted, made = shares[split] / len(singers), 0.0
            useless: set[str] = set()
            spoken = [u for u in corpus.split(split) if u.speaker == singer and u.text]
            for utterance, name in _turns(spoken, maker.seed):
                if made >= wanted:
                    break
                if utterance.name in useless:
                    continue
                found = journal.find(name)
                if found is None:
                    song = maker.song(utterance, name)
                    found = journal.add(name, utterance, split, song, maker.sample_rate)
                if found.seconds:
                    parts[split].append(_utterance(journal.folder, found, utterance, maker.sample_rate))
                    made += found.seconds
                    progress(int(done + min(made, wanted)), int(total))
                else:
                    useless.add(utterance.name)
            if made < wanted:
                short.append(f"{split}: {singer}")
            done += wanted
    return {name: parts[name] for name in sorted(parts, key=_split_order) if parts[name]}, short


def _turns(spoken: Sequence[Utterance], seed: int) -> Iterator[tuple[Utterance, str]]:
    """Recordings in the order of lots, all of them again and again with the song's name, sung otherwise each time."""
    drawn = sorted(spoken, key=lambda u: order(f"{seed} {u.name}"))
    for turn in range(1, _MOST_ROUNDS + 1):
        for utterance in drawn:
            yield utterance, sung_name(utterance.name, turn)


def _utterance(folder: Path, song: SungSong, spoken: Utterance, sample_rate: int) -> Utterance:
    audio = folder / "audio" / f"{song.name}.flac"
    return Utterance(song.name, spoken.text, song.speaker, spoken.language, audio, 0.0, song.seconds, sample_rate)


@dataclass
class _Journal:
    """What was made so far. songs: also those that could not be made, of 0 seconds. appended: songs of this run.

    begun: whether this run has written a line.
    """

    folder: Path
    songs: dict[str, SungSong]
    appended: int = 0
    begun: bool = False

    @classmethod
    def open(cls, target: Path, header: Mapping[str, Any], redo: bool) -> "_Journal":
        """The target's journal, begun where there is none. Raises CorpusError where the target cannot be used."""
        path = target / SONGS
        stored, songs = _read_journal(path) if path.is_file() else (None, {})
        foreign = "'corpus sing' did not make"
        holds = begin_journal(path, header, stored, redo, foreign=foreign, done="made")
        return cls(target, songs if holds else {})

    def find(self, name: str) -> SungSong | None:
        """What the journal says of a song; None if it is not there or its sound is missing."""
        found = self.songs.get(name)
        if found is not None and found.seconds and not (self.folder / "audio" / f"{name}.flac").is_file():
            return None
        return found

    def add(self, name: str, utterance: Utterance, split: str, song: Song | None, sample_rate: int) -> SungSong:
        """Writes a song's sound, then its line."""
        if not self.begun:  # while songs are added, nobody should find the manifests of before
            (self.folder / "corpus.json").unlink(missing_ok=True)
        if song is None:
            found = SungSong(name, utterance.name, split, utterance.speaker, "", 0.0, 0.0, ())
        else:
            levelled = normalize_loudness(song.waveform)
            tags = {"title": name, "synthetic": "true"}
            write(self.folder / "audio" / f"{name}.flac", Waveform(levelled.samples, sample_rate), tags)
            seconds = len(levelled.samples) / sample_rate
            found = SungSong(
                name, utterance.name, split, utterance.speaker, song.key.name, song.tempo, seconds, song.notes
            )
            self.appended += 1
        self.songs[name] = found
        line = json.dumps(
            {**asdict(found), "notes": [[n.start_seconds, n.end_seconds, n.pitch, n.text] for n in found.notes]},
            ensure_ascii=False,
        )
        path = self.folder / SONGS
        whole = path.read_bytes().endswith(b"\n")  # else a killed run left half a line, which ends here
        with path.open("a", encoding="utf-8") as stream:
            stream.write(("" if whole else "\n") + line + "\n")
        self.begun = True
        return found


def _read_journal(path: Path) -> tuple[dict[str, Any], dict[str, SungSong]]:
    def song(stored: dict[str, Any]) -> SungSong:
        return SungSong(**{**stored, "notes": tuple(Note(*note) for note in stored["notes"])})

    return read_journal(path, song, "the list of songs is broken; remove the folder and make it again")


def _draw(seed: int, name: str) -> np.random.Generator:
    """Random numbers that follow from seed and name alone, whatever else is made before."""
    return np.random.default_rng([sentence_seed(seed, 0), int(order(name)[:16], 16)])


def _split_order(name: str) -> tuple[int, str]:
    return (SPLITS.index(name) if name in SPLITS else len(SPLITS), name)
