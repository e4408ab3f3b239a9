"""What Flowtron does with latents that a person chooses: read off recordings, said with a text, drawn around styles."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

import torch
from jaxtyping import Float, Int
from torch import Generator, Tensor

from moksori.audio.mel import MelConfig
from moksori.errors import BadInput, UnsupportedTask
from moksori.models.flowtron.alignment import steady
from moksori.models.flowtron.style import mixed, noise_scale, places, planned_noise, style_course, style_mean
from moksori.models.flowtron.style_measures import measured, phone_counts
from moksori.nn.alignment import durations_to_path, monotonic_durations
from moksori.types import MixtureChoice, ReadLatents, SayControls, SpokenFlags, SpokenMels, StyleMeasure, TextBatch

if TYPE_CHECKING:
    from moksori.models.flowtron.model import Encoded, Flowtron


class ChosenLatents:
    """What Flowtron can do with latents that a person chooses: see `moksori.models.contract.CanTakeStyle`."""

    @property
    def _model(self) -> "Flowtron":
        return cast("Flowtron", self)

    @property
    def mel_config(self) -> MelConfig:
        """Of what it hears and makes."""
        return self._model.config.mel

    @property
    def num_speakers(self) -> int:
        """Rows of the speaker table, used or not."""
        return self._model.config.num_speakers

    @property
    def mixes_speakers(self) -> bool:
        """Whether there is a table of several speakers; without one the latent says who speaks."""
        model = self._model
        return model.speaker_embedding is not None and model.config.num_speakers > 1

    @property
    def mixture_components(self) -> int:
        """Of the prior; 0: it is one Gaussian."""
        return self._model.prior.num_components

    @torch.inference_mode()
    def component_shares(
        self, frames: Float[Tensor, "batch bands frames"], frame_lengths: Int[Tensor, " batch"]
    ) -> Float[Tensor, "batch components"]:
        """The shares that recordings choose of a mixture prior; raises UnsupportedTask where it is one Gaussian."""
        return self._model.mixture(frames, frame_lengths).log_weights.exp()

    def style_mean(self, latents: Sequence[Float[Tensor, "mels frames"]], mode: str) -> Float[Tensor, "mels frames"]:
        """See the function of this name."""
        return style_mean(latents, mode)

    @torch.inference_mode()
    def read_latents(
        self,
        frames: Float[Tensor, "batch bands frames"],
        frame_lengths: Int[Tensor, " batch"],
        text: TextBatch,
    ) -> ReadLatents:
        """z of recordings (`frames`) whose texts are known, and how well sound and text go together.

        Where the text gives durations, attention is kept to them.
        """
        model = self._model
        path = None if text.durations is None else token_path(text.durations, frames.shape[2])
        encoded = model.encode(frames, frame_lengths, model.memory(text), attention_path=path)
        likelihood = encoded.log_likelihood.sum(dim=1)
        count = encoded.group_lengths * model.config.group * model.config.bands
        durations, sure = attended_durations(encoded, frame_lengths, text.token_lengths, model.config.group)
        durations = durations if text.durations is None else text.durations
        flags = attention_flags(encoded, text.token_lengths, model.config.group)
        measures: tuple[StyleMeasure, ...] = ()
        if model.config.pitch:
            measures = measured(model, frames, frame_lengths, phone_counts(model, text)).items()
        return ReadLatents(
            encoded.latent, frame_lengths, likelihood / count, durations, flags, sure, encoded.attention, measures
        )

    @torch.inference_mode()
    def say_latents(
        self,
        latent: Float[Tensor, "batch mels padded"],
        frame_lengths: Int[Tensor, " batch"],
        text: TextBatch,
        controls: SayControls,
    ) -> SpokenMels:
        """The mels that latents give with a text and a speaker, frame by frame: no gate, no noise.

        With the text, speaker and durations that they were read with they are the mels that these were read off; with
        another speaker, the same prosody in that voice, which is safest with the attention of the reading
        (`controls.latent.given_attention`).
        """
        model, longest = self._model, int(frame_lengths.max())
        memory = model.memory(text, model.mixed_speaker(controls))
        path = None if text.durations is None else token_path(text.durations, longest)
        kept = None if controls.latent is None else controls.latent.given_attention or None
        frames = model.decode(latent, frame_lengths, memory, path, kept)[..., :longest]
        encoded = model.encode(frames, frame_lengths, memory, attention_path=path)
        durations = text.durations
        if durations is None:
            durations, _ = attended_durations(encoded, frame_lengths, text.token_lengths, model.config.group)
        flags = attention_flags(encoded, text.token_lengths, model.config.group)
        return SpokenMels(model.mel_part(frames), frame_lengths, durations, flags)

    def mixed_speaker(self, controls: SayControls) -> Float[Tensor, "1 channels"] | None:
        """The vector of `controls.speakers`; None where none are to be mixed.

        Raises UnsupportedTask for a model whose speakers are in its latents, BadInput for rows that it has not.
        """
        if not controls.speakers:
            return None
        model = self._model
        if not model.mixes_speakers:
            raise UnsupportedTask("this model has no table of several speakers, so none of them can be mixed")
        rows = [row for row, _ in controls.speakers]
        if not all(0 <= row < model.config.num_speakers for row in rows):
            raise BadInput(f"speakers {rows}: the table has the rows 0 to {model.config.num_speakers - 1}")
        device = model.standardize.mean.device
        vectors = [model.speaker_vector(torch.tensor([row], device=device)) for row in rows]
        columns = [vector.transpose(0, 1) for vector in vectors if vector is not None]
        return mixed(columns, [weight for _, weight in controls.speakers], controls.speaker_way).transpose(0, 1)

    def drawn_latent(
        self,
        like: Float[Tensor, "batch mels frames"],
        expected_frames: Int[Tensor, " batch"],
        controls: SayControls,
        generator: Generator | None = None,
    ) -> Float[Tensor, "batch mels frames"]:
        """z of the shape of `like`, as `controls` ask for it: the prior's noise, moved by styles.

        expected_frames: of the utterances, which are as long as the length model thinks or durations say; they lie at
        the end of the latent where the flow nearest to it runs backward, else at its beginning.
        """
        model = self._model
        variation = model.config.variation if controls.variation is None else controls.variation
        plan = controls.latent
        noise = planned_noise(plan, like, generator) if variation else torch.zeros_like(like)
        choice = MixtureChoice() if plan is None else plan.mixture
        if plan is not None and plan.styles and not (choice.weights or choice.shifts):
            latent = variation * noise  # a style is where the noise is centred, in place of the prior's own means
        else:
            latent = model.prior.placed(noise, variation, choice, generator)
        if plan is not None and plan.styles:
            from_the_end = model.config.flow_directions[-1] == "backward"
            place = places(like.shape[2], expected_frames.float(), from_the_end)
            latent = latent * noise_scale(plan, place) + style_course(plan, place)
        return latent


def token_path(durations: Int[Tensor, "batch tokens"], frames: int) -> Int[Tensor, "batch frames"]:
    """The token of each frame; frames beyond an item's durations have its last token.

    Raises BadInput for an item with no frame at all.
    """
    ends = durations.cumsum(dim=1)
    if not bool((ends[:, -1] > 0).all()):
        raise BadInput("durations of no frames: give each text at least one")
    path = durations_to_path(durations, frames)
    return torch.minimum(path, path.gather(1, ends[:, -1:].clamp(max=frames) - 1))


def attended_durations(
    encoded: "Encoded", frame_lengths: Int[Tensor, " batch"], token_lengths: Int[Tensor, " batch"], group: int
) -> tuple[Int[Tensor, "batch tokens"], Float[Tensor, " batch"]]:
    """Frames of each token along the best monotonic path through the attention of all flows together, and how sure it
    is: the geometric mean of the weights along it, 0 to 1.

    A text of more tokens than the recording has groups of frames has none: all zeros.
    """
    scores = torch.stack(list(encoded.log_content)).mean(dim=0).clamp(min=-30.0)
    found = torch.zeros(scores.shape[0], scores.shape[2], dtype=torch.int64, device=frame_lengths.device)
    sure = torch.zeros(len(found), device=scores.device)
    for item in range(len(found)):
        steps, tokens = int(encoded.group_lengths[item]), int(token_lengths[item])
        if tokens > steps:
            continue
        one = slice(item, item + 1)
        groups = monotonic_durations(scores[one], encoded.group_lengths[one], token_lengths[one])[0]
        ends = (groups.cumsum(dim=0) * group).clamp(max=frame_lengths[item])
        found[item] = torch.diff(ends, prepend=ends.new_zeros(1))
        path = torch.arange(len(groups), device=groups.device).repeat_interleave(groups)
        sure[item] = scores[item, torch.arange(steps, device=path.device), path].mean().exp()
    return found, sure


def attention_flags(encoded: "Encoded", token_lengths: Int[Tensor, " batch"], group: int) -> tuple[SpokenFlags, ...]:
    """Coverage and monotonicity of each item, of the worse flow."""
    found = []
    for item, (steps, tokens) in enumerate(zip(encoded.group_lengths.tolist(), token_lengths.tolist(), strict=True)):
        coverage, monotonic = 1.0, 1.0
        for attention in encoded.attention:
            token = attention[item, :steps, :tokens].argmax(dim=1)
            coverage = min(coverage, len(token.unique()) / max(min(tokens, steps), 1))
            if steps > 1:
                monotonic = min(monotonic, float(steady(token, group).float().mean()))
        found.append(SpokenFlags(coverage=coverage, monotonic=monotonic))
    return tuple(found)
