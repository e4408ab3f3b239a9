"""Drawing from a WaveNet, tensors in and out: the compiled step where numba is installed, the queue in torch else."""

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Generator, Tensor

from moksori.nn.wavenet_eager import EagerQueue, sample_eager, step_condition, step_weights
from moksori.nn.wavenet_network import Conditions, WaveNet
from moksori.nn.wavenet_sampling import fastest_backend, sample
from moksori.nn.wavenet_step import StepState

EAGER = "eager"


class Sampler:
    """Streams of a network's sound, drawn side by side; each call goes on where the last one ended.

    The weights are read once, here. backend: "eager" is the queue in torch, on the network's device; the others are
    nn.wavenet_sampling's, on the processor, and make the same of the same uniforms; None takes the fastest.
    Raises SamplingError for one that cannot be had, and for weights that are not finite.
    """

    def __init__(self, network: WaveNet, streams: int = 1, backend: str | None = None) -> None:
        self.network, self.streams = network, streams
        fastest = fastest_backend()
        # The reference in NumPy is for tests; the queue is as fast, and goes to an accelerator too.
        self.backend = backend or (EAGER if fastest == "numpy" else fastest)
        if self.backend == EAGER:
            self._queue = EagerQueue(network, streams)
        else:
            self._weights = step_weights(network)
            self._state = StepState.zeros(self._weights, streams)

    @property
    def draws(self) -> int:
        """Uniforms that a sample takes."""
        return 1 if self.network.levels else 2

    def uniforms(self, samples: int, generator: Generator | None = None) -> Float[Tensor, "streams samples draws"]:
        """The chance that so many samples take. Blocks of any size that add up to as many take the same in all."""
        device = torch.device("cpu") if generator is None else generator.device
        return torch.rand(samples, self.streams, self.draws, generator=generator, device=device).transpose(0, 1)

    def draw(
        self,
        uniforms: Float[Tensor, "streams samples draws"],
        conditions: Conditions | None = None,
        temperature: float | Float[Tensor, "rows frames"] = 1.0,
        offset: int = 0,
    ) -> Shaped[Tensor, "streams samples"]:
        """The samples that follow, codes (int64) or values in [-1, 1], on the network's device.

        conditions: of these samples, from `offset` samples into their first frame on. temperature: a number, or one
        for each of their frames; one row serves all streams.
        """
        device = self.network.input_bias.device
        if self.backend == EAGER:
            if isinstance(temperature, Tensor):
                temperature = temperature.to(device).expand(self.streams, -1)
            return sample_eager(self.network, uniforms.to(device), conditions, temperature, self._queue, offset)
        steered = None if conditions is None else step_condition(conditions, self.network.stack.num_layers, offset)
        warmth = temperature if isinstance(temperature, float | int) else temperature.cpu().numpy()
        drawn = sample(
            self._weights, np.ascontiguousarray(uniforms.cpu().numpy()), steered, warmth, self._state, self.backend
        )
        return torch.from_numpy(drawn).to(device)
