"""Durations for a corpus: the aligner learns the corpus in about a minute, and then is applied to it."""

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
import yaml
from jaxtyping import Int
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from moksori.corpus.collate import collate
from moksori.corpus.features import front_end, prepare
from moksori.corpus.manifest import Corpus
from moksori.errors import CorpusError
from moksori.pipeline.batches import ExampleBatches
from moksori.pipeline.progress import Progress, no_progress
from moksori.pipeline.run_config import RunConfig, run_config
from moksori.text.tokenizer import TextConfig, Tokenizer
from moksori.training.loop import Watcher, fit
from moksori.types import Example, SpeechNeeds

logger = logging.getLogger(__name__)

DEFAULT_PRESET = "aligner/compact"
"""Its word edges are the sharper ones on every corpus measured (docs/aligner.md)."""
ENOUGH_EPOCHS, FEWEST_STEPS = 20, 300
"""A corpus that is small enough is aligned after so many passes, but not before so many steps."""


@dataclass(frozen=True)
class Alignment:
    """Frames of each token by utterance name, and how badly each recording fits its text.

    misfit: mean squared error of the standardised mel along the path; 0.26 is usual for clean single-speaker speech.
    too_short: utterances with fewer frames than states; they have no durations.
    """

    durations: Mapping[str, Int[np.ndarray, " tokens"]]
    misfit: Mapping[str, float]
    too_short: tuple[str, ...]


def align(
    corpus: Corpus,
    needs: SpeechNeeds,
    text: TextConfig,
    splits: Sequence[str] = ("train", "valid"),
    preset: str | None = None,
    assignments: Sequence[str] = (),
    progress: Progress = no_progress,
) -> Alignment:
    """Durations of every utterance in `splits`, at the rate and hop of `needs`; learnt from the training split.

    They are kept in `CORPUS/alignment/KEY.safetensors`, where the key covers settings and content, and found again
    there; so is the aligner that made them. assignments: overrides of the preset; without one of training.max_steps, a
    small corpus takes fewer steps.
    progress: called with training steps.
    Raises CorpusError if nothing in the training split can be aligned.
    """
    config, settings = _configured(corpus, needs, text, preset, assignments)
    key = _key(corpus, splits, settings.model_dump(mode="json"), _recipe(config))
    path = corpus.folder / "alignment" / f"{key}.safetensors"
    found = _load(path)
    if found is not None:
        return found
    own = SpeechNeeds(needs.sample_rate, needs.hop_length)
    aligner = trained_aligner(corpus, needs, text, preset, assignments, progress)
    durations: dict[str, np.ndarray] = {}
    misfit: dict[str, float] = {}
    too_short: list[str] = []
    for split in dict.fromkeys(splits):
        examples = prepare(corpus, split, own, text)
        fits = [e for e in examples if _fits(aligner, e, own)]
        fitting = {e.utterance.name for e in fits}
        too_short += [e.utterance.name for e in examples if e.utterance.name not in fitting]
        for start in range(0, len(fits), 16):
            part = fits[start : start + 16]
            batch = collate(part, own)
            frames, error = aligner.align(batch), aligner.misfit(batch)
            for example, row, value in zip(part, frames, error, strict=True):
                assert example.tokens is not None
                durations[example.utterance.name] = row[: len(example.tokens)].numpy().astype(np.int64)
                misfit[example.utterance.name] = float(value)
    alignment = Alignment(durations, misfit, tuple(too_short))
    _store(path, alignment)
    return alignment


def trained_aligner(
    corpus: Corpus,
    needs: SpeechNeeds,
    text: TextConfig,
    preset: str | None = None,
    assignments: Sequence[str] = (),
    progress: Progress = no_progress,
) -> Any:
    """The aligner itself, on the CPU: learnt from the training split's recordings alone, and kept in the corpus.

    It stands in `CORPUS/alignment/aligner-KEY.safetensors`, where the key covers settings and the training split.
    Arguments and errors: as for `align`.
    """
    config, settings = _configured(corpus, needs, text, preset, assignments)
    key = _key(corpus, ("train",), settings.model_dump(mode="json"), _recipe(config))
    path = corpus.folder / "alignment" / f"aligner-{key}.safetensors"
    with torch.random.fork_rng(devices=[]):  # first weights follow from the seed
        torch.manual_seed(config.training.seed)
        model: Any = config.family.model(settings)
    if _load_weights(path, model):
        return model
    own = SpeechNeeds(needs.sample_rate, needs.hop_length)
    fits = [e for e in prepare(corpus, "train", own, text) if _fits(model, e, own)]
    if not fits:
        raise CorpusError(f"{corpus.folder}: every recording is too short for its text; run 'moksori corpus check'")
    objective = config.family.objective(model, config.objective)
    batches = ExampleBatches(fits, own, config.training.batch_size, config.training.seed)
    steps = config.training.max_steps or 0
    watcher = Watcher(on_step=lambda p: progress(p.step, steps))
    with TemporaryDirectory() as run:  # a corpus may lie on a read-only disk
        result = fit(objective, batches, [], config.training, Path(run), watcher)
    aligner: Any = result.averaged.model.cpu().eval()
    _write(path, {name: tensor.numpy() for name, tensor in aligner.state_dict().items()}, "aligner")
    return aligner


def _configured(
    corpus: Corpus, needs: SpeechNeeds, text: TextConfig, preset: str | None, assignments: Sequence[str]
) -> tuple[RunConfig, Any]:
    """The aligner's run on this corpus, as many steps as it needs, and its model's settings with the text's."""
    rate, hop = needs.sample_rate, needs.hop_length
    overrides = [
        f"model.mel.sample_rate={rate}",
        f"model.mel.hop_length={hop}",
        f"model.mel.f_max_hz={min(8000.0, rate / 2)}",
        f"model.num_speakers={len(corpus.info.speakers)}",
        *assignments,
    ]
    config = run_config(preset or DEFAULT_PRESET, overrides)
    if not any(assignment.startswith("training.max_steps=") for assignment in assignments):
        config = _shortened(config, len(corpus.split("train")))
    return config, config.model.model_copy(update={"text": text})


def _recipe(config: RunConfig) -> str:
    """The run's settings as text, without the noise that other families lay over recordings: an aligner has none."""
    sections = yaml.safe_load(config.to_yaml())
    return yaml.safe_dump(
        {k: v for k, v in sections.items() if k != "augmentation"}, sort_keys=False, allow_unicode=True
    )


def _shortened(config: RunConfig, clips: int) -> RunConfig:
    """The run with no more than ENOUGH_EPOCHS passes over the corpus, but FEWEST_STEPS at least."""
    training = config.training
    if training.max_steps is None:
        return config
    epochs = ENOUGH_EPOCHS * -(-clips // training.batch_size)
    steps = min(training.max_steps, max(FEWEST_STEPS, epochs))
    return replace(config, training=training.model_copy(update={"max_steps": steps}))


def word_times(
    example: Example, durations: Int[np.ndarray, " tokens"], text: TextConfig, needs: SpeechNeeds
) -> list[tuple[str, float, float]]:
    """(word, start, end) in seconds for each written word of an aligned example."""
    words = Tokenizer(text).encode(example.utterance.text, example.utterance.language).words
    spoken = [word for word in words if word.end_token > word.start_token]
    ends = np.concatenate([[0], np.cumsum(durations)]) * needs.hop_length / needs.sample_rate
    return [(word.text, float(ends[word.start_token]), float(ends[word.end_token])) for word in spoken]


def fewest_frames(model: Any, example: Example) -> int:
    """The frames that a recording needs to hold its text."""
    assert example.tokens is not None
    return int(model.minimum_frames(torch.from_numpy(example.tokens)))


def _fits(model: Any, example: Example, needs: SpeechNeeds) -> bool:
    return fewest_frames(model, example) <= len(example.waveform) // needs.hop_length


def _key(corpus: Corpus, splits: Sequence[str], model: Mapping[str, Any], training: str) -> str:
    content = [
        [u.name, u.text, str(u.audio.name), u.start_seconds, u.duration_seconds]
        for split in dict.fromkeys(("train", *splits))
        for u in corpus.split(split)
    ]
    # A text that is read otherwise by newer code has other tokens, which old durations do not fit.
    text = json.dumps([model, training, content, front_end("tokens")], sort_keys=True, default=list)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:16]


def _load(path: Path) -> Alignment | None:
    if not path.is_file():
        return None
    try:
        arrays = load_file(path)
        names = bytes(arrays["names"]).decode("utf-8").split("\n")
        too_short = tuple(n for n in bytes(arrays["too_short"]).decode("utf-8").split("\n") if n)
        rows = np.split(arrays["durations"], arrays["offsets"][1:-1])
        misfit = dict(zip(names, arrays["misfit"].tolist(), strict=True))
        return Alignment(dict(zip(names, rows, strict=True)), misfit, too_short)
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        logger.warning("%s: broken alignment, made again (%s)", path, error)
        return None


def _load_weights(path: Path, model: Any) -> bool:
    """Whether `path` held the model's weights, which it now has."""
    if not path.is_file():
        return False
    try:
        model.load_state_dict({name: torch.from_numpy(array) for name, array in load_file(path).items()})
    except (SafetensorError, OSError, RuntimeError, ValueError) as error:
        logger.warning("%s: broken aligner, made again (%s)", path, str(error).splitlines()[0])
        return False
    model.eval()
    return True


def _store(path: Path, alignment: Alignment) -> None:
    rows = list(alignment.durations.values())
    arrays = {
        "names": np.frombuffer("\n".join(alignment.durations).encode("utf-8"), np.uint8).copy(),
        "too_short": np.frombuffer(("\n".join(alignment.too_short) + "\n").encode("utf-8"), np.uint8).copy(),
        "durations": np.concatenate(rows),
        "offsets": np.concatenate([[0], np.cumsum([len(r) for r in rows])]).astype(np.int64),
        "misfit": np.array([alignment.misfit[name] for name in alignment.durations], np.float32),
    }
    _write(path, arrays, "alignment")


def _write(path: Path, arrays: Mapping[str, np.ndarray], what: str) -> None:
    """Keeps arrays, whole or not at all; a corpus on a read-only disk is used without."""
    partial = path.with_suffix(".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(dict(arrays), partial)
        partial.replace(path)
    except OSError as error:
        logger.warning("%s: the %s is not kept (%s)", path, what, error.strerror or error)
    finally:
        partial.unlink(missing_ok=True)
