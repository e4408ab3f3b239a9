"""A vocoder: log-mel to waveform, by one of the house's decoders."""

from collections.abc import Iterable, Iterator, Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Generator, Tensor, nn

from moksori.audio.mel import MelConfig, MelSpectrogram
from moksori.models.contract import CHUNK_FRAMES
from moksori.models.decoders.blocks import Sound, fixed_source, look_ahead_frames, sound_of_blocks
from moksori.models.decoders.config import RefinedConfig, SourcedConfig
from moksori.models.decoders.decoders import Decoder, build_decoder
from moksori.models.decoders.progressive import Extent, Make, chunks
from moksori.models.decoders.refined import RefinedDecoder
from moksori.models.decoders.sourced import SourcedDecoder
from moksori.models.vocoder.config import VocoderConfig
from moksori.nn.distributions import RowGenerators
from moksori.nn.masks import repeated_mask
from moksori.nn.standardize import Standardize

LONGEST_PIECE = 2048
"""Frames of sound that are made at once, of whatever comes: 33 s at 16 kHz. The frames around a piece are made anew for
it; so they cost little."""


class Vocoder(nn.Module):
    """Turns the log-mels of its `config.mel` into sound.

    Equal mels sound equal: a decoder with noise in it draws the same each time, and a `generator` does not matter.
    """

    def __init__(self, config: VocoderConfig) -> None:
        super().__init__()
        self.config = config
        self.front_end = MelSpectrogram(config.mel)
        self.standardize = Standardize(config.mel.n_mels) if config.standardize else None
        self.decoder: Decoder
        if isinstance(config.decoder, RefinedConfig):
            self.decoder = RefinedDecoder(config.decoder, config.mel)
        elif isinstance(config.decoder, SourcedConfig):
            self.decoder = SourcedDecoder(config.decoder, config.mel)
        else:
            self.decoder = build_decoder(config.decoder, config.mel, config.mel.n_mels)

    @property
    def hop_length(self) -> int:
        return self.config.mel.hop_length

    @property
    def mel_config(self) -> MelConfig:
        return self.config.mel

    @property
    def look_ahead_frames(self) -> int:
        """Frames that must have come after a frame before its samples can be made."""
        return look_ahead_frames(self.decoder)

    def frames(self, mel: Float[Tensor, "batch mels frames"]) -> Float[Tensor, "batch mels frames"]:
        """What the decoder is given of a log-mel."""
        return mel if self.standardize is None else self.standardize(mel)

    @torch.inference_mode()
    def vocode(
        self,
        mel: Float[Tensor, "batch mels frames"],
        mask: Bool[Tensor, "batch 1 frames"] | None = None,
        generator: Generator | None = None,
    ) -> Float[Tensor, "batch samples"]:
        """The waveform of log-mels, frames * hop_length samples; zero where the mask is False."""
        frames = self.frames(mel)
        chance = RowGenerators([fixed_source() for _ in frames])
        sound = self.decoder(frames if mask is None else frames * mask, mask, generator=chance)[0]
        return sound if mask is None else sound * repeated_mask(mask, self.hop_length)[:, 0]

    @torch.inference_mode()
    def vocode_in_chunks(
        self, mel: Float[Tensor, "1 mels frames"], chunk_frames: Sequence[int] = CHUNK_FRAMES
    ) -> Iterator[Float[Tensor, "1 samples"]]:
        """What `vocode` gives, in blocks of so many frames; each is made with all the context that it depends on."""
        frames = self.frames(mel)
        mask = torch.ones(1, 1, mel.shape[2], dtype=torch.bool, device=mel.device)
        sound = self.decoder.in_pieces(lambda start, stop: frames[:, :, start:stop], mask, generator=fixed_source())
        for start, stop in chunks(mel.shape[2], chunk_frames):
            yield sound(start, stop)

    @torch.inference_mode()
    def vocode_blocks(
        self,
        blocks: Iterable[Float[Tensor, "1 mels frames"]],
        frames: int | None = None,
        generator: Generator | None = None,
    ) -> Iterator[Float[Tensor, "1 samples"]]:
        """The sound of mels that come block by block, in memory that does not grow; a block leaves as soon as it can.

        The sound is that of `vocode`. frames: in all blocks together; None: not known, and a `homomorphic` decoder
        draws other noise. Raises ValueError where there are fewer or more frames than that.
        """
        reach = self.look_ahead_frames
        history = 2 * (LONGEST_PIECE + reach)

        def begin(read: Make, extent: Extent) -> Sound:
            real = torch.ones(1, 1, 1, dtype=torch.bool, device=self.front_end.filterbank.device)
            mask = real.expand(1, 1, extent.frames)

            def made(start: int, stop: int) -> Tensor:
                return self.frames(read(start, stop))

            sound = self.decoder.in_pieces(made, mask, generator=fixed_source(), history=history, extent=extent)
            return lambda start, stop: iter((sound(start, stop),))

        yield from sound_of_blocks(blocks, frames, begin, reach, history, LONGEST_PIECE)

    @torch.inference_mode()
    def reconstruct(
        self,
        waveform: Float[Tensor, "batch samples"],
        speaker: Int[Tensor, " batch"],
        generator: Generator | None = None,
    ) -> Float[Tensor, "batch samples"]:
        """Copy-synthesis: to mels and back. speaker: does not matter."""
        return self.vocode(self.front_end(waveform))
