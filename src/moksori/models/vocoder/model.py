"""A vocoder: log-mel to waveform, by one of the house's decoders."""

from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Generator, Tensor, nn

from moksori.audio.mel import MelSpectrogram
from moksori.models.contract import CHUNK_FRAMES
from moksori.models.decoders.decoders import Decoder, build_decoder
from moksori.models.decoders.progressive import chunks
from moksori.models.vocoder.config import VocoderConfig
from moksori.nn.masks import repeated_mask
from moksori.nn.standardize import Standardize


class Vocoder(nn.Module):
    """Turns the log-mels of its `config.mel` into sound."""

    def __init__(self, config: VocoderConfig) -> None:
        super().__init__()
        self.config = config
        self.front_end = MelSpectrogram(config.mel)
        self.standardize = Standardize(config.mel.n_mels) if config.standardize else None
        self.decoder: Decoder = build_decoder(config.decoder, config.mel, config.mel.n_mels)

    @property
    def hop_length(self) -> int:
        return self.config.mel.hop_length

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
        sound = self.decoder(frames if mask is None else frames * mask, mask, generator=generator)[0]
        return sound if mask is None else sound * repeated_mask(mask, self.hop_length)[:, 0]

    @torch.inference_mode()
    def vocode_in_chunks(
        self,
        mel: Float[Tensor, "1 mels frames"],
        chunk_frames: Sequence[int] = CHUNK_FRAMES,
        generator: Generator | None = None,
    ) -> Iterator[Float[Tensor, "1 samples"]]:
        """What `vocode` gives, in blocks of so many frames; each is made with all the context that it depends on."""
        frames = self.frames(mel)
        mask = torch.ones(1, 1, mel.shape[2], dtype=torch.bool, device=mel.device)
        sound = self.decoder.in_pieces(lambda start, stop: frames[:, :, start:stop], mask, generator=generator)
        for start, stop in chunks(mel.shape[2], chunk_frames):
            yield sound(start, stop)

    @torch.inference_mode()
    def reconstruct(
        self,
        waveform: Float[Tensor, "batch samples"],
        speaker: Int[Tensor, " batch"],
        generator: Generator | None = None,
    ) -> Float[Tensor, "batch samples"]:
        """Copy-synthesis: to mels and back. speaker: does not matter."""
        return self.vocode(self.front_end(waveform), None, generator)
