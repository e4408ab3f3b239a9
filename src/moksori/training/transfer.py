"""Starting from other weights: what fits is taken, and what was and was not is told."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class PartReport:
    """One part of a model, by the first word of its tensors' names: how many were taken whole, taken in part, started
    anew, and found in the source without a place here."""

    part: str
    whole: int = 0
    partial: int = 0
    anew: int = 0
    unused: int = 0


@dataclass(frozen=True)
class TransferReport:
    """Names of the tensors that were taken whole, taken in part (more rows on one side), and left as they were."""

    whole: tuple[str, ...]
    partial: tuple[str, ...]
    left: tuple[str, ...]
    unused: tuple[str, ...]

    def beside(self, name: str, other: "TransferReport") -> "TransferReport":
        """Both together; the other's tensors are those of a part called `name`."""
        kinds = [
            (*mine, *(f"{name}.{tensor}" for tensor in theirs))
            for mine, theirs in zip(self._kinds(), other._kinds(), strict=True)
        ]
        return TransferReport(*kinds)

    def parts(self) -> tuple[PartReport, ...]:
        """The same as numbers for each part, in the order of the model."""
        counts: dict[str, list[int]] = {}
        for kind, names in enumerate(self._kinds()):
            for name in names:
                counts.setdefault(name.partition(".")[0], [0, 0, 0, 0])[kind] += 1
        return tuple(PartReport(part, *numbers) for part, numbers in counts.items())

    def table(self) -> tuple[str, ...]:
        """Lines for a person: a part a line."""
        parts = self.parts()
        width = max(len(p.part) for p in parts)
        header = f"{'part':<{width}}  whole  in part  anew  not needed"
        rows = [f"{p.part:<{width}}  {p.whole:>5}  {p.partial:>7}  {p.anew:>4}  {p.unused:>10}" for p in parts]
        return (header, *rows)

    def summary(self) -> str:
        """One line for a person, with the first name of each kind."""
        text = f"{len(self.whole)} tensors taken over"
        parts = ((self.partial, "in part"), (self.left, "not found there"), (self.unused, "not needed here"))
        for names, what in parts:
            if names:
                text += f", {len(names)} {what} ({names[0]}{', ...' if len(names) > 1 else ''})"
        return text

    def _kinds(self) -> tuple[tuple[str, ...], ...]:
        return self.whole, self.partial, self.left, self.unused


@dataclass(frozen=True)
class SpeakerRows:
    """Whose row is whose in the tables of speakers.

    tables: names of the tensors. source, target: the speakers in the order of their rows, on either side. readers: ends
    of the names of matrices whose last columns read the speaker vector.
    """

    tables: tuple[str, ...] = ()
    source: Sequence[str] = field(default=())
    target: Sequence[str] = field(default=())
    readers: tuple[str, ...] = ()

    def shares_columns(self, name: str, source: Tensor, target: Tensor) -> bool:
        """Whether two matrices differ only in whether a speaker vector is read."""
        return (
            bool(self.readers)
            and name.endswith(self.readers)
            and source.dim() == target.dim() == 2
            and len(source) == len(target)
        )

    def fill(self, table: Tensor, rows: Tensor | None) -> bool:
        """Sets a table `[speakers, channels]` from the source's rows; whether all named rows were somebody's own.

        A speaker of the same name keeps the own row; another, and a row that is nobody's, starts from the mean of the
        source's speakers. Without a source's table all rows are 0.
        """
        if rows is None or rows.shape[1:] != table.shape[1:]:
            table.zero_()
            return False
        rows = rows.to(table.dtype)
        known = dict(zip(self.source, rows, strict=False))
        table.copy_(rows[: len(known) or len(rows)].mean(dim=0, keepdim=True).expand_as(table))
        for row, name in zip(table, self.target, strict=False):
            if name in known:
                row.copy_(known[name])
        return bool(self.target) and all(name in known for name in self.target)


NO_TABLES = SpeakerRows()


@torch.no_grad()
def transfer_weights(
    model: nn.Module, tensors: Mapping[str, Tensor], speakers: SpeakerRows = NO_TABLES
) -> TransferReport:
    """Copies tensors into a model by name; tables that differ only in their number of rows share their first rows.

    Row i of a symbol table means the same in both, since such tables are appended to and never re-ordered. Rows of the
    tables in `speakers` go by name; matrices that read a speaker vector on one side alone share their first columns.
    """
    whole: list[str] = []
    partial: list[str] = []
    left: list[str] = []
    own = model.state_dict()
    for name, target in own.items():
        source = tensors.get(name)
        if name in speakers.tables:
            kind = whole if speakers.fill(target, source) else left if source is None else partial
            kind.append(name)
        elif source is not None and source.shape == target.shape:
            target.copy_(source.to(target.dtype))
            whole.append(name)
        elif source is not None and source.dim() == target.dim() > 0 and source.shape[1:] == target.shape[1:]:
            rows = min(len(source), len(target))
            target[:rows].copy_(source[:rows].to(target.dtype))
            partial.append(name)
        elif source is not None and speakers.shares_columns(name, source, target):
            columns = min(source.shape[1], target.shape[1])
            target[:, :columns].copy_(source[:, :columns].to(target.dtype))
            partial.append(name)
        else:
            left.append(name)
    return TransferReport(tuple(whole), tuple(partial), tuple(left), tuple(n for n in tensors if n not in own))
