"""Changing who sings, measured: who is heard, whether it is still the tune, and whether codes know the singer.

Sources are the songs of the split: recorded ones (no text), whose singers no table knows, and made ones. Who sings is
told by a classifier that has learnt from the training split's recordings and made songs of the model's singers.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from moksori.audio.mel import MEL_16KHZ, MelSpectrogram
from moksori.audio.resample import resample
from moksori.audio.world import analyse_world, synthesise_world
from moksori.corpus.manifest import read_utterance
from moksori.corpus.speech_to_singing import is_song
from moksori.corpus.splits import order
from moksori.errors import BadInput, CorpusError
from moksori.evaluation.mel_distance import mel_distance
from moksori.evaluation.melody import SUNG_HZ
from moksori.evaluation.names import CHANCE, COPY, HUMAN, KEY_CHANGE, PROBED_MELS, UNCHANGED
from moksori.evaluation.report import Group, Picture
from moksori.evaluation.score import Item, ItemScores, Judges, SystemScores, score_system, summarise
from moksori.evaluation.singer import CodeProbe, SingerClassifier, probe_codes, voice_segments
from moksori.models.checkpoint import Loaded
from moksori.models.contract import CanEncode
from moksori.pipeline.convert import Converter
from moksori.pipeline.evaluate_settings import PICTURED, Findings, Settings
from moksori.pipeline.evaluation_run import Steps
from moksori.types import Utterance, Waveform

CONVERT_SONGS = ("singer", "melody", "codes")
JUDGED_SONGS = {"singer": "speaker", "melody": "melody"}
"""Groups of the task's measures, and those of `evaluation.score.GROUPS` that they need."""
SOURCES_A_SINGER, TARGETS = 2, 2
SUNG_SECONDS = 10.0
LEARNT_CLIPS = 12
"""Training recordings of each singer that the classifier learns from: so many of speech, and so many of song."""
PROBED_CLIPS, CROPS_A_CLIP = 12, 2
CROP_SECONDS = 1.0
_RATE = 16000


@dataclass(frozen=True)
class Source:
    """A piece of a song that is to be sung by others. singer: who sings it, in the model's table or not."""

    name: str
    singer: str
    sound: Waveform
    made: bool


@dataclass(frozen=True)
class Task:
    """One conversion. place: its number, for the seed. key: semitones from the source's to where the target sings."""

    place: int
    source: Source
    target: str
    key: int

    @property
    def name(self) -> str:
        return f"{self.source.name} to {self.target}"


def evaluate_songs(loaded: Loaded, settings: Settings, task: str = "sing") -> Findings:
    """Measures a model that changes who sings between the singers of its table.

    Raises CorpusError where the split has no songs, or the training split no recordings of two singers of the model.
    """
    converter = Converter(loaded, settings.vocoder)
    groups = settings.chosen(CONVERT_SONGS, task)
    judges, groups = settings.judges((), groups, JUDGED_SONGS)
    sources = _sources(settings, converter.speakers)
    tasks = _tasks(converter, sources, settings)
    run = _Run(converter, settings, judges, groups, Steps(settings.progress))
    return run.findings(tasks)


def _sources(settings: Settings, singers: Sequence[str]) -> list[Source]:
    """Pieces of 10 s of the recorded songs, and the beginnings of made ones, so many a singer; at most `limit` each."""
    recorded, made = [], []
    for utterance in settings.clips():
        if not is_song(utterance):
            continue
        if utterance.text:
            made.append(utterance)
            continue
        sound = read_utterance(utterance)
        size = int(SUNG_SECONDS * sound.sample_rate)
        for place in range(max(1, round(len(sound.samples) / size))):
            piece = sound.samples[place * size : (place + 1) * size]
            if (place == 0 or len(piece) >= size // 4) and np.any(piece):
                name = f"{utterance.name} {place}"
                recorded.append(Source(name, utterance.speaker, Waveform(piece, sound.sample_rate), False))
    turns: list[Utterance] = []
    for number in range(SOURCES_A_SINGER):
        for singer in sorted({u.speaker for u in made}, key=order):
            own = sorted((u for u in made if u.speaker == singer), key=lambda u: order(u.name))
            turns += own[number : number + 1]
    sung = [Source(u.name, u.speaker, _beginning(read_utterance(u)), True) for u in turns[: settings.limit]]
    found = [*recorded[: settings.limit], *sung]
    if not found:
        raise CorpusError(
            f"{settings.corpus.folder}: no songs in its split {settings.split!r}: import recordings of singing, or "
            "make songs of speech with 'moksori corpus sing'"
        )
    return found


def _tasks(converter: Converter, sources: Sequence[Source], settings: Settings) -> list[Task]:
    """Each source to some of the table's singers, drawn by the seed, in a key where they sing."""
    moves = bool(getattr(converter.loaded.model, "takes_pitch", False))
    if not moves:
        settings.notes.append(f"{converter.name} follows no pitch: songs stay in their keys")
    found: list[Task] = []
    for source in sources:
        others = sorted(
            (name for name in converter.speakers if name != source.singer),
            key=lambda name: order(f"{settings.seed} {source.name} {name}"),
        )
        for target in others[: settings.targets or TARGETS]:
            key = converter.auto_key(source.sound, target) if moves else None
            found.append(Task(len(found), source, target, key or 0))
    return found


@dataclass
class _Run:
    """One evaluation: systems over conversions, and what the classifier has learnt."""

    converter: Converter
    settings: Settings
    judges: Judges
    groups: Sequence[str]
    steps: Steps
    _classifier: SingerClassifier | None = None
    _copies: dict[str, Waveform] = field(default_factory=dict)

    def findings(self, tasks: Sequence[Task]) -> Findings:
        """Recorded songs and made ones apart, by the same judges."""
        parts = {
            name: [task for task in tasks if task.source.made == made]
            for name, made in (("recorded songs", False), ("made songs", True))
        }
        parts = {name: part for name, part in parts.items() if part}
        self.steps.total = sum(4 * len(part) for part in parts.values())
        if "singer" in self.groups:
            self._classifier = self._learnt()
        found, pictures = [], []
        for name, part in parts.items():
            systems, sounds = self._systems(part)
            found.append(Group(name, "", len(part), len(part), tuple(systems)))
            shown = zip(part, sounds, strict=False)
            pictures += [Picture(f"{task.name} ({task.key:+d} semitones)", each) for task, each in shown]
        if "codes" in self.groups:
            found[0] = replace(found[0], systems=tuple(self._with_probes(found[0].systems)))
        sources = len({task.source.name for task in tasks})
        material = f"{len(tasks)} conversions of {sources} pieces of songs to {len({t.target for t in tasks})} singers"
        return Findings(tuple(found), self.judges, tuple(pictures), (), material)

    def _systems(self, part: Sequence[Task]) -> tuple[list[SystemScores], list[dict[str, Waveform]]]:
        name = self.converter.name
        own = [task for task in part if task.source.singer in self.converter.speakers]
        first = list({task.source.name: task for task in own}.values())
        found: list[SystemScores] = []
        recorded = self._recordings([task.target for task in part])
        if recorded:
            found.append(self._score(HUMAN, recorded))
        systems: dict[str, tuple[Sequence[Task], Callable[[Task], Waveform]]] = {
            UNCHANGED: (part, lambda task: task.source.sound),
            COPY: ([replace(task, target=task.source.singer, key=0) for task in first], self._converted),
            KEY_CHANGE: (part, _moved),
            name: (part, self._converted),
        }
        sounds: list[dict[str, Waveform]] = [{} for _ in part[:PICTURED]]
        for system, (tasks, make) in systems.items():
            items = self._items(system, tasks, make)
            if items:
                found.append(self._score(system, items))
            if tasks is part:
                for shown, item in zip(sounds, items, strict=False):
                    shown[system] = item.waveform
        return found, sounds

    def _items(self, system: str, tasks: Sequence[Task], make: Callable[[Task], Waveform]) -> list[Item]:
        progress, items = self.steps.part(), []
        for task in tasks:
            started = time.perf_counter()
            sound = make(task)
            seconds = time.perf_counter() - started if system in (COPY, self.converter.name) else math.nan
            reference = sound if system == UNCHANGED else task.source.sound
            values = self._heard(sound, task.target, task.source.singer if task.target != task.source.singer else "")
            if system == COPY and "melody" in self.groups:
                values["mel_distance"] = mel_distance(reference, _as_loud(sound, reference))
            items.append(
                Item(task.name, "", reference, sound, seconds, task.target, values, key_semitones=float(task.key))
            )
            progress(len(items), len(tasks))
        return items

    def _score(self, system: str, items: Sequence[Item]) -> SystemScores:
        judges = self.judges.only([group for group in self.judges.measures if group == "melody"])
        return score_system(system, items, judges, workers=self.settings.workers, seed=self.settings.seed)

    def _converted(self, task: Task) -> Waveform:
        settings = self.settings
        key = f"{task.name} {task.key}"
        if key not in self._copies:
            self._copies[key] = self.converter.convert(
                task.source.sound, task.target, seed=settings.seed + task.place, variation=settings.variation,
                key=float(task.key),
            ).waveform  # fmt: skip
        return self._copies.pop(key)

    # ---- who is heard

    def _learnt(self) -> SingerClassifier:
        """The classifier of the model's singers, and a note on what it has learnt from."""
        embeddings, singers = [], []
        for name in self.converter.speakers:
            for utterance in _spread(self._of("train", name), LEARNT_CLIPS):
                segments = voice_segments(read_utterance(utterance))
                embeddings += [self.judges.embed(segment) for segment in segments]
                singers += [name] * len(segments)
        missing = [name for name in self.converter.speakers if name not in singers]
        if len(set(singers)) < 2:
            raise CorpusError(
                f"{self.settings.corpus.folder}: has training recordings of {len(set(singers))} of the singers "
                f"{', '.join(self.converter.speakers)}, and the classifier needs two: take the corpus that the model "
                "was trained on"
            )
        self.settings.notes.append(
            f"who sings: told among {len(set(singers))} by a classifier that has learnt from {len(singers)} segments "
            "of training recordings and made songs, none of them converted"
            + (f"; not known to it: {', '.join(missing)}" if missing else "")
        )
        return SingerClassifier(embeddings, singers)

    def _heard(self, sound: Waveform, target: str, source: str) -> dict[str, float]:
        """Whether the target is heard, and the source; nothing of somebody whom the classifier does not know."""
        if self._classifier is None:
            return {}
        told = self._classifier.probabilities([self.judges.embed(segment) for segment in voice_segments(sound)])
        nearest = max(told, key=lambda name: told[name])
        values = {"singer_identified": float(nearest == target)} if target in told else {}
        return values | ({"singer_source": float(nearest == source)} if source in told else {})

    def _recordings(self, targets: Sequence[str]) -> list[Item]:
        """Held-out recordings of the targets, songs where there are some: what the classifier makes of the truth."""
        items = []
        for name in dict.fromkeys(targets):
            own = self._of(self.settings.split, name)
            for utterance in ([u for u in own if is_song(u)] or own)[:SOURCES_A_SINGER]:
                sound = _beginning(read_utterance(utterance))
                items.append(Item(utterance.name, "", sound, sound, math.nan, name, self._heard(sound, name, "")))
        return items

    def _of(self, split: str, singer: str) -> list[Utterance]:
        """The singer's recordings of a split, in the order of lots."""
        corpus = self.settings.corpus
        own = corpus.split(split) if split in corpus.splits else []
        return sorted((u for u in own if u.speaker == singer), key=lambda u: order(u.name))

    # ---- what the codes know

    def _with_probes(self, systems: Sequence[SystemScores]) -> list[SystemScores]:
        """The systems with crops of the probe among the model's, and two rows to read them beside."""
        model = self.converter.loaded.model
        if not isinstance(model, CanEncode):
            self.settings.notes.append("codes not probed: the model shows none")
            return list(systems)
        seen, asked = (self._crops(split, model.window_samples) for split in ("train", self.settings.split))
        try:
            probe = probe_codes(_encoded(model, seen), _encoded(model, asked), self.settings.seed)
            mels = probe_codes(_mels(seen, self._rate), _mels(asked, self._rate), self.settings.seed)
        except BadInput as error:
            self.settings.notes.append(f"codes not probed: {error}")
            return list(systems)
        asked_about = sum(len(right) for right in probe.right.values())
        self.settings.notes.append(
            f"codes: a network of the confusion network's form, trained anew, reads {probe.singers} singers off crops "
            f"of {CROP_SECONDS:g} s; asked about {asked_about} of other recordings"
        )
        seed, found = self.settings.seed, []
        for system in systems:
            items = (*system.items, *(_probed(probe) if system.name == self.converter.name else ()))
            found.append(SystemScores(system.name, summarise(items, seed), items, system.note))
        guess = ItemScores("guess", "", CROP_SECONDS, None, None, {"code_probe": 1.0 / probe.singers})
        for name, rows in ((PROBED_MELS, _probed(mels)), (CHANCE, (guess,))):
            found.append(SystemScores(name, summarise(rows, seed), tuple(rows)))
        return found

    @property
    def _rate(self) -> int:
        return self.converter.sample_rate

    def _crops(self, split: str, window: int) -> dict[str, np.ndarray]:
        """Crops of each singer at the model's rate, in whole windows: where recordings of a split are loudest."""
        size = max(round(CROP_SECONDS * self._rate / window), 1) * window
        found = {}
        for name in self.converter.speakers:
            crops = [
                crop for utterance in _spread(self._of(split, name), PROBED_CLIPS)
                for crop in _loudest(resample(read_utterance(utterance), self._rate).samples, size)
            ]  # fmt: skip
            if crops:
                found[name] = np.stack(crops)
        return found


def _spread(utterances: Sequence[Utterance], count: int) -> list[Utterance]:
    """So many songs, and so many others."""
    songs = [u for u in utterances if is_song(u)]
    return [*songs[:count], *[u for u in utterances if not is_song(u)][:count]]


def _beginning(sound: Waveform) -> Waveform:
    return Waveform(sound.samples[: int(SUNG_SECONDS * sound.sample_rate)], sound.sample_rate)


def _as_loud(sound: Waveform, reference: Waveform) -> Waveform:
    """Models sing at a level of their own, which is no error of theirs."""
    own, wanted = (float(np.square(one.samples, dtype=np.float64).mean()) for one in (sound, reference))
    return sound if own == 0.0 else Waveform(sound.samples * np.float32(math.sqrt(wanted / own)), sound.sample_rate)


def _loudest(samples: np.ndarray, size: int) -> list[np.ndarray]:
    """The loudest stretches of `size` samples, at most CROPS_A_CLIP that do not overlap; none of a shorter sound."""
    starts = list(range(0, len(samples) - size + 1, size))
    loud = sorted(starts, key=lambda start: -float(np.square(samples[start : start + size], dtype=np.float64).sum()))
    return [samples[start : start + size] for start in loud[:CROPS_A_CLIP]]


def _encoded(model: CanEncode, crops: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    assert isinstance(model, torch.nn.Module)
    device = next(model.parameters()).device
    with torch.inference_mode():
        return {name: model.encode(torch.from_numpy(part).to(device)).cpu().numpy() for name, part in crops.items()}


def _mels(crops: dict[str, np.ndarray], rate: int) -> dict[str, np.ndarray]:
    front_end, found = MelSpectrogram(MEL_16KHZ), {}
    for name, part in crops.items():
        sounds = [resample(Waveform(crop, rate), MEL_16KHZ.sample_rate).samples for crop in part]
        with torch.inference_mode():
            found[name] = front_end(torch.from_numpy(np.stack(sounds))).numpy()
    return found


def _probed(probe: CodeProbe) -> tuple[ItemScores, ...]:
    """A singer an item: the share of the crops that were known."""
    return tuple(
        ItemScores(f"crops of {name}", "", CROP_SECONDS * len(right), None, None, {"code_probe": float(np.mean(right))})
        for name, right in probe.right.items()
    )


def _moved(task: Task) -> Waveform:
    """The source in the target's key, by WORLD, in its own voice."""
    frames = analyse_world(resample(task.source.sound, _RATE), *SUNG_HZ)
    moved = synthesise_world(replace(frames, f0=frames.f0 * 2.0 ** (task.key / 12.0)))
    samples = np.zeros(len(resample(task.source.sound, _RATE).samples), np.float32)
    length = min(len(samples), len(moved.samples))
    samples[:length] = moved.samples[:length]
    return Waveform(samples, _RATE)
