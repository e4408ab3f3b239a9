"""Starting from other weights: what fits is taken, and what was and was not is told."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class TransferReport:
    """Names of the tensors that were taken whole, taken in part (more rows on one side), and left as they were."""

    whole: tuple[str, ...]
    partial: tuple[str, ...]
    left: tuple[str, ...]
    unused: tuple[str, ...]

    def summary(self) -> str:
        """One line for a person, with the first name of each kind."""
        text = f"{len(self.whole)} tensors taken over"
        parts = ((self.partial, "in part"), (self.left, "not found there"), (self.unused, "not needed here"))
        for names, what in parts:
            if names:
                text += f", {len(names)} {what} ({names[0]}{', ...' if len(names) > 1 else ''})"
        return text


@torch.no_grad()
def transfer_weights(model: nn.Module, tensors: Mapping[str, Tensor]) -> TransferReport:
    """Copies tensors into a model by name; tables that differ only in their number of rows share their first rows.

    Row i of a symbol or speaker table means the same in both, since such tables are appended to and never re-ordered.
    """
    whole, partial, left = [], [], []
    own = model.state_dict()
    for name, target in own.items():
        source = tensors.get(name)
        if source is not None and source.shape == target.shape:
            target.copy_(source.to(target.dtype))
            whole.append(name)
        elif source is not None and source.dim() == target.dim() > 0 and source.shape[1:] == target.shape[1:]:
            rows = min(len(source), len(target))
            target[:rows].copy_(source[:rows].to(target.dtype))
            partial.append(name)
        else:
            left.append(name)
    return TransferReport(tuple(whole), tuple(partial), tuple(left), tuple(n for n in tensors if n not in own))
