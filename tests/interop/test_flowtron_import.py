"""Checkpoints in the Flowtron authors' layout: read, computed as they compute, written back, refused."""

import json
import pickle
import warnings
from pathlib import Path

import pytest
import restated_flowtron as restated
import torch
from torch import Tensor

from moksori.errors import CheckpointError, TextError
from moksori.models.checkpoint import load_model, save_model
from moksori.models.flowtron import Flowtron, FlowtronConfig
from moksori.models.flowtron.interop.authors import LAYOUT
from moksori.models.flowtron.interop.names import sizes
from moksori.models.pickles import read_modules, read_pickle, tensors_of
from moksori.pipeline.import_model import export_model, import_model
from moksori.text.symbols import FLOWTRON_SYMBOLS
from moksori.types import TextBatch

TOLERANCE = 1e-4
WAYS = ("state_dict", "module", "old_module", "parallel")


def written(model: restated.Flowtron, path: Path, way: str = "state_dict") -> Path:
    """A checkpoint as their code writes it."""
    if way == "state_dict":
        torch.save({"state_dict": model.state_dict(), "iteration": 7}, path)
    elif way == "parallel":
        torch.save({f"module.{name}": tensor for name, tensor in model.state_dict().items()}, path)
    else:
        home = restated.as_elsewhere(model)
        kept = {"model": model, "iteration": 7, "learning_rate": 1e-3}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # old files hold the classes' source text, which these have nowhere
            torch.save(kept, path, _use_new_zipfile_serialization=way == "module")
        restated.gone(home)
    return path


def batch(bands: int, speakers: int, seed: int = 0) -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(seed)
    return {
        "mel": torch.randn(3, bands, 19, generator=draw),
        "speaker": torch.randint(0, speakers, (3,), generator=draw),
        "text": torch.randint(0, restated.SYMBOLS, (3, 9), generator=draw),
        "in_lens": torch.tensor([6, 9, 4]),
        "out_lens": torch.tensor([19, 12, 15]),
    }


def ours(model: Flowtron, given: dict[str, Tensor], prior: Tensor | None):
    """What our flows give, one by one, and `encode` as a whole."""
    text = TextBatch(given["text"], torch.zeros_like(given["text"]), given["in_lens"], given["speaker"])
    memory = model.memory(text)
    log_prior = None if prior is None else torch.log(prior + 1e-20)
    x, found = given["mel"].transpose(1, 2), []
    for flow in model.flows:
        projected = flow.step.attention.project(memory.states, memory.mask)
        out = flow(x, given["out_lens"], projected, log_prior)
        found.append(out)
        x = out.z
    return found, model.encode(given["mel"], given["out_lens"], memory, log_prior)


@pytest.mark.parametrize(
    ("way", "sizes"),
    [
        ("state_dict", {}),
        ("module", {"speakers": 5, "bands": 7}),
        ("old_module", {"flows": 1, "layers": 1}),
        ("parallel", {"flows": 3, "dense": 1, "speakers": 2, "bands": 7}),
        ("module", {"components": 4, "bands": 9}),
        ("state_dict", {"components": 3, "fixed": False, "bands": 6}),
        ("module", {"cumulative": True, "bands": 6}),
    ],
)
@pytest.mark.parametrize("with_prior", [False, True])
def test_numbers_are_theirs(tmp_path: Path, way: str, sizes: dict[str, int], with_prior: bool) -> None:
    theirs = restated.Flowtron(**sizes).eval()
    model = LAYOUT.read(written(theirs, tmp_path / "theirs.pt", way)).model.eval()
    given = batch(sizes.get("bands", 80), sizes.get("speakers", 1))
    if "cumulative" in sizes:  # their convolutions let padded tokens in, and leave the prior out
        given["in_lens"], with_prior = torch.tensor([9, 9, 9]), False
    prior = torch.rand(3, 19, 9, generator=torch.Generator().manual_seed(1)) if with_prior else None
    with torch.no_grad():
        z, expected = theirs(**given, prior=prior)
        found, encoded = ours(model, given, prior)
    for index, ((z_k, log_s, gate, weights), out) in enumerate(zip(expected, found, strict=True)):
        if index % 2:  # theirs stay in the order of a flow that runs backward
            log_s = restated.reversed_in_time(log_s, given["out_lens"])
            weights = restated.reversed_in_time(weights.transpose(0, 1), given["out_lens"]).transpose(0, 1)
            gate = None if gate is None else restated.reversed_in_time(gate, given["out_lens"])
        pairs = [(out.z, z_k.transpose(0, 1)), (out.log_scale, log_s.transpose(0, 1)), (out.attention, weights)]
        assert (out.gate_logits is None) == (gate is None)
        if gate is not None:
            pairs.append((out.gate_logits, gate.transpose(0, 1)))
        for value, other in pairs:
            for item, length in enumerate(given["out_lens"]):
                assert float((value[item, :length] - other[item, :length]).abs().max()) < TOLERANCE
    assert float(expected[0][1].abs().max()) > 0.05  # a head of zeros would hide everything
    with torch.no_grad():
        densities = restated.log_density(theirs, z, given["mel"], given["out_lens"])
    for item, length in enumerate(given["out_lens"]):
        assert float((encoded.latent[item, :, :length] - z[:length, item].T).abs().max()) < TOLERANCE
        whole = densities[item] + sum(log_s[:length, item].sum() for _, log_s, _, _ in expected)
        assert float((encoded.log_likelihood[item].sum() - whole).abs() / whole.abs()) < TOLERANCE


@pytest.mark.parametrize("way", WAYS)
def test_sizes_and_gate_are_read_off_the_names(tmp_path: Path, way: str) -> None:
    sizes = {"flows": 3, "layers": 3, "dense": 0, "channels": 8, "hidden": 9, "attention": 5, "speaker_channels": 6}
    found = LAYOUT.read(written(restated.Flowtron(speakers=4, **sizes), tmp_path / "x.pt", way))
    config = found.model.config
    assert (config.num_flows, config.num_decoder_layers, config.num_dense_layers) == (3, 3, 0)
    assert (config.hidden_channels, config.attention_channels, config.speaker_channels) == (9, 5, 6)
    assert (config.text_encoder.channels, config.num_speakers, config.mel.n_mels) == (8, 4, 80)
    assert config.text.symbols == FLOWTRON_SYMBOLS
    assert found.manifest.speakers == ("speaker0", "speaker1", "speaker2", "speaker3")
    assert found.manifest.steps == (0 if way == "parallel" else 7)


@pytest.mark.parametrize(
    "sizes", [{}, {"cumulative": True}, {"components": 3}, {"components": 2, "fixed": False, "bands": 7}]
)
def test_import_and_back(tmp_path: Path, sizes: dict[str, int]) -> None:
    theirs = restated.Flowtron(speakers=2, flows=3, **sizes)
    (tmp_path / "speakers.txt").write_text("anna\nbert\n")
    made = import_model(written(theirs, tmp_path / "x.pt", "module"), tmp_path / "ours")
    assert made.layout == "flowtron"
    assert made.manifest.speakers == ("anna", "bert")
    loaded = load_model(tmp_path / "ours")
    export_model(tmp_path / "ours", tmp_path / "back", "flowtron")
    state = read_pickle(tmp_path / "back" / "ours.pt")["state_dict"]
    other = restated.Flowtron(speakers=2, flows=3, seed=1, **sizes)
    other.load_state_dict(state)  # every name and shape of theirs, none more
    for name, tensor in theirs.state_dict().items():
        assert torch.equal(state[name], tensor), name
    again = LAYOUT.read(tmp_path / "back")
    assert again.manifest.speakers == ("anna", "bert")
    assert again.manifest.steps == 7
    for name, tensor in loaded.model.state_dict().items():
        assert torch.equal(tensor, again.model.state_dict()[name]), name


def test_what_lies_beside_is_read(tmp_path: Path) -> None:
    path = written(restated.Flowtron(speakers=2), tmp_path / "x.pt")
    settings = {"model_config": {"dummy_speaker_embedding": True}, "data_config": {"p_arpabet": 0.0}}
    (tmp_path / "config.json").write_text(json.dumps(settings))
    (tmp_path / "cmudict_dictionary").write_text("HELLO  HH AH0 L OW1\n")
    found = LAYOUT.read(path)
    assert found.model.config.speaker_table == "dummy"
    assert found.manifest.text.phoneme_share == 0.0
    assert found.manifest.text.dictionary == str(tmp_path / "cmudict_dictionary")
    (tmp_path / "cmudict_dictionary").write_text("HELLO  H\n")
    with pytest.raises(TextError, match="'H' is no ARPAbet unit"):
        LAYOUT.read(path)


def test_a_model_without_gate_never_stops_by_itself(tmp_path: Path) -> None:
    found = LAYOUT.read(written(restated.Flowtron(gate=False), tmp_path / "x.pt"))
    assert any("no gate" in note for note in found.notes)
    given = batch(80, 1)
    with torch.no_grad():
        _, encoded = ours(found.model, given, None)
    assert float(encoded.gate_logits.sigmoid().max()) < 1e-6


def broken(state: dict[str, Tensor], what: str) -> dict[str, Tensor]:
    changed = dict(state)
    if what == "NaN":
        changed["flows.0.conv.bias"] = torch.full_like(changed["flows.0.conv.bias"], float("nan"))
    elif what == "lacks 'flows.1":
        del changed["flows.1.ar_step.lstm.weight_hh_l1"]
    elif what == "not known":
        changed["decoder.prenet.weight"] = torch.zeros(2)
    elif what == "has the shape":
        changed["flows.1.ar_step.conv.weight"] = torch.zeros(160, 3, 1)
    elif what == "gate in flow 0":
        changed["flows.0.gate_layer.linear_layer.weight"] = torch.zeros(1, 24)
    elif what == "run backward":
        changed = {name.replace(".ar_step", ""): tensor for name, tensor in state.items()}
    elif what == "no Flowtron":
        changed = {"dec.conv_pre.weight": torch.zeros(2, 2, 2)}
    elif what == "parts":
        changed = {name.replace("flows.1", "flows.7"): tensor for name, tensor in state.items()}
    return changed


CASES = (
    "NaN",
    "lacks 'flows.1",
    "not known",
    "has the shape",
    "gate in flow 0",
    "run backward",
    "no Flowtron",
    "parts",
)


@pytest.mark.parametrize("what", CASES)
def test_wrong_weights_are_refused(tmp_path: Path, what: str) -> None:
    torch.save({"state_dict": broken(restated.Flowtron().state_dict(), what)}, tmp_path / "x.pt")
    with pytest.raises(CheckpointError, match="parts" if what == "no Flowtron" else what):
        import_model(tmp_path / "x.pt", tmp_path / "ours")
    assert not (tmp_path / "ours").exists()


def test_wrong_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="148 symbols, not the 185"):
        LAYOUT.read(written(restated.Flowtron(symbols=148), tmp_path / "x.pt"))
    torch.save({"model": 3}, tmp_path / "x.pt")
    with pytest.raises(CheckpointError, match="no table of weights"):
        LAYOUT.read(tmp_path / "x.pt")
    (tmp_path / "x.pt").write_bytes(b"PK\x03\x04 cut off")
    with pytest.raises(CheckpointError, match="damaged"):
        LAYOUT.read(tmp_path / "x.pt")
    (tmp_path / "y.pt").write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"2 \.pt files"):
        LAYOUT.read(tmp_path)
    path = written(restated.Flowtron(speakers=3), tmp_path / "z.pt")
    for names in ("anna\n", "anna\nbert\nanna\n"):
        (tmp_path / "speakers.txt").write_text(names)
        with pytest.raises(CheckpointError, match="3 rows"):
            LAYOUT.read(path)


class Harmful:
    def __init__(self, call: object, *arguments: str) -> None:
        self.call, self.arguments = call, arguments

    def __reduce__(self) -> tuple[object, tuple[str, ...]]:
        return self.call, self.arguments


@pytest.mark.parametrize("zipped", [True, False])
def test_nothing_in_a_file_is_run(tmp_path: Path, zipped: bool) -> None:
    victim = tmp_path / "victim"
    stored = {"model": Harmful(eval, f"open({str(victim)!r}, 'w')"), "also": Harmful(exec, f"open({str(victim)!r})")}
    torch.save(stored, tmp_path / "x.pt", _use_new_zipfile_serialization=zipped)
    with pytest.raises(CheckpointError, match="no table of weights"):
        LAYOUT.read(tmp_path / "x.pt")
    (tmp_path / "plain.pt").write_bytes(pickle.dumps(stored["model"]))
    with pytest.raises(CheckpointError, match="damaged"):
        LAYOUT.read(tmp_path / "plain.pt")
    assert not victim.exists()
    assert tensors_of(read_modules(tmp_path / "x.pt")["model"]) == {}


def test_networks_that_they_have_no_place_for_are_not_written(tmp_path: Path) -> None:
    imported = LAYOUT.read(written(restated.Flowtron(), tmp_path / "x.pt"))
    config = imported.model.config.model_copy(update={"group": 2})
    model = Flowtron(FlowtronConfig.model_validate(config.model_dump()))
    manifest = imported.manifest.model_copy(update={"model": config.model_dump(mode="json")})
    save_model(tmp_path / "grouped", model, manifest)
    with pytest.raises(CheckpointError, match="group"):
        export_model(tmp_path / "grouped", tmp_path / "out", "flowtron")
    assert not (tmp_path / "out").exists()


def test_the_published_sizes_fit() -> None:
    full = {"channels": 512, "speaker_channels": 128, "hidden": 1024, "attention": 640}
    with torch.device("meta"):
        theirs = restated.Flowtron(**full)
    assert sum(tensor.numel() for tensor in theirs.state_dict().values()) == 60_977_473
    found = sizes(theirs.state_dict(), "the published model")
    with torch.device("meta"):
        model = Flowtron(FlowtronConfig.model_validate(found.settings()))
    assert sum(parameter.numel() for parameter in model.parameters()) == 60_977_473
    assert found.gate_flow == 1
