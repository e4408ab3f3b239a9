"""From a corpus split to examples in memory: decoded, resampled, tokenised, with F0 and durations.

What is slow is cached once in `CORPUS/features/KIND-SETTINGS/SPLIT.safetensors`, a file for each of waveforms, tokens,
F0 and spectral envelopes. The folder's name is a hash of the settings. In the file, a hash of the content (each
recording's name, size and time, each text, and the front end's own code) and a checksum of the arrays decide whether it
is read: stale or broken files are made again.
"""

import hashlib
import json
import logging
import multiprocessing
import os
import zlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import safetensors
from jaxtyping import Float, Int
from safetensors.numpy import save

from moksori.audio.f0 import Method, extract_f0
from moksori.audio.world import require_pyworld
from moksori.audio.world_features import envelope_groups
from moksori.corpus.manifest import Corpus, read_utterance
from moksori.errors import AudioError, CorpusError
from moksori.text.arpabet import dictionary_state
from moksori.text.symbols import SYMBOLS
from moksori.text.tokenizer import TextConfig, Tokenizer
from moksori.types import EnvelopeNeeds, Example, SpeechNeeds, Utterance, Waveform

_LOGGER = logging.getLogger(__name__)
CACHE_VERSION = 1
"""Part of every key: raise it when the files' own form changes."""
WORKERS = 2
SPOKEN_HZ = (60.0, 500.0)
"""Where F0 is looked for where the needs say nothing."""
PROCESSES_FROM = 64
"""Clips: with fewer, starting processes takes longer than they save."""

Progress = Callable[[int, int], None]
T = TypeVar("T")


def prepare(
    corpus: Corpus,
    split: str,
    needs: SpeechNeeds,
    text: TextConfig | None = None,
    durations: Mapping[str, Int[np.ndarray, " tokens"]] | None = None,
    progress: Progress | None = None,
) -> list[Example]:
    """The examples of one split, in the manifest's order, all in memory (float32: 4 bytes a sample).

    needs: sample rate in Hz, hop in samples, and which of tokens, durations, F0 and envelopes to give (these
    are kept as float16, a kilobyte a frame). Waveforms are cut to whole frames. text: the front end; tokens follow each
    utterance's own language. durations: frames of each token by utterance name, needed where `needs.durations`; each
    must fit the tokens and sum to the frames.
    progress: called with (done, total) while something is computed, once more at the end.
    Raises CorpusError for an empty split, an unreadable recording, durations that are missing or do not fit;
    MissingExtra for envelopes without pyworld.
    """
    text = text or TextConfig()
    utterances = corpus.split(split)
    if not utterances:
        raise CorpusError(
            f"{corpus.folder}: split {split!r} holds no utterances; see dropped.tsv, or take another split"
        )
    if needs.durations and not needs.tokens:
        raise CorpusError("durations are frames of tokens: ask for tokens too")
    if needs.envelopes is not None and not needs.f0:
        raise CorpusError("spectral envelopes are found at a pitch: ask for F0 too")
    if needs.envelopes is not None:
        require_pyworld("learning from spectral envelopes")  # before other trackers are tried, which take hours
    cache = _Cache(corpus, split, utterances)
    kinds = 1 + needs.tokens + needs.f0 + (needs.envelopes is not None)
    report = _Report(progress, kinds * len(utterances))
    sound = _waveforms(cache, utterances, needs, report)
    tokens = _tokens(cache, utterances, text, report) if needs.tokens else None
    f0 = _pitch(cache, utterances, sound, needs, report) if needs.f0 else None
    envelopes = None if f0 is None else _envelopes(cache, sound, f0, needs, report)
    report.finish()
    speakers = corpus.speakers
    examples = []
    for index, utterance in enumerate(utterances):
        waveform = sound[index].astype(np.float32) / 32768.0
        ids = None if tokens is None else tokens[0][index].astype(np.int64)
        frames = len(waveform) // needs.hop_length
        example = Example(
            utterance=utterance,
            waveform=waveform,
            speaker=speakers[utterance.speaker],
            tokens=ids,
            stress=None if tokens is None else tokens[1][index].astype(np.int64),
            durations=_durations(utterance, ids, frames, durations) if needs.durations and ids is not None else None,
            f0=None if f0 is None else f0[index],
            envelopes=None if envelopes is None else envelopes[0][index],
            envelope_frames=None if envelopes is None else envelopes[1][index].astype(np.int64),
        )
        examples.append(example)
    return examples


@dataclass(frozen=True)
class Ragged:
    """Arrays of different lengths, along their first axis, as one: item i is `values[offsets[i]:offsets[i + 1]]`."""

    values: np.ndarray
    offsets: Int[np.ndarray, " items_and_one"]

    @classmethod
    def of(cls, arrays: Sequence[np.ndarray], dtype: Any) -> "Ragged":
        offsets = np.concatenate([[0], np.cumsum([len(a) for a in arrays])]).astype(np.int64)
        values = np.concatenate(arrays).astype(dtype) if len(arrays) else np.zeros(0, dtype)
        return cls(values, offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index: int) -> np.ndarray:
        return self.values[self.offsets[index] : self.offsets[index + 1]]


class _Report:
    """Adds up the progress of the steps; nothing is reported when all came out of the cache but the end."""

    def __init__(self, progress: Progress | None, total: int) -> None:
        self.progress, self.total, self.done = progress, total, 0

    def step(self, count: int = 1) -> None:
        self.done += count
        if self.progress is not None and self.done < self.total:
            self.progress(self.done, self.total)

    def finish(self) -> None:
        if self.progress is not None:
            self.progress(self.total, self.total)


class _Cache:
    """The cached arrays of one split of one corpus; a corpus on a read-only disk is used without a cache."""

    def __init__(self, corpus: Corpus, split: str, utterances: Sequence[Utterance]) -> None:
        self.folder, self.split = corpus.folder / "features", split
        self.items = [_identity(corpus.folder, utterance) for utterance in utterances]
        self.count = len(utterances)

    def get(
        self, kind: str, settings: Mapping[str, Any], content: Sequence[Any], make: Callable[[], Mapping[str, Ragged]]
    ) -> tuple[Mapping[str, Ragged], bool]:
        """The arrays, and whether they came from the cache; `content` lists whatever they depend on per utterance."""
        path = self.folder / f"{kind}-{_hash([CACHE_VERSION, settings])}" / f"{self.split}.safetensors"
        key = _hash([CACHE_VERSION, settings, content, front_end(kind)])
        stored = _load(path, key, self.count)
        if stored is not None:
            return stored, True
        made = make()
        _store(path, key, made)
        return made, False


def cached_arrays(
    corpus: Corpus,
    split: str,
    kind: str,
    settings: Mapping[str, Any],
    make: Callable[[], Mapping[str, Ragged]],
    content: Sequence[Any] = (),
) -> Mapping[str, Ragged]:
    """What `make` gives for the recordings of a split, an item each in the manifest's order, or what the cache keeps
    of it under that kind and those settings. content: what else it depends on; where that changes it is made again."""
    cache = _Cache(corpus, split, corpus.split(split))
    return cache.get(kind, settings, [*cache.items, *content], make)[0]


def _waveforms(cache: _Cache, utterances: Sequence[Utterance], needs: SpeechNeeds, report: _Report) -> Ragged:
    """int16 samples at `needs.sample_rate`, whole frames of `needs.hop_length`."""

    def one(utterance: Utterance) -> np.ndarray:
        try:
            waveform = read_utterance(utterance, needs.sample_rate)
        except AudioError as error:
            raise CorpusError(f"utterance {utterance.name!r}: {error}; run 'moksori corpus check'") from error
        samples = waveform.samples[: len(waveform.samples) // needs.hop_length * needs.hop_length]
        if len(samples) == 0:
            raise CorpusError(
                f"utterance {utterance.name!r}: {waveform.duration_seconds:.3f} s is less than one frame of "
                f"{needs.hop_length} samples; run 'moksori corpus check'"
            )
        # The corpus is 16 bit: keeping more would store rounding of the resampler.
        return np.clip(np.rint(samples * 32768.0), -32768, 32767).astype(np.int16)

    settings = {"sample_rate": needs.sample_rate, "hop_length": needs.hop_length}
    found, cached = cache.get(
        "waveform", settings, cache.items, lambda: {"waveform": Ragged.of(_parallel(one, utterances, report), np.int16)}
    )
    if cached:
        report.step(len(utterances))
    return found["waveform"]


def _tokens(cache: _Cache, utterances: Sequence[Utterance], text: TextConfig, report: _Report) -> tuple[Ragged, Ragged]:
    tokenizer = Tokenizer(text, training=cache.split == "train")

    def make() -> Mapping[str, Ragged]:
        encoded = []
        for utterance in utterances:
            encoded.append(tokenizer.encode(utterance.text, utterance.language))
            if encoded[-1].unknown:
                _LOGGER.warning("%s: unknown symbols %s left out", utterance.name, " ".join(encoded[-1].unknown))
            report.step()
        return {
            "tokens": Ragged.of([e.tokens for e in encoded], np.int32),
            "stress": Ragged.of([e.stress for e in encoded], np.int8),
        }

    settings: dict[str, Any] = {"text": text.model_dump(mode="json"), "table": _hash(SYMBOLS)}
    if text.dictionary is not None:
        settings["dictionary"] = dictionary_state(text.dictionary)
    content = [(u.name, u.text, u.language) for u in utterances]
    found, cached = cache.get("tokens", settings, content, make)
    if cached:
        report.step(len(utterances))
    return found["tokens"], found["stress"]


def _pitch(
    cache: _Cache, utterances: Sequence[Utterance], sound: Ragged, needs: SpeechNeeds, report: _Report
) -> Ragged:
    def make() -> Mapping[str, Ragged]:
        one = partial(
            _frame_pitch,
            sample_rate=needs.sample_rate,
            hop_length=needs.hop_length,
            method=needs.f0_method,
            limits_hz=needs.f0_limits_hz or SPOKEN_HZ,
        )
        clips = [sound[index] for index in range(len(utterances))]
        return {"f0": Ragged.of(_parallel(one, clips, report, processes=len(clips) >= PROCESSES_FROM), np.float32)}

    settings: dict[str, Any] = {
        "sample_rate": needs.sample_rate,
        "hop_length": needs.hop_length,
        "tracker": needs.f0_method,
    }
    if needs.f0_limits_hz is not None:
        settings["limits_hz"] = list(needs.f0_limits_hz)
    found, cached = cache.get("f0", settings, cache.items, make)
    if cached:
        report.step(len(utterances))
    return found["f0"]


def _frame_pitch(
    samples: np.ndarray, sample_rate: int, hop_length: int, method: Method, limits_hz: tuple[float, float]
) -> Float[np.ndarray, " frames"]:
    waveform = Waveform(samples.astype(np.float32) / 32768.0, sample_rate)
    f0 = extract_f0(waveform, hop_length, *limits_hz, method=method)
    frames = len(samples) // hop_length
    return np.pad(f0[:frames], (0, max(frames - len(f0), 0))).astype(np.float32)


def _envelopes(
    cache: _Cache, sound: Ragged, f0: Ragged, needs: SpeechNeeds, report: _Report
) -> tuple[Ragged, Ragged] | None:
    """Shapes of chosen frames `[groups, context, bins]` and the frames' numbers, of each utterance."""
    wanted = needs.envelopes
    if wanted is None:
        return None

    def make() -> Mapping[str, Ragged]:
        one = partial(_envelope_groups, sample_rate=needs.sample_rate, hop_length=needs.hop_length, wanted=wanted)
        clips = [(sound[index], f0[index]) for index in range(len(sound))]
        made = _parallel(one, clips, report, processes=len(clips) >= PROCESSES_FROM)
        return {
            "envelopes": Ragged.of([shapes for shapes, _ in made], np.float16),
            "frames": Ragged.of([frames for _, frames in made], np.int32),
        }

    limits = needs.f0_limits_hz or SPOKEN_HZ
    settings = {
        "sample_rate": needs.sample_rate,
        "hop_length": needs.hop_length,
        "tracker": needs.f0_method,
        "limits_hz": list(limits),
        **asdict(wanted),
    }
    found, cached = cache.get("envelopes", settings, cache.items, make)
    if cached:
        report.step(len(sound))
    return found["envelopes"], found["frames"]


def _envelope_groups(
    clip: tuple[np.ndarray, np.ndarray], sample_rate: int, hop_length: int, wanted: EnvelopeNeeds
) -> tuple[Float[np.ndarray, "groups context bins"], Int[np.ndarray, " groups"]]:
    samples, f0 = clip
    waveform = Waveform(samples.astype(np.float32) / 32768.0, sample_rate)
    shapes, frames = envelope_groups(waveform, f0, hop_length, wanted)
    return shapes.astype(np.float16), frames


def _durations(
    utterance: Utterance,
    tokens: Int[np.ndarray, " tokens"],
    frames: int,
    durations: Mapping[str, Int[np.ndarray, " tokens"]] | None,
) -> Int[np.ndarray, " tokens"]:
    if durations is None or utterance.name not in durations:
        raise CorpusError(f"utterance {utterance.name!r}: no durations given; align the corpus first")
    found = np.asarray(durations[utterance.name])
    if found.shape != tokens.shape:
        raise CorpusError(
            f"utterance {utterance.name!r}: {found.size} durations for {tokens.size} tokens; "
            "align with the same text settings"
        )
    if (found < 0).any() or int(found.sum()) != frames:
        raise CorpusError(
            f"utterance {utterance.name!r}: durations sum to {int(found.sum())} frames, the recording has {frames}; "
            "align with the same hop and sample rate"
        )
    return found.astype(np.int64)


def _parallel(one: Callable[[Any], T], items: Sequence[Any], report: _Report, processes: bool = False) -> list[T]:
    """processes: for work that keeps the interpreter's lock; where forking is not offered, threads do it."""
    pool: Executor
    if processes and "fork" in multiprocessing.get_all_start_methods():
        # Forked, since a spawned process would run a user's script again from its top. The children touch no torch.
        pool = ProcessPoolExecutor(WORKERS, multiprocessing.get_context("fork"))
    else:
        pool = ThreadPoolExecutor(WORKERS)
    with pool:
        try:
            results = []
            for result in pool.map(one, items):
                results.append(result)
                report.step()
            return results
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _identity(folder: Path, utterance: Utterance) -> tuple[Any, ...]:
    """What the sound of an utterance depends on: the file by name, size and time, and the stretch of it."""
    packed = utterance.audio.parent.suffix == ".tar"
    file = utterance.audio.parent if packed else utterance.audio
    try:
        status = file.stat()
    except OSError as error:
        raise CorpusError(f"{file}: the recording of {utterance.name!r} is missing; import the corpus again") from error
    start, length = round(utterance.start_seconds, 6), round(utterance.duration_seconds, 6)
    place = os.path.relpath(utterance.audio, folder)
    return (utterance.name, place, status.st_size, status.st_mtime_ns, start, length)


_CODE = {
    "waveform": ("audio/io.py", "audio/resample.py"),
    "f0": ("audio/f0.py",),
    "envelopes": ("audio/f0.py", "audio/world.py", "audio/world_features.py"),
    "tokens": ("text",),
    "mels": ("audio", "nn", "models"),
    "codes": (),
}
_PACKAGES = {
    "waveform": ("soxr", "soundfile"),
    "f0": ("pyworld", "librosa"),
    "envelopes": ("pyworld",),
    "tokens": ("phonemizer", "espeakng-loader"),
    "mels": (),
    "codes": (),
}


@lru_cache
def front_end(kind: str) -> str:
    """A hash of the code that makes this kind: an update that changes a phoneme must not find the old ones."""
    digest = hashlib.sha256()
    root = Path(__file__).resolve().parent.parent
    for place in _CODE[kind]:
        files = sorted((root / place).rglob("*.*")) if (root / place).is_dir() else [root / place]
        for file in files:
            if file.is_file() and file.suffix != ".pyc":
                digest.update(file.name.encode() + file.read_bytes())
    for package in _PACKAGES[kind]:
        try:
            digest.update(f"{package} {version(package)}".encode())
        except PackageNotFoundError:
            digest.update(f"no {package}".encode())
    return digest.hexdigest()


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=list).encode("utf-8")).hexdigest()[:16]


def _checksum(arrays: Mapping[str, np.ndarray]) -> str:
    total = 0
    for name in sorted(arrays):
        if arrays[name].size:  # an empty array has no bytes to view
            total = zlib.crc32(np.ascontiguousarray(arrays[name]).data.cast("B"), total)
    return f"{total:08x}"


def _load(path: Path, key: str, count: int) -> dict[str, Ragged] | None:
    """The cached arrays; None if there are none, they are of other content, or they are broken."""
    if not path.is_file():
        return None
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            if metadata.get("content") != key:
                return None
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (safetensors.SafetensorError, OSError, ValueError) as error:
        _LOGGER.warning("%s: broken cache, made again (%s)", path, error)
        return None
    if metadata.get("checksum") != _checksum(arrays):
        _LOGGER.warning("%s: the cache's checksum is wrong, made again", path)
        return None
    found = {name: Ragged(arrays[name], arrays[f"{name}.offsets"]) for name in arrays if f"{name}.offsets" in arrays}
    return found if all(len(item) == count for item in found.values()) else None


def _store(path: Path, key: str, made: Mapping[str, Ragged]) -> None:
    arrays = {name: item.values for name, item in made.items()}
    arrays |= {f"{name}.offsets": item.offsets for name, item in made.items()}
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(save(arrays, {"content": key, "checksum": _checksum(arrays)}))
        temporary.replace(path)
    except OSError as error:
        # The cache saves time and nothing else: a full or read-only disk must not stop a training.
        _LOGGER.warning("%s: not cached (%s)", path, error.strerror or error)
    finally:
        if temporary.exists():
            temporary.unlink(missing_ok=True)
