"""What codes of speech carry: how many are in use, how many bits a second, and how well they follow phones."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from moksori.errors import BadInput


@dataclass(frozen=True)
class CodeUse:
    """How a codebook is used over recordings.

    used: different codes of `size`. perplexity: exp of the entropy; `size` where all are taken alike. bits_per_second:
    as many as a coder needs that knows how often each comes, `rate` codes a second. changes: share of
    codes that differ from the one before.
    """

    size: int
    codes: int
    used: int
    perplexity: float
    entropy_bits: float
    rate: float
    changes: float

    @property
    def bits_per_second(self) -> float:
        return self.rate * self.entropy_bits

    @property
    def used_share(self) -> float:
        return self.used / self.size


def code_use(recordings: Sequence[Int[np.ndarray, " codes"]], size: int, rate: float) -> CodeUse:
    """The use of codes from 0 to size - 1 in recordings. rate: codes a second.

    Raises BadInput without codes, and for one that is out of range.
    """
    every = np.concatenate([np.zeros(0, np.int64), *recordings])
    if not len(every):
        raise BadInput("no codes: give recordings that are longer than a code")
    if every.min() < 0 or every.max() >= size:
        raise BadInput(f"a code of {int(every.max())}: expected codes from 0 to {size - 1}")
    counts = np.bincount(every, minlength=size)
    share = counts[counts > 0] / len(every)
    nats = float(-(share * np.log(share)).sum())
    changed = sum(int((part[1:] != part[:-1]).sum()) for part in recordings)
    pairs = sum(max(len(part) - 1, 0) for part in recordings)
    return CodeUse(
        size, len(every), int((counts > 0).sum()), math.exp(nats), nats / math.log(2.0), rate, changed / max(pairs, 1)
    )


@dataclass(frozen=True)
class Purity:
    """How often a code's phone is the right one, where each code stands for the phone that it came with most elsewhere.

    accuracy: of codes that the votes did not see. shuffled: the same with the codes of each recording in another order,
    what chance gives. most_frequent: share of the most frequent phone. information: nats that codes tell of phones, as
    a share of the phones' entropy, over all codes.
    """

    accuracy: float
    shuffled: float
    most_frequent: float
    information: float
    phones: int
    codes: int


def phone_purity(
    recordings: Sequence[tuple[Int[np.ndarray, " codes"], Int[np.ndarray, " codes"]]], size: int, seed: int = 0
) -> Purity:
    """Codes against phones, a majority vote (van den Oord et al. 2017, section 4.3).

    recordings: codes, and the phone of each, by number; below 0 where there is none, as in silence: left out. Votes of
    one half of the recordings are tried on the other, and the other way round. Raises BadInput for fewer than two
    recordings with phones.
    """
    kept = [(codes[phones >= 0], phones[phones >= 0]) for codes, phones in recordings]
    kept = [pair for pair in kept if len(pair[0])]
    if len(kept) < 2:
        raise BadInput(f"{len(kept)} recordings with phones: expected at least two, one half votes for the other")
    count = max(int(phones.max()) for _, phones in kept) + 1
    draw = np.random.default_rng(seed)
    kept = [kept[place] for place in draw.permutation(len(kept))]  # speakers may come by turns
    mixed = [(draw.permutation(codes), phones) for codes, phones in kept]
    table = _table(kept, size, count)
    phones_alone = table.sum(axis=0)
    return Purity(
        _crossed(kept, size, count),
        _crossed(mixed, size, count),
        float(phones_alone.max() / phones_alone.sum()),
        _information(table),
        int((phones_alone > 0).sum()),
        int(phones_alone.sum()),
    )


def _table(pairs: Sequence[tuple[np.ndarray, np.ndarray]], size: int, phones: int) -> np.ndarray:
    """How often each code came with each phone."""
    table = np.zeros((size, phones), np.int64)
    for codes, labels in pairs:
        np.add.at(table, (codes, labels), 1)
    return table


def _crossed(pairs: Sequence[tuple[np.ndarray, np.ndarray]], size: int, phones: int) -> float:
    """The share of right phones, each half judged by the other's votes."""
    right = 0
    for voters, judged in ((pairs[::2], pairs[1::2]), (pairs[1::2], pairs[::2])):
        table = _table(voters, size, phones)
        votes = table.argmax(axis=1)
        votes[table.sum(axis=1) == 0] = table.sum(axis=0).argmax()  # a code that nobody voted for
        right += sum(int((votes[codes] == labels).sum()) for codes, labels in judged)
    return right / sum(len(codes) for codes, _ in pairs)


def _information(table: np.ndarray) -> float:
    joint = table / table.sum()
    codes, phones = joint.sum(axis=1, keepdims=True), joint.sum(axis=0, keepdims=True)
    seen = joint > 0
    shared = float((joint[seen] * np.log(joint[seen] / (codes @ phones)[seen])).sum())
    entropy = float(-(phones[phones > 0] * np.log(phones[phones > 0])).sum())
    return shared / entropy if entropy > 0 else 0.0
