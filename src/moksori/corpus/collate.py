"""Examples -> one padded batch."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from moksori.errors import CorpusError
from moksori.types import Example, SpeechBatch, SpeechNeeds


def collate(examples: Sequence[Example], needs: SpeechNeeds) -> SpeechBatch:
    """Pads examples to the longest of them: waveforms and F0 with 0, tokens with the pad id 0, durations with 0 frames.

    needs: decides which fields the batch has; an example that lacks one raises CorpusError naming it.
    """
    if not examples:
        raise CorpusError("an empty batch: give at least one example")
    waveform_lengths = [len(e.waveform) for e in examples]
    for example, length in zip(examples, waveform_lengths, strict=True):
        if length == 0 or length % needs.hop_length:
            raise CorpusError(
                f"utterance {example.utterance.name!r}: {length} samples are not whole frames of {needs.hop_length}; "
                "prepare the corpus with the same needs"
            )
    tokens = _field(examples, "tokens") if needs.tokens else None
    return SpeechBatch(
        names=tuple(e.utterance.name for e in examples),
        waveform=_pad([e.waveform for e in examples], np.float32),
        waveform_lengths=torch.tensor(waveform_lengths),
        speaker=torch.tensor([e.speaker for e in examples]),
        tokens=None if tokens is None else _pad(tokens, np.int64),
        stress=_pad(_field(examples, "stress"), np.int64) if needs.tokens else None,
        token_lengths=None if tokens is None else torch.tensor([len(t) for t in tokens]),
        durations=_pad(_field(examples, "durations"), np.int64) if needs.durations else None,
        f0=_pad(_field(examples, "f0"), np.float32) if needs.f0 else None,
        noisy=None if examples[0].noisy is None else _pad(_field(examples, "noisy"), np.float32),
        units=_pad(_field(examples, "units"), np.int64) if needs.units else None,
        mel=_pad_frames(_field(examples, "mel"), np.float32) if needs.mels_of else None,
        codes=_pad_frames(_field(examples, "codes"), np.int64) if needs.codes_of else None,
        **_envelopes(examples, needs),
    )


def _envelopes(examples: Sequence[Example], needs: SpeechNeeds) -> dict[str, Tensor]:
    """The fields of spectral envelopes; F0 is that of their frames."""
    if needs.envelopes is None:
        return {}
    shapes, frames, f0 = (_field(examples, name) for name in ("envelopes", "envelope_frames", "f0"))
    lengths = [len(shape) for shape in shapes]
    padded = np.zeros((len(shapes), max(lengths), *shapes[0].shape[1:]), np.float32)
    for row, shape in zip(padded, shapes, strict=True):
        row[: len(shape)] = shape
    return {
        "envelopes": torch.from_numpy(padded),
        "envelope_lengths": torch.tensor(lengths),
        "envelope_f0": _pad([track[at] for track, at in zip(f0, frames, strict=True)], np.float32),
    }


def _field(examples: Sequence[Example], name: str) -> list[np.ndarray]:
    values = [getattr(e, name) for e in examples]
    for example, value in zip(examples, values, strict=True):
        if value is None:
            raise CorpusError(
                f"utterance {example.utterance.name!r} has no {name}; prepare the corpus with the same needs"
            )
    return values


def _pad_frames(arrays: Sequence[np.ndarray], dtype: type) -> Tensor:
    """`[batch, rows, frames]`, 0 at padding."""
    padded = np.zeros((len(arrays), arrays[0].shape[0], max(a.shape[1] for a in arrays)), dtype)
    for row, array in zip(padded, arrays, strict=True):
        row[:, : array.shape[1]] = array
    return torch.from_numpy(padded)


def _pad(arrays: Sequence[np.ndarray], dtype: type) -> Tensor:
    padded: np.ndarray = np.zeros((len(arrays), max(len(a) for a in arrays)), dtype)
    for row, array in zip(padded, arrays, strict=True):
        row[: len(array)] = array
    return torch.from_numpy(padded)
