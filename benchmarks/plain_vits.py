"""`VitsObjective` written the plain way: the same networks, losses and parameters, as one would port them.

Plain means: float32; torch's own convolutions on its standard layout; weight norm by the old hooks, recomputed at every
call; period discriminators as 2-D convolutions with kernels one column wide; magnitude and phase by torch.polar, the
inverse transform's overlap-add by `fold`; discriminators asked about real and generated sound apart in both halves of a
step, with gradients of all of it, as published; AdamW as torch makes it. What is equal in both: the tree of modules,
windows, slices, given durations and pitch, random numbers, loss functions.
"""

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.nn.utils import parametrize, weight_norm

from moksori.losses.adversarial import least_squares_generator
from moksori.losses.feature_matching import feature_matching
from moksori.models.vits.objective import VitsObjective
from moksori.nn import conv, dropout, istft, source_filter
from moksori.nn.discriminators import PeriodDiscriminator

TOLERANCE = 1e-3
"""Relative difference of a loss, by rounding alone."""


class PlainStft(istft.ComplexStft):
    """By torch.stft."""

    def forward(self, waveform: Tensor) -> Tensor:
        pad = (self.n_fft - self.hop_length) // 2
        padded = nn.functional.pad(waveform, (pad, pad))
        return torch.stft(padded, self.n_fft, self.hop_length, window=self.window, center=False, return_complex=True)


class PlainInverseStft(istft.InverseStft):
    """Overlap and add by `fold`, as in Vocos."""

    def forward(self, spectrum: Tensor) -> Tensor:
        pieces = torch.fft.irfft(spectrum, self.n_fft, dim=1) * self.window[None, :, None]
        frames = spectrum.shape[2]
        squares = self.window.square().expand(1, frames, -1).transpose(1, 2)
        return self._folded(pieces, frames) / self._folded(squares, frames)

    def _folded(self, pieces: Tensor, frames: int) -> Tensor:
        size, cut = (frames - 1) * self.hop_length + self.n_fft, (self.n_fft - self.hop_length) // 2
        total = nn.functional.fold(pieces, (1, size), (1, self.n_fft), stride=(1, self.hop_length))
        return total[:, 0, 0, cut : size - cut]


class PlainFilter(source_filter.CepstralFilter):
    """By torch.polar."""

    def forward(self, states: Tensor) -> Tensor:
        cepstrum = self.cepstrum(states)
        return torch.polar((cepstrum @ self.cosines).clamp(max=4.6).exp(), -(cepstrum @ self.sines)).transpose(1, 2)


class PlainObjective(VitsObjective):
    """The generator's half of the game as published."""

    def _adversarial_terms(self, cut: Any) -> dict[str, Tensor]:
        assert self.discriminators is not None
        self.discriminators.requires_grad_(True)  # ours needs no gradients of its weights here; published code has them
        real, fake = self.discriminators(cut.real), self.discriminators(cut.generated[0])
        return {
            "adversarial": least_squares_generator(fake.scores),
            "feature_matching": feature_matching(real.features, fake.features),
        }


PLAIN: dict[type, type] = {
    conv.Conv1d: nn.Conv1d,
    conv.ProductConv1d: nn.Conv1d,
    conv.ConvTranspose1d: nn.ConvTranspose1d,
    dropout.Dropout: nn.Dropout,
    istft.ComplexStft: PlainStft,
    istft.InverseStft: PlainInverseStft,
    source_filter.CepstralFilter: PlainFilter,
    VitsObjective: PlainObjective,
}


def plain(objective: VitsObjective) -> VitsObjective:
    """A copy with equal weights, written the plain way."""
    made = copy.deepcopy(objective)
    for module in list(made.modules()):
        if isinstance(module, PeriodDiscriminator):
            module.period_in_batch = False
        for name, layer in list(module.named_children()):
            if parametrize.is_parametrized(layer, "weight"):
                setattr(module, name, _hooked(layer))
        module.__class__ = PLAIN.get(type(module), type(module))
    return made


def _hooked(layer: Any) -> nn.Module:
    """The same layer with its weight norm as a hook."""
    kind = parametrize.type_before_parametrizations(layer)
    shape = (layer.in_channels, layer.out_channels, layer.kernel_size)
    new = kind(*shape, layer.stride, layer.padding, layer.dilation, layer.groups, bias=layer.bias is not None)
    new = weight_norm(new)
    with torch.no_grad():
        new.weight_g.copy_(layer.parametrizations.weight.original0)
        new.weight_v.copy_(layer.parametrizations.weight.original1)
        if layer.bias is not None:
            new.bias.copy_(layer.bias)
    return new


def train(objective: VitsObjective, batches: Sequence[Any], steps: int, tick: Callable[[], None]) -> None:
    """A plain loop of `steps` steps over the batches, again and again; `tick` after each."""
    rates = {"model": 7e-4, "discriminator": 1e-3}
    groups = {name: list(parameters) for name, parameters in objective.parameter_groups().items()}
    optimizers = {name: torch.optim.AdamW(groups[name], rates[name], betas=(0.8, 0.99)) for name in groups}
    generator = Generator().manual_seed(0)
    objective.train()
    for step in range(steps):
        for update in objective.updates(batches[step % len(batches)], step, generator):
            optimizer = optimizers[update.optimizer]
            optimizer.zero_grad()
            update.total().backward()
            nn.utils.clip_grad_norm_(groups[update.optimizer], 50.0)
            optimizer.step()
        tick()


def differences(first: VitsObjective, second: VitsObjective, batch: Any) -> dict[str, float]:
    """Relative difference of every loss of one step, and of the number of parameters.

    Raises SystemExit where one is more than rounding.
    """
    losses = [_losses(objective, batch) for objective in (first, second)]
    found = {name: abs(losses[1][name] - value) / max(abs(value), 1e-3) for name, value in losses[0].items()}
    sizes = [sum(parameter.numel() for parameter in objective.parameters()) for objective in (first, second)]
    found["parameters"] = abs(sizes[1] - sizes[0]) / sizes[0]
    wrong = {name: value for name, value in found.items() if not value <= (TOLERANCE if name != "parameters" else 0.0)}
    if wrong or losses[0].keys() != losses[1].keys():
        raise SystemExit(f"the plain networks are not the same: {wrong}, {losses}")
    return found


def _losses(objective: VitsObjective, batch: Any) -> dict[str, float]:
    torch.manual_seed(1)  # of dropout
    objective.train()
    updates = objective.updates(batch, 0, Generator().manual_seed(1))
    return {name: float(term.detach()) for update in updates for name, term in update.terms.items()}
