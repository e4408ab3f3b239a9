"""Conversion by a model that speaks in the voice of a prompt.

Where it is known what is said, the recording is spoken anew: its text, with the lengths that its sounds have and with
its melody, in the voice of the prompt. Where it is not, the codec's latents go to noise and come back, which keeps much
of the source's voice, since that is in the noise too.
"""

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from moksori.audio.autocorrelation import autocorrelation_f0
from moksori.errors import BadInput, UnsupportedTask
from moksori.models.checkpoint import Loaded
from moksori.models.contract_latents import CanConvertLatents, CanSayLatents
from moksori.pipeline.codecs import FoundCodec, required_codec
from moksori.pipeline.conversion_ways import Job, checked
from moksori.pipeline.conversions import ConvertOptions
from moksori.pipeline.enrolment import Enrolled, source_remarks
from moksori.pipeline.prompts import read_prompt, voice_of_prompt
from moksori.pipeline.recordings import OpenRecording
from moksori.pipeline.said import MOST_SECONDS, POOR_FIT, Said, TextFinder
from moksori.pipeline.seeds import sentence_generator
from moksori.types import ConvertControls, LatentBatch, SayControls, Voice, Waveform

PIECE_SECONDS = 8.0
"""From here on a recording is cut where it is quietest; models learn from clips that are not much longer."""
LOOK_SECONDS = 3.0
_QUIET_SECONDS = 0.1


class ThroughPrompts:
    """A model that makes latents of recordings anew in the voice of prompts, piece by piece.

    codec: a name or folder; None: the one that the model names. finder: of texts; None: by the default aligner.
    """

    is_live = False

    def __init__(self, loaded: Loaded, codec: str | Path | None = None, finder: TextFinder | None = None) -> None:
        assert isinstance(loaded.model, CanConvertLatents)
        self.loaded, self.manifest, self._model, self._named = loaded, loaded.manifest, loaded.model, codec
        self._finder = finder or TextFinder()

    @property
    def takes_text(self) -> bool:
        """Whether it can speak a known text anew."""
        return isinstance(self._model, CanSayLatents) and self.manifest.text is not None

    @cached_property
    def codec(self) -> FoundCodec:
        """Raises CheckpointError where the codec that the model was trained with is not here."""
        return required_codec(self.manifest, self._named, self.loaded.device)

    def check(self, options: ConvertOptions) -> None:
        """Raises UnsupportedTask or BadInput where the options are not for this model."""
        name = self.manifest.name
        if options.speaker is not None:
            raise UnsupportedTask(
                f"{name}: has no speakers of its own: give a recording of {options.speaker!r} with --like"
            )
        if options.source is not None:
            raise BadInput(f"source {options.source!r}: {name} needs not know who speaks: leave the source out")
        if options.text is not None:
            if not self.takes_text:
                raise UnsupportedTask(f"{name}: cannot speak a text anew: leave the text out")
            if options.key or options.strength != 1.0:
                raise UnsupportedTask(f"{name}: speaks a known text anew, without key and strength: leave them out")
            return
        if options.shift_semitones or options.key:
            raise UnsupportedTask(f"{name}: follows no pitch in what it converts: leave pitch and key out")
        if options.variation is not None and options.variation > 1.0:
            raise BadInput(f"variation {options.variation:g}: {name} takes 0 to 1 where it converts")

    def target(self, options: ConvertOptions) -> Enrolled:
        """Who is to be heard."""
        found = read_prompt(options.like, self.codec)
        return Enrolled(voice_of_prompt(found.prompt, self.codec, self.manifest.family), found.notes)

    def job(self, recording: OpenRecording, options: ConvertOptions, seed: int) -> Job:
        """The conversion, ready to be made."""
        notes = source_remarks(recording)
        own = Voice(self.manifest.family, name=Path(recording.name).stem)
        prompt: LatentBatch | None = None
        if options.like:
            found = read_prompt(options.like, self.codec)
            notes.extend(found.notes)
            prompt = found.prompt.latents(self.codec.model, self.codec.device)
            voice = voice_of_prompt(found.prompt, self.codec, self.manifest.family)
            if options.text is None and not options.clean:
                notes.append(
                    f"{recording.name}: is converted without knowing what is said, which keeps much of its voice: with "
                    "--text 'what is said' it is spoken anew, and the target is reached better"
                )
        else:
            voice = own
            notes.append(
                f"{recording.name}: is cleaned without knowing who speaks: with a clean recording of the speaker, "
                "--like clean.wav, the voice is kept better"
            )
        if options.text is None and (options.clean or not options.like):
            notes.append(self._poor_cleaning(recording.name))
        if options.text is not None and prompt is not None:
            made = self._spoken_anew(recording, prompt, options, seed, notes)
        else:
            made = self._blocks(recording, prompt, options.controls, seed)
        blocks = checked(self.manifest.name, recording.name, made)
        return Job(None if options.like else own, voice, blocks, tuple(notes))

    def _poor_cleaning(self, name: str) -> str:
        """That cleaning without a text leaves much of the noise, and what does better: the noise is in the latents that
        come back (figures: docs/conversion.md)."""
        anew = ", or 'moksori convert' with --like and --text where it is known what is said" if self.takes_text else ""
        return (
            f"{name}: {self.manifest.name} does not clean noise well yet and may make it worse: better is 'moksori "
            f"denoise --model dsvae-compact'{anew}"
        )

    def _spoken_anew(
        self, recording: OpenRecording, prompt: LatentBatch, options: ConvertOptions, seed: int, notes: list[str]
    ) -> Iterator[Float[torch.Tensor, "1 samples"]]:
        """A known text with the recording's lengths and melody, sentence by sentence; the text is found at once."""
        assert isinstance(self._model, CanSayLatents)
        assert options.text is not None
        assert self.manifest.text is not None
        rate, hop = recording.sound.sample_rate, self._model.hop_length
        samples = recording.stretch(0, min(recording.sound.samples, round(MOST_SECONDS * rate) + 1))
        language = options.language or self.manifest.text.language
        said = self._finder.find(options.text, language, samples, rate, hop, self.manifest.text)
        if said.misfit > POOR_FIT:
            notes.append(
                f"{recording.name}: the text hardly fits what is said in it (misfit {said.misfit:.2f}, {POOR_FIT:g} is "
                "much): see whether it is that of this recording"
            )
        return self._sentences(said, samples, prompt, options, seed)

    def _sentences(
        self,
        said: Said,
        samples: Float[np.ndarray, " samples"],
        prompt: LatentBatch,
        options: ConvertOptions,
        seed: int,
    ) -> Iterator[Float[torch.Tensor, "1 samples"]]:
        model, codec, device = self._model, self.codec.model, self.codec.device
        assert isinstance(model, CanSayLatents)
        rate, hop = model.sample_rate, model.hop_length
        with torch.inference_mode():
            target = codec.expand(prompt.latent)[0].cpu().numpy()
        f0 = autocorrelation_f0(Waveform(samples, rate), hop)
        f0 = f0 * _between(f0, autocorrelation_f0(Waveform(target, rate), hop))
        controls = SayControls(options.variation, shift_semitones=options.shift_semitones)
        for number, sentence in enumerate(said.sentences):
            with torch.inference_mode():
                pitch = torch.from_numpy(f0[sentence.start : sentence.stop].astype(np.float32))[None].to(device)
                generator = sentence_generator(seed, number)
                made = model.say_latents_like(sentence.batch(device), prompt, controls, pitch, None, generator)
                yield codec.expand(made.latent)[:, : (sentence.stop - sentence.start) * hop]
        rest = len(samples) - said.sentences[-1].stop * hop
        if rest:
            yield torch.zeros(1, rest)

    def _blocks(
        self, recording: OpenRecording, prompt: LatentBatch | None, controls: ConvertControls, seed: int
    ) -> Iterator[Float[torch.Tensor, "1 samples"]]:
        codec, device = self.codec.model, self.codec.device
        for number, piece in enumerate(pieces(recording.sound.blocks(), recording.sound.sample_rate)):
            with torch.inference_mode():
                latent = codec.latents(codec.compress(torch.from_numpy(piece)[None].to(device)))
                source = LatentBatch(latent, torch.tensor([latent.shape[2]], device=device))
                generator = sentence_generator(seed, number)
                made = self._model.convert_latents(source, prompt, None, controls, generator=generator)
                yield codec.expand(made.latent)[:, : len(piece)]


def _between(source: Float[np.ndarray, " frames"], target: Float[np.ndarray, " frames"]) -> float:
    """The factor that brings the middle of one melody to that of another; 1 where one has none."""
    if not (source > 0).any() or not (target > 0).any():
        return 1.0
    return float(np.median(target[target > 0]) / np.median(source[source > 0]))


def pieces(blocks: Iterator[Float[np.ndarray, " block"]], sample_rate: int) -> Iterator[Float[np.ndarray, " piece"]]:
    """A recording cut where it is quiet: after at least 8 s, at the quietest place of the next 3 s; no samples go."""
    least, look = round(PIECE_SECONDS * sample_rate), round(LOOK_SECONDS * sample_rate)
    window = max(round(_QUIET_SECONDS * sample_rate), 1)
    held = np.zeros(0, np.float32)
    for block in blocks:
        held = np.concatenate([held, block])
        while len(held) >= least + look:
            places = held[least : least + look]
            power = np.square(places[: len(places) // window * window].reshape(-1, window)).mean(axis=1)
            cut = least + int(np.argmin(power)) * window + window // 2
            yield held[:cut]
            held = held[cut:]
    if len(held):
        yield held
