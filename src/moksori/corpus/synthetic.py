"""Tiny corpora of tones: every symbol has its own sound and a known length, so that a test knows the right answer.

A letter of the symbol table is a harmonic stack: the fundamental tells the speaker, the strengths of the harmonics tell
the symbol, as vowels do. Gaps, punctuation and the ends are near silence. Everything follows from the seed.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from moksori.audio.io import write
from moksori.audio.world_features import envelope_groups
from moksori.corpus.manifest import Corpus, CorpusInfo, rewrite, write_text
from moksori.text.symbols import END, GAP, PAD, START
from moksori.text.tokenizer import TextConfig, Tokenizer
from moksori.types import Example, SpeechNeeds, Utterance, Waveform

WORDS = ("one", "two", "three", "four", "seven", "lemon", "river", "open", "many", "under", "yellow", "morning")
FUNDAMENTALS_HZ = (120.0, 210.0, 160.0, 250.0)
LEVEL = 0.3
SILENCE_LEVEL = 1e-3
CODE_STAGES, CODE_COUNT = 4, 8
"""Of the codes where a family learns from a codec's."""


@dataclass(frozen=True)
class SyntheticCorpus:
    """The corpus on disk, and the true durations of its tokens in frames of `needs.hop_length`."""

    corpus: Corpus
    durations: Mapping[str, Int[np.ndarray, " tokens"]]


def synthetic_examples(
    needs: SpeechNeeds, count: int, seed: int, text: TextConfig | None = None, speakers: int = 1
) -> list[Example]:
    """Examples in memory, with every field that `needs` asks for; half a second to two seconds long.

    needs: rate in Hz and hop of the examples; rates from 8 kHz. speakers: their fundamentals differ.
    """
    tokenizer = Tokenizer(text or TextConfig())
    draw = np.random.default_rng([seed, 17])
    return [_example(needs, tokenizer, index, index % speakers, draw) for index in range(count)]


def write_synthetic(
    target: Path,
    count: int = 12,
    seed: int = 0,
    needs: SpeechNeeds | None = None,
    text: TextConfig | None = None,
    speakers: int = 1,
) -> SyntheticCorpus:
    """Writes a corpus in the real layout to `target`: two utterances valid and two test where `count` is 6 or more.

    needs: decides rate and hop (22050 Hz and 256 by default); prepared with the same needs, the waveforms come back up
    to 16-bit rounding, and `durations` fit. The durations are also kept in `durations.json`.
    """
    needs = needs or SpeechNeeds(22050, 256)
    parts: dict[str, list[Utterance]] = {"train": [], "valid": [], "test": []}
    durations: dict[str, Int[np.ndarray, " tokens"]] = {}
    every = SpeechNeeds(needs.sample_rate, needs.hop_length, tokens=True, durations=True)
    for index, example in enumerate(synthetic_examples(every, count, seed, text, speakers)):
        assert example.durations is not None
        audio = target / "audio" / f"{example.utterance.name}.flac"
        audio.parent.mkdir(parents=True, exist_ok=True)
        write(audio, Waveform(example.waveform, needs.sample_rate))
        split = "train" if count < 6 or index < count - 4 else "valid" if index < count - 2 else "test"
        stored = Utterance(
            example.utterance.name, example.utterance.text, example.utterance.speaker, "en-us", audio, 0.0,
            example.utterance.duration_seconds, needs.sample_rate,
        )  # fmt: skip
        parts[split].append(stored)
        durations[stored.name] = example.durations
    write_text(target / "durations.json", json.dumps({name: frames.tolist() for name, frames in durations.items()}))
    info = CorpusInfo(
        name="synthetic",
        licence="CC0 1.0",
        language="en-us",
        speakers=tuple(sorted({_speaker(index % speakers) for index in range(count)})),
        settings={"seed": seed},
        split_rule="the last two are test, the two before them valid",
    )
    rewrite(target, info, {name: items for name, items in parts.items() if items})
    return SyntheticCorpus(Corpus.open(target), durations)


def _example(needs: SpeechNeeds, tokenizer: Tokenizer, index: int, speaker: int, draw: np.random.Generator) -> Example:
    words = [WORDS[place] for place in draw.integers(0, len(WORDS), draw.integers(2, 5))]
    text = " ".join(words).capitalize() + "."
    encoded = tokenizer.encode(text)
    silent = {tokenizer.ids[s] for s in (PAD, GAP, START, END, ".") if s in tokenizer.ids}
    frames_per_second = needs.sample_rate / needs.hop_length
    # 50 to 90 ms a phone: the same number of frames for the same symbol up to a third, so that durations can be learnt.
    typical = (0.05 + 0.04 * np.array([_part(token, 1) for token in encoded.tokens])) * frames_per_second
    durations = np.maximum(1, np.rint(typical * draw.uniform(0.85, 1.15, len(typical)))).astype(np.int64)
    fundamental = FUNDAMENTALS_HZ[speaker % len(FUNDAMENTALS_HZ)] * (1 + 0.25 * (speaker // len(FUNDAMENTALS_HZ)))
    pitches = np.where(np.isin(encoded.tokens, list(silent)), 0.0, fundamental)
    waveform = _tones(encoded.tokens, durations, pitches, needs, draw)
    utterance = Utterance(
        name=f"synthetic_{index:04d}",
        text=text,
        speaker=_speaker(speaker),
        language="en-us",
        audio=Path("audio") / f"synthetic_{index:04d}.flac",
        start_seconds=0.0,
        duration_seconds=len(waveform) / needs.sample_rate,
        sample_rate=needs.sample_rate,
    )
    f0 = np.repeat(pitches, durations).astype(np.float32)
    shapes, frames = None, None
    if needs.envelopes is not None:
        shapes, frames = envelope_groups(Waveform(waveform, needs.sample_rate), f0, needs.hop_length, needs.envelopes)
    return Example(
        utterance=utterance,
        waveform=waveform,
        speaker=speaker,
        tokens=encoded.tokens if needs.tokens else None,
        stress=encoded.stress if needs.tokens else None,
        durations=durations if needs.durations else None,
        f0=f0 if needs.f0 else None,
        units=np.repeat(encoded.tokens, durations) if needs.units else None,
        codes=_codes(encoded.tokens, durations, speaker) if needs.codes_of else None,
        envelopes=shapes,
        envelope_frames=frames,
    )


def _codes(
    tokens: Int[np.ndarray, " tokens"], durations: Int[np.ndarray, " tokens"], speaker: int
) -> Int[np.ndarray, "stages frames"]:
    """Codes that no codec made: those of a stage follow from token and speaker, and any codebook has so many."""
    stages = np.arange(CODE_STAGES)[:, None]
    return np.repeat(((2 * stages + 1) * tokens + 3 * speaker) % CODE_COUNT, durations, axis=1).astype(np.int32)


def _tones(
    tokens: Int[np.ndarray, " tokens"],
    durations: Int[np.ndarray, " tokens"],
    pitches: Float[np.ndarray, " tokens"],
    needs: SpeechNeeds,
    draw: np.random.Generator,
) -> Float[np.ndarray, " samples"]:
    lengths = durations * needs.hop_length
    phase = 2 * np.pi * np.cumsum(np.repeat(pitches, lengths)) / needs.sample_rate
    samples = SILENCE_LEVEL * draw.standard_normal(len(phase))
    ends = np.cumsum(lengths)
    for token, pitch, start, end in zip(tokens, pitches, ends - lengths, ends, strict=True):
        if pitch:
            samples[start:end] += _voice(int(token), pitch, phase[start:end], needs.sample_rate)
    return np.clip(samples, -1.0, 1.0).astype(np.float32)


def _voice(
    token: int, pitch: float, phase: Float[np.ndarray, " samples"], sample_rate: int
) -> Float[np.ndarray, " samples"]:
    """Harmonics under 3.5 kHz with two bumps whose places belong to the token, as formants do."""
    numbers = np.arange(1, int(min(3500.0, 0.45 * sample_rate) / pitch) + 1)
    hertz = numbers * pitch
    low, high = 300 + 700 * _part(token, 2), 1200 + 1800 * _part(token, 3)
    strengths = np.exp(-(((hertz - low) / 150) ** 2)) + 0.6 * np.exp(-(((hertz - high) / 250) ** 2)) + 0.02
    strengths[0] += 0.4  # a fundamental that pitch trackers find in 50 ms
    tone = (strengths[:, None] * np.cos(numbers[:, None] * phase[None])).sum(axis=0)
    edge = np.minimum(np.arange(len(phase)), np.arange(len(phase))[::-1])
    ramp = 0.5 + 0.5 * np.minimum(1.0, edge / 64)  # no click where the harmonics change
    return LEVEL * ramp * tone / strengths.sum()


def _part(token: int, which: int) -> float:
    """A number in [0, 1) that belongs to a token: the golden ratio's multiples spread evenly."""
    return float((int(token) * 0.6180339887498949 * which + 0.137 * which) % 1.0)


def _speaker(index: int) -> str:
    return f"tone{index}"
