"""The paper's ablations of singing conversion: the same model with a part of its training taken away, each in turn.

Nachmani and Wolf 2019 (arXiv:1904.06590) compare the whole with no back-translation, no mixup and no augmentation; no
confusion is added, since lambda is what both of its phases share. How a study is kept: see `ablations`.
"""

from collections.abc import Sequence
from pathlib import Path

from moksori.corpus.manifest import Corpus
from moksori.corpus.speech_to_singing import is_song
from moksori.errors import CorpusError
from moksori.evaluation import speaker_encoders
from moksori.models.checkpoint import fingerprint
from moksori.pipeline.ablations import (
    Ablations,
    Design,
    Measured,
    Plan,
    Trained,
    Variant,
    check_taken_away,
    checked,
    equal_steps,
    run,
)
from moksori.pipeline.evaluate_settings import Settings
from moksori.pipeline.evaluate_songs import JUDGED_SONGS
from moksori.pipeline.models import find_model
from moksori.pipeline.progress import Progress
from moksori.pipeline.run_config import RunConfig, run_config
from moksori.pipeline.singing_measures import measure_singing
from moksori.pipeline.train import Listener

__all__ = ["FULL", "VARIANTS", "SingingStudy", "Trained", "Variant", "study_singing", "variant_named"]

PRESET = "wavenet_autoencoder/study"
VERSION = 2
PHASE_2 = "objective.back_translation"

FULL = Variant("full", "everything")
VARIANTS = (
    FULL,
    Variant("no-back-translation", "no back-translation (phase 1 alone)", (f"{PHASE_2}=null",)),
    Variant("no-mixup", "no mixup (phase 2 in voices of the table)", (f"{PHASE_2}.mixup=false",)),
    Variant(
        "no-augmentation",
        "no augmentation (four versions, slices, speed)",
        ("objective.four_fold=false", "objective.slice_semitones=0", "objective.speed=0"),
    ),
    Variant("no-confusion", "no confusion (lambda 0)", ("objective.confusion.weight=0",)),
)
DESIGN = Design("singing", "wavenet_autoencoder", PRESET, VARIANTS)


def variant_named(name: str) -> Variant:
    """Raises UnknownName with the nearest ones."""
    return DESIGN.variant(name)


class SingingStudy(Ablations):
    """All runs, and what they stand beside."""

    design = DESIGN


def study_singing(
    corpus: str | Path,
    folder: str | Path,
    assignments: Sequence[str] = (),
    *,
    variants: Sequence[Variant] = VARIANTS,
    seeds: int = 1,
    preset: str = PRESET,
    steps: int | None = None,
    start_from: str | None = None,
    split: str = "test",
    limit: int | None = None,
    targets: int | None = None,
    encoder: str = speaker_encoders.DEFAULT,
    measure_only: bool = False,
    listener: Listener | None = None,
) -> SingingStudy:
    """Trains what is not trained, measures what is not measured, and writes the result into `folder`.

    assignments: overrides for every variant. seeds: runs of each variant, seeds 0 to one less. steps: of each run; the
    preset's if None. Phase 2 begins after half of them, or at once with `start_from`, unless
    objective.back_translation.start_step is given. start_from: a model from whose weights all variants start.
    split, limit, targets, encoder: of `evaluate`'s task `sing`. measure_only: trains nothing.
    Raises ConfigError for settings that a variant does not change, or other ones than the folder's; CorpusError and
    MissingExtra as `train` and `evaluate` do.
    """
    listener, folder = listener or Listener(), Path(folder)
    common, config = _configured(preset, assignments, variants, seeds, steps, start_from)
    found = Corpus.open(corpus)
    _check(found, split, encoder)
    settings = {
        "version": VERSION,
        "preset": preset,
        "assignments": common,
        "steps": config.training.max_steps,
        "from": "" if start_from is None else fingerprint(find_model(start_from)),
        "corpus": found.info.name,
        "counts": dict(found.info.counts),
    }
    measuring = {"split": split, "limit": limit, "targets": targets, "encoder": encoder}

    def measure(weights: Path, trained_with: RunConfig, memory: Path, progress: Progress) -> Measured:
        return measure_singing(
            weights, trained_with, corpus, split=split, limit=limit, targets=targets, encoder=encoder, memory=memory,
            progress=progress,
        )  # fmt: skip

    plan = Plan(preset, corpus, common, variants, seeds, settings, measuring, measure, start_from)
    runs, references, notes = run(DESIGN, plan, folder, measure_only, listener)
    asked = {"seeds": seeds, "given": list(assignments), "start": start_from or ""}
    study = SingingStudy(folder, {**settings, **measuring, **asked}, runs, references, notes)
    study.save()
    return study


def _configured(
    preset: str,
    assignments: Sequence[str],
    variants: Sequence[Variant],
    seeds: int,
    steps: int | None,
    start_from: str | None,
) -> tuple[list[str], RunConfig]:
    """What all runs are given beside the preset, and the configuration of the whole."""
    plain, steps = checked(DESIGN, preset, assignments, variants, seeds, steps)
    common = [*assignments, *equal_steps(steps)]
    named = any(assignment.startswith(PHASE_2) and "start_step" in assignment for assignment in assignments)
    if plain.objective.back_translation is not None and not named:
        common.append(f"{PHASE_2}.start_step={0 if start_from is not None else steps // 2}")
    whole = run_config(preset, common)
    for variant in variants:
        applies = _applies(whole, variant)
        check_taken_away(variant, whole, run_config(preset, [*common, *variant.assignments]) if applies else whole)
    return common, whole


def _applies(whole: RunConfig, variant: Variant) -> bool:
    """Without phase 2 nothing of it can be set."""
    return whole.objective.back_translation is not None or not any(a.startswith(PHASE_2) for a in variant.assignments)


def _check(corpus: Corpus, split: str, encoder: str) -> None:
    """Raises CorpusError and MissingExtra for what could not be measured, before hours of training."""
    singers = {utterance.speaker for utterance in corpus.split("train")}
    if len(singers) < 2:
        raise CorpusError(
            f"{corpus.folder}: has training recordings of {len(singers)} singer, and who sings is told between two at "
            "least: join corpora with 'moksori corpus merge'"
        )
    if split not in corpus.splits or not any(is_song(utterance) for utterance in corpus.split(split)):
        raise CorpusError(
            f"{corpus.folder}: no songs in its split {split!r}: import recordings of singing, or make songs of speech "
            "with 'moksori corpus sing'"
        )
    Settings(corpus, split, encoder=encoder).judges((), tuple(JUDGED_SONGS), JUDGED_SONGS)
