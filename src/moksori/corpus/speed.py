"""A corpus played faster and slower, for models that are to meet more people than were recorded.

Played at another speed a voice has another pitch and another throat: to a listener, and to a model that learns who
speaks, it is somebody else (speed perturbation, Ko, Peddinti, Povey, Khudanpur 2015; with a new name for each speed in
speaker recognition, Yamamoto, Lee, Koshinaka 2019). Only the training split is played again: nobody who is held out is
to be met in disguise.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from moksori.audio.io import write
from moksori.audio.resample import resample
from moksori.corpus.journal import check_new
from moksori.corpus.manifest import Corpus, CorpusInfo, read_utterance, rewrite, write_text
from moksori.errors import BadInput, CorpusError
from moksori.staging import staged
from moksori.types import Utterance, Waveform

SLOWEST, FASTEST = 0.7, 1.4
"""Beyond these a voice is nobody's any more."""
_README = """# {name}

The training recordings of the corpus {source}, played at {speeds} times their speed by `moksori corpus speed`: pitch
and formants move along, and each speed of a speaker has a name of its own. Nobody speaks so. Licence: that of the
recordings, {licence}; changed as said here.
"""


def speed_corpus(
    source: Corpus, target: Path, speeds: Sequence[float], progress: Callable[[int, int], None] | None = None
) -> CorpusInfo:
    """Writes the corpus `target`: each training recording of `source` once for each speed, whole or not at all.

    speeds: 1.1 is a tenth faster and higher. Recordings and speakers are named NAME-x1.1.
    Raises BadInput for a speed that is 1, out of range or there twice, CorpusError for a source without training
    recordings and a target that holds something or cannot be written.
    """
    target = Path(target)
    for speed in speeds:
        if not SLOWEST <= speed <= FASTEST or round(speed, 3) == 1.0:
            raise BadInput(f"speed {speed:g}: expected {SLOWEST} to {FASTEST} and not 1, such as 0.9 and 1.1")
    names = [_tag(speed) for speed in speeds]
    if not names or len(set(names)) < len(names):
        raise BadInput(f"speeds {', '.join(f'{speed:g}' for speed in speeds) or 'none'}: give each once, at least one")
    own = source.split("train") if "train" in source.splits else []
    if not own:
        raise CorpusError(f"{source.folder}: has no training recordings to play at another speed")
    check_new(target)
    if source.folder.resolve() in target.resolve().parents:
        raise CorpusError(f"{target}: lies in the source {source.folder}; give a destination outside of it")
    try:
        with staged(target) as folder:
            info = _written(source, own, speeds, folder, target.resolve().name, progress)
            os.replace(folder, target)  # noqa: PTH105 (an empty folder may be there, as in models.checkpoint)
    except OSError as error:
        raise CorpusError(f"{target}: cannot be written ({error.strerror or error})") from error
    return info


def _written(
    source: Corpus,
    own: Sequence[Utterance],
    speeds: Sequence[float],
    folder: Path,
    name: str,
    progress: Callable[[int, int], None] | None,
) -> CorpusInfo:
    (folder / "audio").mkdir()
    played = []
    for place, utterance in enumerate(own, start=1):
        heard = read_utterance(utterance)
        played += [_played(utterance, heard, speed, folder) for speed in speeds]
        if progress is not None:
            progress(place, len(own))
    info = CorpusInfo(
        name=name,
        licence=source.info.licence,
        language=source.info.language,
        speakers=tuple(sorted({u.speaker for u in played})),
        sources=tuple({**row, "corpus": source.info.name} for row in source.info.sources),
        settings={"speeds": list(speeds)},
        split_rule=f"training recordings alone, of: {source.info.split_rule}",
    )
    told = ", ".join(f"{speed:g}" for speed in speeds)
    readme = _README.format(name=name, source=source.info.name, speeds=told, licence=info.licence)
    write_text(folder / "README.md", readme)
    return rewrite(folder, info, {"train": played})


def _played(utterance: Utterance, heard: Waveform, speed: float, folder: Path) -> Utterance:
    """Writes a recording as it sounds at a speed; what stands for it."""
    # Samples that are said to have come faster than they did, brought to the rate that the corpus has.
    samples = resample(Waveform(heard.samples, round(heard.sample_rate * speed)), heard.sample_rate).samples
    name = f"{utterance.name}-{_tag(speed)}"
    path = folder / "audio" / f"{name}.flac"
    write(path, Waveform(samples, heard.sample_rate))
    return replace(
        utterance, name=name, audio=path, speaker=f"{utterance.speaker}-{_tag(speed)}", start_seconds=0.0,
        duration_seconds=len(samples) / heard.sample_rate,
    )  # fmt: skip


def _tag(speed: float) -> str:
    return f"x{speed:.3g}"
