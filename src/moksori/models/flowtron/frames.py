"""From mels to what goes through the flows and back: standardised, grouped, along axes; with the pitch beside them.

A frame has the mel's bands, and in a model of pitch one more at the end, log F0. What goes through the flows is
`[batch, groups, channels]`: the mels of a group of frames, along the axes of what they add, then their pitches.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from moksori.errors import ConfigError
from moksori.models.decoders.pitch import pitch_from_f0
from moksori.nn.masks import sequence_mask
from moksori.nn.precision import at_least_float32, full_precision

if TYPE_CHECKING:
    from moksori.models.flowtron.model import Flowtron


class GroupsFrames:
    """The part of Flowtron that knows how its frames lie."""

    @property
    def _of(self) -> "Flowtron":
        return cast("Flowtron", self)

    @property
    def hears_pitch(self) -> bool:
        """Whether `frames` needs the pitch of the recordings."""
        return self._of.config.pitch

    @property
    def latent_bands(self) -> int:
        """Of a frame of the latent: as many as of a frame of what is heard."""
        return self._of.config.bands

    def frames(
        self, waveform: Float[Tensor, "batch samples"], f0: Float[Tensor, "batch frames"] | None = None
    ) -> Float[Tensor, "batch bands frames"]:
        """What the model hears of waveforms at its rate: log-mels, and in a model of pitch log F0, which goes on in a
        straight line where nothing is voiced.

        f0: Hz, 0 where unvoiced. Raises ConfigError where the model needs it and it is not given.
        """
        mel = self._of.mel(waveform)
        if not self._of.config.pitch:
            return mel
        if f0 is None:
            raise ConfigError("a Flowtron with model.pitch needs F0 beside the sound")
        with full_precision(mel.device.type):
            pitch = pitch_from_f0(at_least_float32(f0)).log_f0
            short = mel.shape[2] - pitch.shape[1]
            pitch = F.pad(pitch[:, None], (0, max(short, 0)), mode="replicate")[..., : mel.shape[2]]
            return torch.cat([at_least_float32(mel), pitch], dim=1)

    def mel_part(self, frames: Float[Tensor, "batch bands frames"]) -> Float[Tensor, "batch mels frames"]:
        """The mels of frames, without their pitch."""
        return frames[:, : self._of.config.mel.n_mels] if self._of.config.pitch else frames

    def spoken_mel(
        self, frames: Float[Tensor, "batch bands frames"], mask: Bool[Tensor, "batch 1 frames"] | None = None
    ) -> Float[Tensor, "batch mels frames"]:
        """The mels of drawn frames, with fine structure as wide as that of recordings and through the postfilter where
        the model has them. mask: of real frames; None: all are. Other frames are at the mel's floor."""
        model, frames = self._of, self.detailed(frames)
        if model.postfilter is not None:
            standard, mels = model.standardize, model.config.mel.n_mels
            mel = self.refined(frames, mask) * standard.std[:mels, None] + standard.mean[:mels, None]
        else:
            mel = self.mel_part(frames)
            if model.detail is None:
                return mel
        floor = math.log(model.config.mel.floor)
        mel = mel.clamp(min=floor)
        return mel if mask is None else torch.where(mask, mel, floor)

    def refined(
        self, frames: Float[Tensor, "batch bands frames"], mask: Bool[Tensor, "batch 1 frames"] | None = None
    ) -> Float[Tensor, "batch mels frames"]:
        """Frames through the postfilter, of a model that has one: standardised mels."""
        model = self._of
        assert model.postfilter is not None
        mels: Tensor = model.postfilter(model.standardize(frames), frames[:, -1] if model.config.pitch else None, mask)
        return mels

    def detailed(self, frames: Float[Tensor, "batch bands frames"]) -> Float[Tensor, "batch bands frames"]:
        """Drawn frames, the fine structure of their mels as wide as that of recordings where this is asked."""
        if self._of.detail is None:
            return frames
        mels = self._of.config.mel.n_mels
        return torch.cat([self._of.detail(frames[:, :mels]), frames[:, mels:]], dim=1)

    def group_lengths(self, frame_lengths: Int[Tensor, " batch"]) -> Int[Tensor, " batch"]:
        """Groups that hold so many frames."""
        return -(-frame_lengths // self._of.config.group)

    def grouped(
        self, frames: Float[Tensor, "batch bands frames"], frame_lengths: Int[Tensor, " batch"]
    ) -> Float[Tensor, "batch groups channels"]:
        """What goes into the first flow. After the end there is silence, of the mean pitch."""
        model = self._of
        with full_precision(frames.device.type):
            x = model.standardize(at_least_float32(frames))
            silence = self._silence().to(x)
            x = torch.where(sequence_mask(frame_lengths, x.shape[2]), x, silence[:, None])
            missing = -x.shape[2] % model.config.group
            if missing:
                x = torch.cat([x, silence[None, :, None].expand(len(x), -1, missing)], dim=2)
        mels, *pitches = self._laid_out(x)
        if model.decorrelate is not None:
            mels = model.decorrelate(mels)
        return _joined([mels, *pitches])

    def frames_of(self, x: Float[Tensor, "batch groups channels"]) -> Float[Tensor, "batch bands padded"]:
        """The frames of what goes into the first flow: the inverse of `grouped`."""
        model = self._of
        mels, *pitches = self._parts(x)
        if model.decorrelate is not None:
            mels = model.decorrelate.inverse(mels)
        return model.standardize.inverse(self._one_by_one([mels, *pitches]))

    def mel_of(self, x: Float[Tensor, "batch groups channels"]) -> Float[Tensor, "batch mels padded"]:
        """The raw mel of what goes into the first flow."""
        return self.mel_part(self.frames_of(x))

    def ungrouped(self, z: Float[Tensor, "batch groups channels"]) -> Float[Tensor, "batch bands padded"]:
        """The latent of what comes out of the last flow: its frames one after the other."""
        mels, *pitches = self._parts(z)
        turn = self._of.decorrelate
        return self._one_by_one([mels if turn is None else turn.turned_back(mels), *pitches])

    def stacked(self, latent: Float[Tensor, "batch bands padded"]) -> Float[Tensor, "batch groups channels"]:
        """`group` frames of a latent beside each other, as the last flow has them: the inverse of `ungrouped`."""
        mels, *pitches = self._laid_out(latent)
        turn = self._of.decorrelate
        return _joined([mels if turn is None else turn.turned(mels), *pitches])

    def log_det(self, log_scale: Float[Tensor, "batch groups channels"]) -> Float[Tensor, "batch padded"]:
        """Of each frame, from what is heard to the latent; frames of a group that was turned have equal shares."""
        model, constant = self._of, self._of.standardize.std.log().sum()
        if model.decorrelate is None:
            return self._one_by_one(self._parts(log_scale)).sum(dim=1) - constant
        shared = (log_scale.sum(dim=2) + model.decorrelate.log_det) / model.config.group
        return shared.repeat_interleave(model.config.group, dim=1) - constant

    def squared(self, left: Float[Tensor, "batch groups channels"], of_pitch: float) -> Float[Tensor, "batch groups"]:
        """Mean square of differences over the bands of the standardised mel; plus that of the pitches, so weighted."""
        mels, *pitches = self._parts(left)
        turn = self._of.decorrelate
        if turn is not None:  # a rotation keeps squares, its scales do not
            mels = mels * turn.spread
        found = mels.square().mean(dim=2)
        return found if not pitches else found + of_pitch * pitches[0].square().mean(dim=2)

    def pitch_groups(self, log_f0: Float[Tensor, "batch frames"], groups: int) -> Float[Tensor, "batch groups pitches"]:
        """Log F0 of each frame as the pitches of groups, as they are in the first flow; the last one goes on."""
        group, standard = self._of.config.group, self._of.standardize
        pitch = (log_f0 - standard.mean[-1]) / standard.std[-1]
        return F.pad(pitch, (0, groups * group - pitch.shape[1]), mode="replicate").unflatten(1, (groups, group))

    def path_groups(self, path: Int[Tensor, "batch frames"], groups: int) -> Int[Tensor, "batch groups group"]:
        """The tokens of the frames of each group; what is missing is like the last frame."""
        group = self._of.config.group
        missing = groups * group - path.shape[1]
        return F.pad(path.float(), (0, missing), mode="replicate").long().unflatten(1, (groups, group))

    def _silence(self) -> Float[Tensor, " bands"]:
        """A frame at the mel's floor with the mean pitch, standardised."""
        model = self._of
        floor = torch.log(torch.tensor(model.config.mel.floor))
        silence = (floor - model.standardize.mean) / model.standardize.std
        mels = model.config.mel.n_mels
        return torch.cat([silence[:mels], torch.zeros_like(silence[mels:])])

    def _laid_out(self, x: Float[Tensor, "batch bands frames"]) -> list[Float[Tensor, "batch groups _"]]:
        """The mels of each group of frames, and their pitches where there are some."""
        group, mels = self._of.config.group, self._of.config.mel.n_mels
        parts = [x[:, :mels], x[:, mels:]] if self._of.config.pitch else [x]
        return [part.transpose(1, 2).unflatten(1, (-1, group)).flatten(2) for part in parts]

    def _parts(self, x: Float[Tensor, "batch groups channels"]) -> list[Float[Tensor, "batch groups _"]]:
        mels = self._of.config.group * self._of.config.mel.n_mels
        return [x[..., :mels], x[..., mels:]] if self._of.config.pitch else [x]

    def _one_by_one(self, parts: Sequence[Float[Tensor, "batch groups _"]]) -> Float[Tensor, "batch bands padded"]:
        """The inverse of `_laid_out`."""
        group = self._of.config.group
        return _joined([part.unflatten(2, (group, -1)).flatten(1, 2) for part in parts]).transpose(1, 2)


def _joined(parts: Sequence[Float[Tensor, "batch steps _"]]) -> Float[Tensor, "batch steps channels"]:
    return parts[0] if len(parts) == 1 else torch.cat(list(parts), dim=2)
