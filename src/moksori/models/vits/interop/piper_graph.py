"""The exported graph that Piper runs: its ids to a voice's tokens, by tensors alone, and these to sound.

Each step of `piper_symbols.translated` for all characters at once. Which characters begin a token is a walk from the
first one, each step as long as the token found there; it is taken in doubling strides.
"""

import torch
from jaxtyping import Bool, Int
from torch import Tensor, nn

from moksori.models.vits.interop.piper_symbols import ALWAYS, BEFORE_NO_VOWEL, PIPER_END, PiperTable
from moksori.models.vits.interop.speech_graph import SpeechGraph
from moksori.models.vits.model import Vits

_STRIDES = 14
"""Doublings of the walk: texts of up to 2^14 characters."""
_PAUSES = 5
"""Doublings along a run of spaces and punctuation: up to 32 of them are one pause."""


class PiperTokens(nn.Module):
    """Piper's ids `[1, ids]` and their count `[1]` to tokens, stress and places `[1, tokens]` (see Translated)."""

    stress: Tensor
    pause: Tensor
    pause_tokens: Tensor
    vowel: Tensor
    before_glide: Tensor
    before_tap: Tensor
    head: Tensor
    tail: Tensor

    def __init__(self, table: PiperTable) -> None:
        super().__init__()
        self.table = table
        self.count = len(table.characters)
        self.none = len(table.pause_tokens)  # what stands for "no pause", beyond all pauses
        pause = [self.none if value < 0 else value for value in table.pause]
        for name, values in {
            "stress": table.stress,
            "pause": pause,
            "pause_tokens": [*table.pause_tokens, -1],
            "head": table.head,
            "tail": table.tail,
        }.items():
            self.register_buffer(name, torch.tensor(values, dtype=torch.int64))
        # One more entry, for what lies beyond the end.
        self.register_buffer("vowel", torch.tensor([*table.vowel, False]))
        self.register_buffer("before_glide", torch.tensor([*table.before_glide, False]))
        self.register_buffer("before_tap", torch.tensor([*table.before_tap, False]))
        for length in range(1, table.longest + 1):
            grams = [gram for gram in table.grams if len(gram.codes) == length]
            keys = [sum(code * (self.count + 1) ** k for k, code in enumerate(gram.codes)) for gram in grams]
            self.register_buffer(f"keys_{length}", torch.tensor(keys, dtype=torch.int64))
            self.register_buffer(f"tokens_{length}", torch.tensor([gram.token for gram in grams], dtype=torch.int64))
            conditions = [gram.condition for gram in grams]
            self.register_buffer(f"conditions_{length}", torch.tensor(conditions, dtype=torch.int64))

    def forward(
        self, ids: Int[Tensor, "1 ids"], lengths: Int[Tensor, " 1"]
    ) -> tuple[Int[Tensor, "1 tokens"], Int[Tensor, "1 tokens"], Int[Tensor, "1 tokens"]]:
        codes, stress, places = self._sounds(ids[0], lengths)
        tokens, steps = self._tokens(codes, stress)
        begins = _walk(steps) & (tokens >= 0)
        kept = begins.nonzero()[:, 0]
        stress = torch.where(self.pause[codes] < self.none, torch.zeros_like(stress), stress)
        values = torch.stack([tokens[kept], stress[kept], places[kept]])
        ends = torch.stack([self.head, torch.zeros_like(self.head), torch.zeros_like(self.head)])
        last = (torch.ones_like(ids[0]).sum() - 1) * torch.ones_like(self.tail)
        values = torch.cat([ends, values, torch.stack([self.tail, torch.zeros_like(self.tail), last])], dim=1)
        if self.table.blank is not None:
            values = self._with_blanks(values, self.table.blank)
        return values[0:1], values[1:2], values[2:3]

    def _sounds(self, ids: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Codes without pads, ends and stress marks, the stress of each, and its place among the ids."""
        position = torch.ones_like(ids).cumsum(dim=0) - 1
        places = ((ids > PIPER_END) & (position < lengths[0])).nonzero()[:, 0]
        codes = ids[places]
        mark = self.stress[codes]
        waiting = torch.cat([torch.zeros_like(self.stress[:1]), mark])[:-1]
        kept = (mark == 0).nonzero()[:, 0]
        return codes[kept], waiting[kept], places[kept]

    def _tokens(self, codes: Tensor, stress: Tensor) -> tuple[Tensor, Tensor]:
        """The token that would begin at each position, -1 for none, and how many characters it takes."""
        outside = self.table.longest + 2
        beyond = torch.full((outside,), self.count, dtype=torch.int64)

        def later(values: Tensor, filler: Tensor, by: int) -> Tensor:
            return torch.cat([values, filler])[by : by - outside] if by < outside else filler[:0]

        following = [later(codes, beyond, k) for k in range(outside)]
        marks = [later(stress, torch.zeros_like(beyond), k) for k in range(outside)]
        tokens = torch.full_like(codes, -1)
        steps = torch.ones_like(codes)
        key, smooth = torch.zeros_like(codes), torch.ones_like(codes, dtype=torch.bool)
        for length in range(1, self.table.longest + 1):
            key = key + following[length - 1] * (self.count + 1) ** (length - 1)
            if length > 1:
                smooth = smooth & (marks[length - 1] == 0)
            keys, found = getattr(self, f"keys_{length}"), getattr(self, f"tokens_{length}")
            conditions = getattr(self, f"conditions_{length}")
            if not len(keys):
                continue
            vowel = self.vowel[following[length]]
            near = vowel | ((following[length] == self.table.gap) & self.vowel[following[length + 1]])
            # A word's own vowel forbids in both cases, the next word's in one. (onnxruntime has no `where` of bools.)
            next_word = (conditions > BEFORE_NO_VOWEL) & near.unsqueeze(1)
            held = (conditions == ALWAYS) | ~(vowel.unsqueeze(1) | next_word)
            equal = (key.unsqueeze(1) == keys) & held & smooth.unsqueeze(1)
            token = (equal * (found + 1)).sum(dim=1) - 1
            steps = torch.where(token >= 0, torch.full_like(steps, length), steps)
            tokens = torch.where(token >= 0, token, tokens)
        previous = torch.cat([beyond[:1], codes])[:-1]
        if self.table.trill >= 0:
            tapped = (codes == self.table.trill) & (steps == 1) & self.before_tap[previous]
            tokens = torch.where(tapped, torch.full_like(tokens, self.table.tap), tokens)
        if self.table.glide >= 0:
            silent = (codes == self.table.glide) & (steps == 1) & self.before_glide[previous]
            tokens = torch.where(silent, torch.full_like(tokens, -1), tokens)
        if self.none:
            tokens, steps = self._pauses(codes, tokens, steps)
        return tokens, steps

    def _pauses(self, codes: Tensor, tokens: Tensor, steps: Tensor) -> tuple[Tensor, Tensor]:
        """The first of a run of spaces and punctuation is the strongest of them, the others are nothing."""
        best = self.pause[codes]
        is_pause = best < self.none
        before = torch.cat([torch.zeros_like(self.vowel[:1]), is_pause])[:-1]
        run = (~(is_pause & before)).to(torch.int64).cumsum(dim=0)
        first = is_pause & ~before
        for stride in (2**k for k in range(_PAUSES)):
            filler = torch.full((stride,), -1, dtype=torch.int64)
            same = torch.cat([run, filler])[stride:] == run
            best = torch.where(same, torch.minimum(best, torch.cat([best, filler])[stride:]), best)
        said = torch.where(first, self.pause_tokens[best], torch.full_like(tokens, -1))
        return torch.where(is_pause, said, tokens), torch.where(is_pause, torch.ones_like(steps), steps)

    def _with_blanks(self, values: Int[Tensor, "3 tokens"], blank: int) -> Int[Tensor, "3 spaced"]:
        blanks = torch.stack([torch.full_like(values[0], blank), torch.zeros_like(values[0]), values[2]])
        pairs = torch.stack([values, blanks], dim=2).flatten(1)
        if self.table.text.blank_places == "between":
            return pairs[:, :-1]
        return torch.cat([torch.tensor([[blank], [0], [0]]), pairs], dim=1)


def _walk(steps: Int[Tensor, " characters"]) -> Bool[Tensor, " characters"]:
    """Where a walk from the first character treads that at i goes on to i + steps[i]."""
    end = torch.ones_like(steps).sum()
    position = torch.ones_like(steps).cumsum(dim=0) - 1
    jump = torch.cat([torch.minimum(position + steps, end), end.unsqueeze(0)])
    trodden = torch.cat([(position == 0).to(torch.int64), torch.zeros_like(end).unsqueeze(0)])
    for _ in range(_STRIDES):
        trodden = trodden + torch.zeros_like(trodden).scatter_add(0, jump, trodden)
        trodden = (trodden > 0).to(torch.int64)
        jump = jump[jump]
    return trodden[:-1] > 0


class PiperGraph(SpeechGraph):
    """What a Piper voice computes: `input`, `input_lengths`, `scales` and, of several speakers, `sid`.

    Out come the samples `[1, 1, 1, samples]` and the frames of each of Piper's ids: a token's are counted to the id of
    its first character.
    """

    def __init__(self, model: Vits, table: PiperTable) -> None:
        super().__init__(model, single=True)
        self.reading = PiperTokens(table)
        self.reads_stress = model.config.text_encoder.stress_embedding

    def forward(
        self, ids: Tensor, lengths: Tensor, scales: Tensor, speaker: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        tokens, stress, places = self.reading(ids, lengths)
        count = torch.ones_like(tokens).sum(dim=1)
        waveform, frames, *rest = self.speak(tokens, count, stress if self.reads_stress else None, speaker, scales)
        durations = torch.zeros_like(ids).scatter_add(1, places, frames)
        return (waveform[:, None, None], durations, *rest)
