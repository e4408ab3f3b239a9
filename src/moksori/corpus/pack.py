"""A corpus as Lhotse Shar shards: a few large files instead of thousands, for moving it to another machine."""

import io
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import soundfile

from moksori.corpus.manifest import Corpus, CorpusInfo, count, cut_of, read_utterance, require_lhotse, write_info
from moksori.errors import CorpusError, unknown_name
from moksori.types import Utterance, Waveform

AUDIO_FORMATS = ("flac", "opus")
OPUS_RATES = (8000, 12000, 16000, 24000, 48000)


def pack_corpus(
    corpus: Corpus,
    target: Path,
    audio: str = "flac",
    shard_size: int = 1000,
    progress: Callable[[int, int], None] | None = None,
) -> CorpusInfo:
    """Writes `SPLIT/cuts.NNNNNN.jsonl.gz` and `SPLIT/recording.NNNNNN.tar` into `target`; training reads both forms.

    audio: "flac" keeps every sample; "opus" is about a tenth of the size and lossy; recordings at a rate Opus does not
    know are stored at the next higher one it knows. shard_size: utterances a shard. Utterances that `check` dropped are
    left out. The folder appears whole at the end or not at all.
    Raises CorpusError if `target` exists and is not empty or cannot be written, UnknownName for another audio format.
    """
    require_lhotse()
    from lhotse.shar import SharWriter

    if audio not in AUDIO_FORMATS:
        raise unknown_name("audio format", audio, AUDIO_FORMATS)
    if corpus.info.packed:
        raise CorpusError(f"{corpus.folder}: is packed already; copy it as it is")
    if shard_size < 1:
        raise CorpusError(f"shard size {shard_size}: expected 1 or more utterances")
    target = Path(target)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise CorpusError(f"{target}: exists and is not empty; give a new folder")
    temporary = target.with_name(f".{target.name}.{os.getpid()}.part")
    utterances = {name: corpus.split(name) for name in corpus.splits}
    utterances = {name: items for name, items in utterances.items() if items}
    total, done = sum(len(items) for items in utterances.values()), 0
    packed: dict[str, list[Utterance]] = {}
    try:
        for split, items in utterances.items():
            (temporary / split).mkdir(parents=True)
            packed[split] = []
            with SharWriter(str(temporary / split), fields={"recording": audio}, shard_size=shard_size) as writer:
                for utterance in items:
                    rate = utterance.sample_rate
                    if audio == "opus":
                        rate = next((known for known in OPUS_RATES if known >= rate), OPUS_RATES[-1])
                    waveform = read_utterance(utterance, rate)
                    stored = replace(
                        utterance, start_seconds=0.0, duration_seconds=waveform.duration_seconds, sample_rate=rate
                    )
                    writer.write(cut_of(stored, recording=_in_memory(stored.name, waveform)))
                    packed[split].append(stored)
                    done += 1
                    if progress is not None:
                        progress(done, total)
        info = replace(corpus.info, packed=audio, counts=count(packed))
        write_info(temporary, info)
        for name in ("stats.json", "stats.png", "split.tsv"):
            if (corpus.folder / name).is_file():
                shutil.copyfile(corpus.folder / name, temporary / name)
        if target.is_dir():
            target.rmdir()
        temporary.replace(target)
    except OSError as error:
        raise CorpusError(
            f"{target}: cannot be written ({error.strerror or error}); check permissions and free space"
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return info


def _in_memory(name: str, waveform: Waveform) -> Any:
    """A Lhotse Recording that holds its samples, float32, so that nothing is rounded before the shard's own format."""
    from lhotse import Recording

    buffer = io.BytesIO()
    soundfile.write(buffer, waveform.samples, waveform.sample_rate, subtype="FLOAT", format="WAV")
    return Recording.from_bytes(buffer.getvalue(), recording_id=name)
