"""A vector for a singer whom the table does not hold: found by gradient descent, with E and D held still.

It starts from the singer of the table with whose vector the recordings cost least, and minimises what D needs to tell
their samples (specification C8; as voices are fitted in Taigman et al., "VoiceLoop", 2018). If asked to, D's last
layers are tuned after that.
"""

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float
from torch import Generator, Tensor

from moksori.models.wavenet_autoencoder.conversion import tracked
from moksori.models.wavenet_autoencoder.driving import driven_by
from moksori.models.wavenet_autoencoder.partials import Driven
from moksori.models.wavenet_autoencoder.pitch import CENTRE_LOG_F0
from moksori.models.wavenet_autoencoder.tuning import tune, tuned_network
from moksori.nn.wavenet_network import WaveNet
from moksori.types import FittedVector, Waveform

if TYPE_CHECKING:
    from moksori.models.wavenet_autoencoder.model import WavenetAutoencoder

CROP_SECONDS = 0.5
BATCH = 4
LEARNING_RATE = 0.03
STRENGTH_WEIGHT = 0.3
"""Of the strengths of partials, as in training."""
HELD_BACK = 0.1
"""Of recordings that layers are tuned to."""
LOOK_CROPS = 8
"""By which the nearest singer of the table is found, and by which what was gained is told."""


def fit_vector(
    model: "WavenetAutoencoder",
    recordings: Sequence[Waveform],
    steps: int = 300,
    generator: Generator | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
    tuned_layers: int = 0,
) -> FittedVector:
    """The vector of whoever sings in the recordings, at the model's rate and level; half a minute in all or more.

    The model's weights stay as they are, and get no gradient. Equal generators give equal vectors. tuned_layers: last
    layers of D that are tuned in as many steps more, in a copy; then the bits are those of a tenth of the recordings
    that nothing was fitted to.
    Raises ValueError where the model has no table of vectors, the recordings are shorter than a window, or the decoder
    has fewer layers.
    """
    if model.speaker_embedding is None:
        raise ValueError("this model has no singers' vectors, so there is none to find")
    if not 0 <= tuned_layers <= model.tunable_layers:
        raise ValueError(f"{tuned_layers} layers to tune: the decoder has {model.tunable_layers}")
    material = _Material(model, recordings, HELD_BACK if tuned_layers else 0.0)
    total = steps * (2 if tuned_layers else 1)
    trained = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    for parameter, _ in trained:
        parameter.requires_grad_(False)
    was_training = model.training
    model.eval()
    try:
        look = material.crops(LOOK_CROPS, generator, held_back=True)
        table = model.speaker_embedding.weight
        with torch.no_grad():
            costs = [float(material.nats(look, row[None])) for row in table]
        nearest = int(np.argmin(costs))
        with torch.enable_grad():
            vector = table[nearest].detach().clone().requires_grad_()
            optimizer = torch.optim.Adam([vector], lr=LEARNING_RATE)
            schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(steps, 1))
            for step in range(steps):
                optimizer.zero_grad()
                material.cost(material.crops(BATCH, generator), vector[None]).backward()
                optimizer.step()
                schedule.step()
                progress(step + 1, total)
        found = vector.detach()
        with torch.no_grad():
            after = float(material.nats(look, found[None]))
        tuned: dict[str, Tensor] = {}
        bits_tuned: float | None = None
        if tuned_layers:
            network = model.decoders[0]
            assert isinstance(network, WaveNet)
            tuned = tune(
                network, tuned_layers, steps,
                lambda changed: material.nats(material.crops(BATCH, generator), found[None], changed),
                progress=lambda done: progress(steps + done, total),
            )  # fmt: skip
            with torch.no_grad():
                bits_tuned = float(material.nats(look, found[None], tuned_network(network, tuned))) / math.log(2.0)
    finally:
        model.train(was_training)
        for parameter, wanted in trained:
            parameter.requires_grad_(wanted)
    if material.middle is not None:
        found = torch.cat([found, found.new_tensor([material.middle])])
    kept = {name: value.cpu() for name, value in tuned.items()}
    return FittedVector(found.cpu(), nearest, costs[nearest] / math.log(2.0), after / math.log(2.0), kept, bits_tuned)


class _Material:
    """Recordings one after the other with their pitch, and crops of them.

    held_back: share of them, at the end, of which nothing is fitted; 0, or recordings too short: there is none.
    """

    def __init__(self, model: "WavenetAutoencoder", recordings: Sequence[Waveform], held_back: float = 0.0) -> None:
        self._model, config = model, model.config
        pool = config.encoder.pool
        whole = [recording.samples[: len(recording.samples) // pool * pool] for recording in recordings]
        samples = np.concatenate(whole) if whole else np.zeros(0, np.float32)
        if len(samples) == 0:
            raise ValueError(f"the recordings hold less than {pool} samples, the window of one code")
        self._device = next(model.parameters()).device
        self._samples = torch.from_numpy(samples.astype(np.float32)).to(self._device)
        self._size = min(max(round(CROP_SECONDS * config.sample_rate / pool), 1) * pool, len(samples))
        kept = len(samples)
        if held_back and kept >= 2 * self._size:
            kept -= min(max(round(held_back * kept), self._size), kept - self._size) // pool * pool
        self._parts = {False: (0, kept), True: (kept if kept < len(samples) else 0, len(samples))}
        self._f0: Tensor | None = None
        self.middle: float | None = None
        if config.pitch is not None:
            pitch = config.pitch
            f0 = np.concatenate([tracked(Waveform(part, config.sample_rate), pitch) for part in whole if len(part)])
            voiced = f0[f0 > 0]
            # Where nothing is voiced there is no height to tell: that of the middle of voices.
            self.middle = float(np.median(np.log(voiced))) if len(voiced) else CENTRE_LOG_F0
            self._f0 = torch.from_numpy(f0).to(self._device)

    def crops(self, count: int, generator: Generator | None, held_back: bool = False) -> tuple[Tensor, Tensor | None]:
        """Samples and F0 of so many crops at random places, of what is fitted to or of what is held back."""
        hop, (first, last) = self._model.hop_length, self._parts[held_back]
        room = (last - first - self._size) // hop
        start = first + (torch.rand(count, generator=generator) * (room + 1)).long().to(self._device) * hop
        index = start[:, None] + torch.arange(self._size, device=self._device)
        if self._f0 is None:
            return self._samples[index], None
        frames = start[:, None] // hop + torch.arange(self._size // hop, device=self._device)
        return self._samples[index], self._f0[frames]

    def nats(
        self,
        crops: tuple[Tensor, Tensor | None],
        vector: Float[Tensor, "1 channels"],
        decoder: WaveNet | None = None,
    ) -> Float[Tensor, ""]:
        """Of the crops, sung by a vector: a sample's mean. decoder: in place of the model's."""
        return self._told(crops, vector, decoder)[0]

    def cost(self, crops: tuple[Tensor, Tensor | None], vector: Float[Tensor, "1 channels"]) -> Float[Tensor, ""]:
        """What a vector is found by: nats, and how far the partials are from the crops' where the model makes them."""
        nats, driven = self._told(crops, vector)
        if driven is None or not driven.errors:
            return nats
        return nats + driven.errors["partials"] + STRENGTH_WEIGHT * driven.errors["strength"]

    def _told(
        self,
        crops: tuple[Tensor, Tensor | None],
        vector: Float[Tensor, "1 channels"],
        decoder: WaveNet | None = None,
    ) -> tuple[Float[Tensor, ""], Driven | None]:
        waveform, f0 = crops
        voice = vector.expand(len(waveform), -1)
        with torch.no_grad():
            codes = self._model.encode(waveform)
        driven = driven_by(self._model, waveform, codes, voice, f0)
        return self._model.nats(waveform, codes, voice, f0, decoder=decoder, driven=driven).mean(), driven
