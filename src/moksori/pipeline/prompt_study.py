"""The paper's ablations of speech in the voice of a prompt: the same model with one thing taken away, each in turn.

Shen et al. 2023 (NaturalSpeech 2, arXiv:2304.09116) compare the whole with no prompt in the denoiser, none in
the predictors, no cross-entropy of the codes, and a denoiser that attends to the prompt's frames instead of query
tokens. How a study is kept: see `ablations`.
"""

from collections.abc import Sequence
from pathlib import Path

from moksori.corpus.manifest import Corpus
from moksori.errors import CorpusError
from moksori.evaluation import recognisers, speaker_encoders
from moksori.models.checkpoint import fingerprint
from moksori.pipeline.ablations import (
    Ablations,
    Design,
    Measured,
    Plan,
    Variant,
    check_taken_away,
    checked,
    equal_steps,
    run,
)
from moksori.pipeline.evaluate_settings import Settings
from moksori.pipeline.models import find_model
from moksori.pipeline.progress import Progress
from moksori.pipeline.prompt_measures import HEARD, JUDGED, measure_prompts
from moksori.pipeline.run_config import RunConfig, run_config
from moksori.pipeline.train import Listener

PRESET = "naturalspeech2/study"
VERSION = 1

VARIANTS = (
    Variant("full", "everything"),
    Variant("no-denoiser-prompt", "no prompt in the denoiser", ("model.denoiser.prompt=none",)),
    Variant("no-predictor-prompt", "no prompt in the predictors", ("model.predictor_prompt=false",)),
    Variant("no-cross-entropy", "no cross-entropy of codes", ("objective.cross_entropy_weight=0",)),
    Variant("no-query-tokens", "frames of the prompt instead of query tokens", ("model.denoiser.prompt=frames",)),
)
DESIGN = Design("prompts", "naturalspeech2", PRESET, VARIANTS)


class PromptStudy(Ablations):
    """All runs, and what they stand beside."""

    design = DESIGN


def study_prompts(
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
    recogniser: str = recognisers.DEFAULT,
    encoder: str = speaker_encoders.DEFAULT,
    codec: str | None = None,
    measures: Sequence[str] = JUDGED,
    measure_only: bool = False,
    listener: Listener | None = None,
) -> PromptStudy:
    """Trains what is not trained, measures what is not measured, and writes the result into `folder`.

    assignments: overrides for every variant. seeds: runs of each variant, seeds 0 to one less. steps: of each run; the
    preset's if None. start_from: a model from whose weights all variants start, as far as they have the same parts.
    split, limit, recogniser, encoder: of `evaluate`'s task `like`; measures: some of JUDGED. codec: the folder of the
    codec where it is neither installed nor bundled. measure_only: trains nothing.
    Raises ConfigError for settings that a variant does not change, or other ones than the folder's; CorpusError and
    MissingExtra as `train` and `evaluate` do.
    """
    listener, folder = listener or Listener(), Path(folder)
    _, steps = checked(DESIGN, preset, assignments, variants, seeds, steps)
    common = [*assignments, *equal_steps(steps), *([] if codec is None else [f"model.codec={codec}"])]
    whole = run_config(preset, common)
    for variant in variants:
        check_taken_away(variant, whole, run_config(preset, [*common, *variant.assignments]))
    found = Corpus.open(corpus)
    _check(found, split, recogniser, encoder, measures)
    settings = {
        "version": VERSION,
        "preset": preset,
        "assignments": common,
        "steps": steps,
        "from": "" if start_from is None else fingerprint(find_model(start_from)),
        "corpus": found.info.name,
        "counts": dict(found.info.counts),
    }
    measuring = {"split": split, "limit": limit, "recogniser": recogniser, "encoder": encoder, "judges": list(measures)}

    def measure(weights: Path, trained_with: RunConfig, memory: Path, progress: Progress) -> Measured:
        return measure_prompts(
            weights, corpus, split=split, limit=limit, recogniser=recogniser, encoder=encoder, codec=codec,
            measures=measures, memory=memory, progress=progress,
        )  # fmt: skip

    plan = Plan(preset, corpus, common, variants, seeds, settings, measuring, measure, start_from)
    runs, references, notes = run(DESIGN, plan, folder, measure_only, listener)
    asked = {"seeds": seeds, "given": list(assignments), "start": start_from or ""}
    study = PromptStudy(folder, {**settings, **measuring, **asked}, runs, references, notes)
    study.save()
    return study


def _check(corpus: Corpus, split: str, recogniser: str, encoder: str, measures: Sequence[str]) -> None:
    """Raises CorpusError, BadInput and MissingExtra for what could not be measured, before hours of training."""
    speakers = {utterance.speaker for utterance in corpus.split("train")}
    if len(speakers) < 2:
        raise CorpusError(
            f"{corpus.folder}: has training recordings of {len(speakers)} speaker, and voices are learnt from many: "
            "join corpora with 'moksori corpus merge'"
        )
    if split not in corpus.splits or not any(utterance.text for utterance in corpus.split(split)):
        raise CorpusError(f"{corpus.folder}: no texts in its split {split!r}: name another with --split")
    settings = Settings(corpus, split, recogniser=recogniser, encoder=encoder, measures=tuple(measures))
    texts = [utterance.text for utterance in corpus.split(split) if utterance.text]
    groups = settings.chosen(JUDGED, DESIGN.name)
    settings.judges(texts, groups, {name: HEARD[name] for name in groups if name in HEARD})
