"""What one can do with a corpus: import, check, stats, split, merge, pack. Progress goes to a callback."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from moksori.audio.trim import pauses
from moksori.corpus import ingest
from moksori.corpus.check import CheckReport, check_corpus
from moksori.corpus.features import prepare
from moksori.corpus.ingest import ImportReport, ImportSettings
from moksori.corpus.manifest import Corpus, CorpusInfo
from moksori.corpus.merge import merge_corpora
from moksori.corpus.pack import pack_corpus
from moksori.corpus.segment import SplitReport, Timing, snap_to_pauses, split_corpus
from moksori.corpus.speed import speed_corpus
from moksori.corpus.stats import SpeakerStats, corpus_stats
from moksori.errors import BadInput
from moksori.pipeline.align import DEFAULT_PRESET, align, word_times
from moksori.pipeline.languages import check_language
from moksori.pipeline.progress import Progress, no_progress
from moksori.pipeline.timings import ALIGNED_HOP, ALIGNED_RATE
from moksori.text.tokenizer import TextConfig
from moksori.types import SpeechNeeds, Waveform

PAUSE_DB = 30.0
"""Pauses within speech lie this much under it: room and breath keep them louder than the silence at the ends."""


def import_corpus(
    sources: Sequence[Path | str],
    target: Path | str,
    format_name: str | None = None,
    settings: ImportSettings | None = None,
    *,
    name: str | None = None,
    licence: str | None = None,
    language: str | None = None,
    redo: bool = False,
    progress: Progress | None = None,
) -> ImportReport:
    """Makes the corpus `target` of the folders `sources`; continues an interrupted import, leaves a finished one alone.

    format_name: ljspeech, vctk, libritts, csv or folder; detected where None. Raises CorpusError or UnknownName.
    """
    if language is not None:
        check_language(language)
    return ingest.import_sources(
        format_name,
        [Path(source) for source in sources],
        Path(target),
        settings,
        name=name,
        licence=licence,
        language=language,
        redo=redo,
        progress=progress,
    )


def check(
    corpus: Path | str, text: TextConfig | None = None, *, write: bool = True, progress: Progress | None = None
) -> CheckReport:
    """Looks for what is wrong with a corpus; `dropped.tsv` then says what is left out of it and why."""
    return check_corpus(ingest.open_imported(Path(corpus)), text, write=write, progress=progress)


def stats(
    corpus: Path | str, folder: Path | str | None = None, *, progress: Progress | None = None
) -> dict[str, SpeakerStats]:
    """Durations and F0 per speaker, also as `stats.json` and `stats.png` in `folder` (the corpus's own by default)."""
    return corpus_stats(ingest.open_imported(Path(corpus)), None if folder is None else Path(folder), progress=progress)


def split(
    corpus: Path | str,
    words: Mapping[str, Sequence[Timing]] | None = None,
    maximum_seconds: float = 10.0,
    minimum_pause: float = 0.2,
    *,
    progress: Progress = no_progress,
) -> SplitReport:
    """Cuts clips over `maximum_seconds` at pauses of at least `minimum_pause` seconds.

    words: utterance name -> (word, start, end) in seconds, for the long clips; where None, an aligner is trained on the
    corpus and tells them. Raises BadInput for lengths that are not above 0.
    """
    for name, given, example in (("seconds", maximum_seconds, 10.0), ("pause", minimum_pause, 0.2)):
        if not 0.0 < given < float("inf"):
            raise BadInput(f"{name} {given:g}: expected a number of seconds above 0, such as {example:g}")
    opened = ingest.open_imported(Path(corpus))
    if words is None:
        words = _aligned_words(opened, maximum_seconds, minimum_pause, progress)
    return split_corpus(opened, words, maximum_seconds, minimum_pause)


def _aligned_words(
    corpus: Corpus, maximum_seconds: float, minimum_pause: float, progress: Progress
) -> dict[str, list[Timing]]:
    """Words by the aligner, the pauses between them where the recording is silent."""
    needs, text = SpeechNeeds(ALIGNED_RATE, ALIGNED_HOP), TextConfig(language=corpus.info.language)
    splits = [name for name in corpus.splits if corpus.utterances[name]]
    if all(u.duration_seconds <= maximum_seconds for name in splits for u in corpus.split(name)):
        return {}
    # Where several speakers read long clips, only the forward sum finds the words beside a pause; its blurred edges do
    # not matter here, since the recording's energy sets them anew (docs/aligner.md).
    preset = DEFAULT_PRESET if len(corpus.info.speakers) == 1 else "aligner/forward_sum"
    durations = align(corpus, needs, text, splits, preset, progress=progress).durations
    times = {}
    for name in splits:
        for example in prepare(corpus, name, needs, text):
            utterance = example.utterance
            if utterance.duration_seconds > maximum_seconds and utterance.name in durations:
                words = word_times(example, durations[utterance.name], text, needs)
                silences = pauses(Waveform(example.waveform, ALIGNED_RATE), minimum_pause, PAUSE_DB)
                times[utterance.name] = snap_to_pauses(words, silences)
    return times


def merge(corpora: Sequence[Path | str], target: Path | str, *, progress: Progress | None = None) -> CorpusInfo:
    """Writes several corpora as one; a sentence that is held out in one of them is held out in all."""
    return merge_corpora([ingest.open_imported(Path(corpus)) for corpus in corpora], Path(target), progress)


def speed(
    corpus: Path | str, target: Path | str, speeds: Sequence[float], *, progress: Progress | None = None
) -> CorpusInfo:
    """Writes the training recordings of a corpus, played at each speed, as one of other people."""
    return speed_corpus(ingest.open_imported(Path(corpus)), Path(target), speeds, progress)


def pack(
    corpus: Path | str,
    target: Path | str,
    audio: str = "flac",
    shard_size: int = 1000,
    *,
    progress: Progress | None = None,
) -> CorpusInfo:
    """Writes a corpus as Lhotse Shar shards of FLAC or Opus; every reader takes that form too."""
    return pack_corpus(ingest.open_imported(Path(corpus)), Path(target), audio, shard_size, progress)
