"""What the comparison measures of converted sound, and of the latents that it was made of; one way for all models.

Everything is measured on sound at 16 kHz through the same analysis, whatever a model works on inside.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int

from moksori.corpus.manifest import read_utterance
from moksori.errors import BadInput, MissingExtra
from moksori.evaluation.coverage import coverage, variance_over_labels
from moksori.evaluation.global_variance import global_variance, global_variance_ratio
from moksori.evaluation.intelligibility import count_errors
from moksori.evaluation.mcd import SAMPLE_RATE, Envelopes, SpeechFrames, align, envelopes, mel_cepstral_distortion
from moksori.evaluation.modulation_spectrum import modulation_spectrum, modulation_spectrum_distance
from moksori.evaluation.pitch import pitch_distance, pitch_moments
from moksori.evaluation.probes import Probe, linear_probe
from moksori.evaluation.ripple import ripple_flatness
from moksori.evaluation.score import Judges
from moksori.evaluation.singer import SingerClassifier
from moksori.evaluation.sliced_wasserstein import sliced_wasserstein
from moksori.evaluation.warped_stoi import warped_stoi
from moksori.pipeline.vae_gan_material import Labels, Material, Trial, is_english
from moksori.types import Utterance, Waveform

MOST_FRAMES = 20_000
"""That a probe learns from."""
_LOUD_DB = 40.0
_SEMITONES = 12.0 / np.log(2.0)


@dataclass(frozen=True)
class Analysed:
    """A sound, taken apart. cepstra: its loud frames' mel-cepstra without c_0, which are what clouds are made of."""

    envelopes: Envelopes
    frames: SpeechFrames
    loud: np.ndarray

    @property
    def cepstra(self) -> Float[np.ndarray, "frames coefficients"]:
        return self.frames.mel_cepstrum[self.loud, 1:]

    @property
    def power(self) -> Float[np.ndarray, "frames bins"]:
        return self.envelopes.power[self.loud]


def analysed(sound: Waveform) -> Analysed:
    """Through WORLD; frames are loud within 40 dB of the recording's loudest ones."""
    found = envelopes(sound)
    levels = 10.0 * np.log10(found.power.sum(axis=1) + 1e-20)
    return Analysed(found, found.speech_frames(), levels > np.percentile(levels, 95.0) - _LOUD_DB)


@dataclass(frozen=True)
class Natural:
    """How a speaker's own recordings are: what conversions to this speaker are held against."""

    variance: Float[np.ndarray, " coefficients"]
    modulation: Float[np.ndarray, "coefficients bins"]
    flatness: float
    cloud: Float[np.ndarray, "frames coefficients"]
    labels: Int[np.ndarray, " frames"] | None
    log_f0: float

    @classmethod
    def of(cls, sounds: Sequence[Analysed], labels: Sequence[np.ndarray] | None) -> "Natural":
        courses = [sound.frames.mel_cepstrum[:, 1:] for sound in sounds]
        pitches = [np.log(pitch_moments(sound.frames.f0).mean_hz) for sound in sounds]
        return cls(
            global_variance(courses),
            modulation_spectrum(courses),
            ripple_flatness(np.concatenate([sound.power for sound in sounds]), SAMPLE_RATE),
            np.concatenate([sound.cepstra for sound in sounds]),
            None if labels is None else np.concatenate(labels),
            float(np.nanmean(pitches)) if np.isfinite(pitches).any() else float("nan"),
        )


@dataclass
class Gauge:
    """Measures conversions; what is known of the recordings themselves is found once and kept.

    judges: of words, opinion and voices; the groups that are loaded are measured. Raises MissingExtra without pyworld.
    """

    material: Material
    judges: Judges
    labels: Labels
    _natural: dict[str, Natural] = field(default_factory=dict, repr=False)
    _targets: dict[str, Analysed] = field(default_factory=dict, repr=False)

    def measure(self, trials: Sequence[Trial], sounds: Sequence[Waveform]) -> dict[str, float]:
        """Every measure of these conversions; shares are 0 to 1, and NaN is what could not be measured."""
        taken = [analysed(sound) for sound in sounds]
        found = self._against_parallel(trials, sounds, taken)
        found |= self._against_natural(trials, taken)
        if "speaker" in self.judges.measures:
            found |= self.voices(trials, sounds)
        if "words" in self.judges.measures:
            found["wer"] = self._word_errors(trials, sounds)
        if "opinion" in self.judges.measures:
            opinions = [self.judges.opinion(sound) for sound in sounds]
            found["ovrl"], found["p808"] = (float(np.mean([getattr(o, k) for o in opinions])) for k in ("ovrl", "p808"))
        return found

    def recordings(self, clips: Mapping[str, Sequence[Utterance]]) -> tuple[list[Trial], list[Waveform]]:
        """People's own recordings as if they were conversions to themselves, without a parallel sentence."""
        chosen = [(u, name) for name, own in clips.items() for u in own]
        trials = [Trial(place, u, name, None) for place, (u, name) in enumerate(chosen)]
        return trials, [read_utterance(u, SAMPLE_RATE) for u, _ in chosen]

    # ---- against the target saying the same

    def _against_parallel(
        self, trials: Sequence[Trial], sounds: Sequence[Waveform], taken: Sequence[Analysed]
    ) -> dict[str, float]:
        rows: dict[str, list[float]] = {
            key: [] for key in ("mcd", "mcd_voiced", "f0_rmse_cents", "voicing_error", "stoi", "estoi")
        }
        for trial, sound, one in zip(trials, sounds, taken, strict=True):
            if trial.parallel is None:
                continue
            target = self._target(trial.parallel)
            pair = align(target.frames, one.frames)
            rows["mcd"].append(mel_cepstral_distortion(pair))
            rows["mcd_voiced"].append(mel_cepstral_distortion(pair, voiced=True))
            pitch = pitch_distance(pair)
            rows["f0_rmse_cents"].append(pitch.rmse_cents)
            rows["voicing_error"].append(pitch.voicing_error)
            clear = warped_stoi(read_utterance(trial.parallel), sound)
            rows["stoi"].append(clear.stoi)
            rows["estoi"].append(clear.extended)
        return {key: mean_of(values) for key, values in rows.items()}

    def _target(self, utterance: Utterance) -> Analysed:
        if utterance.name not in self._targets:
            self._targets[utterance.name] = analysed(read_utterance(utterance))
        return self._targets[utterance.name]

    # ---- against how the target speaks

    def _against_natural(self, trials: Sequence[Trial], taken: Sequence[Analysed]) -> dict[str, float]:
        """Target by target, then the mean over targets; of ratios the geometric one."""
        rows: dict[str, list[float]] = {}
        for target in dict.fromkeys(trial.target for trial in trials):
            mine = [(trial, one) for trial, one in zip(trials, taken, strict=True) if trial.target == target]
            for key, value in self._one_target(target, mine).items():
                rows.setdefault(key, []).append(value)
        ratios = ("gv_ratio", "ripple_ratio", "phone_variance")
        return {
            key: float(np.exp(mean_of(np.log(np.maximum(values, 1e-9)).tolist()))) if key in ratios else mean_of(values)
            for key, values in rows.items()
        }

    def _one_target(self, target: str, mine: Sequence[tuple[Trial, Analysed]]) -> dict[str, float]:
        natural = self.natural(target)
        courses = [one.frames.mel_cepstrum[:, 1:] for _, one in mine]
        cloud = np.concatenate([one.cepstra for _, one in mine])
        found = {
            "gv_ratio": global_variance_ratio(global_variance(courses), natural.variance),
            "modulation": modulation_spectrum_distance(modulation_spectrum(courses), natural.modulation),
            "ripple_ratio": ripple_flatness(np.concatenate([one.power for _, one in mine]), SAMPLE_RATE)
            / natural.flatness,
            "wasserstein": sliced_wasserstein(cloud, natural.cloud),
        }
        covered = coverage(cloud, natural.cloud)
        found |= {"precision": covered.precision, "recall": covered.recall}
        found["pitch_semitones"] = mean_of(
            [abs(_SEMITONES * (np.log(pitch_moments(one.frames.f0).mean_hz) - natural.log_f0)) for _, one in mine]
        )
        labels = [self.labels.of(t.source.name, one.envelopes)[one.loud] for t, one in mine
                  if self.labels.known(t.source.name)]  # fmt: skip
        found["phone_variance"] = float("nan")
        if natural.labels is not None and len(labels) == len(mine):
            found["phone_variance"] = variance_over_labels(cloud, np.concatenate(labels), natural.cloud, natural.labels)
        return found

    def natural(self, speaker: str) -> Natural:
        """How this speaker's test recordings are."""
        if speaker not in self._natural:
            own = self.material.natural[speaker]
            sounds = [self._target(u) for u in own]
            known = all(self.labels.known(u.name) for u in own)
            labels = (
                [self.labels.of(u.name, s.envelopes)[s.loud] for u, s in zip(own, sounds, strict=True)]
                if known
                else None
            )
            self._natural[speaker] = Natural.of(sounds, labels)
        return self._natural[speaker]

    # ---- whose voice, which words

    @cached_property
    def _heard(self) -> Mapping[str, Sequence[Float[np.ndarray, " size"]]]:
        """Embeddings of each speaker's training recordings."""
        known = self.material.known
        return {name: [self.judges.embed(read_utterance(u)) for u in own] for name, own in known.items()}

    @cached_property
    def _classifier(self) -> SingerClassifier:
        embeddings = [vector for own in self._heard.values() for vector in own]
        return SingerClassifier(embeddings, [name for name, own in self._heard.items() for _ in own])

    def voices(self, trials: Sequence[Trial], sounds: Sequence[Waveform]) -> dict[str, float]:
        """Cosines with the middle of the target's and the source's training recordings, and what a classifier says."""
        middles = {name: _unit(np.mean(own, axis=0)) for name, own in self._heard.items()}
        to_target, to_source, right = [], [], []
        for trial, sound in zip(trials, sounds, strict=True):
            vector = self.judges.embed(sound)
            to_target.append(float(vector @ middles[trial.target]))
            to_source.append(float(vector @ middles[trial.source.speaker]))
            chances = self._classifier.probabilities([vector])
            right.append(max(chances, key=lambda name: chances[name]) == trial.target)
        changed = [one > two for one, two, t in zip(to_target, to_source, trials, strict=True)
                   if t.source.speaker != t.target]  # fmt: skip
        return {
            "similarity": mean_of(to_target),
            "similarity_source": mean_of(to_source) if changed else float("nan"),
            "nearer": mean_of([float(x) for x in changed]),
            "identified": float(np.mean(right)),
        }

    def _word_errors(self, trials: Sequence[Trial], sounds: Sequence[Waveform]) -> float:
        wrong = words = 0
        for trial, sound in zip(trials, sounds, strict=True):
            text = trial.source.text
            if is_english(trial.source) and text in self.material.texts and self.judges.recogniser.covers(text):
                errors = count_errors(text, self.judges.heard(sound))
                wrong, words = wrong + errors.word_errors, words + errors.words
        return wrong / words if words else float("nan")


Encode = Callable[[Waveform], tuple[Float[np.ndarray, "frames size"], Float[np.ndarray, " frames"]]]
"""A recording as vectors, and the second in which the middle of each lies."""


def probe_latents(encode: Encode, material: Material, labels: Labels) -> dict[str, float]:
    """What a linear layer reads off a latent: who speaks (leak, which should be chance) and the phone.

    It learns from the training recordings that judges know, and is asked about test recordings; as many frames of every
    speaker. Only loud frames count, since silence tells the microphone.
    """
    parts = [
        {
            name: [read_latents(encode, u, labels) for u in own[: len(material.known[name])]]
            for name, own in group.items()
        }
        for group in (material.known, material.natural)
    ]
    found: dict[str, float] = {}
    names = list(material.speakers)
    seen, asked = (_balanced({n: [x for x, _ in part[n]] for n in names}) for part in parts)
    found |= _told("leak", linear_probe(*_stacked(seen, names), *_stacked(asked, names)))
    pairs = [[pair for own in part.values() for pair in own if pair[1] is not None] for part in parts]
    if all(pairs):
        learnt, tested = (
            (np.concatenate([x for x, _ in part]), np.concatenate([y for _, y in part if y is not None]))
            for part in pairs
        )
        some = np.random.default_rng([0, 37]).permutation(len(learnt[0]))[:MOST_FRAMES]
        found |= _told("phones", linear_probe(learnt[0][some], learnt[1][some], *tested))
    return found


def mel_cepstra(sound: Waveform) -> tuple[Float[np.ndarray, "frames size"], Float[np.ndarray, " frames"]]:
    """What the probes stand beside: the speech itself."""
    found = envelopes(sound)
    times = found.start_seconds + (np.arange(len(found.f0)) + 0.5) * 0.005
    return found.speech_frames().mel_cepstrum[:, 1:], times


def read_latents(encode: Encode, utterance: Utterance, labels: Labels) -> tuple[np.ndarray, np.ndarray | None]:
    """A recording's loud frames, and their phones where these are known."""
    sound = read_utterance(utterance)
    vectors, times = encode(sound)
    loud = _loud_at(sound, times)
    return vectors[loud], labels.at(utterance.name, times[loud]) if labels.known(utterance.name) else None


def _loud_at(sound: Waveform, seconds: Float[np.ndarray, " frames"]) -> np.ndarray:
    """Whether the 25 ms around a moment are within 40 dB of the loudest such."""
    half = round(0.0125 * sound.sample_rate)
    running = np.concatenate([[0.0], np.cumsum(np.square(sound.samples, dtype=np.float64))])
    middle = np.clip(np.round(seconds * sound.sample_rate).astype(int), 0, len(sound.samples))
    power = running[np.minimum(middle + half, len(sound.samples))] - running[np.maximum(middle - half, 0)]
    return np.asarray(power > power.max(initial=0.0) * 10.0 ** (-_LOUD_DB / 10.0))


def _balanced(parts: Mapping[str, Sequence[np.ndarray]]) -> dict[str, np.ndarray]:
    """As many frames of each speaker, drawn evenly."""
    whole = {name: np.concatenate(list(own)) for name, own in parts.items()}
    count = min(min(len(x) for x in whole.values()), MOST_FRAMES // len(whole))
    draw = np.random.default_rng([0, 41])
    return {name: x[np.sort(draw.permutation(len(x))[:count])] for name, x in whole.items()}


def _stacked(parts: Mapping[str, np.ndarray], names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    rows = np.concatenate([parts[name] for name in names])
    return rows, np.repeat(np.arange(len(names)), [len(parts[name]) for name in names])


def _told(name: str, probe: Probe) -> dict[str, float]:
    return {name: probe.accuracy, f"{name}_chance": probe.chance}


def mean_of(values: Sequence[float]) -> float:
    """Of those that are numbers; NaN where none is."""
    kept = [value for value in values if np.isfinite(value)]
    return float(np.mean(kept)) if kept else float("nan")


def _unit(vector: Float[np.ndarray, " size"]) -> Float[np.ndarray, " size"]:
    return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-8))


def loaded_judges(judges: Judges) -> tuple[Judges, list[str]]:
    """The judges with the groups that can be measured here, and what to tell of the others."""
    kept, notes = [], []
    for group in judges.measures:
        try:
            judges.load(group)
            kept.append(group)
        except (MissingExtra, BadInput) as error:
            notes.append(f"{group} not measured: {error}")
    return judges.only(kept), notes
