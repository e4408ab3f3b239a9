"""How the postfilter learns, all else staying as it is: the model says the recordings' texts, in their time, at their
pitch and in their voices, and a discriminator compares the mels that the codec reads off the latents with those of the
recordings' own latents (`models.postfilter.MelGame`).
"""

from collections.abc import Callable, Iterator

import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn

from moksori.errors import ConfigError
from moksori.models.contract import Update
from moksori.models.contract_latents import CanCompress, CanShowMels
from moksori.models.naturalspeech2.config import PostfilterObjectiveConfig
from moksori.models.naturalspeech2.model import Naturalspeech2
from moksori.models.naturalspeech2.pairs import Pair, PairPool
from moksori.models.naturalspeech2.prior import Prior
from moksori.models.naturalspeech2.speaking import Plan, solved
from moksori.models.postfilter import MelGame
from moksori.nn.alignment import expand_by_path
from moksori.nn.masks import masked


class PostfilterGame(MelGame):
    """The pairs of the game. said_frames: of the targets that are said, where they are cropped to one length.

    Raises ConfigError for a model without a postfilter.
    """

    config: PostfilterObjectiveConfig

    def __init__(
        self, config: PostfilterObjectiveConfig, model: Naturalspeech2, said_frames: int | None = None
    ) -> None:
        super().__init__(config, model.postfilter, 2 * model.config.hidden_channels)
        self.pool: PairPool | None = None
        if config.pool_items and said_frames is not None:
            widths = model.config.latent_channels, model.config.hidden_channels
            self.pool = PairPool(config.pool_items, *widths, said_frames)
        self._read: Callable[[Tensor], Tensor] | None = None

    def take_codec(self, codec: CanCompress) -> None:
        """Raises ConfigError, or the codec's own UnsupportedTask, for one that reads no mels off latents."""
        if not isinstance(codec, CanShowMels):
            raise ConfigError("objective.postfilter: this codec reads no mels off its latents; take one that does")
        if isinstance(codec, nn.Module):
            codec.requires_grad_(False)
        with torch.no_grad():
            codec.standard_mels(codec.codebooks[0, :1].T.unsqueeze(0))  # so that one that cannot is told before a run

        def read(latent: Tensor) -> Tensor:
            if isinstance(codec, nn.Module):  # no part of what is trained, so nobody else takes it to the device
                codec.to(latent.device)
            return codec.standard_mels(latent)

        self._read = read

    def updates(
        self, model: Naturalspeech2, prior: Prior, step: int, generator: Generator | None = None
    ) -> Iterator[Update]:
        """The discriminator's, then the postfilter's; `rounds` of both."""
        pair = self._pair(model, prior, generator)
        if self.pool is not None:
            self.pool.take(pair)
        for _ in range(self.config.rounds):
            some = pair if self.pool is None else self.pool.some(len(pair.said), generator)
            crop = self._cropped(some, generator)
            made, wanted = self._mels(model, crop)
            yield from self.played(made, wanted, crop.told, step)

    @torch.no_grad()
    def validate(self, model: Naturalspeech2, prior: Prior, generator: Generator | None = None) -> dict[str, Tensor]:
        """See `MelGame.measured`."""
        pair = self._pair(model, prior, generator)
        made, wanted = self._mels(model, pair)
        plain = torch.where(pair.learnt, self._read_mels(model, pair.said), wanted)
        return self.measured(made, wanted, plain, pair.told, pair.learnt)

    def _mels(self, model: Naturalspeech2, pair: Pair) -> tuple[Tensor, Tensor]:
        """What comes through the postfilter, and what was recorded; alike where nothing may be compared."""
        assert model.postfilter is not None
        made = self._read_mels(model, model.postfilter(pair.said, pair.condition, pair.voice, pair.mask))
        with torch.no_grad():
            wanted = self._read_mels(model, pair.heard)
        return torch.where(pair.learnt, made, wanted), wanted

    def _read_mels(
        self, model: Naturalspeech2, latent: Float[Tensor, "batch latent frames"]
    ) -> Float[Tensor, "batch mels frames"]:
        if self._read is None:
            raise ConfigError("objective.postfilter: no codec was given that reads mels off latents")
        return self._read(model.standardize.inverse(latent))

    @torch.no_grad()
    def _pair(self, model: Naturalspeech2, prior: Prior, generator: Generator | None) -> Pair:
        def noise(like: Tensor) -> Tensor:
            return torch.randn(like.shape, generator=generator, device=like.device)

        start = model.config.sampling.variation * masked(noise(prior.latent), prior.mask)
        said = solved(model, Plan.of(prior.condition, prior.prompt, prior.mask), start, noise)
        return Pair(said, prior.latent, prior.condition, prior.prompt.summary, prior.mask, prior.learnt)

    def _cropped(self, pair: Pair, generator: Generator | None) -> Pair:
        """`crop_frames` of every item, at a random place among those where most may be compared."""
        count, frames = self.config.crop_frames, pair.learnt.shape[2]
        if count >= frames:
            return pair
        known = torch.cat([pair.learnt.new_zeros(len(pair.learnt), 1), pair.learnt[:, 0]], dim=1).long().cumsum(dim=1)
        usable = (known[:, count:] - known[:, :-count]).float()
        start = (usable + torch.rand(usable.shape, generator=generator, device=usable.device)).argmax(dim=1)
        place = start.unsqueeze(1) + torch.arange(count, device=start.device)
        said, heard, condition = (expand_by_path(x, place) for x in (pair.said, pair.heard, pair.condition))
        mask, learnt = (x.gather(2, place.unsqueeze(1)) for x in (pair.mask, pair.learnt))
        return Pair(said, heard, condition, pair.voice, mask, learnt)
