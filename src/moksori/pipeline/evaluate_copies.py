"""Copies of recordings, measured against them: vocoders, codecs, and what is left of noise after denoising."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch

from moksori.audio.mel import MEL_16KHZ, MEL_22KHZ, MelConfig, MelSpectrogram
from moksori.audio.resample import resample
from moksori.corpus.manifest import read_utterance
from moksori.corpus.splits import order
from moksori.errors import CorpusError, UnsupportedTask
from moksori.evaluation.griffin_lim import griffin_lim
from moksori.evaluation.names import GRIFFIN_LIM, HUMAN, NOISY
from moksori.evaluation.report import Group, Picture
from moksori.evaluation.score import Item, Judges, SystemScores, score_system
from moksori.models.checkpoint import Loaded
from moksori.models.contract import CanReconstruct
from moksori.pipeline.convert import Converter
from moksori.pipeline.evaluate_material import Noises, held_out
from moksori.pipeline.evaluate_settings import PICTURED, Findings, Settings
from moksori.pipeline.evaluation_run import Steps
from moksori.pipeline.seeds import sentence_generator
from moksori.types import Utterance, Waveform

VOCODE = ("copy", "opinion")
SING = ("melody", "copy")
_JUDGED = {"copy": "copy", "opinion": "opinion", "melody": "melody"}
SNRS_DB = (None, 15.0, 10.0, 5.0)
"""Signal-to-noise ratios of `denoise`; None: the clean recording."""
SPEECH_SECONDS, SUNG_SECONDS = 8.0, 10.0
"""Of each recording of speech, its beginning; songs are cut into pieces."""
CLIPS_A_SPEAKER = 2

Make = Callable[[int, Waveform], Waveform]
"""The place of a clip, for the seed, and what is given: what comes of it."""


def evaluate_vocode(loaded: Loaded, settings: Settings, task: str = "vocode") -> Findings:
    """Copy-synthesis of unseen people and of songs: PESQ, STOI, mel distance, DNSMOS; Griffin-Lim beside it."""
    groups = settings.chosen(VOCODE, task)
    judges, groups = settings.judges((), groups, _JUDGED)
    copy, config = copying(loaded, settings)
    parts = {"speech": speech(settings), "singing": songs(settings)}
    systems = {GRIFFIN_LIM: classical(config, settings.seed), loaded.manifest.name: copy}
    run = CopyRun(settings, judges, systems, loaded.manifest.name, loaded.manifest.sample_rate)
    parts = {name: clips for name, clips in parts.items() if clips}
    if not parts:
        raise CorpusError(f"{settings.corpus.folder}: nothing in its split {settings.split!r} to copy")
    found = run.findings(parts, "copies of recordings of people that no training heard")
    # Songs are another matter: they are shown, but not mixed with speech in one figure.
    return replace(found, headline="speech" if len(parts) > 1 else "")


def evaluate_sing(loaded: Loaded, settings: Settings, task: str = "sing") -> Findings:
    """What becomes of a sung tune in copies: pitch within 50 cents, octaves, voicing."""
    groups = settings.chosen(SING, task)
    judges, groups = settings.judges((), groups, _JUDGED)
    clips = songs(settings)
    if not clips:
        raise CorpusError(
            f"{settings.corpus.folder}: no songs (recordings without text) in its split {settings.split!r}: import a "
            "corpus with singing"
        )
    name, rate = loaded.manifest.name, loaded.manifest.sample_rate
    if isinstance(loaded.model, CanReconstruct):
        copy, config = copying(loaded, settings)
    else:
        copy, config = _denoising(loaded, settings), _mel_config(loaded)
    systems = {GRIFFIN_LIM: classical(config, settings.seed), name: copy}
    by_singer: dict[str, list[tuple[str, Waveform]]] = {}
    for clip, sound in clips:
        by_singer.setdefault(clip.rpartition(" ")[0], []).append((clip, sound))
    return CopyRun(settings, judges, systems, name, rate).findings(by_singer, "songs that no training heard")


def evaluate_denoise(loaded: Loaded, settings: Settings, task: str = "denoise") -> Findings:
    """Recordings with noise at several ratios, cleaned and set against the clean ones."""
    groups = settings.chosen(VOCODE, task)
    judges, groups = settings.judges((), groups, _JUDGED)
    clean = speech(settings)
    if not clean:
        raise CorpusError(f"{settings.corpus.folder}: no speech in its split {settings.split!r}")
    denoise, noises = _denoising(loaded, settings), Noises(settings.noises, settings.seed)
    settings.notes.append(f"noise: {noises.description}")
    systems = {NOISY: lambda place, sound: sound, loaded.manifest.name: denoise}
    run = CopyRun(settings, judges, systems, loaded.manifest.name, loaded.manifest.sample_rate)
    run.steps.total = run.work(len(clean)) * len(SNRS_DB)
    found, pictures = [], []
    for snr in SNRS_DB:
        given = [sound if snr is None else noises.over(sound, snr, k) for k, (_, sound) in enumerate(clean)]
        group, shown = run.group("clean" if snr is None else f"{snr:g} dB", clean, given)
        found.append(group)
        pictures += shown[:1]
    return Findings(
        tuple(found), judges, tuple(pictures), (), "recordings of people that no training heard, with noise"
    )


def copying(loaded: Loaded, settings: Settings) -> tuple[Make, MelConfig]:
    """A model's way of taking sound apart and putting it together again, and the mels to compare it with."""
    model, rate = loaded.model, loaded.manifest.sample_rate
    if not isinstance(model, CanReconstruct) or loaded.manifest.absent:
        raise UnsupportedTask(
            f"{loaded.manifest.name}: a {loaded.manifest.family!r} model makes no copies of recordings: name a vocoder"
        )
    device = next(loaded.model.parameters()).device
    rebuild = model.reconstruct

    def copied(place: int, sound: Waveform) -> Waveform:
        samples = torch.from_numpy(np.ascontiguousarray(resample(sound, rate).samples))[None].to(device)
        with torch.inference_mode():
            generator = sentence_generator(settings.seed, place, device)
            made = rebuild(samples, torch.zeros(1, dtype=torch.int64, device=device), generator)
        return Waveform(np.clip(made[0].float().cpu().numpy(), -1.0, 1.0), rate)

    return copied, _mel_config(loaded)


def speech(settings: Settings) -> list[tuple[str, Waveform]]:
    """The beginnings of recordings of held-out people in turn, or of everybody where nobody is held out."""
    return beginnings(held_out(settings.corpus, settings.split) or settings.clips(), settings.limit)


def beginnings(utterances: Sequence[Utterance], limit: int | None) -> list[tuple[str, Waveform]]:
    """The first 8 s of two recordings with a text of each speaker: the first of everybody, then the second."""
    spoken: dict[str, list[Utterance]] = {}
    for utterance in utterances:
        if utterance.text:
            spoken.setdefault(utterance.speaker, []).append(utterance)
    people = [sorted(spoken[name], key=lambda u: order(u.name))[:CLIPS_A_SPEAKER] for name in sorted(spoken, key=order)]
    turns = [clips[k] for k in range(CLIPS_A_SPEAKER) for clips in people if len(clips) > k]
    found = []
    for utterance in turns[:limit]:
        recording = read_utterance(utterance)
        samples = recording.samples[: int(SPEECH_SECONDS * recording.sample_rate)]
        found.append((utterance.name, Waveform(samples, recording.sample_rate)))
    return found


def songs(settings: Settings) -> list[tuple[str, Waveform]]:
    """Recordings without text, in pieces of 10 s; named `SONG 0`, `SONG 1`, ..."""
    found = []
    for utterance in settings.clips():
        if utterance.text:
            continue
        recording = read_utterance(utterance)
        size = int(SUNG_SECONDS * recording.sample_rate)
        for place in range(max(1, round(len(recording.samples) / size))):
            piece = recording.samples[place * size : (place + 1) * size]
            if len(piece) >= size // 4 and np.any(piece):
                found.append((f"{utterance.name} {place}", Waveform(piece, recording.sample_rate)))
    return found[: settings.limit]


class CopyRun:
    """Systems over clips, beside the recordings. known: measures that are known of whole systems."""

    def __init__(
        self,
        settings: Settings,
        judges: Judges,
        systems: Mapping[str, Make],
        model: str,
        sample_rate: int,
        known: Mapping[str, Mapping[str, float]] | None = None,
    ) -> None:
        self.settings, self.judges, self.systems, self.model = settings, judges, systems, model
        self.rate, self.steps, self.known = sample_rate, Steps(settings.progress), known or {}

    def work(self, clips: int) -> int:
        """Steps that so many clips take."""
        return clips * (1 + 2 * len(self.systems))

    def findings(self, parts: dict[str, list[tuple[str, Waveform]]], material: str) -> Findings:
        """All parts, each a group of the report."""
        self.steps.total = sum(self.work(len(clips)) for clips in parts.values())
        found, pictures = [], []
        for name, clips in parts.items():
            group, shown = self.group(name, clips, [sound for _, sound in clips])
            found.append(group)
            pictures += shown[: max(1, PICTURED // len(parts))]
        seconds = sum(sound.duration_seconds for clips in parts.values() for _, sound in clips)
        return Findings(tuple(found), self.judges, tuple(pictures), (), f"{seconds:.0f} s of {material}")

    def group(
        self, name: str, clips: Sequence[tuple[str, Waveform]], given: Sequence[Waveform]
    ) -> tuple[Group, list[Picture]]:
        """The clips as they should sound, and what the systems are given of each."""
        # A model of 16 kHz is not asked for what lies above 8 kHz.
        wanted = [(clip, resample(sound, self.rate)) for clip, sound in clips]
        human = [Item(clip, "", sound, sound) for clip, sound in wanted]
        found = [self._score(HUMAN, human)]
        sounds: list[dict[str, Waveform]] = [{HUMAN: sound} for _, sound in wanted[:PICTURED]]
        for system, make in self.systems.items():
            items = self._made(system, make, wanted, [resample(sound, self.rate) for sound in given])
            found.append(self._score(system, items))
            for shown, item in zip(sounds, items, strict=False):
                shown[system] = item.waveform
        pictures = [Picture(f"{clip} ({name})", shown) for (clip, _), shown in zip(wanted, sounds, strict=False)]
        return Group(name, "", len(clips), len(clips), tuple(found)), pictures

    def _made(
        self, system: str, make: Make, wanted: Sequence[tuple[str, Waveform]], given: Sequence[Waveform]
    ) -> list[Item]:
        progress = self.steps.part()
        if system not in (NOISY, GRIFFIN_LIM):
            make(0, given[0])  # the first call compiles: not timed
        items = []
        for place, ((clip, reference), sound) in enumerate(zip(wanted, given, strict=True)):
            started = time.perf_counter()
            made = make(place, sound)
            seconds = time.perf_counter() - started if system != NOISY else float("nan")
            items.append(Item(clip, "", reference, made, seconds, values=self.known.get(system, {})))
            progress(len(items), len(wanted))
        return items

    def _score(self, system: str, items: Sequence[Item]) -> SystemScores:
        settings, progress = self.settings, self.steps.part()
        return score_system(system, items, self.judges, workers=settings.workers, seed=settings.seed, progress=progress)


def _denoising(loaded: Loaded, settings: Settings) -> Make:
    """A model's own way of making a recording anew in its own voice; raises UnsupportedTask where it has none."""
    converter = Converter(loaded, settings.vocoder)
    if converter.speakers:
        raise UnsupportedTask(f"{converter.name}: converts between its own speakers, and makes no recording anew")

    def denoised(place: int, sound: Waveform) -> Waveform:
        return converter.denoise(sound, seed=settings.seed + place, variation=settings.variation).waveform

    return denoised


def classical(config: MelConfig, seed: int) -> Make:
    """Recordings to mels of a front end, and back by Griffin and Lim."""
    front_end = MelSpectrogram(config)

    def made(place: int, sound: Waveform) -> Waveform:
        samples = resample(sound, config.sample_rate).samples
        with torch.inference_mode():
            mel = front_end(torch.from_numpy(np.ascontiguousarray(samples))[None])[0].numpy()
        return Waveform(np.clip(griffin_lim(mel, config, seed=seed), -1.0, 1.0), config.sample_rate)

    return made


def _mel_config(loaded: Loaded) -> MelConfig:
    """The model's own mels, or the house's of its rate."""
    config = getattr(loaded.model, "mel_config", None) or getattr(getattr(loaded.model, "config", None), "mel", None)
    if isinstance(config, MelConfig):
        return config
    return MEL_16KHZ if loaded.manifest.sample_rate <= MEL_16KHZ.sample_rate else MEL_22KHZ
