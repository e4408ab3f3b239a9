"""The flow is exactly invertible, each step sees one side of time only, and its log-determinant is the Jacobian's."""

import five_bands as small
import pytest
import torch

from moksori.models.flowtron import Flowtron
from moksori.models.flowtron.flows import reordered, reversal_index

HELPS = {"decorrelate": True, "text_mean_channels": 6}
PITCHED = {"decorrelate": True, "standardize": True, "text_mean_channels": 6, "pitch": True}


def encoded(model: Flowtron, mel: torch.Tensor, lengths: torch.Tensor, tokens: tuple[int, ...] = (4, 2, 3)):
    memory = model.memory(small.text(tokens[: len(mel)]))
    return model.encode(mel, lengths, memory), memory


def test_reversal_undoes_itself_and_keeps_padding() -> None:
    index = reversal_index(torch.tensor([4, 1, 6]), 6)
    assert index[0].tolist() == [3, 2, 1, 0, 4, 5]
    x = torch.randn(3, 6, 2)
    assert torch.equal(reordered(reordered(x, index), index), x)
    assert torch.equal(reordered(x, index)[0, 4:], x[0, 4:])


def test_new_flows_are_the_identity() -> None:
    model = small.model(perturbed=False)
    mel, lengths = small.mels((9, 9, 9))
    with torch.no_grad():
        found, _ = encoded(model, mel, lengths)
    assert torch.equal(found.latent, mel)
    density = torch.distributions.Normal(0.0, 1.0).log_prob(mel).sum(dim=1)
    torch.testing.assert_close(found.log_likelihood, density)


@pytest.mark.parametrize("helps", [{}, HELPS, PITCHED])
@pytest.mark.parametrize("group", [1, 2, 3])
@pytest.mark.parametrize("num_flows", [1, 2, 3])
def test_decoding_inverts_encoding(num_flows: int, group: int, helps: dict[str, object]) -> None:
    model = small.model(num_flows=num_flows, group=group, num_decoder_layers=1, **helps)
    mel, lengths = small.mels((9, 5, 8), model.config.bands)
    with torch.no_grad():
        found, memory = encoded(model, mel, lengths)
        back = model.decode(found.latent, lengths, memory)
    assert found.latent.shape[2] % group == 0
    standard = model.standardize(mel)
    assert float((found.latent[:, :, :5] - standard[:, :, :5]).abs().min(dim=2).values.max()) > 0.1
    for item, length in enumerate(lengths.tolist()):
        assert float((back[item, :, :length] - mel[item, :, :length]).abs().max()) < 1e-4
        assert bool((back[item, :, length:] == torch.log(torch.tensor(1e-5))).all())


@pytest.mark.parametrize("num_flows", [1, 2])
def test_decoding_inverts_with_cumulative_attention(num_flows: int) -> None:
    model = small.model(num_flows=num_flows, cumulative_attention=True)
    with torch.no_grad():
        for flow in model.flows:
            for parameter in flow.step.attention.location.parameters():
                parameter.normal_()
    mel, lengths = small.mels((9, 5, 8))
    with torch.no_grad():
        found, memory = encoded(model, mel, lengths)
        back = model.decode(found.latent, lengths, memory)
    for item, length in enumerate(lengths.tolist()):
        assert float((back[item, :, :length] - mel[item, :, :length]).abs().max()) < 1e-4


def test_decoding_inverts_along_a_given_path() -> None:
    model = small.model(group=2)
    mel, lengths = small.mels((9, 5, 8))
    path = torch.tensor([[0, 0, 1, 1, 1, 2, 2, 3, 3], [0, 0, 0, 1, 1, 1, 1, 1, 1], [0, 1, 1, 1, 1, 2, 2, 2, 2]])
    memory = model.memory(small.text())
    with torch.no_grad():
        found = model.encode(mel, lengths, memory, attention_path=path)
        back = model.decode(found.latent, lengths, memory, attention_path=path)
        other = model.decode(found.latent, lengths, memory)
    assert float((back[0, :, :9] - mel[0]).abs().max()) < 1e-4
    assert float((other[0, :, :9] - mel[0]).abs().max()) > 1e-3


@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_a_step_sees_one_side_of_time(direction: str) -> None:
    model = small.model(num_flows=1, directions=(direction,))
    mel, lengths = small.mels((7,))
    memory = model.memory(small.text((4,)))
    jacobian = torch.autograd.functional.jacobian(lambda x: model.encode(x, lengths, memory).latent[0], mel)
    influence = jacobian[:, :, 0].abs().amax(dim=(0, 2))  # [of the latent's frame, by the mel's frame]
    seen = influence > 0
    expected = torch.ones(7, 7, dtype=torch.bool)
    assert torch.equal(seen, expected.tril() if direction == "forward" else expected.triu())


@pytest.mark.parametrize(("group", "frames", "helps"), [(1, 4, {}), (2, 4, {}), (2, 4, HELPS), (2, 4, PITCHED)])
def test_log_determinant_is_the_jacobians(group: int, frames: int, helps: dict[str, object]) -> None:
    model = small.model(group=group, log_scale_limit=2.0, **helps).double()
    mel, lengths = small.mels((frames,), model.config.bands)
    mel = mel.double()
    memory = model.memory(small.text((3,)))

    def latent(x: torch.Tensor) -> torch.Tensor:
        return model.encode(x, lengths, memory).latent

    jacobian = torch.autograd.functional.jacobian(latent, mel).reshape(mel.numel(), mel.numel())
    found = model.encode(mel, lengths, memory)
    normal = torch.distributions.Normal(0.0, 1.0).log_prob(found.latent).sum()
    torch.testing.assert_close(found.log_likelihood.sum() - normal, torch.linalg.slogdet(jacobian).logabsdet)


def test_neighbours_and_padding_change_nothing() -> None:
    model = small.model(group=2)
    mel, lengths = small.mels((9, 5, 8))
    tokens = (4, 2, 3)
    said = small.text(tokens)
    with torch.no_grad():
        together = model.encode(mel, lengths, model.memory(said))
        padded = model.encode(
            torch.nn.functional.pad(mel, (0, 4), value=3.0), lengths, model.memory(small.text(tokens, padding=3))
        )
        for item, length in enumerate(lengths.tolist()):
            row = slice(item, item + 1)
            own = type(said)(
                said.tokens[row, : tokens[item]], said.stress[row, : tokens[item]], said.token_lengths[row],
                said.speaker[row],
            )  # fmt: skip
            alone = model.encode(mel[row, :, :length], lengths[row], model.memory(own))
            width = alone.latent.shape[2]
            for other in (together, padded):
                torch.testing.assert_close(other.latent[row, :, :width], alone.latent, atol=2e-6, rtol=1e-5)
                torch.testing.assert_close(
                    other.log_likelihood[row, :width], alone.log_likelihood, atol=2e-5, rtol=1e-5
                )
                assert not bool(other.latent[row, :, width:].any())
                for one, two in zip(other.attention, alone.attention, strict=True):
                    steps, count = two.shape[1:]
                    torch.testing.assert_close(one[row, :steps, :count], two, atol=1e-6, rtol=1e-5)


def test_dummy_speakers_are_alike_and_own_ones_differ() -> None:
    for kind, same in (("always", False), ("dummy", True)):
        model = small.model(num_speakers=2, speaker_table=kind)
        said = small.text((4,))
        other = type(said)(said.tokens, said.stress, said.token_lengths, torch.ones_like(said.speaker))
        with torch.no_grad():
            assert torch.equal(model.memory(said).states, model.memory(other).states) is same
            vector = torch.zeros(1, 3)
            blended = model.memory(said, vector)
        assert torch.equal(blended.states[:, :, -3:], torch.zeros(1, 4, 3))
    assert not small.model(speaker_table="several").config.has_speaker_table


@pytest.mark.parametrize(("preset", "parameters"), [("ljspeech", 60_977_473), ("libritts", 60_993_089)])
def test_the_authors_sizes(preset: str, parameters: int) -> None:
    from moksori.pipeline.run_config import run_config

    with torch.device("meta"):
        model = Flowtron(run_config(f"flowtron/{preset}").model)
    assert sum(p.numel() for p in model.parameters()) == parameters


def test_compact_is_compact() -> None:
    from moksori.pipeline.run_config import run_config

    with torch.device("meta"):
        model = Flowtron(run_config("flowtron/compact").model)
    assert sum(p.numel() for p in model.parameters()) < 8_000_000


def test_the_mel_follows_the_pitch_of_its_own_step() -> None:
    """The pitch of a step moves the mel that a latent gives there, and none before; a mel does not move its pitch."""
    model = small.model(num_flows=1, **PITCHED)
    frames, lengths = small.mels((7,), 6)
    memory = model.memory(small.text((4,)))
    with torch.no_grad():
        latent = model.encode(frames, lengths, memory).latent
        higher, louder = latent.clone(), latent.clone()
        higher[:, 5, 3] += 1.0
        louder[:, 2, 3] += 1.0
        made, moved, pushed = (model.decode(z, lengths, memory)[0] for z in (latent, higher, louder))
    assert torch.equal(moved[:, :3], made[:, :3])
    assert bool(((moved - made)[:5, 3].abs() > 1e-4).all())
    assert float((pushed - made)[5, 3].abs()) < 1e-5
    assert float((pushed - made)[:5, 3].abs().max()) > 1e-2
