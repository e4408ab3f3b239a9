"""The WaveNet autoencoder: what is sung as codes, who sings as a vector, and a WaveNet that makes a song of both."""

from dataclasses import replace

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Generator, Tensor, nn

from moksori.models.wavenet_autoencoder.config import WavenetAutoencoderConfig
from moksori.models.wavenet_autoencoder.encoder import Encoder
from moksori.models.wavenet_autoencoder.pitch import cycles, excitation, locked, pitch_channels
from moksori.nn.logistic_mixture import logistic_mixture_log_probability
from moksori.nn.mulaw import LEVELS, encode_mu_law
from moksori.nn.precision import full_precision
from moksori.nn.wavenet_network import WaveNet

EXCITATION_CHANNELS = 2


class WavenetAutoencoder(nn.Module):
    """E, the singer table and D. Sound comes in and goes out as samples in [-1, 1] at `config.sample_rate`."""

    def __init__(self, config: WavenetAutoencoderConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config.encoder)
        channels = config.singer_channels
        self.speaker_embedding = nn.Embedding(config.num_speakers, channels) if channels else None
        count = config.num_speakers if config.decoders == "per_domain" else 1
        self.decoders = nn.ModuleList(_decoder(config) for _ in range(count))
        self.drives: nn.ModuleList | None = None
        if config.pitch is not None and config.pitch.excitation:
            residual = config.decoder.residual_channels
            self.drives = nn.ModuleList(nn.Conv1d(EXCITATION_CHANNELS, residual, 1, bias=False) for _ in range(count))

    @property
    def sample_rate(self) -> int:
        return self.config.sample_rate

    @property
    def hop_length(self) -> int:
        """Samples of a frame of the corpus's F0, or of a code's window where there is none."""
        return self.config.condition_hop

    @property
    def num_singers(self) -> int:
        return self.config.num_speakers

    @property
    def tells_singers(self) -> bool:
        """Whether the decoder knows who is to sing: by a vector, or since each domain has its own."""
        return self.speaker_embedding is not None or self.config.decoders == "per_domain"

    def encode(
        self, waveform: Float[Tensor, "batch samples"], generator: Generator | None = None
    ) -> Float[Tensor, "batch code frames"]:
        """E(x) of whole windows of samples; see Encoder."""
        return self.encoder(companded(waveform), generator)

    def vectors(self, singer: Int[Tensor, " batch"]) -> Float[Tensor, "batch channels"]:
        """v of singers by their number in the table; one-hot where each has a decoder of its own."""
        if self.speaker_embedding is not None:
            found: Tensor = self.speaker_embedding(singer)
            return found
        return F.one_hot(singer, self.num_singers).float()

    def condition(
        self, codes: Float[Tensor, "batch code frames"], f0: Float[Tensor, "batch pitches"] | None = None
    ) -> Float[Tensor, "batch channels finer"]:
        """The decoder's local condition: codes at the condition's rate, and pitch beside them.

        f0: in Hz, 0 where unvoiced. Raises ValueError where the model needs it and there is none.
        """
        times = self.config.encoder.pool // self.config.condition_hop
        if self.config.upsampling == "linear" and times > 1:
            finer = F.interpolate(codes, scale_factor=times, mode="linear", align_corners=False)
        else:
            finer = codes.repeat_interleave(times, dim=2)
        if self.config.pitch is None:
            return finer
        return torch.cat([finer, pitch_channels(self._known(f0)).to(finer)], dim=1)

    def nats(
        self,
        waveform: Float[Tensor, "batch samples"],
        codes: Float[Tensor, "batch code frames"],
        vector: Float[Tensor, "batch channels"],
        f0: Float[Tensor, "batch pitches"] | None = None,
        first: int = 0,
    ) -> Float[Tensor, "batch scored"]:
        """-ln p of each sample from `first` on, given those before it, the codes and who sings: teacher-forced.

        Where there is an excitation, its phase is locked to the recording.
        """
        target = self.emphasized(waveform)
        condition = self.condition(codes, f0)
        excited = self._excitation(waveform, f0)
        if self.config.decoders == "shared":
            known = None if self.speaker_embedding is None else vector
            return self._nats(0, target, condition, known, excited, first)
        # Items of one domain go through its decoder together.
        domain = vector.argmax(dim=1)
        found = target.new_zeros(target.shape[0], target.shape[1] - first)
        for index in domain.unique().tolist():
            rows = (domain == index).nonzero()[:, 0]
            part = None if excited is None else excited[rows]
            found = found.index_copy(0, rows, self._nats(index, target[rows], condition[rows], None, part, first))
        return found

    def _nats(
        self,
        decoder: int,
        target: Float[Tensor, "batch samples"],
        condition: Float[Tensor, "batch condition frames"],
        vector: Float[Tensor, "batch channels"] | None,
        excited: Float[Tensor, "batch 2 samples"] | None,
        first: int,
    ) -> Float[Tensor, "batch scored"]:
        network = self.decoders[decoder]
        assert isinstance(network, WaveNet)
        drive = None if excited is None or self.drives is None else self.drives[decoder](excited)
        mixtures = self.config.decoder.mixtures
        inputs = target if mixtures else encode_mu_law(target)
        conditions = replace(network.conditions(condition, vector), drive=drive)
        outputs = network.teacher_forced(inputs, conditions, first)
        with full_precision(target.device.type):
            if mixtures:
                return -logistic_mixture_log_probability(outputs.float(), target[:, first:])
            return F.cross_entropy(outputs.float(), inputs[:, first:], reduction="none")

    def emphasized(self, waveform: Float[Tensor, "batch samples"]) -> Float[Tensor, "batch samples"]:
        """What the decoder makes of a sound: the sound, or its pre-emphasis."""
        share = self.config.pre_emphasis
        if not share:
            return waveform
        return (waveform - share * F.pad(waveform[:, :-1], (1, 0))).clamp(-1.0, 1.0)

    def _excitation(
        self, waveform: Float[Tensor, "batch samples"], f0: Float[Tensor, "batch pitches"] | None
    ) -> Float[Tensor, "batch 2 samples"] | None:
        pitch = self.config.pitch
        if pitch is None or not pitch.excitation:
            return None
        with torch.no_grad(), full_precision(waveform.device.type):
            hertz, hop = self._known(f0), pitch.hop_length
            voiced = (hertz > 0).double().repeat_interleave(hop, dim=1)
            phase = locked(cycles(hertz, hop, self.sample_rate), waveform, voiced, self.sample_rate)
            return excitation(phase, hertz, hop)

    def _known(self, f0: Float[Tensor, "batch pitches"] | None) -> Float[Tensor, "batch pitches"]:
        if f0 is None:
            raise ValueError("this model is given the pitch of what it sings: F0 is missing")
        return f0


def companded(waveform: Float[Tensor, "batch samples"]) -> Float[Tensor, "batch samples"]:
    """What the encoder hears: mu-law codes as numbers from -0.5 to 0.5."""
    return encode_mu_law(waveform).to(waveform.dtype) / (LEVELS - 1) - 0.5


def _decoder(config: WavenetAutoencoderConfig) -> WaveNet:
    decoder = config.decoder
    return WaveNet(
        outputs=3 * decoder.mixtures or LEVELS,
        residual_channels=decoder.residual_channels,
        skip_channels=decoder.skip_channels,
        dilations=decoder.dilations,
        kernel_size=decoder.kernel_size,
        first_kernel_size=decoder.first_kernel_size,
        levels=0 if decoder.mixtures else LEVELS,
        one_hot=decoder.one_hot,
        condition_channels=config.encoder.code_channels + (2 if config.pitch is not None else 0),
        vector_channels=config.singer_channels,
        hop_length=config.condition_hop,
        head_condition=decoder.head_condition,
        residual_scale=decoder.residual_scale,
    )
