"""What the study of control measures of a voice, section by section."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from moksori.corpus.manifest import Corpus, read_utterance
from moksori.errors import CorpusError
from moksori.evaluation.statistics import mean_estimate
from moksori.models.contract import CanTakeStyle
from moksori.nn.precision import double_precision
from moksori.pipeline.clips import StyleClip, clip_frames, read_clip
from moksori.pipeline.control_measures import (
    MEASURED,
    Prosody,
    contour_correlation,
    finite_mean,
    mean_prosody,
    prosody,
    spread,
)
from moksori.pipeline.latent_choice import Way
from moksori.pipeline.manner import SEED, Manner
from moksori.pipeline.mel_voice import MelVoice
from moksori.pipeline.progress import Progress, no_progress
from moksori.pipeline.sentences import Sentence
from moksori.pipeline.speaker import Speaker
from moksori.pipeline.styles import style_of
from moksori.pipeline.text_batches import text_batch
from moksori.types import SayControls, Utterance, Waveform

SIGMAS = (0.0, 0.25, 0.5, 0.7, 0.85, 1.0)
STRENGTHS = (0.3, 0.6, 0.9, 1.0)
WAYS: tuple[Way, ...] = ("slerp", "linear")
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
SENTENCES, PAIRS, SEEDS, GROUP_CLIPS, STEPS = 16, 20, 3, 5, 11
SHARES_OF = 40
"""Recordings that are asked what components they choose."""
LOOKED_AT = 120
"""Recordings of the split among which extreme ones are looked for."""
SHORTEST, LONGEST = 1.5, 8.0


@dataclass(frozen=True)
class StyleGroup:
    """Coherent reference clips with their prosody: the extremes of one measure, or another speaker's."""

    name: str
    clips: tuple[tuple[Utterance, Prosody], ...]

    def some(self, first: int, count: int) -> tuple[list[Utterance], dict[str, float]]:
        """Some of the clips, from `first` on and round again, and their mean prosody."""
        chosen = [self.clips[(first + k) % len(self.clips)] for k in range(min(count, len(self.clips)))]
        return [utterance for utterance, _ in chosen], mean_prosody([found for _, found in chosen])


@dataclass
class ControlWork:
    """The measuring of one voice."""

    speaker: Speaker
    model: CanTakeStyle
    corpus: Corpus
    elsewhere: Corpus
    split: str
    limit: int | None
    samples: int
    seed: int
    mode: str
    variation: float | None
    clips: int = 1
    progress: Progress = no_progress
    said: int = 0

    @property
    def total(self) -> int:
        """About how many sentences are said in all."""
        texts, pairs = self.limit or SENTENCES, self._pairs
        curves = len(SIGMAS) * texts * self.samples + 2 * len(WAYS) * STEPS
        styles = pairs * (1 + len(STRENGTHS)) * SEEDS
        voices = len(self.speaker.speakers)
        mixed = voices + 3 * len(SHARES) if self.model.mixes_speakers else 0
        return curves + styles + mixed + 3 * SEEDS * self.model.mixture_components

    @property
    def _pairs(self) -> int:
        return PAIRS if self.limit is None else max(2, 5 * self.limit)

    # ---- sentences and how they are said ----

    def sentences(self, count: int) -> list[Utterance]:
        """Sentences of the split, neither short nor long, by speakers that the voice knows in turn."""
        usable = [u for u in self.corpus.split(self.split) if SHORTEST <= u.duration_seconds <= LONGEST and u.text]
        if not usable:
            raise CorpusError(
                f"{self.corpus.folder}: its split {self.split!r} has no sentences of {SHORTEST:g} to {LONGEST:g} s"
            )
        known = [u for u in usable if self._voice(u) is not None] or usable
        order = sorted(known, key=lambda u: u.name)
        by_speaker: dict[str, list[Utterance]] = {}
        for utterance in order[:: max(1, len(order) // max(count * 4, 1))]:
            by_speaker.setdefault(utterance.speaker, []).append(utterance)
        turns = [own[place] for place in range(len(order)) for own in by_speaker.values() if place < len(own)]
        return turns[:count]

    def _voice(self, utterance: Utterance) -> str | None:
        return utterance.speaker if utterance.speaker in self.speaker.speakers else None

    def say(self, utterance: Utterance, seed: int, manner: Manner | None = None, **options: Any) -> Prosody:
        """A sentence as the voice says it, measured."""
        voice = options.pop("speaker", self._voice(utterance))
        options.setdefault("variation", self.variation)
        speech = self.speaker.say(utterance.text, seed=seed, speaker=voice, pause=0.0, manner=manner, **options)
        self.said += 1
        self.progress(min(self.said, self.total), self.total)
        return prosody(Waveform(speech.samples, speech.sample_rate), self.phones(utterance.text, voice))

    def phones(self, text: str, voice: str | None = None) -> int:
        encoded = self.speaker.encoded(Sentence(text), voice)
        return sum(word.end_token - word.start_token for word in encoded.words)

    def recorded(self, utterance: Utterance) -> Prosody:
        """A recording, measured."""
        waveform = read_utterance(utterance)
        known = utterance.speaker if utterance.speaker in self.speaker.speakers else None
        return prosody(waveform, self.phones(utterance.text, known))

    # ---- sections ----

    def variation_curve(self) -> dict[str, Any]:
        """The spread over samples at each sigma: means over sentences with intervals."""
        texts = self.sentences(self.limit or SENTENCES)
        rows: list[dict[str, Any]] = []
        for sigma in SIGMAS:
            spreads: dict[str, list[float]] = {}
            means = []
            for utterance in texts:
                found = [self.say(utterance, self.seed + k, variation=sigma) for k in range(self.samples)]
                for name, value in spread(found).items():
                    spreads.setdefault(name, []).append(value)
                means.append(mean_prosody(found))
            row = {name: vars(mean_estimate(values, self.seed)) for name, values in spreads.items()}
            level = {name: finite_mean([m[name] for m in means]) for name in means[0]}
            rows.append({"sigma": sigma, "spread": row, "mean": level})
        rising = {
            name: all(a["spread"][name]["value"] <= b["spread"][name]["value"] for a, b in pairwise(rows))
            for name in ("pitch", "duration")
        }
        people = _deviation_of_takes(self.corpus, self.split, self.recorded)
        return {"sentences": len(texts), "samples": self.samples, "rows": rows, "rises": rising, "takes": people}

    def groups(self) -> list[StyleGroup]:
        """Styles to go after: the extremes of pitch, range and rate among the voice's own speakers' recordings, and
        other speakers as they are."""
        usable = [u for u in self.elsewhere.split(self.split) if SHORTEST <= u.duration_seconds <= LONGEST and u.text]
        by_speaker: dict[str, list[Utterance]] = {}
        for utterance in sorted(usable, key=lambda u: u.name):
            by_speaker.setdefault(utterance.speaker, []).append(utterance)
        found: list[StyleGroup] = []
        share = max(LOOKED_AT // max(len(by_speaker), 1), GROUP_CLIPS)
        for name, own in by_speaker.items():
            looked = own[:: max(1, len(own) // share)][:share]
            measured = [(u, self.recorded(u)) for u in looked]
            measured = [(u, p) for u, p in measured if all(np.isfinite(p.values[m]) for m in MEASURED)]
            count = min(GROUP_CLIPS, len(measured) // 2)
            if count < 1:
                continue
            if len(by_speaker) > 1:
                found.append(_group(f"as {name}", measured[:: max(1, len(measured) // count)][:count]))
                continue
            for measure in MEASURED:
                order = sorted(measured, key=lambda pair: pair[1].values[measure])
                found.append(_group(f"low {measure}", order[:count]))
                found.append(_group(f"high {measure}", order[-count:]))
        if not found:
            raise CorpusError(f"{self.elsewhere.folder}: has too few clips of {SHORTEST:g} to {LONGEST:g} s for styles")
        return found

    def styles(self) -> dict[str, Any]:
        """How far outputs go towards references, by strength."""
        groups = self.groups()
        count = self._pairs
        texts = self.sentences(count)
        pairs = []
        for place in range(count):
            group, utterance = groups[place % len(groups)], texts[place % len(texts)]
            voice = self._voice(utterance) or self.speaker.speakers[0]
            if group.name == f"as {voice}":
                group = groups[(place + 1) % len(groups)]
            used, goal = group.some(place // len(groups), self.clips)
            clips = [self._clip(u) for u in used]
            style, _ = style_of(self.speaker, clips, self.mode, target=voice)
            rows = {"0": mean_prosody([self.say(utterance, self.seed + k, speaker=voice) for k in range(SEEDS)])}
            for strength in STRENGTHS:
                manner = Manner((style,), strength=strength)
                said = [self.say(utterance, self.seed + k, manner, speaker=voice) for k in range(SEEDS)]
                rows[f"{strength:g}"] = mean_prosody(said)
            pairs.append({"style": group.name, "speaker": voice, "text": utterance.name,
                          "clips": [u.name for u in used],
                          "reference": {m: goal[m] for m in MEASURED}, "said": rows})  # fmt: skip
        return {"pairs": pairs, "moved": moved(pairs), "seeds": SEEDS, "clips": self.clips}

    def _clip(self, utterance: Utterance) -> StyleClip:
        known = utterance.speaker if utterance.speaker in self.speaker.speakers else None
        return StyleClip(read_utterance(utterance), utterance.text, speaker=known)

    def interpolation(self) -> dict[str, Any]:
        """Two samples of a sentence, and what lies between them."""
        found = []
        for utterance in self.sentences(min(self.limit or 2, 2)):
            for way in WAYS:
                rows = []
                for share in np.linspace(0.0, 1.0, STEPS).tolist():
                    blend = ((f"{SEED}{self.seed + 3}", 1.0 - share), (f"{SEED}{self.seed + 9}", share))
                    manner = Manner(blend=blend, way=way)
                    rows.append({"share": share, **self.say(utterance, self.seed, manner).values})
                found.append({"text": utterance.name, "way": way, "rows": rows})
        return {"paths": found}

    def speakers(self) -> dict[str, Any]:
        """From the lowest to the highest voice of the model, where it has a table of several."""
        if not self.model.mixes_speakers or len(self.speaker.speakers) < 2:
            return {"left_out": "the model has no table of several speakers"}
        texts = self.sentences(min(self.limit or 3, 3))
        heights = {name: mean_prosody([self.say(texts[0], self.seed, speaker=name)])["pitch"]
                   for name in self.speaker.speakers}  # fmt: skip
        heard = {name: value for name, value in heights.items() if np.isfinite(value)}
        if len(heard) < 2:
            return {"left_out": "fewer than two speakers have a pitch"}
        low, high = min(heard, key=lambda n: heard[n]), max(heard, key=lambda n: heard[n])
        rows = []
        for share in SHARES:
            manner = Manner(blend=((low, 1.0 - share), (high, share)))
            rows.append({"share": share, **mean_prosody([self.say(u, self.seed, manner) for u in texts])})
        return {"low": low, "high": high, "rows": rows, "sentences": len(texts)}

    def components(self) -> dict[str, Any]:
        """What each component of a mixture prior says."""
        count = self.model.mixture_components
        if count == 0:
            return {"left_out": "the prior is one Gaussian"}
        texts = self.sentences(min(self.limit or 3, 3))
        rows = []
        for number in range(count):
            manner = Manner(components=((number, 1.0),))
            said = [self.say(u, self.seed + k, manner) for u in texts for k in range(SEEDS)]
            rows.append({"component": number, **mean_prosody(said)})
        return {"rows": rows, "sentences": len(texts), "shares": self._shares()}

    def _shares(self) -> dict[str, list[float]]:
        """What the recordings of each speaker choose of the components, on average."""
        by_speaker: dict[str, list[torch.Tensor]] = {}
        for utterance in self.sentences(SHARES_OF):
            _, frames, _, _ = clip_frames(read_utterance(utterance), self.model)
            frames = frames.to(self.speaker.loaded.device)
            found = self.model.component_shares(frames, torch.tensor([frames.shape[2]], device=frames.device))[0]
            by_speaker.setdefault(utterance.speaker, []).append(found)
        return {name: torch.stack(found).mean(dim=0).tolist() for name, found in by_speaker.items()}

    def round_trip(self) -> dict[str, Any]:
        """Mel to latent and back: the largest and the mean error, in natural log, in float32 and in float64.

        The step that makes a frame reads the frames before, so that it carries their rounding on.
        """
        assert isinstance(self.model, torch.nn.Module)
        clips = self.sentences(min(self.limit or 10, 10))
        errors, likelihood = zip(*(self._there_and_back(utterance) for utterance in clips), strict=True)
        with double_precision(self.model):
            exactly = [self._there_and_back(utterance)[0] for utterance in clips]
        return {"clips": len(clips), "largest_error": max(float(e.max()) for e in errors),
                "mean_error": float(np.mean([float(e.mean()) for e in errors])),
                "largest_error_float64": max(float(e.max()) for e in exactly),
                "log_likelihood": float(np.mean(likelihood))}  # fmt: skip

    def _there_and_back(self, utterance: Utterance) -> tuple[Float[Tensor, "1 mels frames"], float]:
        """Absolute errors of a clip's mel that went to the latent and back, and its log-likelihood."""
        row = self.speaker.row_of(self._voice(utterance))
        clip, device = self._clip(utterance), self.speaker.loaded.device
        reading = read_clip(clip, self.model, lambda s: self.speaker.encoded(s), row, device)
        _, frames, _, _ = clip_frames(clip.audio, self.model)
        mel = frames[:, : self.model.mel_config.n_mels]
        batch = text_batch(self.speaker.encoded(Sentence(utterance.text)), row, device)
        said = self.model.say_latents(reading.whole.latent, reading.whole.frame_lengths, batch, SayControls())
        return (said.mel - mel.to(device)).abs(), float(reading.whole.log_likelihood[0])

    def takes(self) -> dict[str, Any]:
        """A recording's course in this and in other voices: how well melodies go together, beside a free rendering."""
        own: list[float] = []
        other: list[float] = []
        free: list[float] = []
        for utterance in self.sentences(min(self.limit or 5, 5)):
            recording = read_utterance(utterance)
            voice = self._voice(utterance) or self.speaker.speakers[0]
            manner = Manner(prosody=recording, prosody_speaker=self._voice(utterance))
            rate = self.speaker.sample_rate
            _, frames, _, _ = clip_frames(recording, self.model)
            true = _sound(self.speaker, frames[:, : self.model.mel_config.n_mels])
            voices = [voice, *[name for name in self.speaker.speakers if name != voice][:1]]
            for place, name in enumerate(voices):
                said = self.speaker.say(utterance.text, seed=self.seed, speaker=name, pause=0.0, manner=manner).samples
                (other if place else own).append(contour_correlation(true, said, rate))
            loose = self.speaker.say(utterance.text, seed=self.seed, speaker=voice, pause=0.0).samples
            places = np.linspace(0, len(loose) - 1, len(true))
            # In step for the whole, not by phones: what a rendering of its own has in common with the recording.
            stretched = Waveform(np.interp(places, np.arange(len(loose)), loose).astype(np.float32), rate)
            free.append(contour_correlation(true, stretched.samples, rate))
        return {name: vars(mean_estimate(values, self.seed)) for name, values in
                (("own_voice", own), ("other_voice", other), ("free", free))}  # fmt: skip


def moved(pairs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """By strength and measure: the share of pairs whose output came nearer to the reference than without style; that of
    the half of them that were furthest from it; and how much of the gap was closed (median)."""
    rows = []
    for strength in (f"{s:g}" for s in STRENGTHS):
        row: dict[str, Any] = {"strength": float(strength)}
        for measure in MEASURED:
            before, after = [], []
            for pair in pairs:
                said = pair["said"]
                goal, plain, styled = (x[measure] for x in (pair["reference"], said["0"], said[strength]))
                if np.isfinite([goal, plain, styled]).all():
                    before.append(abs(plain - goal))
                    after.append(abs(styled - goal))
            nearer = np.array(after) < np.array(before)
            closed = 1.0 - np.array(after) / np.maximum(np.array(before), 1e-6)
            far = nearer[np.argsort(before)[len(before) // 2 :]]
            row[measure] = {
                "nearer": finite_mean(nearer.tolist()),
                "far_nearer": finite_mean(far.tolist()),
                "n": len(nearer),
                "closed": float(np.median(closed)) if len(closed) else float("nan"),
            }
        rows.append(row)
    return rows


def _group(name: str, measured: Sequence[tuple[Utterance, Prosody]]) -> StyleGroup:
    return StyleGroup(name, tuple(measured))


def _sound(speaker: Speaker, mel: torch.Tensor) -> np.ndarray:
    assert isinstance(speaker.model, MelVoice)
    return torch.cat(list(speaker.model.vocoder.sound([mel], mel.shape[2])), dim=1)[0].float().cpu().numpy()


def _deviation_of_takes(corpus: Corpus, split: str, recorded: Callable[[Utterance], Prosody]) -> dict[str, Any]:
    """How much a person's takes of one sentence differ, where a corpus has several: means over sentences."""
    takes: dict[tuple[str, str], list[Utterance]] = {}
    for utterance in corpus.split(split):
        takes.setdefault((utterance.speaker, " ".join(utterance.text.casefold().split())), []).append(utterance)
    several = [group for group in takes.values() if len(group) > 1][:20]
    spreads = [spread([recorded(u) for u in group]) for group in several]
    if not spreads:
        return {"sentences": 0}
    return {"sentences": len(spreads), **{name: finite_mean([s[name] for s in spreads]) for name in spreads[0]}}
