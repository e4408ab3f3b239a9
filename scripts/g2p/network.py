"""The letters-to-phones network in torch, and how it learns (text.letters_to_phones speaks with it, in NumPy).

Residual blocks of a convolution over letters and a product back, then one label a letter: no letter waits for what was
decided before it, since espeak's rules decide by the letters alone. The work is all in products of bfloat16 matrices:
words lie in one row of letters with gaps between them, so that a convolution is one product for each of its taps.
"""

import logging
import math
import time
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from moksori.text import letters_to_phones
from moksori.text.letters_to_phones import ALPHABET, CANDIDATES, Labels, LetterModel

_log = logging.getLogger(__name__)
_HALF = torch.bfloat16
LEARNING_RATE = 0.01
ADAM_RATE = 2e-3
WARM_UP = 50
LETTERS_A_STEP = 8_000
LINK_RATE = 5.0
"""By how much faster the links learn than other weights that Adam moves."""
_NEVER, _TINY = -1e4, 1e-30
EASY, EASY_SHARE = 0.05, 5
LINKED_FROM = 0.8
"""Share of the training after which links between labels are learnt: from the start on, they grow so strong that the
network leaves to them what it should tell from the letters."""
ROUND = 60_000
"""Words between two checkpoints."""
LEAST_ASKED = 1_000
"""So many words at least are looked at at a time, to find those that are not known yet."""


@dataclass(frozen=True)
class Shape:
    """letters, width, hidden: of a letter's vector, between blocks and inside them. taps: letters that a block sees."""

    letters: int = 48
    width: int = 160
    hidden: int = 256
    taps: tuple[int, ...] = (9, 5, 5, 3, 3, 3, 3)


@dataclass(frozen=True)
class Packed:
    """Many words in one row: code and label of each letter, and where each word starts (one more than words)."""

    codes: np.ndarray
    labels: np.ndarray
    starts: np.ndarray

    @classmethod
    def of(cls, words: Iterable[tuple[str, Sequence[str]]], numbers: Mapping[str, int]) -> "Packed":
        """Words in lower case with a label a letter; labels without a number become -1."""
        codes, labels, starts = bytearray(), array("h"), array("q", [0])
        for letters, of_letters in words:
            codes += bytes(ALPHABET.index(letter) + 1 for letter in letters)
            labels.extend(numbers.get(label, -1) for label in of_letters)
            starts.append(len(codes))
        return cls(np.frombuffer(bytes(codes), np.uint8), np.array(labels), np.array(starts))

    @property
    def lengths(self) -> np.ndarray:
        return np.diff(self.starts)

    def batch(self, words: np.ndarray) -> tuple[Tensor, Tensor]:
        """Codes and labels [words, letters] of words of one length."""
        places = self.starts[words][:, None] + np.arange(self.lengths[words[0]])
        codes, labels = self.codes[places].astype(np.int64), self.labels[places].astype(np.int64)
        return torch.from_numpy(codes), torch.from_numpy(labels)


def _convolved(rows: Tensor, taps: Tensor, bias: Tensor) -> Tensor:
    """y[n] = sum over i of x[n + i] taps[i]ᵀ + bias, as an image one pixel high, whose kernels are the fastest."""
    image = rows.t()[None, :, None, :]
    kernels = taps.permute(1, 2, 0)[:, :, None, :].contiguous(memory_format=torch.channels_last)
    return functional.conv2d(image, kernels, bias).squeeze(2).squeeze(0).t()


class Block(nn.Module):
    """The hidden layer of `taps` letters around each, and what it adds to each."""

    def __init__(self, taps: int, inner: int, hidden: int, width: int) -> None:
        super().__init__()
        self.taps = nn.Parameter(torch.randn(taps, hidden, inner) / math.sqrt(taps * inner))
        self.bias = nn.Parameter(torch.zeros(hidden))
        self.back = nn.Parameter(torch.zeros(hidden, width))

    def forward(self, rows: Tensor) -> Tensor:
        side = len(self.taps) // 2
        rows = functional.pad(functional.layer_norm(rows, rows.shape[1:]), (0, 0, side, side))
        return functional.relu(_convolved(rows, self.taps.to(_HALF), self.bias.to(_HALF)))


class Network(nn.Module):
    """Codes of letters [words, letters] -> scores of labels [words, letters, labels], and how labels go together.

    primary: which labels carry the primary stress. A way through a word scores the sum of its labels' scores and of the
    links between neighbours, `again` for each primary stress beyond the first, `none` where there is no such stress.
    """

    primary: Tensor

    def __init__(self, shape: Shape, primary: Sequence[bool]) -> None:
        super().__init__()
        self.shape = shape
        labels = len(primary)
        self.register_buffer("primary", torch.tensor(list(primary), dtype=torch.bool), persistent=False)
        self.links = nn.Parameter(torch.zeros(labels, labels))
        self.again, self.none = (nn.Parameter(torch.zeros(())) for _ in range(2))
        self.letters = nn.Embedding(len(ALPHABET) + 1, shape.letters, padding_idx=0)
        inner = (shape.letters, *(shape.width for _ in shape.taps[1:]))
        self.blocks = nn.ModuleList(
            Block(taps, own, shape.hidden, shape.width) for taps, own in zip(shape.taps, inner, strict=True)
        )
        self.scores = nn.Linear(shape.width, labels)
        nn.init.normal_(self.blocks[0].back, std=1 / math.sqrt(shape.hidden))  # type: ignore[arg-type]

    def forward(self, codes: Tensor) -> Tensor:
        words, length = codes.shape
        # One gap serves the word before it and the word after it.
        gap = max(self.shape.taps) // 2
        rows = self.letters(functional.pad(codes, (0, gap)).flatten()).to(_HALF)
        for k, block in enumerate(self.blocks):
            back = block.back.to(_HALF)
            rows = block(rows) @ back if k == 0 else torch.addmm(rows, block(rows), back)
            if k == 0:
                gap_now = max(self.shape.taps[1:]) // 2
                rows = functional.pad(rows.view(words, length + gap, -1)[:, :length], (0, 0, 0, gap_now)).flatten(0, 1)
            else:
                rows.view(words, length + gap_now, -1)[:, length:] = 0
        found = rows.view(words, length + gap_now, -1)[:, :length]
        found = functional.layer_norm(found, found.shape[2:])
        return functional.linear(found, self.scores.weight.to(_HALF), self.scores.bias.to(_HALF)).float()

    def loss(self, codes: Tensor, wanted: Tensor, linked: bool = True) -> tuple[Tensor, Tensor]:
        """Negative log likelihood of the wanted ways [words], and the greatest loss of a letter by itself [words].

        linked: False leaves the links out, so that the letters learn to do without.
        """
        scores = self(codes)
        letters = functional.cross_entropy(scores.mT, wanted, reduction="none")
        ways = self._all_ways(scores) - self._one_way(scores, wanted) if linked else letters.sum(1)
        return ways, letters.detach().amax(1)

    def _one_way(self, scores: Tensor, way: Tensor) -> Tensor:
        links = self.links[way[:, :-1], way[:, 1:]].sum(1)
        stressed = self.primary[way].sum(1)
        marks = self.again * (stressed - 1).clamp(min=0) + self.none * (stressed == 0)
        return scores.gather(2, way[..., None]).sum((1, 2)) + links + marks

    def _all_ways(self, scores: Tensor) -> Tensor:
        """Log of the sum over all ways: forward algorithm, without and with a primary stress so far."""
        links, primary = self.links.exp().to(_HALF), self.primary
        without = scores[:, 0].masked_fill(primary, _NEVER)
        stressed = scores[:, 0].masked_fill(~primary, _NEVER)
        for k in range(1, scores.shape[1]):
            both = torch.stack((without, stressed))
            most = both.detach().amax(2, keepdim=True)
            after = (((both - most).exp().to(_HALF) @ links).float() + _TINY).log() + most
            fresh = torch.logaddexp(after[0], after[1] + self.again)
            without = (after[0] + scores[:, k]).masked_fill(primary, _NEVER)
            stressed = torch.where(primary, fresh, after[1]) + scores[:, k]
        return torch.logaddexp(torch.logsumexp(without, 1) + self.none, torch.logsumexp(stressed, 1))

    @torch.no_grad()
    def best_way(self, scores: Tensor) -> Tensor:
        """The labels [words, letters] of the best way, of the CANDIDATES likeliest labels of each letter."""
        values, labels = scores.topk(min(CANDIDATES, scores.shape[2]), dim=2)
        primary = self.primary[labels]
        without, stressed = (values[:, 0].masked_fill(mask, _NEVER) for mask in (primary[:, 0], ~primary[:, 0]))
        best = torch.stack((without, stressed))
        came = []
        for k in range(1, scores.shape[1]):
            links = self.links[labels[:, k - 1, :, None], labels[:, k, None, :]]
            most, source = (best[..., None] + links).max(2)  # [2, words, candidates]
            stressed, plain = torch.stack((most[0], most[1] + self.again)).max(0)
            without = most[0].masked_fill(primary[:, k], _NEVER)
            best = torch.stack((without, torch.where(primary[:, k], stressed, most[1]))) + values[:, k]
            before = torch.where(primary[:, k], plain, torch.ones_like(plain))
            came.append((source, before))
        words = torch.arange(len(scores))
        ends = torch.cat((best[0] + self.none, best[1]), 1).argmax(1)
        state, place = ends // values.shape[2], ends % values.shape[2]
        found = [labels[words, -1, place]]
        for k in range(scores.shape[1] - 2, -1, -1):
            source, before = came[k]
            state = torch.where(state == 1, before[words, place], state)
            place = source[state, words, place]
            found.append(labels[words, k, place])
        return torch.stack(found[::-1], 1)


class Orthogonal:
    """Muon (Jordan et al., 2024): each matrix moves by its momentum with all singular values made one."""

    def __init__(self, stacks: Sequence[nn.Parameter], momentum: float = 0.95) -> None:
        self.stacks, self.momentum = list(stacks), momentum
        self.speed = [torch.zeros_like(stack) for stack in stacks]

    @torch.no_grad()
    def step(self, rate: float) -> None:
        groups: dict[tuple[int, ...], list[int]] = {}
        for k, stack in enumerate(self.stacks):
            groups.setdefault(tuple(stack.shape[-2:]), []).append(k)
        for shape, numbers in groups.items():
            moves = []
            for k in numbers:
                gradient = self.stacks[k].grad
                assert gradient is not None
                self.speed[k].lerp_(gradient, 1 - self.momentum)
                moves.append(gradient.lerp(self.speed[k], self.momentum).reshape(-1, *shape).to(_HALF))
            moved = _orthogonal(torch.cat(moves)).float() * (rate * max(1.0, shape[0] / shape[1]) ** 0.5)
            for k, move in zip(numbers, moved.split([len(m) for m in moves]), strict=True):
                self.stacks[k] -= move.view_as(self.stacks[k])


def _orthogonal(x: Tensor) -> Tensor:
    """Newton-Schulz, five rounds."""
    tall = x.shape[1] > x.shape[2]
    x = x.mT if tall else x
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(5):
        square = x @ x.mT
        x = 3.4445 * x + (-4.7750 * square + 2.0315 * square @ square) @ x
    return x.mT if tall else x


def learn(
    real: Packed,
    pseudo: Packed,
    check: Packed,
    primary: Sequence[bool],
    shape: Shape,
    words: int,
    checkpoint: Path,
    share: float = 0.7,
    seed: int = 0,
) -> Network:
    """A network taught with `words` words, a `share` of them pseudo-words; it goes on from the checkpoint if any."""
    torch.manual_seed(seed)
    network = Network(shape, primary)
    stacks = [p for block in network.blocks for p in (block.taps, block.back)]
    links = [network.links, network.again, network.none]
    rest = [p for p in network.parameters() if not any(p is other for other in (*stacks, *links))]
    slow, fast = Orthogonal(stacks), torch.optim.AdamW([{"params": rest}, {"params": links}], betas=(0.9, 0.98))  # type: ignore[arg-type]
    seen = number = step = 0
    places, worst = [0, 0], torch.full((len(real.lengths),), math.inf)
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        network.load_state_dict(state["network"])
        fast.load_state_dict(state["fast"])
        slow.speed = state["speed"]
        seen, number, step, places, worst = (state[x] for x in ("seen", "round", "step", "places", "worst"))
    while seen < words:
        began, total, count = time.process_time(), 0.0, 0
        for of_real, some, codes, wanted in _round(real, pseudo, share, worst, places, (seed, number)):
            rate = min(1.0, (step + 1) / WARM_UP) * max(0.0, 1 - seen / words)
            for group, factor in zip(fast.param_groups, (1.0, LINK_RATE), strict=True):
                group["lr"], group["weight_decay"] = ADAM_RATE * rate * factor, 0.0
            network.zero_grad()
            ways, of_letters = network.loss(codes, wanted, linked=seen >= LINKED_FROM * words)
            loss = ways.mean() / codes.shape[1]
            loss.backward()  # type: ignore[no-untyped-call]
            if of_real:
                worst[some] = of_letters
            fast.step()
            slow.step(LEARNING_RATE * rate)
            seen, step, count, total = seen + len(codes), step + 1, count + 1, total + loss.item()
        number += 1
        spent = time.process_time() - began
        _log.info(
            "%d words, loss %.4f, %.2f %% of unseen words, %.0f CPU s", seen, total / count,
            100 * right(network, check).mean(), spent,
        )  # fmt: skip
        state = {"network": network.state_dict(), "fast": fast.state_dict(), "speed": slow.speed}
        state |= {"seen": seen, "round": number, "step": step, "places": places, "worst": worst}
        torch.save(state, checkpoint.with_suffix(".part"))
        checkpoint.with_suffix(".part").replace(checkpoint)
    return network


def right(network: Network, words: Packed) -> np.ndarray:
    """Of each word whether every letter has its label."""
    found = np.zeros(len(words.lengths), dtype=bool)
    with torch.no_grad():
        for some in _by_length(words, np.arange(len(found)), np.random.default_rng(0)):
            codes, wanted = words.batch(some)
            found[some] = (network.best_way(network(codes)) == wanted).all(1).numpy()
    return found


def most_likely(network: Network, words: Sequence[str]) -> list[tuple[list[int], float]]:
    """Of each word the labels of the best way, and the least lead of a letter's likeliest label over its second."""
    packed = Packed.of(((word, [""] * len(word)) for word in words), {})
    found: list[tuple[list[int], float]] = [([], 0.0)] * len(words)
    with torch.no_grad():
        for some in _by_length(packed, np.arange(len(words)), np.random.default_rng(0)):
            scores = network(packed.batch(some)[0])
            best = scores.topk(2, dim=-1).values
            leads = (best[..., 0] - best[..., 1]).amin(1).tolist()
            for word, labels, lead in zip(some.tolist(), network.best_way(scores).tolist(), leads, strict=True):
                found[word] = (labels, lead)
    return found


def _round(
    real: Packed, pseudo: Packed, share: float, worst: Tensor, places: list[int], seed: tuple[int, int]
) -> Iterator[tuple[bool, np.ndarray, Tensor, Tensor]]:
    """Batches of ROUND words: whether they are real, their numbers, codes and labels.

    Passes over either kind follow each other, each in an order of its own; `places` counts how far they have come, and
    is moved on. worst: the greatest loss of a letter when a real word was last seen; of those that are known by heart
    only one in EASY_SHARE is asked again.
    """
    random = np.random.default_rng(seed)
    batches = []
    for kind, (words, size) in enumerate(((real, int(ROUND * (1 - share))), (pseudo, int(ROUND * share)))):
        chosen = np.zeros(0, dtype=np.int64)
        while len(chosen) < size:
            asked = max(size - len(chosen), LEAST_ASKED)
            more = _slice_of_passes(len(words.lengths), places[kind], asked, seed[0])
            places[kind] += len(more)
            if kind == 0:
                more = more[(worst.numpy()[more] >= EASY) | (random.integers(EASY_SHARE, size=len(more)) == 0)]
            chosen = np.concatenate([chosen, more])
        batches += [(kind == 0, words, some) for some in _by_length(words, chosen, random)]
    for k in random.permutation(len(batches)):
        of_real, words, some = batches[k]
        yield of_real, some, *words.batch(some)


def _slice_of_passes(count: int, begin: int, size: int, seed: int) -> np.ndarray:
    passes = range(begin // count, (begin + size - 1) // count + 1)
    offset = begin - passes[0] * count
    return np.concatenate([_order(count, number, seed) for number in passes])[offset : offset + size]


@lru_cache(maxsize=4)
def _order(count: int, number: int, seed: int) -> np.ndarray:
    return np.random.default_rng((seed, number)).permutation(count)


def _by_length(words: Packed, chosen: np.ndarray, random: np.random.Generator) -> list[np.ndarray]:
    lengths = words.lengths[chosen]
    found = []
    for length in np.unique(lengths):
        some = random.permutation(chosen[lengths == length])
        found += np.array_split(some, math.ceil(len(some) * int(length) / LETTERS_A_STEP))
    return found


def exported(network: Network, labels: Labels) -> LetterModel:
    """What speaks, with the weights as they are; to lose what saving loses, save it and load it."""
    state = {name: value.detach().numpy() for name, value in network.state_dict().items()}
    blocks = tuple(
        letters_to_phones.Block(
            np.ascontiguousarray(state[f"blocks.{k}.taps"].swapaxes(1, 2)),
            state[f"blocks.{k}.bias"],
            state[f"blocks.{k}.back"],
        )
        for k in range(len(network.blocks))
    )
    links = letters_to_phones.Links(state["links"], np.array([state["again"], state["none"]]))
    return LetterModel(labels, state["letters.weight"][1:], blocks, state["scores.weight"], state["scores.bias"], links)


def imported(model: LetterModel) -> Network:
    """The network of a saved model, to ask it for many words at once."""
    first = model.blocks[0].taps
    shape = Shape(first.shape[1], len(model.scores[0]), first.shape[2], tuple(len(b.taps) for b in model.blocks))
    network = Network(shape, model.labels.primary.tolist())
    state = {"scores.weight": model.scores, "scores.bias": model.bias, "links": model.links.between}
    state |= {"again": model.links.marks[0], "none": model.links.marks[1]}
    state["letters.weight"] = np.concatenate([np.zeros_like(model.letters[:1]), model.letters])
    for k, block in enumerate(model.blocks):
        state |= {
            f"blocks.{k}.taps": block.taps.swapaxes(1, 2),
            f"blocks.{k}.bias": block.bias,
            f"blocks.{k}.back": block.back,
        }
    network.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in state.items()})
    return network
