"""Which of the two aligners is better on a corpus, after the same processor time of training?

    python benchmarks/aligners.py CORPUS [--seconds 90] [--seeds 2] [--noise-db 10] [--json figures.json]

Nobody has marked boundaries in these corpora, so the references are made:
- joins: two clips of a speaker become one with a pause of 0.4 s between them (the room tone of the first, mirrored).
  The end of the first clip's last word and the start of the second's first are where the sound ends and begins.
  Whether `corpus split` would cut the join between the right two words is asked too.
- clip edges: where sound begins and ends in a clip, against its first word's start and last word's end.
- silences: stretches of 0.15 s and more within clips, 35 dB under speech. They belong to no phone.
- stability: word boundaries of a clip alone against the same clip inside a join, and between seeds.
The clips are those of the training split, since that is how the aligner is used; the joins were not trained on.
Energy is always that of the clean recording, also where noise is added.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch

from moksori.audio.trim import pauses
from moksori.corpus.collate import collate
from moksori.corpus.features import prepare
from moksori.corpus.manifest import Corpus
from moksori.corpus.segment import snap_to_pauses
from moksori.pipeline.batches import ExampleBatches
from moksori.pipeline.run_config import run_config
from moksori.text.symbols import END_ID, GAP_ID, PUNCTUATION, START_ID, SYMBOL_IDS
from moksori.text.tokenizer import TextConfig, Tokenizer
from moksori.training.loop import fit
from moksori.types import Example, SpeechNeeds, Waveform

RATE, HOP = 16000, 200
NEEDS = SpeechNeeds(RATE, HOP)
PAUSE_SECONDS = 0.4
SILENT = np.array([START_ID, END_ID, GAP_ID, *(SYMBOL_IDS[mark] for mark in PUNCTUATION)])
NETWORKS = {"mel_states": "aligner/compact", "forward_sum": "aligner/forward_sum"}


def add_noise(waveform: np.ndarray, snr_db: float, draw: np.random.Generator) -> np.ndarray:
    """Pink noise at a signal-to-noise ratio over the whole clip."""
    spectrum = np.fft.rfft(draw.standard_normal(len(waveform)))
    noise = np.fft.irfft(spectrum / np.sqrt(np.maximum(np.arange(len(spectrum)), 1.0)), len(waveform))
    gain = np.sqrt(np.mean(waveform**2) / np.mean(noise**2) / 10.0 ** (snr_db / 10.0))
    return (waveform + gain * noise).astype(np.float32)


class Join:
    """Two clips of a speaker as one. sound_end, sound_start: of the two clips at the join, in seconds."""

    def __init__(self, first: Example, second: Example, tokenizer: Tokenizer) -> None:
        self.first, self.second = first, second
        before, after = _edges(first.waveform), _edges(second.waveform)
        tone = first.waveform[int(before[1] * RATE) :]
        if len(tone) < RATE // 50:  # too little room tone to make a pause of
            tone = np.zeros(RATE // 50, np.float32)
        gap = np.pad(tone, (0, round(PAUSE_SECONDS * RATE)), mode="symmetric")[len(tone) :]
        samples = np.concatenate([first.waveform, gap, second.waveform])
        samples = samples[: len(samples) // HOP * HOP].astype(np.float32)
        self.second_start = (len(first.waveform) + len(gap)) / RATE
        self.sound_end, self.sound_start = before[1], self.second_start + after[0]
        texts = first.utterance.text, second.utterance.text
        encoded = tokenizer.encode(" ".join(texts))
        self.words_before = len(tokenizer.encode(texts[0]).words)
        self.whole = len(encoded.words) == self.words_before + len(tokenizer.encode(texts[1]).words)
        utterance = replace(
            first.utterance, text=" ".join(texts), name=f"{first.utterance.name}+{second.utterance.name}"
        )
        self.example = replace(
            first, utterance=utterance, waveform=samples, tokens=encoded.tokens, stress=encoded.stress
        )


def _edges(waveform: np.ndarray) -> tuple[float, float]:
    """Where sound begins and ends, in seconds."""
    whole = Waveform(waveform, RATE)
    silent = pauses(whole, 0.0, 35.0)
    start = next((b for a, b in silent if a == 0.0), 0.0)
    end = next((a for a, b in silent if b >= whole.duration_seconds - 1e-6), whole.duration_seconds)
    return start, end


def train(
    preset: str, examples: Sequence[Example], speakers: int, seconds: float, seed: int, more: Sequence[str]
) -> tuple[Any, dict[str, float]]:
    """A network after about `seconds` of processor time, and what that was in steps."""
    overrides = [
        f"model.mel.sample_rate={RATE}",
        f"model.mel.hop_length={HOP}",
        f"model.num_speakers={speakers}",
        f"training.seed={seed}",
    ]
    config = run_config(preset, [*overrides, "training.device=cpu", *more])
    torch.manual_seed(seed)
    model = config.family.model(config.model)
    objective = config.family.objective(model, config.objective)
    batches = ExampleBatches(examples, NEEDS, config.training.batch_size, seed)
    objective.initialise(batches.batch(step) for step in range(2))
    began = time.process_time()
    for step in range(14):  # a trial without optimizer, to plan how many steps fit; the first ones compile
        if step == 4:
            began = time.process_time()
        next(iter(objective.updates(batches.batch(step), 10**6))).total().backward()
    steps = max(int(10 * seconds / (time.process_time() - began)), 20)
    settings = config.training.model_copy(update={"max_steps": steps})
    began = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        result = fit(objective, batches, [], settings, Path(folder))
    return result.averaged.model.eval(), {"steps": steps, "cpu_seconds": round(time.process_time() - began, 1)}


def durations(model: Any, examples: Sequence[Example]) -> list[np.ndarray]:
    """Frames of each token of each example."""
    found: list[np.ndarray] = []
    for start in range(0, len(examples), 8):
        part = examples[start : start + 8]
        frames = model.align(collate(part, NEEDS))
        found += [row[: len(e.tokens)].numpy() for row, e in zip(frames, part, strict=True) if e.tokens is not None]
    return found


def word_times(example: Example, frames: np.ndarray, tokenizer: Tokenizer) -> np.ndarray:
    """[words, 2]: start and end in seconds."""
    ends = np.concatenate([[0], np.cumsum(frames)]) * HOP / RATE
    words = tokenizer.encode(example.utterance.text).words
    return np.array([(ends[w.start_token], ends[w.end_token]) for w in words]).reshape(-1, 2)


def in_silence(example: Example, frames: np.ndarray, spans: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Seconds of the spans that lie on tokens of silence, and seconds in all; a frame at each edge is left out."""
    silent = np.isin(np.repeat(example.tokens, frames), SILENT)
    parts = [silent[int(start * RATE / HOP) + 1 : int(end * RATE / HOP) - 1] for start, end in spans]
    return float(sum(p.sum() for p in parts)), float(sum(len(p) for p in parts))


def measure(
    model: Any, singles: Sequence[Example], joins: Sequence[Join], noisy: Any, tokenizer: Tokenizer
) -> tuple[dict[str, float], list[np.ndarray]]:
    """Figures of one trained network, and the word times of the single clips."""
    alone = durations(model, [noisy(e) for e in singles])
    times = [word_times(e, frames, tokenizer) for e, frames in zip(singles, alone, strict=True)]
    hit = total = loud = claimed = 0.0
    ends_off = [
        abs(found - true)
        for e, words in zip(singles, times, strict=True)
        for found, true in zip((words[0, 0], words[-1, 1]), _edges(e.waveform), strict=True)
    ]
    for example, frames in zip(singles, alone, strict=True):
        seconds = len(example.waveform) / RATE
        quiet = pauses(Waveform(example.waveform, RATE), 0.15, 35.0)
        inner = [(a, b) for a, b in quiet if a > 0.05 and b < seconds - 0.05]
        found, all_ = in_silence(example, frames, inner)
        hit, total = hit + found, total + all_
        short = np.zeros(int(frames.sum()), bool)
        for a, b in pauses(Waveform(example.waveform, RATE), 0.05, 30.0):
            short[max(int(a * RATE / HOP) - 1, 0) : int(b * RATE / HOP) + 2] = True
        ends = np.cumsum(frames)
        for token, end, length in zip(example.tokens, ends, frames, strict=True):
            if token in SILENT and length >= 8 and end < len(short):  # gaps of 0.1 s and more
                claimed, loud = claimed + length, loud + (~short[end - length : end]).sum()
    joined = durations(model, [noisy(j.example) for j in joins])
    pieces = [
        word_times(e, d, tokenizer)
        for j in joins
        for e, d in zip((j.first, j.second), durations(model, [noisy(j.first), noisy(j.second)]), strict=True)
    ]
    edge, moved, right_gap, on_pause, of_pause = [], [], [], 0.0, 0.0
    for index, (join, frames) in enumerate(zip(joins, joined, strict=True)):
        words = word_times(join.example, frames, tokenizer)
        edge += [words[join.words_before - 1, 1] - join.sound_end, words[join.words_before, 0] - join.sound_start]
        snapped = snap_to_pauses([("", float(a), float(b)) for a, b in words], [(join.sound_end, join.sound_start)])
        right_gap.append(snapped[join.words_before - 1][2] == join.sound_end)
        found, all_ = in_silence(join.example, frames, [(join.sound_end, join.sound_start)])
        on_pause, of_pause = on_pause + found, of_pause + all_
        expected = np.concatenate([pieces[2 * index], pieces[2 * index + 1] + join.second_start])
        moved.append(np.abs(words - expected).max(axis=1))
    edges, shifts = np.abs(np.array(edge)), np.concatenate(moved)
    figures = {
        "clip_edge_median_ms": 1e3 * float(np.median(ends_off)),
        "clip_edge_within_50_ms": float((np.array(ends_off) <= 0.05).mean()),
        "join_cut_between_the_right_words": float(np.mean(right_gap)),
        "join_edge_median_ms": 1e3 * float(np.median(edges)),
        "join_edge_within_50_ms": float((edges <= 0.05).mean()),
        "join_edge_beyond_200_ms": float((edges > 0.2).mean()),
        "join_pause_on_silence": on_pause / max(of_pause, 1.0),
        "silence_on_silence": hit / max(total, 1.0),
        "silence_seconds": total * HOP / RATE,
        "claimed_pause_loud": float(loud / max(claimed, 1.0)),
        "words_moved_by_join_beyond_50_ms": float((shifts > 0.05).mean()),
    }
    return figures, times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--seconds", type=float, default=90.0, help="processor time of each training")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--noise-db", type=float, help="add pink noise at this signal-to-noise ratio")
    parser.add_argument("--clips", type=int, default=80)
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), choices=list(NETWORKS))
    parser.add_argument("--set", nargs="*", default=[], help="key.path=value for the presets")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    corpus, text = Corpus.open(arguments.corpus), TextConfig()
    tokenizer = Tokenizer(text)
    clean = [
        e
        for e in prepare(corpus, "train", NEEDS, text)
        if e.tokens is not None and 2 * len(e.tokens) <= len(e.waveform) // HOP
    ]
    draw = np.random.default_rng(0)
    snr = arguments.noise_db

    def noisy(example: Example) -> Example:
        if snr is None:
            return example
        seed = np.random.default_rng(list(example.utterance.name.encode()))
        return replace(example, waveform=add_noise(example.waveform, snr, seed))

    heard = [noisy(e) for e in clean]
    order = [clean[index] for index in draw.permutation(len(clean))]
    singles = order[: arguments.clips]
    by_speaker: dict[int, list[Example]] = {}
    for example in order:
        by_speaker.setdefault(example.speaker, []).append(example)
    pairs = [pair for items in by_speaker.values() for pair in list(pairwise(items))[::2]]
    joins = [Join(a, b, tokenizer) for a, b in (pairs[i] for i in draw.permutation(len(pairs))[: arguments.clips])]
    joins = [j for j in joins if j.whole]
    report: dict[str, Any] = {
        "corpus": corpus.info.name,
        "noise_db": snr,
        "singles": len(singles),
        "joins": len(joins),
        "networks": {},
    }
    for name in arguments.networks:
        runs, seen = [], []
        for seed in range(arguments.seeds):
            model, cost = train(
                NETWORKS[name], heard, len(corpus.info.speakers), arguments.seconds, seed, arguments.set
            )
            figures, times = measure(model, singles, joins, noisy, tokenizer)
            runs.append(cost | figures)
            seen.append(np.concatenate(times))
            print(name, seed, {k: round(v, 3) for k, v in runs[-1].items()}, flush=True)
        summary = {key: float(np.mean([run[key] for run in runs])) for key in runs[0]}
        if len(seen) > 1:
            summary["words_moved_by_seed_beyond_50_ms"] = float((np.abs(seen[0] - seen[1]).max(axis=1) > 0.05).mean())
        report["networks"][name] = summary
    keys = list(next(iter(report["networks"].values())))
    print(f"{corpus.info.name}, noise {snr} dB, {len(singles)} clips, {len(joins)} joins, {arguments.seeds} seeds")
    for key in keys:
        print(f"{key:36}" + "".join(f"{n:>12} {report['networks'][n][key]:9.3f}" for n in report["networks"]))
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
