"""Weights of losses as shares of what reaches a network's output, whatever the scale of each loss.

Défossez et al. 2022 (EnCodec, section 3.4, "Balancer"):  g~_i = R · w_i / sum_j w_j · g_i / <|g_i|>,  where g_i is the
gradient of loss i with respect to the output, <> a moving average, and what is passed back is the sum of g~_i.
"""

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn


class GradientBalancer(nn.Module):
    """One loss whose gradient at the output is the balanced sum of those of several; the averages are buffers.

    names: of the losses that may come, so that a resumed run has their averages. norm: R, of what is passed back.
    decay: of the averages, which are those of a batch's mean norm over its items.
    """

    norms: Tensor
    seen: Tensor

    def __init__(self, names: tuple[str, ...], norm: float = 1.0, decay: float = 0.999) -> None:
        super().__init__()
        self.names, self.norm, self.decay = names, norm, decay
        self.register_buffer("norms", torch.zeros(len(names)))
        self.register_buffer("seen", torch.zeros(len(names)))

    def forward(
        self, terms: Mapping[str, Tensor], weights: Mapping[str, float], output: Float[Tensor, "batch *shape"]
    ) -> Float[Tensor, ""]:
        """A scalar to minimise, of no meaning as a number. terms: scalars that depend on `output`; those without a
        weight are left out.

        Raises ValueError where a term is not one of the names.
        """
        used = {name: term for name, term in terms.items() if weights.get(name, 0.0)}
        unknown = sorted(set(used) - set(self.names))
        if unknown:
            raise ValueError(f"loss {unknown[0]!r} is not balanced here: {', '.join(self.names)}")
        whole = sum(weights[name] for name in used)
        balanced = torch.zeros_like(output)
        for name, term in used.items():
            (gradient,) = torch.autograd.grad(term, output, retain_graph=True)
            share = self.norm * weights[name] / whole
            balanced = balanced + share * gradient / self._averaged(self.names.index(name), gradient).clamp(min=1e-12)
        return (output * balanced).sum()

    def _averaged(self, place: int, gradient: Tensor) -> Tensor:
        with torch.no_grad():
            size = torch.linalg.vector_norm(gradient.flatten(1), dim=1).mean()
            self.norms[place] = self.decay * self.norms[place] + (1.0 - self.decay) * size
            self.seen[place] = self.decay * self.seen[place] + (1.0 - self.decay)
            # Divided by the sum of its weights, so that the first steps are not taken for small ones.
            return (self.norms[place] / self.seen[place]).clone()
