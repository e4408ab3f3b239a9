"""The WaveNet autoencoder: what is sung as codes, who sings as a vector, and a WaveNet that makes a song of both."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Generator, Tensor, nn

from moksori.audio.emphasis import emphasised
from moksori.models.contract import BLOCK_FRAMES
from moksori.models.streamed import one_by_one, through
from moksori.models.wavenet_autoencoder.config import WavenetAutoencoderConfig
from moksori.models.wavenet_autoencoder.conversion import (
    Singer,
    StreamConversion,
    heard_pitch,
    key_between,
    voice_parts,
)
from moksori.models.wavenet_autoencoder.driving import drive_of, driven_by
from moksori.models.wavenet_autoencoder.encoder import Encoder
from moksori.models.wavenet_autoencoder.fitting import fit_vector
from moksori.models.wavenet_autoencoder.partials import Driven, Envelope
from moksori.models.wavenet_autoencoder.pitch import CENTRE_LOG_F0, pitch_channels
from moksori.nn.logistic_mixture import logistic_mixture_log_probability
from moksori.nn.mulaw import LEVELS, code_nats, encode_mu_law
from moksori.nn.precision import full_precision
from moksori.nn.wavenet_network import WaveNet
from moksori.types import ConvertControls, FittedVector, LongRecording, PitchRange, SoundBatch, Voice, Waveform


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
            waves = 2 * config.pitch.harmonics
            self.drives = nn.ModuleList(nn.Conv1d(waves, residual, 1, bias=False) for _ in range(count))
        self.envelope: Envelope | None = None
        self.partial_drives: nn.ModuleList | None = None
        if config.pitch is not None and config.pitch.partials:
            pitch, known = config.pitch, config.encoder.code_channels + 2
            voice = config.num_speakers if config.decoders == "per_domain" else channels
            self.envelope = Envelope(known, voice, pitch.envelope_channels, pitch.envelope_knots, config.sample_rate)
            self.partial_drives = nn.ModuleList(nn.Conv1d(1, residual, 1, bias=False) for _ in range(count))

    @property
    def sample_rate(self) -> int:
        return self.config.sample_rate

    @property
    def hop_length(self) -> int:
        """Samples of a frame of the corpus's F0, or of a code's window where there is none."""
        return self.config.condition_hop

    @property
    def window_samples(self) -> int:
        """Samples of which a code is made."""
        return self.config.encoder.pool

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
        return self.with_pitch(self.upsampled(codes), f0)

    def upsampled(self, codes: Float[Tensor, "batch code frames"]) -> Float[Tensor, "batch code finer"]:
        """Codes at the condition's rate."""
        times = self.config.encoder.pool // self.config.condition_hop
        if self.config.upsampling == "linear" and times > 1:
            return F.interpolate(codes, scale_factor=times, mode="linear", align_corners=False)
        return codes.repeat_interleave(times, dim=2)

    def with_pitch(
        self, finer: Float[Tensor, "batch code finer"], f0: Float[Tensor, "batch pitches"] | None
    ) -> Float[Tensor, "batch channels finer"]:
        """Codes with height and voicing beside them, where the model is given the pitch."""
        if self.config.pitch is None:
            return finer
        return torch.cat([finer, pitch_channels(self.known(f0)).to(finer)], dim=1)

    def temperatures(
        self, f0: Float[Tensor, "batch pitches"] | None, factor: float = 1.0
    ) -> float | Float[Tensor, "batch pitches"]:
        """Of sampling, times a factor: another one for voiced frames, where the model is given the pitch."""
        config = self.config
        if f0 is None or config.voiced_temperature == config.temperature:
            return factor * config.temperature
        return factor * torch.where(f0 > 0, config.voiced_temperature, config.temperature)

    @torch.no_grad()
    def decode(
        self,
        codes: Float[Tensor, "batch code frames"],
        vector: Float[Tensor, "batch channels"],
        f0: Float[Tensor, "batch pitches"] | None = None,
        temperature: float = 1.0,
        generator: Generator | None = None,
        backend: str | None = None,
    ) -> Float[Tensor, "batch samples"]:
        """D: codes sung by singers, sample by sample, all items side by side; `pool` samples for each code.

        vector: of `vectors`, or between such; where each domain has a decoder, one domain for all items. temperature:
        times the model's own; 0 takes the likeliest. backend: of nn.wavenet_sampler. Equal generators give equal
        samples.
        """
        singer = Singer(self, vector, generator, backend)
        return singer.sing(self.condition(codes, f0), f0, self.temperatures(f0, temperature))

    def nats(
        self,
        waveform: Float[Tensor, "batch samples"],
        codes: Float[Tensor, "batch code frames"],
        vector: Float[Tensor, "batch channels"],
        f0: Float[Tensor, "batch pitches"] | None = None,
        first: int = 0,
        decoder: WaveNet | None = None,
        driven: Driven | None = None,
    ) -> Float[Tensor, "batch scored"]:
        """-ln p of each sample from `first` on, given those before it, the codes and who sings: teacher-forced.

        Where there are partials it is that of what they leave over, and no gradient reaches them. decoder: in place of
        the shared one's. driven: of `driving.driven_by`; None: is found here.
        """
        condition = self.condition(codes, f0)
        driven = driven_by(self, waveform, codes, vector, f0) if driven is None else driven
        target = emphasised(waveform, self.config.pre_emphasis)
        if driven is not None and driven.partials is not None:
            partials = driven.partials.detach()
            driven, target = replace(driven, partials=partials), target - partials
        target = target.clamp(-1.0, 1.0)
        if self.config.decoders == "shared":
            known = None if self.speaker_embedding is None else vector
            return self._nats(0, target, condition, known, drive_of(self, 0, driven), first, decoder)
        # Items of one domain go through its decoder together.
        domain = vector.argmax(dim=1)
        found = target.new_zeros(target.shape[0], target.shape[1] - first)
        for index in domain.unique().tolist():
            rows = (domain == index).nonzero()[:, 0]
            drive = drive_of(self, index, driven)
            part = None if drive is None else drive[rows]
            found = found.index_copy(0, rows, self._nats(index, target[rows], condition[rows], None, part, first))
        return found

    def _nats(
        self,
        decoder: int,
        target: Float[Tensor, "batch samples"],
        condition: Float[Tensor, "batch condition frames"],
        vector: Float[Tensor, "batch channels"] | None,
        drive: Float[Tensor, "batch residual samples"] | None,
        first: int,
        instead: WaveNet | None = None,
    ) -> Float[Tensor, "batch scored"]:
        network = self.decoders[decoder] if instead is None else instead
        assert isinstance(network, WaveNet)
        mixtures = self.config.decoder.mixtures
        inputs = target if mixtures else encode_mu_law(target)
        conditions = replace(network.conditions(condition, vector), drive=drive)
        outputs = network.teacher_forced(inputs, conditions, first)
        with full_precision(target.device.type):
            if mixtures:
                return -logistic_mixture_log_probability(outputs.float(), target[:, first:])
            return code_nats(outputs, inputs[:, first:])

    # ---- what the pipeline asks for: models.contract.CanConvert, CanConvertInBlocks, CanFit ----

    @property
    def takes_pitch(self) -> bool:
        """Whether a song can be moved to another key."""
        return self.config.pitch is not None

    @property
    def voice_channels(self) -> int:
        """Width of a voice in a file: a singer's vector and, where the model is given pitch, the middle of ln F0."""
        return self.config.singer_channels + (self.config.pitch is not None)

    @torch.no_grad()
    def convert(
        self,
        sounds: SoundBatch,
        target: Voice,
        source: Voice | None,
        controls: ConvertControls,
        generator: Generator | None = None,
    ) -> SoundBatch:
        """What is sung, in the voice of `target`, sample for sample as long; one after the other.

        source: does not matter. `controls.variation` is a factor on the temperature, None = 1.
        """
        return one_by_one(sounds, lambda own: through(self.stream(target, controls, generator), [own]))

    def convert_in_blocks(
        self,
        recording: LongRecording,
        target: Voice,
        source: Voice | None,
        controls: ConvertControls,
        block_frames: int = BLOCK_FRAMES,
        generator: Generator | None = None,
    ) -> Iterator[Float[Tensor, "1 samples"]]:
        """What `convert` gives for the same generator, in blocks as they are ready. block_frames: does not matter."""
        yield from through(self.stream(target, controls, generator), recording.blocks())

    def stream(self, target: Voice, controls: ConvertControls, generator: Generator | None = None) -> StreamConversion:
        """A conversion with its memory: push samples as they come, then finish; `delay_seconds` says how late it is.

        Raises ValueError for a voice that is not of this model.
        """
        vector, _ = voice_parts(target, self)
        temperature = 1.0 if controls.variation is None else controls.variation
        return StreamConversion(self, vector, controls.shift_semitones, temperature, generator, target.tuned)

    def auto_key(self, recording: LongRecording, target: Voice) -> int | None:
        """Semitones that bring a song to where `target` sings; None where either is not known."""
        if self.config.pitch is None:
            return None
        heard = heard_pitch(recording, self.config.pitch)
        return None if heard is None else self.auto_key_of(heard, target)

    def auto_key_of(self, heard: PitchRange, target: Voice) -> int | None:
        """The same for a song whose pitch is known."""
        _, sings = voice_parts(target, self)
        return None if sings is None else key_between(heard, sings)

    @property
    def front_end_key(self) -> str:
        """Of what a voice in a file belongs to: names the settings that decide what a vector's numbers mean."""
        described = f"{self.sample_rate} Hz, {self.voice_channels} numbers"
        return hashlib.sha256(described.encode()).hexdigest()[:12]

    @property
    def fits_voices(self) -> bool:
        """Whether singers are vectors, which may be mixed, and found for those whom the table does not hold."""
        return self.speaker_embedding is not None

    @property
    def tunable_layers(self) -> int:
        """Layers of the decoder that may be tuned to a voice, the last ones first."""
        return len(self.config.decoder.dilations)

    @torch.no_grad()
    def singer_vector(self, singer: int, pitch: PitchRange | None = None) -> Float[Tensor, " channels"]:
        """A singer of the table as a voice's file keeps it. pitch: where the singer sings; None: the middle of voices.

        Raises ValueError where singers are no vectors.
        """
        if self.speaker_embedding is None:
            raise ValueError("this model has no singers' vectors")
        vector = self.speaker_embedding.weight[singer].detach().cpu()
        if self.config.pitch is None:
            return vector
        middle = CENTRE_LOG_F0 if pitch is None else pitch.mean
        return torch.cat([vector, vector.new_tensor([middle])])

    def fit_voice(
        self,
        recordings: Sequence[Waveform],
        steps: int = 300,
        generator: Generator | None = None,
        progress: Callable[[int, int], None] = lambda done, total: None,
        tuned_layers: int = 0,
    ) -> FittedVector:
        """The vector of whoever sings in recordings at the model's rate; see models.wavenet_autoencoder.fitting."""
        return fit_vector(self, recordings, steps, generator, progress, tuned_layers)

    def known(self, f0: Float[Tensor, "batch pitches"] | None) -> Float[Tensor, "batch pitches"]:
        """F0 that is there; raises ValueError where it is missing."""
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
