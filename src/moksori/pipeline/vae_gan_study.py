"""VAE or GAN? The same speakers, sentences, seeds and steps for eight models of the lineage and D-DSVAE, one table.

A study is a folder: a run for each variant and seed (`vawgan-gp-seed-2/`), with `measures.json` and some of its sounds
once it is measured, `references.json`, and at the end `vae_gan.json`. What is there already is not done again, and a
run that fails has its reason in the table instead of a place among the dropped.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from moksori.corpus.manifest import Corpus, write_text
from moksori.errors import BadInput, ConfigError, unknown_name
from moksori.evaluation.memory import Memory
from moksori.evaluation.score import Judges
from moksori.pipeline.models import find_model
from moksori.pipeline.run_config import run_config
from moksori.pipeline.study_runs import keep, kept, train_or_tell
from moksori.pipeline.train import Listener
from moksori.pipeline.vae_gan_costs import MemoryWatch
from moksori.pipeline.vae_gan_desk import MEASURES_NAME, Desk, run_name
from moksori.pipeline.vae_gan_material import CORPUS_NAME, gather, of_speakers
from moksori.pipeline.vae_gan_result import RESULT_NAME, Comparison
from moksori.pipeline.vae_gan_variants import VARIANTS, Variant, overrides_for

TERMS_NAME = "study.json"
MEASURES_VERSION = 1
STEPS, SEEDS, SENTENCES = 3000, 3, 10
JUDGES = ("words", "opinion", "speaker")
"""Words by a recogniser, DNSMOS, voices by a speaker encoder."""


def study_vae_gan(
    corpus: str | Path,
    folder: str | Path,
    assignments: Sequence[str] = (),
    *,
    variants: Sequence[Variant] = VARIANTS,
    speakers: Sequence[str] = (),
    seeds: int = SEEDS,
    steps: int = STEPS,
    sentences: int = SENTENCES,
    beside: Sequence[str] = ("dsvae",),
    vocoder: str | None = None,
    encoder: str = "resemblyzer",
    recogniser: str = "pocketsphinx",
    judges: Sequence[str] = JUDGES,
    measure_only: bool = False,
    listener: Listener | None = None,
) -> Comparison:
    """Trains what is not trained, measures what is not measured, and writes the result into `folder`.

    assignments: overrides of every run, such as training.batch_size=64, or of one variant's,
    vae-gan:objective.adversarial_weight=2. speakers: of the corpus; all where none is named. sentences: of each ordered
    pair of speakers that share sentences, and of each English speaker. beside: models that are there already, which
    convert the same. vocoder: of those that make mels. judges: some of JUDGES; what needs none of them is always
    measured. measure_only: leaves out what has no trained weights yet.
    Raises ConfigError for overrides that a variant decides itself, CorpusError for a corpus with too little to convert,
    MissingExtra without pyworld. What goes wrong within a run is no error: it is that run's reason.
    """
    listener, folder = listener or Listener(), Path(folder)
    _check(assignments, variants, seeds, steps, sentences)
    for name in judges:
        if name not in JUDGES:
            raise unknown_name("judge", name, JUDGES)
    whole = Corpus.open(corpus)
    for name in beside:
        find_model(name)
    terms, steps = _agreed(folder, whole, speakers, steps, variants, assignments, measure_only)
    part = of_speakers(whole, speakers, folder / CORPUS_NAME)
    material = gather(part, sentences)
    folder.mkdir(parents=True, exist_ok=True)
    keep(folder / TERMS_NAME, [], terms)
    key = [
        MEASURES_VERSION,
        whole.info.name,
        whole.info.counts,
        list(material.speakers),
        sentences,
        encoder,
        recogniser,
    ]
    key.append(vocoder or "")
    for variant in variants if not measure_only else ():
        for seed in range(1, seeds + 1):
            listener.stage(run_name(variant, seed))
            _train(variant, seed, steps, part.folder, folder, assignments, listener)
    listener.stage("measuring")
    chosen = Judges(
        material.texts,
        tuple(judges),
        recogniser_name=recogniser,
        encoder_name=encoder,
        memory=Memory(folder / "judgements.jsonl"),
    )
    desk = Desk(material, folder, key, vocoder, chosen, listener)
    references = desk.references()
    rows = [row for variant in variants if (row := desk.variant(variant, seeds)) is not None]
    rows += [desk.model(name) for name in beside]
    settings = {
        "corpus": whole.info.name,
        "speakers": list(material.speakers),
        "steps": steps,
        "seeds": seeds,
        "sentences": sentences,
        "trials": len(material.trials),
        "parallel": material.parallel,
        "overrides": list(assignments),
        "encoder": encoder,
        "recogniser": recogniser,
    }
    study = Comparison(folder, settings, desk.notes, references, rows)
    write_text(folder / RESULT_NAME, json.dumps(study.as_json(), indent=2) + "\n")
    return study


def _check(assignments: Sequence[str], variants: Sequence[Variant], seeds: int, steps: int, sentences: int) -> None:
    """Every run's configuration, before the first is trained."""
    for name, value in (("seeds", seeds), ("steps", steps), ("sentences", sentences)):
        if value < 1:
            raise BadInput(f"{name} {value}: expected at least 1")
    if not variants:
        raise ConfigError("a comparison of no variants: name at least one")
    for variant in variants:
        own, given = variant.assignments(steps, 1), overrides_for(variant, assignments)
        fixed = {a.partition("=")[0] for a in own}
        for assignment in assignments:
            name, _, key = assignment.partition("=")[0].rpartition(":")
            # What makes a variant what it is cannot be set for all; for one, by its name, it can.
            if key in fixed and (not name or key.startswith("training.")):
                raise ConfigError(f"{assignment}: the study sets this itself, run by run: leave it out")
        family, expected = run_config(variant.preset).family.name, variant.family
        if family != expected:
            raise ConfigError(f"{variant.preset}: a preset of {family!r}; {variant.name!r} is one of {expected!r}")
        run_config(variant.preset, [*own, *given])


def _agreed(
    folder: Path,
    corpus: Corpus,
    speakers: Sequence[str],
    steps: int,
    variants: Sequence[Variant],
    assignments: Sequence[str],
    measure_only: bool,
) -> tuple[dict[str, Any], int]:
    """What all runs in a folder have in common, and each variant's own settings; and the steps, which where nothing is
    to be trained are those that were. Raises ConfigError where the folder holds something else: then runs that are
    compared would have had different terms.
    """
    stored = kept(folder / TERMS_NAME, []) or {}
    stored.pop("key", None)
    wanted: dict[str, Any] = {
        "corpus": [corpus.info.name, corpus.info.counts],
        "speakers": [name for name in corpus.info.speakers if not speakers or name in speakers],
    }
    if measure_only:
        steps = int(stored.get("steps", steps))
    else:
        wanted["steps"] = steps
        for variant in variants:
            own = [*variant.assignments(steps, 1), *overrides_for(variant, assignments)]
            wanted[f"the variant {variant.name}"] = [variant.preset, *own]
    wanted = json.loads(json.dumps(wanted))
    for name, value in wanted.items():
        if name in stored and stored[name] != value:
            raise ConfigError(
                f"{folder}: holds runs with {name} {_said(stored[name])}, and now it is {_said(value)}: name another "
                "--run"
            )
    return stored | wanted, steps


def _said(value: Any) -> str:
    return " ".join(str(part) for part in value) if isinstance(value, list) else str(value)


def _train(
    variant: Variant,
    seed: int,
    steps: int,
    corpus: Path,
    folder: Path,
    assignments: Sequence[str],
    listener: Listener,
) -> None:
    run = folder / run_name(variant, seed)
    if (run / MEASURES_NAME).is_file():
        return  # it was finished, or failed, before it was measured
    with MemoryWatch(run) as watch:
        watched = Listener(listener.stage, listener.progress, watch.on_step(listener.step), listener.tell)
        own = [*variant.assignments(steps, seed), *overrides_for(variant, assignments)]
        train_or_tell(variant.preset, corpus, run, own, watched)
