"""What VITS's objective looks at: windows, slices and counted frames, all of the same place in time."""

from dataclasses import replace

import pytest
import torch
from tiny_model import HIFIGAN, SEARCH, batch, generator, objective

from moksori.errors import ConfigError, UnknownName
from moksori.losses.kl import flow_kl
from moksori.models.vits import Vits, VitsObjective
from moksori.models.vits.objective import Stretch
from moksori.pipeline.run_config import run_config
from moksori.types import SpeechBatch, TextBatch


def windowed(made: VitsObjective, data: SpeechBatch, seeds: int = 12) -> list[Stretch]:
    return [made._stretch(data, generator(seed)) for seed in range(seeds)]


def test_a_window_is_a_cut_of_the_whole_spectrogram() -> None:
    made = objective("objective.window_frames=32")
    data = batch(made)
    hop, whole = made.model.hop_length, made.model.spectrogram(data.waveform)
    lengths = data.waveform_lengths // hop
    padded = torch.nn.functional.pad(data.waveform, (0, 40 * hop))
    starts, ends = set(), set()
    for stretch in windowed(made, data, 40):
        assert stretch.spectrogram.shape == (3, whole.shape[1], 32)
        for item, start in enumerate(stretch.start.tolist()):
            assert torch.equal(stretch.waveform[item], padded[item, start * hop : (start + 32) * hop])
            real = min(32, int(lengths[item]) - start)
            assert stretch.mask[item, 0].tolist() == [True] * real + [False] * (32 - real)
            # The batch's longest item is reflected at its right end in the whole, and followed by silence in a window.
            same = min(real, whole.shape[2] - 2 - start)
            assert torch.equal(stretch.spectrogram[item, :, :same], whole[item, :, start : start + same])
            starts.add(start == 0)
            ends.add(start + 32 == int(lengths[item]))
    assert starts == ends == {True, False}


def test_only_frames_with_their_context_are_counted() -> None:
    made = objective("objective.window_frames=32", "objective.window_edge_frames=5")
    data = batch(made)
    lengths = (data.waveform_lengths // made.model.hop_length).tolist()
    for stretch in windowed(made, data):
        for item, start in enumerate(stretch.start.tolist()):
            first = 0 if start == 0 else 5
            last = 32 if start + 32 >= lengths[item] else 27
            expected = [first <= frame < last and start + frame < lengths[item] for frame in range(32)]
            assert stretch.counted[item, 0].tolist() == expected


def test_the_kl_ignores_frames_at_a_cut(monkeypatch) -> None:
    made = objective("objective.window_frames=32", "objective.window_edge_frames=5").eval()
    data = batch(made)
    seen = {}

    def recorded(z_p, log_q, mean, log_std, mask):
        seen["mask"], seen["kl"] = mask, flow_kl(z_p, log_q, mean, log_std, mask)
        seen["loud"] = flow_kl(torch.where(mask, z_p, torch.full_like(z_p, 1e3)), log_q, mean, log_std, mask)
        return seen["kl"]

    monkeypatch.setattr("moksori.models.vits.objective.flow_kl", recorded)
    terms = made.validate(data, generator(4))
    assert torch.equal(seen["mask"], made._stretch(data, generator(4)).counted)
    assert float(terms["kl"]) == float(seen["kl"]) == float(seen["loud"])


def test_whole_utterances_without_a_window() -> None:
    made = objective("objective.window_frames=null")
    data = batch(made)
    stretch = made._stretch(data, generator())
    assert torch.equal(stretch.waveform, data.waveform)
    assert torch.equal(stretch.counted, stretch.mask)
    assert stretch.mask.sum(dim=(1, 2)).tolist() == (data.waveform_lengths // made.model.hop_length).tolist()


class Echo(torch.nn.Module):
    """A decoder that plays z's first channel, one value a sample of the frame: shows which frames a slice holds."""

    takes_pitch, has_noise = False, False

    def forward(self, z, mask=None, condition=None, pitch=None, renderings=1, generator=None):
        self.mask = mask
        return z[:, :1].repeat_interleave(256, dim=2).transpose(0, 1)


@pytest.mark.parametrize("margin", [0, 3])
def test_slices_of_latents_and_waveform_are_of_one_place(margin: int) -> None:
    """A click at a frame of the waveform, and the frame's own number as its latent."""
    made = objective(HIFIGAN, f"objective.slice_margin_frames={margin}", "objective.slice_frames=16")
    made.model.decoder = Echo()
    data = batch(made)
    frames = data.waveform.shape[1] // 256
    numbers = (torch.arange(frames) + 1.0).repeat_interleave(256)
    data = replace(data, waveform=numbers.expand(3, -1) * (torch.arange(frames * 256) < data.waveform_lengths[:, None]))
    for seed in range(10):
        stretch = made._stretch(data, generator(seed))
        z = stretch.waveform[:, None, ::256]
        cut = made._slice(stretch, z, None, None, generator(seed))
        assert cut.real.shape == (3, 16 * 256)
        assert torch.equal(cut.generated[0], cut.real)
        for item in range(3):  # and the slice lies within the frames that are counted
            place = cut.real[item, ::256] - 1 - stretch.start[item]
            assert bool(stretch.counted[item, 0, place.long()].all())
        assert made.model.decoder.mask.shape[2] == 16 + 2 * margin


def test_a_click_is_heard_in_its_frame() -> None:
    made = objective(HIFIGAN, "objective.window_frames=32")
    data = batch(made, 1)
    click = torch.zeros_like(data.waveform)
    frame = 20
    click[0, frame * 256 + 128] = 1.0
    for seed in range(6):
        stretch = made._stretch(replace(data, waveform=click), generator(seed))
        inside = frame - int(stretch.start)
        if 2 < inside < 30:
            assert int(stretch.waveform[0].argmax()) // 256 == inside
            assert int(made.model.mel(stretch.waveform)[0].sum(dim=0).argmax()) == inside
            assert abs(int(stretch.spectrogram[0].sum(dim=0).argmax()) - inside) <= 1


def test_an_utterance_shorter_than_the_slice_counts_what_it_has() -> None:
    made = objective(HIFIGAN, "objective.window_frames=null", "objective.slice_frames=24").eval()
    data = batch(made, 2)
    short = data.waveform_lengths.clone()
    short[0] = 10 * 256
    waveform = data.waveform * (torch.arange(data.waveform.shape[1]) < short[:, None])
    data = replace(data, waveform=waveform, waveform_lengths=short)
    stretch = made._stretch(data, generator())
    z = torch.randn(2, 16, stretch.mask.shape[2]) * stretch.mask
    for seed in range(8):
        cut = made._slice(stretch, z, None, None, generator(seed))
        assert cut.real.shape == (2, 24 * 256)
        assert torch.equal(cut.real[0], waveform[0, : 24 * 256])  # from its first frame, zero behind its last
        assert float(cut.generated[0, 0, : 10 * 256].detach().abs().sum()) > 0
        assert float(cut.generated[0, 0, 10 * 256 :].detach().abs().sum()) == 0
    only = replace(data, **{name: getattr(data, name)[:1] for name in ("waveform", "waveform_lengths", "speaker")})
    stretch = made._stretch(replace(only, waveform=only.waveform[:, : 10 * 256]), generator())
    assert made._slice(stretch, z[:1, :, :10], None, None, generator()).real.shape == (1, 10 * 256)


def test_search_and_given_durations_make_the_same_terms() -> None:
    made = objective(HIFIGAN, *SEARCH)
    data = batch(made)
    made.eval()
    with torch.no_grad():
        terms = made.validate(data, generator(1))
        assert set(terms) == {"kl", "duration", "mel", "stft", "total"}
        assert all(bool(torch.isfinite(value)) for value in terms.values())
        pictures = made.pictures(data, generator(1))
    path = pictures["alignment"]
    assert path.sum(dim=0).tolist() == [1] * path.shape[1]
    assert int(path.argmax(dim=0).diff().min()) >= 0  # monotonic, from the first token to the last
    assert int(path.argmax(dim=0)[-1]) + 1 == int(data.token_lengths[0])


def test_noise_of_the_search_fades_and_is_for_training_only(monkeypatch) -> None:
    made = objective(HIFIGAN, *SEARCH, "objective.search_noise=0.01")
    data = batch(made, 2)
    scores = []

    def recorded(values, frames, tokens):
        scores.append(values.clone())
        from moksori.nn.alignment import monotonic_durations

        return monotonic_durations(values, frames, tokens)

    monkeypatch.setattr("moksori.models.vits.objective.monotonic_durations", recorded)
    text, _ = made.model.encode_text(TextBatch(
        data.tokens, data.stress, data.token_lengths, data.speaker
    ))  # fmt: skip
    z_p = torch.randn(2, 16, data.waveform.shape[1] // 256)
    for training, step in ((False, 0), (True, 0), (True, 2500), (True, 5000), (True, 9999)):
        made.train(training)
        made._search(text, z_p, data, step, generator())
    clean, spread = scores[0], scores[0].std()
    noise = [float((noisy - clean).std() / spread) for noisy in scores[1:]]
    assert noise[0] == pytest.approx(0.01, rel=0.1)
    assert noise[1] == pytest.approx(0.005, rel=0.1)
    assert noise[2:] == [0.0, 0.0]


def test_duration_scale_follows_the_ratio_of_the_means() -> None:
    made = objective()
    data = batch(made)
    made.train()
    predictor = made.model.deterministic_duration
    assert predictor is not None
    with torch.no_grad():
        predictor.projection.weight.zero_()
        predictor.projection.bias.fill_(float(torch.tensor(2.0).log()))  # two frames for every token
    with torch.no_grad():
        encoded, mask = made.model.encode_text(TextBatch(data.tokens, data.stress, data.token_lengths, data.speaker))
        for seed in range(20):
            made.observe(made._duration_terms(encoded, mask, data.durations, None, generator(seed)))
    assert predictor.training  # its dropout is on again
    ratio = min(2.0, float(data.durations.sum() / data.token_lengths.sum()) / 2.0)
    assert ratio > 1.2
    assert float(made.model.duration_scale) == pytest.approx(1.0 + (ratio - 1.0) * (1.0 - 0.99**20), rel=1e-4)
    made.eval()
    before = made.model.duration_scale.clone()
    made.validate(data, generator())
    assert torch.equal(made.model.duration_scale, before)


def test_settings_that_contradict_each_other() -> None:
    with pytest.raises(ConfigError, match=r"window_frames needs objective\.alignment=given"):
        objective(HIFIGAN, "objective.alignment=search", "model.prior={kind: token}")
    with pytest.raises(ConfigError, match=r"search needs model\.prior\.kind=token"):
        objective("objective.alignment=search", "objective.window_frames=null")
    with pytest.raises(ConfigError, match=r"unknown loss 'mell': known here: mel,"):
        objective("objective.loss_weights.mell=1.0")
    with pytest.raises(UnknownName, match="part of the model 'decoderr': did you mean 'decoder'"):
        objective("objective.trained_parts=[decoderr]")
    with pytest.raises(ConfigError, match=r"posterior_temperature 0\.5 needs objective\.trained_parts=\[decoder\]"):
        objective("objective.posterior_temperature=0.5")
    made = objective()
    data = batch(made)
    with pytest.raises(ConfigError, match="align the corpus first"):
        next(made.updates(replace(data, durations=None), 0, generator()))
    with pytest.raises(ConfigError, match="needs F0"):
        next(made.updates(replace(data, f0=None), 0, generator()))


def test_training_the_decoder_alone_leaves_the_rest() -> None:
    made = objective("objective.trained_parts=[decoder]")
    groups = {name: list(parameters) for name, parameters in made.parameter_groups().items()}
    assert {id(p) for p in groups["model"]} == {id(p) for p in made.model.decoder.parameters()}
    (update,) = made.updates(batch(made), 0, generator())
    assert {"mel", "stft", "pitch", "voicing"} == set(update.terms)
    update.total().backward()
    assert all(p.grad is None for p in made.model.posterior_encoder.parameters())


def test_a_decoder_alone_may_learn_on_cleaner_latents(monkeypatch) -> None:
    heard = []
    for temperature in (0.0, 1.0):
        made = objective("objective.trained_parts=[decoder]", f"objective.posterior_temperature={temperature}")
        monkeypatch.setattr(made.model.decoder, "forward", lambda z, *rest: heard.append(z) or torch.zeros(1, 3, 5120))
        with torch.no_grad():
            for seed in (1, 2):
                cut_start = torch.Generator().manual_seed(seed)
                list(made.updates(batch(made), 0, cut_start))
    exact = objective("objective.trained_parts=[decoder]", "objective.posterior_temperature=0.0")
    data = batch(exact)
    with torch.no_grad():
        stretch = exact._stretch(data, generator(1))
        mean = exact.model.posterior(stretch.spectrogram, stretch.mask, None).mean
    first = heard[0][0, :, heard[0].shape[2] // 2]
    assert float((mean[0] - first.unsqueeze(1)).abs().amax(0).min()) < 1e-5  # a frame of the posterior's mean
    noisy = heard[2][0, :, heard[2].shape[2] // 2]
    assert float((mean[0] - noisy.unsqueeze(1)).abs().amax(0).min()) > 0.1


def test_the_newest_of_an_adversarial_game_is_the_best() -> None:
    assert not objective().newest_is_best
    assert objective("objective.adversarial_start=0").newest_is_best


def test_the_discriminators_game_and_its_head_start() -> None:
    made = objective("objective.adversarial_start=5", "objective.head_start_steps=3")
    data = batch(made, 2)
    names = {step: [u.optimizer for u in made.updates(data, step, generator())] for step in (4, 5, 7, 8)}
    assert names == {4: ["model"], 5: ["discriminator", "model"], 7: ["discriminator", "model"],
                     8: ["discriminator", "model"]}  # fmt: skip
    assert made.discriminators is not None
    for step, heard in ((7, False), (8, True)):
        made.zero_grad()
        updates = made.updates(data, step, generator())
        next(updates).total().backward()
        assert all(p.grad is None for p in made.model.parameters())
        made.zero_grad()
        last = next(updates)
        assert ("adversarial" in last.terms) is heard
        last.total().backward()
        assert all(p.grad is None for p in made.discriminators.parameters())
        assert all(p.requires_grad for p in made.discriminators.parameters())


def test_a_step_in_bfloat16_is_nearly_that_in_float32() -> None:
    """One step of both sides under autocast: finite terms and weights, and each term near that in full precision."""
    found: list[dict[str, float]] = []
    for half in (False, True):
        made = objective("objective.adversarial_start=0").train()
        data = batch(made)
        groups = {name: list(parameters) for name, parameters in made.parameter_groups().items()}
        optimizers = {name: torch.optim.AdamW(parameters, lr=1e-4) for name, parameters in groups.items()}
        torch.manual_seed(1)  # dropout
        updates, terms = made.updates(data, 0, generator()), {}
        while True:
            with torch.autocast("cpu", torch.bfloat16, enabled=half):
                update = next(updates, None)
            if update is None:
                break
            optimizers[update.optimizer].zero_grad()
            update.total().backward()
            optimizers[update.optimizer].step()
            terms |= {name: float(term.detach()) for name, term in update.terms.items()}
        assert all(bool(parameter.isfinite().all()) for parameter in made.parameters())
        found.append(terms)
    exact, rounded = found
    assert set(exact) == set(rounded) > {"discriminator", "kl", "duration", "mel", "stft", "adversarial"}
    assert rounded == pytest.approx(exact, rel=0.01, abs=1e-3)
    assert rounded != exact  # the autocast was one


@pytest.mark.slow
def test_a_step_of_the_papers_model() -> None:
    """The LJ Speech preset whole, with a short clip and slice: both updates are finite and reach every weight."""
    config = run_config("vits/ljspeech", ["model.num_symbols=178", "objective.slice_frames=8"])
    torch.manual_seed(0)
    made = VitsObjective(Vits(config.model), config.objective).train()
    draw = generator(1)
    tokens = torch.randint(1, 178, (1, 21), generator=draw)
    data = SpeechBatch(
        ("one",), 0.1 * torch.randn(1, 40 * 256, generator=draw), torch.tensor([40 * 256]), torch.tensor([0]),
        tokens, torch.zeros_like(tokens), torch.tensor([21]),
    )  # fmt: skip
    updates = {}
    for update in made.updates(data, 0, draw):
        updates[update.optimizer] = set(update.terms)
        update.total().backward()
        assert bool(update.total().isfinite())
    assert updates == {
        "discriminator": {"discriminator"},
        "model": {"kl", "duration", "mel", "adversarial", "feature_matching"},
    }
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in made.parameters())
