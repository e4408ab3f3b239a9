"""Sound to codes and back: `SoundCodec.encode` and `decode`, and files and pipes of any length (`codec_streams`)."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int

from moksori.errors import AudioError, CheckpointError, MoksoriError
from moksori.models.checkpoint import Loaded, Manifest
from moksori.pipeline.codec_files import CodecHead, CodedSound, check_stages, load_codes
from moksori.pipeline.codecs import FoundCodec
from moksori.pipeline.made_sound import MadeSound
from moksori.pipeline.recordings import TARGET_POWER, Audio, open_sound
from moksori.pipeline.speech import synthetic_metadata
from moksori.types import LongRecording

MAXIMUM_SECONDS = 3600.0
"""The longest sound that is coded in memory; longer ones go straight to a file."""
MAXIMUM_GAIN = 100.0
"""40 dB: what is quieter still is mostly the noise of its recording."""
_AT_ONCE_FRAMES = 800


@dataclass(frozen=True)
class DecodedSound(MadeSound):
    """A sound made of codes. model: the codec. bits_per_second: of the codes that it was made of."""

    model: str
    bits_per_second: float

    def save(self, path: str | Path) -> Path:
        """Writes a wav, flac, ogg, opus or mp3 file (by its suffix) whose metadata names the codec.

        Raises AudioError or BadInput for another suffix or a folder that is missing, and MoksoriError when the disk is
        full; nothing is left half written.
        """
        return self.write(path, decoded_metadata(self.model, self.bits_per_second))


class SoundCodec:
    """A codec that is ready. Raises UnsupportedTask, naming the families that can, for a model that is none."""

    def __init__(self, loaded: Loaded | FoundCodec) -> None:
        self._found = loaded if isinstance(loaded, FoundCodec) else FoundCodec(loaded)
        self.loaded, self.model = self._found.loaded, self._found.model

    @property
    def manifest(self) -> Manifest:
        return self.loaded.manifest

    @property
    def name(self) -> str:
        return self._found.name

    @property
    def sample_rate(self) -> int:
        """Of what it codes, in Hz; other recordings are brought to it."""
        return self.model.sample_rate

    @property
    def stages(self) -> int:
        """Codebooks: the most stages that a sound can be coded with."""
        return self.model.stages

    def bits_per_second(self, stages: int | None = None) -> float:
        """Of the codes of so many stages; None: of all."""
        return self.head(stages).bits_per_second

    def encode(self, audio: Audio, stages: int | None = None) -> CodedSound:
        """The codes of a recording of at most an hour, mixed down to one channel.

        audio: a path, a pair (samples, rate), or something with both. stages: fewer take fewer bits; None: all.
        A recording is brought to the level that models learn from before it is coded, and back when it is decoded.
        Raises BadInput for a number of stages that there is not, AudioError for a recording that cannot be read, is too
        long, or holds NaN.
        """
        stages = self._checked(stages)
        opened = open_sound(audio, self.sample_rate)
        if opened.sound.duration_seconds > MAXIMUM_SECONDS:
            raise AudioError(
                f"{opened.name}: lasts {opened.sound.duration_seconds:.0f} s, {MAXIMUM_SECONDS:g} s at most are coded "
                "in memory: write it to a file with moksori.pipeline.codec_streams.encode_to_file"
            )
        gain = gain_to_level(opened.scan.level)
        blocks = list(self.codes(opened.sound, gain, stages))
        return CodedSound(self.head(stages, gain), np.concatenate(blocks, axis=1), opened.sound.samples)

    def decode(self, coded: CodedSound | str | Path, stages: int | None = None) -> DecodedSound:
        """The sound of codes, as long and as loud as the recording was.

        coded: what `encode` gave, or an `.mkc` file. stages: of those that it has, how many are listened to; None: all.
        Raises AudioError for a file that is none or damaged, CheckpointError for codes of another codec, naming both,
        BadInput for a number of stages that it has not.
        """
        if isinstance(coded, CodedSound):
            name = "codes"
        else:
            name, coded = str(coded), load_codes(coded)
        head = coded.head
        self.check(head, name)
        if stages is not None:
            check_stages(stages, head.stages)
        codes = coded.codes[:stages]
        parts = (codes[:, start : start + _AT_ONCE_FRAMES] for start in range(0, codes.shape[1], _AT_ONCE_FRAMES))
        sound = np.concatenate([np.zeros(0, np.float32), *self.sound(parts, head.gain, codes.shape[1])])
        rate = head.bits_per_second * len(codes) / head.stages
        return DecodedSound(sound[: coded.samples], self.sample_rate, self.name, rate)

    def head(self, stages: int | None = None, gain: float = 1.0) -> CodecHead:
        """What a file of this codec says of itself. Raises BadInput for a number of stages that there is not."""
        model, stages = self.model, self._checked(stages)
        fields = (model.sample_rate, model.hop_length, stages, model.code_count)
        return CodecHead(self.name, self._found.fingerprint, *fields, float(np.float32(gain)))

    def check(self, head: CodecHead, source: str) -> None:
        """Raises CheckpointError unless those codes are of this codec. source: where they come from."""
        if head.fingerprint != self._found.fingerprint:
            raise CheckpointError(
                f"{source}: made by the codec {head.name!r} ({head.fingerprint}), and means nothing to {self.name} "
                f"({self._found.fingerprint}): load that one"
            )
        own = self.head()
        shape = (head.sample_rate, head.hop_length, head.code_count)
        if shape != (own.sample_rate, own.hop_length, own.code_count) or head.stages > own.stages:
            raise AudioError(f"{source}: is damaged: its numbers are not those of {self.name}: make it again")

    def codes(
        self, recording: LongRecording, gain: float, stages: int | None = None
    ) -> Iterator[Int[np.ndarray, "stages frames"]]:
        """The codes of a recording at the codec's rate, block by block, times `gain`."""
        factor = np.float32(gain)

        def blocks() -> Iterator[Float[np.ndarray, " block"]]:
            return (block * factor for block in recording.blocks() if len(block))

        louder = LongRecording(recording.samples, recording.sample_rate, blocks)
        with torch.inference_mode():
            for codes in self.model.compress_blocks(louder, stages):
                yield codes[0].cpu().numpy()

    def sound(
        self, codes: Iterable[Int[np.ndarray, "stages frames"]], gain: float, frames: int | None = None
    ) -> Iterator[Float[np.ndarray, " samples"]]:
        """The sound of codes, whole frames, block by block as soon as it can be made, divided by `gain`.

        frames: in all blocks, where that is known. Raises MoksoriError should the codec make NaN or infinity.
        """
        device = self._found.device

        def latents() -> Iterator[torch.Tensor]:
            for block in codes:
                yield self.model.latents(torch.from_numpy(np.ascontiguousarray(block, np.int64))[None].to(device))

        factor = np.float32(gain)
        with torch.inference_mode():
            for block in self.model.expand_blocks(latents(), frames):
                made = block[0].float().cpu().numpy() / factor
                if not np.isfinite(made).all():
                    raise MoksoriError(f"{self.name}: made NaN or infinity of these codes: use another codec")
                yield np.clip(made, -1.0, 1.0)

    def _checked(self, stages: int | None) -> int:
        if stages is None:
            return self.stages
        check_stages(stages, self.stages)
        return stages


def gain_to_level(level: float) -> float:
    """The factor that brings a sound of that mean square to the level that models learn from; 1 for silence."""
    if level <= 0.0:
        return 1.0
    return float(min(np.sqrt(TARGET_POWER / level), MAXIMUM_GAIN))


def decoded_metadata(model: str, bits_per_second: float) -> dict[str, str]:
    """Tags of a decoded file: which codec made its samples, of how many bits."""
    tags = {name: value for name, value in synthetic_metadata(model, 0).items() if name != "seed"}
    return {**tags, "bits_per_second": f"{bits_per_second:g}"}
