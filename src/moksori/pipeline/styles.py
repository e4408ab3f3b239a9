"""Styles of reference clips, and all else that a Manner asks for, as what a model's latents are drawn from."""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from moksori.errors import BadInput, UnsupportedTask, unknown_name
from moksori.models import registry
from moksori.models.checkpoint import fingerprint, read_manifest
from moksori.models.contract import CanTakeStyle
from moksori.pipeline.clips import ClipReading, StyleClip, clip_frames, read_clip, style_model
from moksori.pipeline.latent_choice import LatentChoice, Take, Way
from moksori.pipeline.manner import DEFAULT_MODE, SEED, Manner, StyleSource
from moksori.pipeline.voices import is_voice_file, read_voice
from moksori.types import MixtureChoice, StyleMean, Voice, mean_measure

if TYPE_CHECKING:
    from moksori.pipeline.speaker import Speaker

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Chosen:
    """What a Manner comes to, and what a person should know of its clips."""

    choice: LatentChoice
    notes: tuple[str, ...]


def choose(
    speaker: "Speaker", manner: Manner | None, target: str | None = None, language: str | None = None
) -> Chosen | None:
    """A Manner, resolved for a voice; None where nothing is asked for. target: who is to speak; None: the first.

    Raises UnsupportedTask where the model has no latents to choose, or lacks what is asked for, UnknownName for
    speakers, AudioError, TextError or BadInput for clips that cannot be used.
    """
    if manner is None or manner.plain:
        return None
    model = _able(speaker)
    notes: list[str] = []
    speakers, samples, blended = _blended(speaker, model, manner)
    styles = [*blended, *_styles(speaker, model, manner, target, language, notes)]
    if blended and manner.styles:
        raise BadInput("both clips of a style and a blend of styles are given: give one of them")
    choice = LatentChoice(
        tuple(styles),
        manner.strengths,
        manner.way or "linear",
        samples,
        speakers,
        manner.way or _own_way(samples),
        _mixture(speaker, model, manner, notes),
        _take(speaker, model, manner, notes),
    )
    for note in notes:
        logger.warning("%s", note)  # the command line shows these on stderr
    return Chosen(choice, tuple(notes))


def style_of(
    speaker: "Speaker",
    clips: Sequence[StyleSource],
    mode: str = DEFAULT_MODE,
    name: str | None = None,
    target: str | None = None,
    language: str | None = None,
) -> tuple[Voice, tuple[str, ...]]:
    """The style of clips, which `style=` takes and `voices.write_voice` keeps in a file, and notes on the clips.

    Several styles are their mean. Raises as `choose` does.
    """
    model = _able(speaker)
    if not clips:
        raise BadInput("no clip: give at least one whose style is wanted")
    notes: list[str] = []
    means = _styles(speaker, model, Manner(tuple(clips), mode), target, language, notes)
    weights = [style.weight for style in means]
    measures = [(style.measure, style.weight) for style in means if style.measure is not None]
    frames = max(style.mean.shape[1] for style in means)
    total = sum(
        weight * style.mean.repeat(1, -(-frames // style.mean.shape[1]))[:, -frames:]
        for weight, style in zip(weights, means, strict=True)
    )
    names = [_name(clip) for clip in clips]
    voice = Voice(
        speaker.manifest.family,
        name=name or "+".join(names),
        vector=torch.as_tensor(total) / sum(weights),
        front_end=model.mel_config.key,
        model=fingerprint(speaker.loaded.folder),
        sources=tuple(names),
        kind="style",
        measure=mean_measure(measures) if measures else None,
    )
    return voice, tuple(notes)


def has_styles(folder: Path) -> bool:
    """Whether a model's latents can be chosen; told without its weights."""
    return hasattr(registry.family(read_manifest(folder).family).model, "read_latents")


def read_clips(
    speaker: "Speaker", clips: Iterable[StyleClip], target: str | None = None, language: str | None = None
) -> list[ClipReading]:
    """What the model reads off clips; raises as `read_clip` does."""
    model = _able(speaker)
    return [_read(speaker, model, clip, target, language) for clip in clips]


def _able(speaker: "Speaker") -> CanTakeStyle:
    return style_model(speaker.loaded.model, speaker.name, speaker.manifest.family)


def _styles(
    speaker: "Speaker",
    model: CanTakeStyle,
    manner: Manner,
    target: str | None,
    language: str | None,
    notes: list[str],
) -> list[StyleMean]:
    """Means of the clips, those of one place together, and the styles that were given as such."""
    mode = "time_and_batch" if manner.mode == "segment" else manner.mode
    places: dict[tuple[float, float], list[ClipReading]] = {}
    found = []
    for source in manner.styles:
        if isinstance(source, Voice) or is_voice_file(source):
            voice = source if isinstance(source, Voice) else read_voice(Path(str(source)))
            found.append(StyleMean(_style_vector(voice, speaker, model), measure=voice.measure))
            continue
        clip = source if isinstance(source, StyleClip) else StyleClip(source)
        reading = _read(speaker, model, clip, target, language)
        notes.extend(reading.notes)
        places.setdefault(clip.place, []).append(reading)
    for (start, stop), readings in places.items():
        measures = [(reading.measure, 1.0) for reading in readings if reading.measure is not None]
        mean, count = model.style_mean([reading.latent for reading in readings], mode), float(len(readings))
        found.append(StyleMean(mean, count, start, stop, mean_measure(measures) if measures else None))
    return found


def _read(
    speaker: "Speaker", model: CanTakeStyle, clip: StyleClip, target: str | None, language: str | None
) -> ClipReading:
    who = clip.speaker if clip.speaker is not None else target
    row = speaker.row_of(who)
    return read_clip(clip, model, lambda sentence: speaker.encoded(sentence, who, language), row, speaker.loaded.device)


def _style_vector(voice: Voice, speaker: "Speaker", model: CanTakeStyle) -> torch.Tensor:
    """The mean latent of a style; raises BadInput, saying what differs, unless it is one of this model."""
    what, manifest = f"the style {voice.name!r}", speaker.manifest
    again = "make it from its clips with 'moksori voice make --model'"
    if voice.kind != "style" or voice.vector is None:
        raise BadInput(f"{what}: is a voice, which says who speaks and not how: {again}")
    if voice.family != manifest.family:
        raise BadInput(f"{what}: is of the family {voice.family!r}, {manifest.name} of {manifest.family!r}: {again}")
    own = fingerprint(speaker.loaded.folder)
    if voice.front_end != model.mel_config.key or voice.model != own:
        raise BadInput(f"{what}: was made by the model {voice.model}, {manifest.name} is {own}: {again}")
    if voice.vector.dim() != 2 or voice.vector.shape[0] != model.latent_bands:
        raise BadInput(f"{what}: has the shape {list(voice.vector.shape)}: {again}")
    return voice.vector


def _blended(
    speaker: "Speaker", model: CanTakeStyle, manner: Manner
) -> tuple[tuple[tuple[int, float], ...], tuple[tuple[int, float], ...], list[StyleMean]]:
    """Rows of speakers, seeds, or styles, whichever of these the blend names."""
    names = [name for name, _ in manner.blend]
    shares = [share for _, share in manner.blend]
    if not names:
        return (), (), []
    seeds, files = [n.startswith(SEED) for n in names], [is_voice_file(n) for n in names]
    if all(seeds):
        return (), tuple((_seed(name), share) for name, share in manner.blend), []
    if all(files):
        voices = [read_voice(Path(name)) for name in names]
        styles = [
            StyleMean(_style_vector(voice, speaker, model), share, measure=voice.measure)
            for voice, share in zip(voices, shares, strict=True)
        ]
        return (), (), styles
    if any(seeds) or any(files):
        raise BadInput(
            f"blend of {', '.join(names)}: speakers, styles (.voice files) and seeds are blended among themselves: "
            "give one kind"
        )
    for name in names:
        if name not in speaker.speakers:
            raise unknown_name("speaker to blend", name, speaker.speakers)
    if not model.mixes_speakers:
        raise UnsupportedTask(
            f"{speaker.name}: has no table of several speakers to blend: blend seeds (seed:3=0.5,seed:9=0.5) or styles"
        )
    return tuple((speaker.row_of(name), share) for name, share in manner.blend), (), []


def _seed(name: str) -> int:
    number = name.removeprefix(SEED)
    if not number.isdecimal() or len(number) > 18:
        raise BadInput(f"blend {name!r}: expected a whole number from 0 on, such as {SEED}3")
    return int(number)


def _own_way(samples: tuple[tuple[int, float], ...]) -> Way:
    return "slerp" if samples else "linear"


def _mixture(speaker: "Speaker", model: CanTakeStyle, manner: Manner, notes: list[str]) -> MixtureChoice:
    if not manner.components and not manner.shifts and manner.components_of is None:
        return MixtureChoice()
    count, bands = model.mixture_components, model.latent_bands
    if count == 0:
        raise UnsupportedTask(f"{speaker.name}: its prior is one Gaussian, there are no components to choose from")
    for number in [component for component, _ in manner.components] + [shift[0] for shift in manner.shifts]:
        if not 0 <= number < count:
            raise BadInput(f"component {number}: {speaker.name} has the components 0 to {count - 1}")
    for _, band, _ in manner.shifts:
        if not 0 <= band < bands:
            raise BadInput(f"component shift in band {band}: there are the bands 0 to {bands - 1}")
    components = manner.components
    if manner.components_of is not None:
        _, frames, _, doubts = clip_frames(manner.components_of, model)
        notes.extend(doubts)
        frames = frames.to(speaker.loaded.device)
        shares = model.component_shares(frames, torch.tensor([frames.shape[2]], device=frames.device))[0]
        components = tuple(enumerate(shares.tolist()))
    return MixtureChoice(components, manner.shifts)


def _take(speaker: "Speaker", model: CanTakeStyle, manner: Manner, notes: list[str]) -> Take | None:
    if manner.prosody is None:
        return None
    name, frames, _, doubts = clip_frames(manner.prosody, model)
    notes.extend(doubts)
    row = None if manner.prosody_speaker is None else speaker.row_of(manner.prosody_speaker)
    return Take(name, frames, row)


def _name(source: StyleSource) -> str:
    audio = source.audio if isinstance(source, StyleClip) else source
    if isinstance(audio, Voice):
        return audio.name
    return Path(audio).stem if isinstance(audio, str | Path) else "recording"
