"""Voices as files: a vector in safetensors, with what made it in the file's metadata. Never a pickle.

A vector means something to the model alone that read it off recordings, so a voice names that model by its fingerprint,
and the features that it was read off by theirs; with another model it is refused. The same files keep styles, whose
vector is a mean latent `[mels, frames]` (pipeline.styles), and prompts, whose vector is a codec's codes `[stages,
frames]` (pipeline.prompts); their formats are 2 and 4, which tell older readers to refuse them.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, astuple, dataclass, replace
from pathlib import Path
from typing import Literal, cast

import torch

from moksori.errors import BadInput, CheckpointError, MoksoriError, UnsupportedTask
from moksori.models import registry
from moksori.models.checkpoint import Loaded, fingerprint
from moksori.models.contract import CanEnroll, CanFit
from moksori.pipeline.consent import kept_consent
from moksori.pipeline.say import check_folder
from moksori.pipeline.seeds import sentence_generator
from moksori.pipeline.whole_files import written_whole
from moksori.types import StyleMeasure, Voice

SUFFIX = ".voice"
FORMATS = {"voice": 1, "style": 2, "tuned voice": 3, "prompt": 4}
_TENSOR, _TUNED = "vector", "tuned."
_NAME_CHARACTERS = 60


@dataclass(frozen=True)
class ListedVoice:
    """A file of a folder: its voice, or why it is none."""

    path: Path
    voice: Voice | None
    problem: str = ""


def listener(loaded: Loaded) -> CanEnroll:
    """The model, as one that hears voices; raises UnsupportedTask where it is none."""
    if not isinstance(loaded.model, CanEnroll):
        hearing, prompted = registry.families_with("draw_voice"), registry.families_with("say_latents_like")
        able = sorted({*hearing, *prompted})  # the latter take prompts, which files keep too
        raise UnsupportedTask(
            f"{loaded.manifest.name}: a {loaded.manifest.family!r} model imitates no voice of a recording: use one of "
            f"{', '.join(able)}"
        )
    return loaded.model


def keeps_voices(loaded: Loaded) -> bool:
    """Whether a model has voices that a file can keep: it hears them in recordings, or its singers are vectors."""
    return isinstance(loaded.model, CanEnroll) or (isinstance(loaded.model, CanFit) and loaded.model.fits_voices)


def _front_end(loaded: Loaded) -> str:
    model = loaded.model
    return model.front_end_key if isinstance(model, CanFit) and model.fits_voices else listener(loaded).front_end_key


def fitter(loaded: Loaded) -> CanFit:
    """The model, as one whose singers are vectors; raises UnsupportedTask where it is none."""
    if not isinstance(loaded.model, CanFit) or not loaded.model.fits_voices:
        able = registry.families_with("fit_voice")
        raise UnsupportedTask(
            f"{loaded.manifest.name}: a {loaded.manifest.family!r} model has no singers' vectors that could be fitted "
            f"or mixed: use one of {', '.join(able)}"
        )
    return loaded.model


def voice_of(loaded: Loaded, vector: torch.Tensor, name: str, sources: Sequence[str]) -> Voice:
    """A voice of a model that enrolls or fits."""
    key, model = _front_end(loaded), fingerprint(loaded.folder)
    shown = " ".join(name.split())[:_NAME_CHARACTERS]
    vector = vector.detach().float().cpu()
    return Voice(loaded.manifest.family, name=shown, vector=vector, front_end=key, model=model, sources=tuple(sources))


def check_voice(voice: Voice, loaded: Loaded) -> None:
    """Raises BadInput, saying what differs, unless a voice is one of this model."""
    manifest, what = loaded.manifest, f"the voice {voice.name!r}"
    if voice.kind == "style":
        raise BadInput(f"{what}: is a style, which says how and not who speaks: give it with --style")
    if voice.kind == "prompt":
        raise BadInput(
            f"{what}: is a prompt for a {voice.family!r} model, {manifest.name} is a {manifest.family!r} model: make "
            "one from its recording with 'moksori voice make --model'"
        )
    if voice.family != manifest.family:
        raise BadInput(
            f"{what}: is of the family {voice.family!r}, {manifest.name} is a {manifest.family!r} model: make it from "
            "its recording with 'moksori voice make --model'"
        )
    if voice.vector is None:
        raise BadInput(f"{what}: holds no vector: make it with 'moksori voice make'")
    key, own = _front_end(loaded), fingerprint(loaded.folder)
    if voice.front_end != key:
        raise BadInput(
            f"{what}: was read off the features {voice.front_end}, {manifest.name} listens to {key}: make it from its "
            "recording with 'moksori voice make --model'"
        )
    if voice.model != own:
        raise BadInput(
            f"{what}: was made by the model {voice.model}, {manifest.name} is {own}, to which it means nothing: make "
            "it from its recording with 'moksori voice make --model'"
        )
    if isinstance(loaded.model, CanEnroll):
        some = loaded.model.draw_voice(0.0, 0.0, sentence_generator(0, 0, loaded.device))  # of the width of all
        if voice.vector.numel() != some.numel():
            raise BadInput(
                f"{what}: has {voice.vector.numel()} numbers, {manifest.name} needs {some.numel()}: its file is "
                "damaged: make it again with 'moksori voice make'"
            )


def write_voice(voice: Voice, path: str | Path) -> Path:
    """Writes a voice with a vector to a file whose name ends in `.voice`, whole or not at all.

    Raises BadInput for another suffix, a folder that is missing or a voice without a vector, MoksoriError where the
    disk refuses.
    """
    from safetensors.torch import save

    path = Path(path)
    check_voice_path(path)
    if voice.vector is None:
        raise BadInput(f"the voice {voice.name!r}: is a speaker of a model, there is nothing to keep in a file")
    metadata = {
        "format": str(FORMATS["tuned voice" if voice.tuned else voice.kind]),
        "kind": voice.kind,
        "family": voice.family,
        "front_end": voice.front_end,
        "model": voice.model,
        "name": voice.name,
        "sources": json.dumps(list(voice.sources), ensure_ascii=False),
        **({"consent": voice.consent} if voice.consent else {}),
        **({"measure": json.dumps(asdict(voice.measure))} if voice.measure is not None else {}),
    }
    tensors = {_TENSOR: voice.vector, **{_TUNED + name: value for name, value in voice.tuned.items()}}
    with written_whole(path) as part:
        part.write_bytes(save({k: v.detach().float().cpu().contiguous() for k, v in tensors.items()}, metadata))
    return path


def check_voice_path(path: Path) -> None:
    """Raises BadInput unless a voice can be written there."""
    if path.suffix != SUFFIX:
        found = f"the suffix {path.suffix!r}" if path.suffix else "no suffix"
        raise BadInput(f"{path}: has {found}, a voice's file ends in {SUFFIX}: -o {path.stem or 'x'}{SUFFIX}")
    check_folder(path)


def is_voice_file(path: object) -> bool:
    """Whether a target is meant as a voice's file: by its suffix."""
    return isinstance(path, str | Path) and Path(path).suffix == SUFFIX


def read_voice(path: str | Path) -> Voice:
    """The voice in a file.

    Raises CheckpointError, naming the file and the remedy, for one that is missing, no voice, damaged or of a newer
    format.
    """
    from safetensors import SafetensorError, safe_open

    path = Path(path).expanduser()
    again = "make it again with 'moksori voice make'"
    if not path.is_file():
        raise CheckpointError(f"{path}: {'is no file' if path.exists() else 'does not exist'}: check the name")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            names = list(file.keys())
            vector = file.get_tensor(_TENSOR) if _TENSOR in names else None
            tuned = {n.removeprefix(_TUNED): file.get_tensor(n).float() for n in names if n.startswith(_TUNED)}
    except (OSError, SafetensorError, ValueError) as error:
        raise CheckpointError(f"{path}: is no voice file, or damaged ({error}): {again}") from error
    try:
        version = int(metadata["format"])
        if version > max(FORMATS.values()):
            raise CheckpointError(
                f"{path}: voice format {version}, this moksori reads up to {max(FORMATS.values())}: install a newer "
                "moksori"
            )
        kind: Literal["voice", "style", "prompt"] = "voice"
        if metadata.get("kind") in ("style", "prompt"):
            kind = cast(Literal["style", "prompt"], metadata["kind"])
        sources = tuple(str(source) for source in json.loads(metadata["sources"]))
        family, front_end, model, name = (metadata[key] for key in ("family", "front_end", "model", "name"))
        measure = _measure(metadata.get("measure"))
    except (KeyError, ValueError, TypeError) as error:
        raise CheckpointError(f"{path}: is no voice file: it does not say what made it: {again}") from error
    axes = 1 if kind == "voice" else 2
    if vector is None or vector.dim() != axes or not vector.numel() or not bool(vector.isfinite().all()):
        raise CheckpointError(f"{path}: holds no vector of finite numbers: {again}")
    if not all(bool(value.isfinite().all()) for value in tuned.values()):
        raise CheckpointError(f"{path}: holds layers with numbers that are not finite: {again}")
    return Voice(
        family, name=name, vector=vector.float(), front_end=front_end, model=model, sources=sources, kind=kind,
        consent=metadata.get("consent", ""), tuned=tuned, measure=measure,
    )  # fmt: skip


def _measure(written: str | None) -> StyleMeasure | None:
    """A style's measure; ValueError, KeyError or TypeError for what is none."""
    if written is None:
        return None
    read = json.loads(written)
    found = StyleMeasure(*(float(read[name]) for name in ("log_f0", "deviation", "phone_rate")))
    if not all(math.isfinite(value) for value in astuple(found)):
        raise ValueError("a measure that is no number")
    return found


def mixed(voices: Sequence[Voice], weights: Sequence[float] = ()) -> Voice:
    """The mean of voices of one model; weights: of each, positive or 0, equal where there are none. Their sum is
    brought to 1. Raises BadInput for voices of different models, or other numbers of weights than of voices."""
    if len(voices) < 2:
        raise BadInput(f"{len(voices)} voice: mixing needs at least two")
    if weights and len(weights) != len(voices):
        raise BadInput(f"{len(weights)} weights for {len(voices)} voices: give one --weight a voice, or none")
    shares = list(weights) or [1.0] * len(voices)
    if not all(math.isfinite(share) and share >= 0.0 for share in shares) or sum(shares) == 0.0:
        raise BadInput(f"weights {', '.join(f'{s:g}' for s in shares)}: expected numbers from 0 on, not all of them 0")
    first = voices[0]
    for voice in voices[1:]:
        if (voice.kind, voice.family, voice.front_end, voice.model) != (
            first.kind, first.family, first.front_end, first.model
        ):  # fmt: skip
            raise BadInput(
                f"the voices {first.name!r} and {voice.name!r} are of different models ({first.family} {first.model}, "
                f"{voice.family} {voice.model}): make both with the same one"
            )
    if first.kind == "prompt":
        raise BadInput("prompts are stretches of sound and have no mean: give several with --like, one after the other")
    check_untuned(voices)
    vectors = [voice.vector for voice in voices if voice.vector is not None]
    if len(vectors) < len(voices):
        raise BadInput("a voice without a vector cannot be mixed: make it with 'moksori voice make'")
    if len({vector.shape for vector in vectors}) > 1:
        raise BadInput("the voices' vectors differ in shape: make them in the same way")
    total = sum(shares)
    vector = torch.stack([v.float() * (s / total) for v, s in zip(vectors, shares, strict=True)]).sum(dim=0)
    sources = tuple(f"{v.name}*{s / total:.3g}" for v, s in zip(voices, shares, strict=True))
    name, consent = "+".join(v.name for v in voices)[:_NAME_CHARACTERS], kept_consent(v.consent for v in voices)
    return replace(first, name=name, vector=vector, sources=sources, consent=consent)


def check_untuned(voices: Sequence[Voice]) -> None:
    """Raises BadInput for voices of which a mean would be made, and that have layers of their own."""
    for voice in voices:
        if voice.tuned:
            raise BadInput(
                f"the voice {voice.name!r}: has layers of its own, which cannot be mixed with others: fit it without "
                "tuning layers"
            )


def drawn(loaded: Loaded, seed: int, mean: float = 0.0, variation: float = 0.5) -> Voice:
    """A voice of nobody, drawn from N(mean, variation²) in each dimension. Raises BadInput for numbers out of range."""
    model = loaded.model
    if not isinstance(model, CanEnroll):
        raise UnsupportedTask(
            f"{loaded.manifest.name}: a {loaded.manifest.family!r} model has no voices to draw: use one of "
            f"{', '.join(registry.families_with('draw_voice'))}"
        )
    if not math.isfinite(mean) or abs(mean) > 5.0:
        raise BadInput(f"mean {mean:g}: expected a number from -5 to 5")
    if not math.isfinite(variation) or not 0.0 <= variation <= 5.0:
        raise BadInput(f"variation {variation:g}: expected a number from 0 to 5")
    vector = model.draw_voice(mean, variation, sentence_generator(seed, 0))
    return voice_of(loaded, vector, f"random-{seed}", (f"drawn: seed {seed}, mean {mean:g}, variation {variation:g}",))


def list_voices(folder: str | Path) -> list[ListedVoice]:
    """The voice files of a folder by name; raises BadInput where there is no such folder."""
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        raise BadInput(f"{folder}: is no folder: name one that holds {SUFFIX} files")
    return [_listed(path) for path in sorted(folder.glob(f"*{SUFFIX}"))]


def _listed(path: Path) -> ListedVoice:
    try:
        return ListedVoice(path, read_voice(path))
    except MoksoriError as error:
        return ListedVoice(path, None, str(error))
