"""Seeds and the random numbers of each sentence, sound or draw that is made with one."""

import hashlib
import secrets

import torch

from moksori.errors import BadInput

MAXIMUM_SEED = 2**63 - 1


def sentence_generator(seed: int, index: int, device: torch.device | str = "cpu") -> torch.Generator:
    """The random numbers of sentence `index`, which none of its neighbours has."""
    return torch.Generator(device).manual_seed(sentence_seed(seed, index))


def sentence_seed(seed: int, index: int) -> int:
    """The seed of sentence `index`: a hash, since neighbouring seeds would give related streams."""
    digest = hashlib.sha256(f"{seed}/{index}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def chosen_seed(seed: int | None) -> int:
    """`seed`, or a fresh one; raises BadInput beyond 0 to 2^63 - 1."""
    if seed is None:
        return secrets.randbelow(2**31)
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed <= MAXIMUM_SEED:
        raise BadInput(f"seed {seed!r}: expected a whole number from 0 to {MAXIMUM_SEED}")
    return seed
