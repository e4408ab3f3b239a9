"""What every run of a study is measured on: the same segments, trials, labels and pairs, made once.

Speakers are held out: in the test split and in no other. A corpus without such speakers is measured on its test
recordings, and the study says so.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int

from moksori.audio.mel import MelConfig, MelSpectrogram
from moksori.corpus.features import prepare
from moksori.corpus.manifest import Corpus, read_utterance
from moksori.corpus.splits import order
from moksori.errors import CorpusError
from moksori.evaluation.probes import SpectralJudge, mel_clusters
from moksori.evaluation.speaker_sexes import speaker_sexes
from moksori.evaluation.trials import FILES_A_SPEAKER, Segment, segments_of
from moksori.pipeline.align import align
from moksori.pipeline.progress import Progress
from moksori.text.tokenizer import TextConfig
from moksori.types import SpeechBatch, SpeechNeeds, Utterance, Waveform

CONVERSIONS = 120
JUDGE_FILES = 3
"""Recordings of each training speaker that the spectral judge learns from."""
LEAK_SECONDS = 12.0
LEAST_ALIGNED = 60
MOST_ALIGNED, MOST_ALIGNED_TEST = 300, 60
"""Recordings of one speaker whose phones are asked for: aligning takes a minute."""
PROBED = 100
"""Training recordings that the content probe learns from."""

Mel = Float[np.ndarray, "mels frames"]


@dataclass(frozen=True)
class Labelled:
    """A log-mel and what each of its frames is: a phone or a cluster."""

    mel: Mel
    labels: Int[np.ndarray, " frames"]


@dataclass(frozen=True)
class Conversion:
    """Places of segments: whose words, whose voice, and other segments of both speakers to be compared with."""

    source: int
    target: int
    of_source: tuple[int, ...]
    of_target: tuple[int, ...]


@dataclass(frozen=True)
class StudyData:
    """The material. segments and mels go together; batch holds the same segments' sound.

    leak: a log-mel for each speaker, to tell speakers by frames. labels: what `probed` and `tested` are labelled with.
    held_out: whether no speaker is in training.
    """

    segments: Sequence[Segment]
    mels: Float[np.ndarray, "segments mels frames"]
    batches: Sequence[SpeechBatch]
    leak: Sequence[Mel]
    labels: str
    probed: Sequence[Labelled]
    tested: Sequence[Labelled]
    conversions: Sequence[Conversion]
    judge: SpectralJudge
    held_out: bool

    @property
    def speakers(self) -> int:
        return len({segment.speaker for segment in self.segments})


def study_data(corpus: Corpus, front_end: MelConfig, folder: Path, progress: Progress, seed: int = 0) -> StudyData:
    """Reads, cuts, aligns. folder: keeps the alignment, which is that of a part of the corpus.

    Raises CorpusError for a corpus without test recordings of two speakers of one sex.
    """
    mel = MelSpectrogram(front_end)

    def log_mel(waveform: Waveform) -> Mel:
        return mel(torch.from_numpy(waveform.samples)[None])[0].numpy()

    chosen, held_out = _measured(corpus)
    sexes, rate = speaker_sexes(), front_end.sample_rate
    sounds = [(u, read_utterance(u, rate)) for u in chosen]
    found = segments_of((u.speaker, sexes.get(u.speaker, ""), u.name, sound) for u, sound in sounds)
    found = [replace(s, waveform=_whole_frames(s.waveform, front_end.hop_length)) for s in found]
    pairs = _conversions(found, seed)
    if not pairs:
        raise CorpusError(
            f"{corpus.folder}: its test split has too little speech of two speakers or more: a study needs several "
            "segments of 3 s of each"
        )
    labels, probed, tested = _labelled(corpus, front_end, folder, progress, sounds)
    teachers = _judge_files(corpus, {u.speaker for u in chosen} if held_out else set())
    taught = segments_of((u.speaker, "", u.name, read_utterance(u, rate)) for u in teachers)
    leak: dict[str, Mel] = {}
    for utterance, sound in sounds:
        one = log_mel(sound)[:, : round(LEAK_SECONDS * rate / front_end.hop_length)]
        if one.shape[1] > leak.get(utterance.speaker, one[:, :0]).shape[1]:
            leak[utterance.speaker] = one
    return StudyData(
        segments=found,
        mels=np.stack([log_mel(s.waveform) for s in found]),
        batches=_batches(found),
        leak=list(leak.values()),
        labels=labels,
        probed=probed,
        tested=tested,
        conversions=pairs,
        judge=SpectralJudge([log_mel(s.waveform) for s in taught], [s.speaker for s in taught]),
        held_out=held_out,
    )


def _measured(corpus: Corpus) -> tuple[list[Utterance], bool]:
    """Test recordings of the speakers that no other split has, or of all where there are none such."""
    known = {u.speaker for split in corpus.splits if split != "test" for u in corpus.split(split)}
    tests = corpus.split("test")
    kept = [u for u in tests if u.speaker not in known]
    held_out = len({u.speaker for u in kept}) >= 2
    counts: dict[str, int] = {}
    chosen = []
    for utterance in sorted(kept if held_out else tests, key=lambda u: order(u.name)):
        counts[utterance.speaker] = counts.get(utterance.speaker, 0) + 1
        if counts[utterance.speaker] <= FILES_A_SPEAKER:
            chosen.append(utterance)
    return chosen, held_out


def _judge_files(corpus: Corpus, without: set[str]) -> list[Utterance]:
    counts: dict[str, int] = {}
    chosen = []
    for utterance in sorted(corpus.split("train"), key=lambda u: order(u.name)):
        counts[utterance.speaker] = counts.get(utterance.speaker, 0) + 1
        if utterance.speaker not in without and counts[utterance.speaker] <= JUDGE_FILES:
            chosen.append(utterance)
    return chosen


def _whole_frames(waveform: Waveform, hop_length: int) -> Waveform:
    return replace(waveform, samples=waveform.samples[: len(waveform.samples) // hop_length * hop_length])


def _batches(segments: Sequence[Segment], size: int = 32) -> list[SpeechBatch]:
    found = []
    for first in range(0, len(segments), size):
        part = segments[first : first + size]
        waveform = torch.from_numpy(np.stack([s.waveform.samples for s in part]))
        lengths = torch.full((len(part),), waveform.shape[1])
        found.append(SpeechBatch(tuple(s.file for s in part), waveform, lengths, torch.zeros(len(part)).long()))
    return found


def _conversions(segments: Sequence[Segment], seed: int) -> list[Conversion]:
    """Random pairs of two speakers with two segments each: one is used, the others are who it is compared with."""
    places: dict[str, list[int]] = {}
    for place, segment in enumerate(segments):
        places.setdefault(segment.speaker, []).append(place)
    able = [name for name, held in places.items() if len(held) > 1]
    if len(able) < 2:
        return []
    draw = np.random.default_rng([seed, 23])
    pairs = []
    for _ in range(CONVERSIONS):
        one, two = draw.choice(len(able), 2, replace=False)
        mine, theirs = places[able[one]], places[able[two]]
        source, target = int(draw.choice(mine)), int(draw.choice(theirs))
        pairs.append(
            Conversion(source, target, tuple(p for p in mine if p != source), tuple(p for p in theirs if p != target))
        )
    return pairs


def _labelled(
    corpus: Corpus,
    front_end: MelConfig,
    folder: Path,
    progress: Progress,
    sounds: Sequence[tuple[Utterance, Waveform]],
) -> tuple[str, list[Labelled], list[Labelled]]:
    """Phones of the speaker who has most test sentences; clusters of the measured speakers' mels where none has any."""
    mel = MelSpectrogram(front_end)
    speaker = _aligned_speaker(corpus)
    if speaker is None:
        mels = [mel(torch.from_numpy(sound.samples)[None])[0].numpy() for _, sound in sounds]
        clusters = mel_clusters([m.T for m in mels])
        parts = [Labelled(m, ids) for m, ids in zip(mels, clusters, strict=True)]
        # By speaker, so that the probe is tested on voices that it has not seen.
        names = sorted({u.speaker for u, _ in sounds}, key=order)
        first = set(names[: len(names) // 2])
        probed = [part for part, (u, _) in zip(parts, sounds, strict=True) if u.speaker in first]
        return "mel clusters", probed, [p for p, (u, _) in zip(parts, sounds, strict=True) if u.speaker not in first]
    needs = SpeechNeeds(front_end.sample_rate, front_end.hop_length)
    own = {
        split: tuple(sorted((u for u in corpus.split(split) if u.speaker == speaker and u.text), key=_lot)[:most])
        for split, most in (("train", MOST_ALIGNED), ("test", MOST_ALIGNED_TEST))
    }
    # Under the study's folder: the corpus's own caches are of all its recordings.
    part = replace(corpus, folder=folder, utterances=own)
    text = TextConfig(language=own["train"][0].language)
    durations = align(part, needs, text, ("train", "test"), progress=progress).durations
    found = {}
    for split in ("train", "test"):
        examples = prepare(part, split, replace(needs, tokens=True), text)
        found[split] = [
            Labelled(
                mel(torch.from_numpy(e.waveform)[None])[0].numpy(), np.repeat(e.tokens, durations[e.utterance.name])
            )
            for e in examples
            if e.tokens is not None and e.utterance.name in durations
        ]
    return f"phones of {speaker}", found["train"][:PROBED], found["test"]


def _lot(utterance: Utterance) -> str:
    return order(utterance.name)


def _aligned_speaker(corpus: Corpus) -> str | None:
    """Who has the most test sentences with texts, and enough training sentences to be aligned by."""
    counts = {split: Counter(u.speaker for u in corpus.split(split) if u.text.strip()) for split in ("train", "test")}
    able = [name for name, count in counts["train"].items() if count >= LEAST_ALIGNED and counts["test"][name]]
    return max(able, key=lambda name: (counts["test"][name], name), default=None)
