"""A WaveNet in few lines of torch, teacher-forced and in parallel: what every way of stepping must agree with."""

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from moksori.nn.wavenet_step import StepCondition, StepWeights


@dataclass
class SmallWaveNet:
    """Random weights in torch's layout. mixtures 0: one-hot codes in, a softmax out; else samples in, logistics out."""

    residual: int = 8
    gate: int = 8
    skip: int = 12
    head: int = 10
    codes: int = 256
    mixtures: int = 0
    kernel_size: int = 2
    input_kernel: int = 2
    dilations: tuple[int, ...] = (1, 2, 4, 8, 1, 2, 4, 8)
    residual_scale: float = 1.0
    gain: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        generator = torch.Generator().manual_seed(self.seed)

        def drawn(*shape: int) -> torch.Tensor:
            scale = self.gain / np.sqrt(np.prod(shape[1:]))
            return torch.randn(*shape, generator=generator) * scale

        def bias(size: int) -> torch.Tensor:
            return 0.1 * torch.randn(size, generator=generator)

        layers, inputs = len(self.dilations), 1 if self.mixtures else self.codes
        self.outputs = 3 * self.mixtures or self.codes
        self.input = drawn(self.residual, inputs, self.input_kernel) * np.sqrt(inputs), bias(self.residual)
        self.dilated = [
            (drawn(2 * self.gate, self.residual, self.kernel_size), bias(2 * self.gate)) for _ in range(layers)
        ]
        self.residuals = [(drawn(self.residual, self.gate, 1), bias(self.residual)) for _ in range(layers)]
        self.skips = [(drawn(self.skip, self.gate, 1), bias(self.skip)) for _ in range(layers)]
        self.hidden = drawn(self.head, self.skip, 1), bias(self.head)
        self.out = 3.0 * drawn(self.outputs, self.head, 1), bias(self.outputs)
        if self.mixtures:  # narrow logistics in the middle of the range
            self.out[1][2 * self.mixtures :] -= 4.0
            self.out[0][self.mixtures :] *= 0.2

    def __call__(self, samples: np.ndarray, condition: StepCondition | None = None) -> np.ndarray:
        """Outputs `[streams, samples, O]`, each from the samples before it; what lies before the first is zeros."""
        given = torch.from_numpy(samples)
        if self.mixtures:
            shifted = functional.pad(given.float(), (1, -1))[:, None]
        else:
            shifted = functional.pad(functional.one_hot(given.long(), self.codes).float().transpose(1, 2), (1, -1))
        layers = head = None
        if condition is not None:
            repeated = [
                None
                if values is None
                else torch.from_numpy(values).repeat_interleave(condition.hop_length, dim=1)[:, condition.offset :][
                    :, : given.shape[1]
                ]
                for values in (condition.layers, condition.head)
            ]
            layers, head = repeated
        h = self._causal(shifted, *self.input, 1)
        total = torch.zeros(())
        for index, dilation in enumerate(self.dilations):
            a = self._causal(h, *self.dilated[index], dilation)
            if layers is not None:
                a = a + layers[:, :, index].transpose(1, 2)
            z = torch.tanh(a[:, : self.gate]) * torch.sigmoid(a[:, self.gate :])
            total = total + functional.conv1d(z, *self.skips[index])
            h = (h + functional.conv1d(z, *self.residuals[index])) * self.residual_scale
        hidden = functional.conv1d(functional.relu(total), *self.hidden)
        if head is not None:
            hidden = hidden + head.transpose(1, 2)
        return functional.conv1d(functional.relu(hidden), *self.out).transpose(1, 2).numpy()

    def step_weights(self) -> StepWeights:
        """The same weights for stepping."""

        def taps(weight: torch.Tensor) -> np.ndarray:
            return weight.permute(2, 1, 0).numpy()

        mixing = [torch.cat([r[0], s[0]])[:, :, 0].T.numpy() for r, s in zip(self.residuals, self.skips, strict=True)]
        return StepWeights(
            input_taps=taps(self.input[0]),
            input_bias=self.input[1].numpy(),
            taps=np.stack([taps(weight) for weight, _ in self.dilated]),
            gate_bias=np.stack([bias.numpy() for _, bias in self.dilated]),
            mixing=np.stack(mixing),
            residual_bias=np.stack([bias.numpy() for _, bias in self.residuals]),
            skip_bias=sum(bias for _, bias in self.skips).numpy(),
            hidden=taps(self.hidden[0])[0],
            hidden_bias=self.hidden[1].numpy(),
            out=taps(self.out[0])[0],
            out_bias=self.out[1].numpy(),
            dilations=self.dilations,
            mixtures=self.mixtures,
            residual_scale=self.residual_scale,
            minimum_log_scale=-7.0,
        )

    def condition(
        self, streams: int, frames: int, hop_length: int, head: bool = True, offset: int = 0
    ) -> StepCondition:
        """A random condition."""
        random = np.random.default_rng(self.seed + 1)
        layers = 0.5 * random.standard_normal((streams, frames, len(self.dilations), 2 * self.gate))
        of_head = 0.5 * random.standard_normal((streams, frames, self.head)) if head else None
        return StepCondition(
            layers.astype(np.float32),
            hop_length,
            None if of_head is None else of_head.astype(np.float32),
            offset,
        )

    def sound(self, streams: int, samples: int) -> np.ndarray:
        """Codes, or with logistics samples, that are as good as any."""
        random = np.random.default_rng(self.seed + 2)
        if self.mixtures:
            return random.uniform(-0.9, 0.9, (streams, samples)).astype(np.float32)
        return random.integers(0, self.codes, (streams, samples))

    @staticmethod
    def _causal(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, dilation: int) -> torch.Tensor:
        return functional.conv1d(
            functional.pad(x, ((weight.shape[2] - 1) * dilation, 0)), weight, bias, dilation=dilation
        )
