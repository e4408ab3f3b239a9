"""Adapting a voice: the plan, the speakers' rows, symbols that lack, and whole runs from a model without a preset."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from moksori.config import preset_names
from moksori.corpus.manifest import Corpus, rewrite
from moksori.corpus.synthetic import write_synthetic
from moksori.errors import CheckpointError, ConfigError, CorpusError, TextError, UnknownName, UnsupportedTask
from moksori.models.checkpoint import Manifest, load_model, read_manifest, read_weights, save_model
from moksori.models.registry import family
from moksori.pipeline import adapt, take_over
from moksori.pipeline import train as module
from moksori.pipeline.adapt import SpeechFound, plan_adaptation, refuse_unknown_symbols, steps_for
from moksori.pipeline.run_config import run_config
from moksori.pipeline.speaker import Speaker
from moksori.pipeline.train import Listener, train
from moksori.text.tokenizer import TextConfig
from moksori.training.loop import fit
from moksori.training.transfer import SpeakerRows

ALIGNER = ("training.max_steps=30", "training.batch_size=8", "objective.uniform_steps=10")
QUICK = (
    "training.max_steps=2", "training.validate_every=1", "training.speak_every=2", "training.batch_size=2",
    "training.device=cpu", "training.precision=fp32", "training.log_every=1", "objective.window_frames=32",
    "objective.slice_frames=8", "objective.slice_margin_frames=0", "objective.match_spread=0",
)  # fmt: skip
LIGHT = (
    "objective.discriminators.periods=[2, 3]", "objective.discriminators.period_channels=[4, 8, 8, 8, 8]",
    "objective.discriminators.spectrogram_resolutions=[[256, 64]]", "objective.discriminators.spectrogram_channels=4",
)  # fmt: skip
RECIPE = family("vits").adaptation(run_config("vits/compact").model)
RATES = {"model": 3e-4, "discriminator": 2e-4}


def found(minutes: float, valid: int = 4) -> SpeechFound:
    return SpeechFound(minutes, round(minutes * 15), valid, {"somebody": minutes})


def saved(folder: Path, speakers: tuple[str, ...] = ("tone0",), seed: int = 3, **changes: object) -> Path:
    """A model of the tiny preset as a folder, without discriminators."""
    config = run_config("vits/tiny", [f"model.num_speakers={max(len(speakers), 1)}"])
    torch.manual_seed(seed)
    model = config.family.model(config.model)
    described = {
        "family": "vits", "name": folder.name, "model": config.model.model_dump(mode="json"), "text": config.model.text,
        "speakers": speakers, "sample_rate": 22050, "licence": "CC-BY-4.0", "data": ("readings (CC-BY-4.0)",),
    }  # fmt: skip
    save_model(folder, model, Manifest(**(described | changes)))
    return folder


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    return write_synthetic(tmp_path_factory.mktemp("corpus") / "tones", count=10, seed=8).corpus.folder


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    return saved(tmp_path_factory.mktemp("models") / "before")


@pytest.fixture
def few_seconds(monkeypatch) -> None:
    """Corpora of tones last some ten seconds."""
    monkeypatch.setattr(adapt, "LEAST_MINUTES", 0.05)


def adapted(source: Path | str, corpus: Path | None, folder: Path, *more: str, **options):
    given = (*QUICK, *LIGHT, *more) if not options.get("resume") else more
    begins = {} if options.get("resume") else {"start_from": str(source)}
    return train(None, corpus, folder, given, aligner_assignments=ALIGNER, **begins, **options)


# ---- the plan ----


def test_the_plan_grows_with_the_minutes() -> None:
    minutes = [1, 2, 4.9, 5, 10, 20, 30, 60, 90]
    plans = [plan_adaptation("before", RECIPE, found(m), RATES) for m in minutes]
    assert [plan.steps for plan in plans] == [500, 750, 1000, 1000, 1500, 2250, 2750, 3750, 3750]
    assert [plan.validate_every * 10 == plan.steps for plan in plans] == [True] * 9
    passes = [plan.steps * 16 / plan.clips for plan in plans]
    assert passes == sorted(passes, reverse=True)
    assert [plan.learning_rates["model"] for plan in plans] == [1.5e-4] * 3 + [3e-4] * 6
    assert [bool(plan.frozen) for plan in plans] == [True] * 3 + [False] * 6
    assert plans[0].frozen == ("text_encoder", "stochastic_duration", "deterministic_duration")
    assert [any("training in full" in n for n in plan.notes) for plan in plans] == [False] * 8 + [True]
    assert {plan.patience for plan in plans} == {3}
    assert steps_for(0.1, 500) == 500


def test_the_plans_settings_are_settings_of_its_preset() -> None:
    for minutes in (2, 20):
        plan = plan_adaptation("before", RECIPE, found(minutes), RATES, discriminators=False)
        config = run_config(plan.preset, plan.settings)
        assert config.training.max_steps == plan.steps
        assert config.training.patience == 3
        assert config.training.optimizers["discriminator"].learning_rate == plan.learning_rates["discriminator"]
        assert config.objective.head_start_steps == 100
        with torch.device("meta"):
            objective = config.family.objective(config.family.model(config.model), config.objective)
        moving = {
            name for name, part in objective.model.named_children() if any(p.requires_grad for p in part.parameters())
        }
        everything = {name for name, part in objective.model.named_children() if list(part.parameters())}
        assert everything - moving == set(plan.frozen)


def test_what_the_plan_tells() -> None:
    strange = plan_adaptation("before", RECIPE, found(3, valid=0), RATES, new_language=True, discriminators=False)
    assert strange.frozen == ()
    assert strange.patience is None
    assert strange.lines() == (
        "adapting before to 3.0 minutes of speech (45 clips; 0 to validate on)",
        "  settings    vits/compact_adapt",
        "  steps       750, a validation every 75; no early stop",
        "  rates       model 0.00015, discriminator 0.0001",
        "  frozen      nothing",
        "  note        the source never spoke this language: all of it learns, and it takes the more speech",
        "  note        the source brings no discriminators that fit: new ones learn alone first",
        "  note        the corpus has no validation split: the run takes all its steps and keeps its last weights",
    )
    two = SpeechFound(4.0, 60, 4, {"much": 3.5, "little": 0.5})
    assert plan_adaptation("before", RECIPE, two, RATES).notes == ("less than 1 minute each: little",)
    with pytest.raises(CorpusError, match=r"0\.90 minutes of usable speech.*5 to 30 are what --from is for"):
        plan_adaptation("before", RECIPE, found(0.9), RATES)


def test_the_family_chooses_by_the_models_shape() -> None:
    choose = family("vits").adaptation
    paper = choose(run_config("vits/ljspeech").model)
    assert (paper.preset, paper.full, paper.frozen) == ("vits/ljspeech_adapt", "vits/ljspeech", ("text_encoder",))
    assert "stochastic_duration" in paper.freeze[0]
    assert "speaker_embedding" in choose(run_config("vits/vctk").model).freeze[0]
    assert RECIPE.preset == choose(run_config("vits/tiny").model).preset == "vits/compact_adapt"
    assert {paper.preset, RECIPE.preset} <= set(preset_names())
    assert run_config(RECIPE.preset).objective.discriminators.period_channels == (8, 32, 64, 128, 128)


# ---- what a corpus holds ----


def test_minutes_are_those_of_usable_training_clips(corpus: Path) -> None:
    opened = Corpus.open(corpus)
    seconds = [u.duration_seconds for u in opened.split("train")]
    speech = SpeechFound.in_corpus(opened, 0.0, 100.0)
    assert speech.minutes == pytest.approx(sum(seconds) / 60)
    assert (speech.clips, speech.validation_clips) == (6, 2)
    longest = SpeechFound.in_corpus(opened, max(seconds), 100.0)
    assert longest.minutes == pytest.approx(max(seconds) / 60)
    assert longest.clips == 1
    assert sum(speech.speakers.values()) == pytest.approx(speech.minutes)


def test_symbols_that_a_table_lacks_are_named(corpus: Path) -> None:
    letters = tuple("_ abcdefghijklmnpqrstuvwxyz")  # no o, no full stop
    text = TextConfig(mode="letters", blanks=True, ends=False, symbols=letters)
    opened = Corpus.open(corpus)
    with_o = [u.name for s in ("train", "valid") for u in opened.split(s) if "o" in u.text.lower()]
    with pytest.raises(TextError, match=rf"before has no symbol for 'o' in {len(with_o)} clips") as caught:
        refuse_unknown_symbols(opened, text, "before")
    assert "'.'" not in str(caught.value)
    refuse_unknown_symbols(opened, text.model_copy(update={"symbols": (*letters, "o")}), "before")


# ---- whole runs ----


@pytest.fixture(scope="module")
def run(corpus: Path, source: Path, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "adapted"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(adapt, "LEAST_MINUTES", 0.05)
        told: list[str] = []
        result = adapted(source, corpus, folder, listener=Listener(tell=told.extend))
    assert result.finished
    assert result.transferred is not None
    text = "\n".join(told)
    assert text.index("adapting ") < text.index("frozen      text_encoder") < text.index("taken over from")
    assert "set by hand: training.max_steps=2" in text
    assert next(line for line in told if "text_encoder " in line).split()[2:] == ["0", "0", "0"]
    assert "discriminators" in text
    return folder


def test_a_run_without_a_preset_keeps_shape_and_speaks(run: Path, source: Path, corpus: Path) -> None:
    before, after = read_manifest(source), read_manifest(run / "model")
    assert after.model == before.model
    assert after.text == before.text
    assert after.licence == "CC0 1.0 AND CC-BY-4.0"
    assert after.data == ("readings (CC-BY-4.0)", "synthetic (CC0 1.0)")
    assert "steps. Adapted from before." in (run / "model" / "README.md").read_text()
    stored, learnt = read_weights(source), read_weights(run / "model")
    assert torch.equal(learnt["text_encoder.embedding.weight"], stored["text_encoder.embedding.weight"])  # frozen
    assert not torch.equal(learnt["flow.couplings.0.input.weight"], stored["flow.couplings.0.input.weight"])
    assert Speaker(load_model(run / "model")).say("One lemon.", seed=1).duration_seconds > 0.3
    sentences = run_config(run / "config.yaml").sentences
    assert sentences == tuple(dict.fromkeys(u.text for u in Corpus.open(corpus).split("valid")))[:3]


def test_the_plan_and_what_was_taken_over_are_recorded(run: Path, source: Path) -> None:
    recorded = json.loads((run / "run.json").read_text())
    assert recorded["adaptation"]["preset"] == "vits/compact_adapt"
    assert recorded["adaptation"]["frozen"][0] == "text_encoder"
    parts = {part["part"]: part for part in recorded["taken_over"]["parts"]}
    names = [name for name in read_weights(source) if name.startswith("flow.")]
    assert parts["flow"] == {"part": "flow", "whole": len(names), "partial": 0, "anew": 0, "unused": 0}
    assert (parts["discriminators"]["whole"], parts["discriminators"]["anew"] > 0) == (0, True)
    again = train(None, None, run, ("training.max_steps=3",), resume=True)
    assert again.state.step == 3
    assert again.transferred is None
    assert json.loads((run / "run.json").read_text()) == recorded  # a resumed run forgets nothing
    assert read_manifest(run / "model").licence == "CC0 1.0 AND CC-BY-4.0"


def test_an_adapted_run_is_a_source_that_brings_its_discriminators(
    run: Path, corpus: Path, tmp_path, few_seconds, monkeypatch
) -> None:
    seen = {}

    def spied(objective, batches, validation, *more, **options):
        seen["objective"], seen["validated"] = objective, sum(len(batch.names) for batch in validation)
        return fit(objective, batches, validation, *more, **options, pause_at=0)

    monkeypatch.setattr(module, "fit", spied)
    result = adapted(run, corpus, tmp_path / "again")
    assert result.transferred is not None
    stored = read_weights(run / "model", "discriminators")
    assert {f"discriminators.{name}" for name in stored} <= set(result.transferred.whole)
    assert seen["objective"].config.head_start_steps == 0
    assert seen["validated"] == 16  # two clips, eight looks


def test_stopped_early_and_resumed_equals_unbroken(
    corpus: Path, source: Path, tmp_path, few_seconds, monkeypatch
) -> None:
    """Weights that run away: no validation is better than the first ones."""
    wild = ("training.max_steps=40", "training.patience=2", "training.optimizers.model.learning_rate=0.01",
            "training.optimizers.model.warmup_steps=0", "training.ema_decay=0.0", "objective.head_start_steps=0",
            "objective.adversarial_start=null")  # fmt: skip
    whole = adapted(source, corpus, tmp_path / "whole", *wild)
    assert whole.stopped_early
    assert whole.finished
    assert whole.state.step < 40
    assert whole.state.step == whole.state.best_step + 2
    assert read_manifest(whole.model).steps == whole.state.best_step  # not adversarial: the best is exported
    monkeypatch.setattr(module, "fit", lambda *a, **k: fit(*a, **k, pause_at=whole.state.best_step + 1))
    paused = adapted(source, corpus, tmp_path / "parts", *wild)
    assert not paused.finished
    monkeypatch.setattr(module, "fit", fit)
    resumed = adapted(source, None, tmp_path / "parts", resume=True)
    assert resumed.stopped_early
    assert resumed.state.step == whole.state.step
    one, two = read_weights(whole.model), read_weights(resumed.model)
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert train(None, None, tmp_path / "parts", resume=True).state.step == whole.state.step  # it stays stopped


# ---- speakers ----


def test_rows_of_the_speaker_table() -> None:
    rows = torch.tensor([[1.0, 2.0], [3.0, 6.0], [90.0, 90.0]])
    named = SpeakerRows(("t",), ("ann", "bob"), ("new", "bob", "ann"))  # the third row is nobody's
    table = torch.zeros(4, 2)
    assert not named.fill(table, rows)
    assert table.tolist() == [[2.0, 4.0], [3.0, 6.0], [1.0, 2.0], [2.0, 4.0]]
    assert SpeakerRows(("t",), ("ann", "bob"), ("bob",)).fill(table, rows)
    assert table[0].tolist() == [3.0, 6.0]
    assert not SpeakerRows(("t",), (), ("new",)).fill(table, rows[:2])  # an imported table without names
    assert table[3].tolist() == [2.0, 4.0]
    for missing in (None, torch.ones(3, 5)):
        assert not named.fill(table, missing)
        assert not table.any()


def table_of(source: Path, corpus: Path, folder: Path, monkeypatch) -> tuple[torch.nn.Module, take_over.TransferReport]:
    """The model as it begins, and what was taken over."""
    begun = {}

    def spied(objective, *more, **options):
        begun["model"] = objective.model
        return fit(objective, *more, **options, pause_at=0)

    monkeypatch.setattr(module, "fit", spied)
    result = adapted(source, corpus, folder)
    assert result.transferred is not None
    return begun["model"], result.transferred


def test_speakers_keep_their_rows_by_name_and_new_ones_start_from_the_mean(tmp_path, few_seconds, monkeypatch) -> None:
    source = saved(tmp_path / "many", ("ann", "tone1", "zoe"))
    rows = read_weights(source)["speaker_embedding.weight"].float()
    two = write_synthetic(tmp_path / "two", count=8, seed=6, speakers=2).corpus.folder
    model, report = table_of(source, two, tmp_path / "run", monkeypatch)
    table = model.speaker_embedding.weight
    assert table.shape == rows.shape
    assert torch.allclose(table[0], rows.mean(dim=0))  # tone0 is new
    assert torch.equal(table[1], rows[1])
    assert "speaker_embedding.weight" in report.partial
    four = write_synthetic(tmp_path / "four", count=8, seed=6, speakers=4).corpus.folder
    config = adapt.adapted_run(take_over.Source.find(str(source)), Corpus.open(four), (), 0.5, 20.0).config
    assert module._fitted_to(config, Corpus.open(four), ()).model.num_speakers == 4


def test_from_one_speaker_to_two_all_begin_as_the_one(source: Path, tmp_path, few_seconds, monkeypatch) -> None:
    two = write_synthetic(tmp_path / "two", count=8, seed=6, speakers=2).corpus.folder
    model, report = table_of(source, two, tmp_path / "run", monkeypatch)
    assert "speaker_embedding.weight" in report.left
    before = load_model(source).model
    model.eval()
    from moksori.types import SayControls, TextBatch

    tokens = torch.tensor([[5, 60, 70, 61]])
    for speaker in (0, 1):
        text = TextBatch(tokens, torch.zeros_like(tokens), torch.tensor([4]), torch.tensor([speaker]))
        ours, theirs = (m.say(text, SayControls(), torch.Generator().manual_seed(1)).waveform for m in (model, before))
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)


# ---- what is refused ----


def test_errors_come_first(corpus: Path, source: Path, tmp_path, few_seconds) -> None:
    folder = tmp_path / "run"
    with pytest.raises(UnknownName, match="kathlen"):
        adapted("kathlen", corpus, folder)
    with pytest.raises(CheckpointError, match="gone"):
        adapted(tmp_path / "gone", corpus, folder)
    with pytest.raises(ConfigError, match=r"name a preset and a corpus: .*--from kathleen"):
        train(None, corpus, folder)
    with pytest.raises(ConfigError, match="did you mean 'batch_size'"):
        adapted(source, corpus, folder, "training.batch_sise=3")
    aligner = run_config("aligner/tiny")
    model = aligner.family.model(aligner.model)
    described = Manifest(family="aligner", name="a", model=aligner.model.model_dump(mode="json"), sample_rate=22050)
    save_model(tmp_path / "a", model, described)
    with pytest.raises(
        UnsupportedTask, match=r"a 'aligner' model is not adapted to speakers \(families that are: flowtron, vits\)"
    ):
        adapted(tmp_path / "a", corpus, folder)
    assert not folder.exists()


def test_too_little_speech_is_refused_by_the_command(corpus: Path, source: Path, tmp_path) -> None:
    from moksori.cli.main import app

    given = ["train", "--from", str(source), "--corpus", str(corpus), "--run", str(tmp_path / "r"), "training.seed=1"]
    refused = CliRunner().invoke(app, given)
    assert isinstance(refused.exception, CorpusError)
    assert "minutes of usable speech" in str(refused.exception)


def test_no_validation_split(corpus: Path, source: Path, tmp_path, few_seconds, caplog) -> None:
    copied = tmp_path / "corpus"
    shutil.copytree(corpus, copied)
    opened = Corpus.open(copied)
    rewrite(copied, opened.info, {"train": list(opened.split("train"))})
    told: list[str] = []
    result = adapted(source, copied, tmp_path / "run", listener=Listener(tell=told.extend))
    assert any("the corpus has no validation split" in line for line in told)
    assert "the last weights are exported" in caplog.text
    assert (result.state.step, result.stopped_early) == (2, False)
    assert read_manifest(result.model).steps == 2


def test_what_is_set_by_hand_comes_last_and_is_told(corpus: Path, source: Path, few_seconds) -> None:
    given = ("training.max_steps=null", "training.max_minutes=4", "training.optimizers.model.learning_rate=1e-5")
    planned = adapt.adapted_run(take_over.Source.find(str(source)), Corpus.open(corpus), given, 0.6, 20.0)
    training = planned.config.training
    assert (training.max_steps, training.max_minutes) == (None, 4.0)
    assert (planned.plan.steps, planned.plan.learning_rates["model"]) == (None, 1e-5)
    lines = "\n".join(planned.plan.lines())
    assert "steps       as many as the minutes given allow, a validation every 25; stops after 3" in lines
    assert f"set by hand: {' '.join(given)}" in lines


def test_another_language_is_told_and_nothing_is_frozen(
    corpus: Path, source: Path, tmp_path, few_seconds, monkeypatch
) -> None:
    copied = tmp_path / "corpus"
    shutil.copytree(corpus, copied)
    opened = Corpus.open(copied)
    parts = {s: [replace(u, language="de") for u in opened.split(s)] for s in opened.splits}
    rewrite(copied, replace(opened.info, language="de"), parts)
    planned = adapt.adapted_run(take_over.Source.find(str(source)), Corpus.open(copied), (), 0.6, 20.0)
    assert planned.plan.frozen == ()
    assert planned.config.objective.trained_parts == ()
    assert any("never spoke this language" in note for note in planned.plan.notes)
