"""What a model's codes carry, over recordings that no training heard: how many are used, phones, and the speaker.

Phones are the aligner's. Who speaks is read by a linear probe, off the mean of a second's codes; beside it stands the
same probe on mels, and chance.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int

from moksori.audio.mel import MelConfig, MelSpectrogram
from moksori.corpus.features import prepare
from moksori.corpus.manifest import Corpus, write_text
from moksori.errors import CorpusError, UnsupportedTask
from moksori.evaluation.codes import CodeUse, Purity, code_use, phone_purity
from moksori.evaluation.probes import Probe, linear_probe
from moksori.models.checkpoint import Loaded
from moksori.models.contract import CanCode, CanEncode
from moksori.pipeline.align import align
from moksori.pipeline.progress import Progress, no_progress
from moksori.text.symbols import END, GAP, LANGUAGES, PAD, PUNCTUATION, START, STRESS_MARKS
from moksori.text.tokenizer import TextConfig, Tokenizer
from moksori.types import Example, LongRecording, SpeechNeeds

PROBED_SECONDS = 1.0
"""Of the stretches whose mean code tells who speaks."""
LEAST_CODES = 20
"""Of a recording, for it to count."""
_NO_PHONES = {PAD, GAP, START, END, *PUNCTUATION, *STRESS_MARKS, *(f"<{language}>" for language in LANGUAGES)}


@dataclass(frozen=True)
class CodeReport:
    """Of a model over recordings of a corpus. purity: None without texts. leak, leak_of_mels: None for one speaker."""

    model: str
    corpus: str
    split: str
    recordings: int
    seconds: float
    use: CodeUse
    purity: Purity | None
    leak: Probe | None
    leak_of_mels: Probe | None

    def rows(self) -> list[tuple[str, str]]:
        """What is told, by name."""
        use, told = self.use, [("material", f"{self.recordings} recordings, {self.seconds:.0f} s, split {self.split}")]
        told += [
            ("codes in use", f"{use.used} of {use.size} ({use.used_share:.0%})"),
            ("perplexity", f"{use.perplexity:.1f}"),
            ("bit rate", f"{use.bits_per_second:.0f} bit/s, {use.rate:g} codes/s of {use.entropy_bits:.2f} bits"),
            ("codes that differ from the one before", f"{use.changes:.0%}"),
        ]
        if self.purity is not None:
            p = self.purity
            told.append((
                "phones by majority vote",
                f"{p.accuracy:.1%} of {p.codes} codes, {p.phones} phones (shuffled {p.shuffled:.1%}, always the most "
                f"frequent {p.most_frequent:.1%}); {p.information:.1%} of what there is to know of the phone",
            ))  # fmt: skip
        if self.leak is not None and self.leak_of_mels is not None:
            told.append((
                "who speaks, read off a second of codes",
                f"{self.leak.accuracy:.1%} of {self.leak.frames} (of mels {self.leak_of_mels.accuracy:.1%}, chance "
                f"{self.leak.chance:.1%}, {self.leak.labels} speakers)",
            ))  # fmt: skip
        return told

    def save(self, folder: str | Path) -> Path:
        """Writes `codes.json` and `codes.md`; returns the page. Raises MoksoriError where the disk refuses."""
        folder = Path(folder)
        content: dict[str, Any] = asdict(self)
        write_text(folder / "codes.json", json.dumps(content, indent=2) + "\n")
        lines = [f"# Codes of {self.model} on {self.corpus}", "", "| | |", "|---|---|"]
        lines += [f"| {name} | {value} |" for name, value in self.rows()]
        write_text(folder / "codes.md", "\n".join(lines) + "\n")
        return folder / "codes.md"


def code_report(
    loaded: Loaded,
    corpus: Corpus,
    split: str = "test",
    limit: int | None = None,
    aligner_assignments: Sequence[str] = (),
    progress: Progress = no_progress,
) -> CodeReport:
    """Measures a model's codes. limit: recordings of each speaker. progress: is told recordings.

    aligner_assignments: overrides for the aligner, which learns the corpus's training split where it has not yet.
    Raises UnsupportedTask for a model without codes, CorpusError where the split holds nothing long enough.
    """
    model, manifest = loaded.model, loaded.manifest
    if not isinstance(model, CanCode):
        raise UnsupportedTask(
            f"{manifest.name}: a {manifest.family!r} model has no codes: name one of the family vqvae"
        )
    needs = SpeechNeeds(manifest.sample_rate, model.window_samples, tokens=False)
    spoken = any(utterance.text for utterance in corpus.split(split)) if split in corpus.splits else False
    text = TextConfig(language=corpus.info.language)
    examples = _chosen(prepare(corpus, split, replace(needs, tokens=spoken), text), needs, limit)
    if not examples:
        raise CorpusError(f"{corpus.folder}: its split {split!r} holds no recording of {LEAST_CODES} codes or more")
    found: list[Int[np.ndarray, " codes"]] = []
    for example in examples:
        found.append(model.read(_recording(example, needs.sample_rate)).codes)
        progress(len(found), len(examples))
    use = code_use(found, model.code_count, needs.sample_rate / needs.hop_length)
    purity = None
    if spoken and len(examples) > 1:
        alignment = align(corpus, needs, text, ("train", split), assignments=aligner_assignments)
        labelled = [
            (codes, _phones(example, alignment.durations[example.utterance.name], len(codes), text))
            for codes, example in zip(found, examples, strict=True)
            if example.utterance.name in alignment.durations
        ]
        purity = phone_purity(labelled, model.code_count) if len(labelled) > 1 else None
    leak, of_mels = _leaks(loaded, examples, needs)
    seconds = sum(len(example.waveform) for example in examples) / needs.sample_rate
    return CodeReport(manifest.name, corpus.info.name, split, len(examples), seconds, use, purity, leak, of_mels)


def _chosen(examples: Sequence[Example], needs: SpeechNeeds, limit: int | None) -> list[Example]:
    """The first `limit` of each speaker, of those that are long enough."""
    taken: dict[str, int] = {}
    chosen = []
    for example in examples:
        speaker = example.utterance.speaker
        if len(example.waveform) < LEAST_CODES * needs.hop_length or (limit and taken.get(speaker, 0) >= limit):
            continue
        taken[speaker] = taken.get(speaker, 0) + 1
        chosen.append(example)
    return chosen


def _recording(example: Example, rate: int) -> LongRecording:
    return LongRecording(len(example.waveform), rate, lambda: iter([example.waveform]))


def _phones(
    example: Example, durations: Int[np.ndarray, " tokens"], codes: int, text: TextConfig
) -> Int[np.ndarray, " codes"]:
    """The phone of each code, by the token's number; -1 where nothing is said."""
    assert example.tokens is not None
    silent = [number for symbol, number in Tokenizer(text).ids.items() if symbol in _NO_PHONES]
    each = np.repeat(np.where(np.isin(example.tokens, silent), -1, example.tokens), durations).astype(np.int64)
    return np.pad(each, (0, max(codes - len(each), 0)), constant_values=-1)[:codes]


def _leaks(loaded: Loaded, examples: Sequence[Example], needs: SpeechNeeds) -> tuple[Probe | None, Probe | None]:
    """How well a linear probe knows the speaker by the mean of a second of codes, and of mels: learnt on every other
    recording of each speaker, asked about the rest."""
    model = loaded.model
    assert isinstance(model, CanEncode)
    rate, hop = needs.sample_rate, needs.hop_length
    front_end = MelSpectrogram(MelConfig(sample_rate=rate, f_max_hz=min(8000.0, rate / 2)))
    halves: list[tuple[list[np.ndarray], list[np.ndarray], list[int]]] = [([], [], []), ([], [], [])]
    met: dict[str, int] = {}
    names = sorted({example.utterance.speaker for example in examples})
    for example in examples:
        speaker = example.utterance.speaker
        codes, mels, labels = halves[met.get(speaker, 0) % 2]
        met[speaker] = met.get(speaker, 0) + 1
        sound = torch.from_numpy(example.waveform)[None]
        with torch.inference_mode():
            states = model.encode(sound[:, : sound.shape[1] // hop * hop].to(loaded.device))[0].float().cpu().numpy()
            heard = front_end(sound)[0].numpy()
        seconds = max(int(len(example.waveform) / rate / PROBED_SECONDS), 1)
        codes += _means(states, seconds)
        mels += _means(heard, seconds)
        labels += [names.index(speaker)] * seconds
    known, asked = set(halves[0][2]), halves[1][2]
    if len(known) < 2 or not asked:
        return None, None
    learnt, tested = (np.array(half[2]) for half in halves)
    found = [linear_probe(np.stack(halves[0][kind]), learnt, np.stack(halves[1][kind]), tested) for kind in (0, 1)]
    return found[0], found[1]


def _means(frames: Float[np.ndarray, "size frames"], count: int) -> list[Float[np.ndarray, " size"]]:
    """Of so many equal parts."""
    return [part.mean(axis=1) for part in np.array_split(frames, count, axis=1)]
