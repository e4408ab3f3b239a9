"""What is said as codes in a file, a `.codes`: some hundred bits a second, and any voice of the model says it again.

    first line: "moksori codes 1"     second line: what made it, as JSON     then: the codes, ceil(log2 K) bits each,
    and, of models that are given a melody, a bit for the voicing of each frame and 16 for the height of voiced ones

A code means something to the model alone that made it, so a file names that model by its fingerprint.
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int

from moksori.errors import AudioError, BadInput, CheckpointError, UnsupportedTask, unknown_name
from moksori.evaluation.codes import CodeUse, code_use
from moksori.models import registry
from moksori.models.checkpoint import Loaded, fingerprint
from moksori.models.contract import CanCode, CanConvertMels
from moksori.pipeline.conversion_ways import checked, speaker_voice
from moksori.pipeline.conversions import Conversion
from moksori.pipeline.convert import MAXIMUM_SECONDS
from moksori.pipeline.recordings import Audio, open_recording
from moksori.pipeline.say import check_folder
from moksori.pipeline.seeds import chosen_seed, sentence_generator
from moksori.pipeline.vocoding import find_vocoder
from moksori.pipeline.whole_files import written_whole
from moksori.types import Coded

SUFFIX = ".codes"
_FIRST_LINE = b"moksori codes 1\n"
_HEIGHT_STEPS = 100
"""To one of the numbers that a melody's heights are in: the model rounds them to that."""


@dataclass(frozen=True)
class CodeStream:
    """A recording as codes. size: how many different codes there are. model, name: who made it, fingerprint and name.

    code_samples: of sound to a code, at sample_rate Hz.
    """

    said: Coded
    size: int
    code_samples: int
    sample_rate: int
    model: str
    name: str

    @property
    def duration_seconds(self) -> float:
        return self.said.samples / self.sample_rate

    @property
    def bits(self) -> int:
        """Of the codes and the melody in a file, without what it says of its model."""
        melody = self.said.melody
        more = 0 if melody is None else melody.shape[1] + 16 * int((melody[1] > 0).sum())
        return len(self.said.codes) * _bits(self.size) + more

    @property
    def bits_per_second(self) -> float:
        return self.bits / self.duration_seconds

    @property
    def use(self) -> CodeUse:
        """How the codes are used; its bits a second are what a coder would need that knows how often each comes."""
        return code_use([self.said.codes], self.size, self.sample_rate / self.code_samples)

    def save(self, path: str | Path) -> Path:
        """Writes a file whose name ends in `.codes`, whole or not at all.

        Raises BadInput for another suffix or a folder that is missing, MoksoriError where the disk refuses.
        """
        path = Path(path)
        if path.suffix != SUFFIX:
            raise BadInput(f"{path}: a file of codes ends in {SUFFIX}: {path.stem or 'x'}{SUFFIX}")
        check_folder(path)
        with written_whole(path) as part:
            part.write_bytes(_FIRST_LINE + self._header() + _packed(self.said, self.size))
        return path

    def _header(self) -> bytes:
        melody = self.said.melody
        told = {
            "model": self.model, "name": self.name, "size": self.size, "codes": len(self.said.codes),
            "frames": 0 if melody is None else melody.shape[1], "melody": melody is not None,
            "code_samples": self.code_samples, "sample_rate": self.sample_rate, "samples": self.said.samples,
        }  # fmt: skip
        return json.dumps(told).encode("ascii") + b"\n"


def read_codes(loaded: Loaded, audio: Audio) -> CodeStream:
    """What is said in a recording of at most an hour, as codes of a model.

    Raises UnsupportedTask for a model without codes, AudioError for a recording that cannot be used.
    """
    model = _coding(loaded)
    rate = loaded.manifest.sample_rate
    recording = open_recording(audio, rate)
    if recording.sound.duration_seconds > MAXIMUM_SECONDS:
        raise AudioError(
            f"{recording.name}: lasts {recording.sound.duration_seconds:.0f} s, {MAXIMUM_SECONDS:g} s at most become "
            "codes at once: cut it"
        )
    said = model.read(recording.sound)
    return CodeStream(
        said, model.code_count, model.window_samples, rate, fingerprint(loaded.folder), loaded.manifest.name
    )


def say_codes(
    loaded: Loaded,
    stream: CodeStream,
    speaker: str,
    seed: int | None = None,
    variation: float | None = None,
    vocoder: str | Path | None = None,
) -> Conversion:
    """Codes in a voice of the model that made them: what its conversion of that recording gives for the same seed.

    Raises UnsupportedTask for a model without codes, CheckpointError for codes of another one, UnknownName for a
    speaker that it does not know.
    """
    model, manifest = _coding(loaded), loaded.manifest
    if stream.model != fingerprint(loaded.folder):
        raise CheckpointError(
            f"these codes are of the model {stream.name} ({stream.model}), and mean nothing to {manifest.name} "
            f"({fingerprint(loaded.folder)}): load that one, or read the recording with this one"
        )
    if speaker not in manifest.speakers:
        raise unknown_name("speaker", speaker, manifest.speakers)
    seed, target = chosen_seed(seed), speaker_voice(manifest, speaker)
    generator = sentence_generator(seed, 0, loaded.device)
    with torch.inference_mode():
        said = model.say_codes(stream.said, target, variation, generator)
        if model.makes_mels:
            assert isinstance(model, CanConvertMels)
            config = model.mel_config
            frames = -(-stream.said.samples // config.hop_length)
            said = find_vocoder(manifest, config, vocoder, loaded.device).sound(said, frames, generator)
        blocks = list(checked(manifest.name, f"codes of {stream.name}", said))
    samples = np.concatenate([np.zeros(0, np.float32), *blocks])[: stream.said.samples]
    return Conversion(samples, stream.sample_rate, speaker, "", seed, manifest.name)


def load_codes(path: str | Path) -> CodeStream:
    """The codes in a file.

    Raises CheckpointError, naming the file and the remedy, for one that is missing, damaged or no file of codes.
    """
    path = Path(path).expanduser()
    again = "make it again from its recording"
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path}: {(error.strerror or str(error)).lower()}: check the name") from error
    if not content.startswith(_FIRST_LINE):
        raise CheckpointError(f"{path}: is no file of codes, or of a newer format: {again}")
    line, _, payload = content[len(_FIRST_LINE) :].partition(b"\n")
    try:
        told: dict[str, Any] = json.loads(line)
        numbers = [told[name] for name in ("size", "codes", "frames", "code_samples", "sample_rate", "samples")]
        size, codes, frames, code_samples, rate, samples = (int(number) for number in numbers)
        model, name, melody = str(told["model"]), str(told["name"]), bool(told["melody"])
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path}: does not say what made it: {again}") from error
    if min(codes, frames) < 0 or min(size - 1, code_samples, rate, samples) < 1:
        raise CheckpointError(f"{path}: is damaged (numbers out of range): {again}")
    said = _unpacked(payload, size, codes, frames if melody else None, samples)
    if said is None:
        raise CheckpointError(f"{path}: is damaged or cut off: {again}")
    return CodeStream(said, size, code_samples, rate, model, name)


def _coding(loaded: Loaded) -> CanCode:
    if not isinstance(loaded.model, CanCode):
        able = registry.families_with("say_codes")
        raise UnsupportedTask(
            f"{loaded.manifest.name}: a {loaded.manifest.family!r} model has no codes: use one of {', '.join(able)}"
        )
    return loaded.model


def _bits(size: int) -> int:
    return max(math.ceil(math.log2(size)), 1)


def _packed(said: Coded, size: int) -> bytes:
    places = np.arange(_bits(size))
    parts = np.packbits((said.codes[:, None] >> places & 1).astype(np.uint8)).tobytes()
    if said.melody is None:
        return parts
    voiced = said.melody[1] > 0
    heights = np.rint(said.melody[0][voiced] * _HEIGHT_STEPS).clip(-32768, 32767).astype("<i2")
    return parts + np.packbits(voiced).tobytes() + heights.tobytes()


def _unpacked(payload: bytes, size: int, codes: int, frames: int | None, samples: int) -> Coded | None:
    """None where the bytes are not as many as there must be, or a code is out of range."""
    width = _bits(size)
    used = -(-codes * width // 8)
    if len(payload) < used:
        return None
    bits = np.unpackbits(np.frombuffer(payload[:used], np.uint8), count=codes * width).reshape(codes, width)
    found: Int[np.ndarray, " codes"] = (bits.astype(np.int64) << np.arange(width)).sum(axis=1)
    if codes and int(found.max()) >= size:
        return None
    rest = payload[used:]
    if frames is None:
        return Coded(found, None, samples) if not rest else None
    flags = -(-frames // 8)
    if len(rest) < flags:
        return None
    voiced = np.unpackbits(np.frombuffer(rest[:flags], np.uint8), count=frames).astype(bool)
    if len(rest) - flags != 2 * int(voiced.sum()):
        return None
    melody = np.zeros((2, frames), np.float32)
    melody[1] = voiced
    # The very division that the model rounds by: equal numbers to the last bit.
    melody[0, voiced] = np.frombuffer(rest[flags:], "<i2").astype(np.float32) / np.float32(_HEIGHT_STEPS)
    return Coded(found, melody, samples)
