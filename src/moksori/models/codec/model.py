"""A neural codec: sound to codes of residual codebooks and back."""

from collections.abc import Iterable, Iterator

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Generator, Tensor, nn

from moksori.audio.mel import MelConfig
from moksori.errors import AudioError, UnsupportedTask
from moksori.models.codec.config import CodecConfig, MelEncoderConfig, RestoredConfig
from moksori.models.codec.decoder import codec_decoder
from moksori.models.codec.encoder import Encoder, MelEncoder, MelRestorer, WaveEncoder
from moksori.models.codec.streaming import SOUNDED_FRAMES, codes_of_blocks, worth_making
from moksori.models.decoders.blocks import Sound, fixed_source, look_ahead_frames, sound_of_blocks
from moksori.models.decoders.progressive import Extent, Make, Progressive
from moksori.nn.distributions import RowGenerators
from moksori.nn.residual_quantize import ResidualQuantizer
from moksori.types import LongRecording


class Codec(nn.Module):
    """Encoder, residual codebooks, decoder; a decoder of mels has the mels restored from the latents first.

    The parts that the file's figure shows: `encoder`, `quantizer`, `restorer` (None where the decoder takes latents)
    and `decoder`, whose name and weights a `restored` codec shares with a vocoder.
    """

    def __init__(self, config: CodecConfig) -> None:
        super().__init__()
        self.config = config
        latent, quantizer = config.latent_channels, config.quantizer
        self.encoder: Encoder
        if isinstance(config.encoder, MelEncoderConfig):
            self.encoder = MelEncoder(config.encoder, config.mel, latent)
        else:
            self.encoder = WaveEncoder(config.encoder, latent)
        self.quantizer = ResidualQuantizer(
            latent, quantizer.size, quantizer.stages, quantizer.dropout, quantizer.decay,
            quantizer.restart_below, quantizer.restart_after,
        )  # fmt: skip
        restored = config.decoder if isinstance(config.decoder, RestoredConfig) else None
        self.restorer = None if restored is None else MelRestorer(restored.mel, config.mel, latent)
        self.decoder = codec_decoder(config.decoder, config.mel, latent)

    # ---- what the protocol CanCompress tells ----

    @property
    def sample_rate(self) -> int:
        return self.config.mel.sample_rate

    @property
    def hop_length(self) -> int:
        return self.config.mel.hop_length

    @property
    def stages(self) -> int:
        return len(self.quantizer)

    @property
    def code_count(self) -> int:
        return self.quantizer.size

    @property
    def latent_channels(self) -> int:
        return self.config.latent_channels

    @property
    def mel_config(self) -> MelConfig:
        """The front end that validation and measures compare by."""
        return self.config.mel

    @property
    def codebooks(self) -> Float[Tensor, "stages codes channels"]:
        return self.quantizer.codebooks

    @property
    def look_ahead_frames(self) -> int:
        restorer = 0 if self.restorer is None else self.restorer.context_frames
        return restorer + look_ahead_frames(self.decoder)

    # ---- there and back ----

    @torch.no_grad()
    def compress(
        self, waveform: Float[Tensor, "batch samples"], stages: int | None = None
    ) -> Int[Tensor, "batch stages frames"]:
        """Codes of the first `stages` codebooks, None: of all; frames = ceil(samples / hop_length), zeros follow.

        Raises AudioError where there is no sample, ValueError for a number of stages that there is not.
        """
        if waveform.shape[1] == 0:
            raise AudioError("a codec cannot encode a recording of no samples: give it one that holds sound")
        padded = F.pad(waveform, (0, -waveform.shape[1] % self.hop_length))
        return self.quantizer.codes(self.encoder(padded).float(), stages)

    @torch.no_grad()
    def compress_blocks(
        self, recording: LongRecording, stages: int | None = None
    ) -> Iterator[Int[Tensor, "1 stages frames"]]:
        """What `compress` gives of the whole recording, block by block, in memory that does not grow with it.

        Raises AudioError where there is no sample, or another rate than the codec's.
        """
        yield from codes_of_blocks(self, recording, self.encoder.context_frames, stages)

    @torch.no_grad()
    def latents(self, codes: Int[Tensor, "batch stages frames"]) -> Float[Tensor, "batch channels frames"]:
        """The sum of the codebooks' rows; of fewer stages than there are, the sum of those."""
        return self.quantizer.lookup(codes)

    @torch.no_grad()
    def expand(self, latent: Float[Tensor, "batch channels frames"]) -> Float[Tensor, "batch samples"]:
        """The sound of latents, frames * hop_length samples."""
        return self.sound(latent)

    @torch.no_grad()
    def expand_blocks(
        self, blocks: Iterable[Float[Tensor, "1 channels frames"]], frames: int | None = None
    ) -> Iterator[Float[Tensor, "1 samples"]]:
        """What `expand` gives of all blocks together, as soon as it can be made, in memory that does not grow.

        frames: in all blocks together, where that is known. Raises ValueError where there are others than announced.
        """
        history = 2 * (SOUNDED_FRAMES + self.look_ahead_frames)

        def begin(read: Make, extent: Extent) -> Sound:
            real = torch.ones(1, 1, 1, dtype=torch.bool, device=self.codebooks.device)
            mask, made = real.expand(1, 1, extent.frames), read
            if self.restorer is not None:
                restorer = self.restorer
                made = Progressive(
                    lambda start, stop: restorer(read(start, stop)), restorer.context_frames, extent, history=history
                )
            sound = self.decoder.in_pieces(made, mask, generator=fixed_source(), history=history, extent=extent)
            return lambda start, stop: iter((sound(start, stop),))

        yield from sound_of_blocks(blocks, frames, begin, self.look_ahead_frames, history, SOUNDED_FRAMES, worth_making)

    @torch.inference_mode()
    def reconstruct(
        self,
        waveform: Float[Tensor, "batch samples"],
        speaker: Int[Tensor, " batch"],
        generator: Generator | None = None,
    ) -> Float[Tensor, "batch samples"]:
        """Encoded with all stages and decoded. speaker, generator: do not matter."""
        return self.expand(self.latents(self.compress(waveform)))[:, : waveform.shape[1]]

    def standard_mels(self, latent: Float[Tensor, "batch channels frames"]) -> Float[Tensor, "batch mels frames"]:
        """See `models.contract_latents.CanShowMels`."""
        if self.restorer is None:
            raise UnsupportedTask("this codec's decoder takes latents as they are: no mels are read off them")
        mels: Tensor = self.restorer.standardize(self.restorer(latent))
        return mels

    def sound(self, latent: Float[Tensor, "batch channels frames"]) -> Float[Tensor, "batch samples"]:
        """`expand` with gradients."""
        chance = RowGenerators([fixed_source() for _ in latent])
        return self.decoder(latent if self.restorer is None else self.restorer(latent), generator=chance)[0]
