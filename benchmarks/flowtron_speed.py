"""How much faster is Flowtron's loop than the plain one, and how long does a spoken second take with the vocoder?

Flowtron speaks frame after frame, twice. The plain way is that of the published code: nn.LSTM called for every frame,
keys and values of the whole text made anew for every frame, a few dozen new tensors each. Ours makes keys and values
once, has one product a cell, and allocates nothing in a step. Both invert the same latents with the same weights, which
is checked to 1e-4; lengths are given, so that both do the same work. With --voice, the real-time factor of speaking
sentences, gate, window, vocoder and all. On a GPU one step is also replayed as a CUDA graph.

    python benchmarks/flowtron_speed.py --strict --json
    python benchmarks/flowtron_speed.py --preset flowtron/ljspeech --frames 60
    python benchmarks/flowtron_speed.py --voice NAME --strict --json
"""

import sys
from collections.abc import Callable
from typing import Any

import torch
from common import best_of, finish, parser, start
from torch import Tensor

from moksori.audio.harmonics import looked_up
from moksori.config import load_preset, validate
from moksori.errors import MoksoriError
from moksori.evaluation.hard_sentences import hard_sentences
from moksori.models.flowtron import Flowtron, FlowtronConfig, Memory
from moksori.models.flowtron.flows import AffineFlow, reordered
from moksori.models.flowtron.speaking import decode
from moksori.models.flowtron.text_mean import PitchedTextMean, TextMean
from moksori.pipeline.say import load
from moksori.types import TextBatch

TOLERANCE = 1e-4
HEAD_SCALE = 0.02
"""Of the weights of heads and text means: new ones are zeros, and then there would be nothing to compare."""


def main() -> None:
    options = parser(__doc__ or "")
    options.add_argument("--preset", default="flowtron/compact", help="random weights of this preset")
    options.add_argument("--voice", help="a trained model: its real-time factor, vocoder included")
    options.add_argument("--sentences", type=int, default=10, help="spoken with --voice")
    options.add_argument("--tokens", type=int, default=80)
    options.add_argument("--frames", type=int, default=480)
    options.add_argument("--batch", type=int, default=1)
    options.add_argument("--device", default="cpu")
    chosen = options.parse_args()
    environment = start(chosen)
    try:
        figures = compared(chosen) if chosen.voice is None else spoken(chosen.voice, chosen.sentences, chosen.rounds)
    except MoksoriError as error:
        sys.exit(f"{error}")
    finish("flowtron_speed" if chosen.voice is None else "flowtron_voice", chosen, environment, figures)


def compared(options: Any) -> dict[str, Any]:
    """The loops against each other; exits where they are not the same function."""
    torch.manual_seed(0)
    model = built(options.preset).to(options.device)
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(
        1, model.text_encoder.embedding.num_embeddings, (options.batch, options.tokens), generator=generator
    )
    lengths = torch.full((options.batch,), options.tokens)
    text = TextBatch(
        *(x.to(options.device) for x in (tokens, torch.zeros_like(tokens), lengths, torch.zeros_like(lengths)))
    )
    frames = options.frames // model.config.group * model.config.group
    latent = 0.5 * torch.randn(options.batch, model.config.bands, frames, generator=generator).to(options.device)
    lengths = torch.full((options.batch,), frames, device=options.device)
    with torch.inference_mode():
        memory = model.memory(text)
    ways: dict[str, Callable[[], Tensor]] = {
        "plain": lambda: plain_decode(model, latent, lengths, memory),
        "ours": lambda: decode(model, latent, lengths, memory, graph=False).frames,
    }
    if options.device != "cpu":
        ways["ours, CUDA graph"] = lambda: decode(model, latent, lengths, memory).frames
    made = {name: way() for name, way in ways.items()}
    error = max(float((mel - made["plain"]).abs().max()) for mel in made.values())
    if not error <= TOLERANCE:
        sys.exit(f"not the same function: the mels differ by {error}")
    synchronized = {name: (lambda way=way: (way(), _wait(options.device))) for name, way in ways.items()}
    timings = best_of(synchronized, options.rounds)
    seconds = options.batch * frames * model.hop_length / model.sample_rate
    parameters = sum(p.numel() for p in model.parameters())
    print(f"{options.preset}, {parameters / 1e6:.2f} M parameters, {options.tokens} tokens, {frames} frames, batch "
          f"{options.batch}: {seconds:.2f} s of sound, largest difference {error:.1e}")  # fmt: skip
    figures: dict[str, Any] = {
        "preset": options.preset, "parameters": parameters, "tokens": options.tokens, "frames": frames,
        "batch": options.batch, "device": options.device, "largest_difference": error, "seconds_of_sound": seconds,
        "timings": timings, "times_as_fast": {}, "real_time_factor": {},
    }  # fmt: skip
    for name, timing in timings.items():
        ratio = timings["plain"].wall / timing.wall
        figures["times_as_fast"][name], figures["real_time_factor"][name] = ratio, timing.wall / seconds
        print(f"{name.ljust(18)} {timing.wall:8.3f} s  cpu {timing.cpu:8.3f} s  {timing.wall / seconds:7.4f} of real "
              f"time  {ratio:5.2f} times as fast")  # fmt: skip
    return figures


def built(preset: str) -> Flowtron:
    """A preset with random weights whose flows do something."""
    model = Flowtron(validate(FlowtronConfig, load_preset(preset).get("model", {}), "model")).eval()
    for flow in model.flows:
        assert isinstance(flow, AffineFlow)
        torch.nn.init.normal_(flow.step.head.weight, std=HEAD_SCALE)
        mean = flow.step.text_mean
        for name in ("out", "level", "depth", "tilt"):
            if hasattr(mean, name):
                torch.nn.init.normal_(getattr(mean, name).weight, std=HEAD_SCALE)
    return model


@torch.inference_mode()
def plain_decode(model: Flowtron, latent: Tensor, lengths: Tensor, memory: Memory) -> Tensor:
    """The frames of a latent the way of the published code."""
    x, steps = model.stacked(latent), model.group_lengths(lengths)
    for flow in reversed(list(model.flows)):
        assert isinstance(flow, AffineFlow)
        order = flow.order(steps, x.shape[1])
        x = reordered(plain_inverse(flow, reordered(x, order), memory), order)
    return model.frames_of(x)


def plain_inverse(flow: AffineFlow, z: Tensor, memory: Memory) -> Tensor:
    """x of z in the flow's own time, frame by frame."""
    step = flow.step
    attending = deciding = telling = None
    previous, made = torch.zeros_like(z[:, :1]), []
    mean = torch.zeros_like(previous)  # what the text alone says of the x before
    for t in range(z.shape[1]):
        hidden, attending = step.attention_lstm(previous, attending)
        query = step.attention.query(hidden)
        keys, values = step.attention.key(memory.states), step.attention.value(memory.states)
        energy = step.attention.score(torch.tanh(query.unsqueeze(2) + keys.unsqueeze(1))).squeeze(3)
        weights = energy.masked_fill(~memory.mask.unsqueeze(1), -float("inf")).softmax(dim=2)
        context = torch.bmm(weights, values)
        read = torch.cat([hidden, context], dim=2)
        if step.gate is not None:
            torch.sigmoid(step.gate(read)).max().item()  # asked at every frame, as in speaking
        left = previous - mean
        if step.text_mean is not None:
            read = torch.cat([read, left], dim=2)
        out, deciding = step.decoder_lstm(read, deciding)
        for layer in step.dense:
            out = torch.tanh(layer(out))
        log_scale, shift = step.head(out).chunk(2, dim=2)
        if step.log_scale_limit is not None:
            log_scale = step.log_scale_limit * torch.tanh(log_scale / step.log_scale_limit)
        previous = (z[:, t : t + 1] - shift) * torch.exp(-log_scale)
        if step.text_mean is not None:
            recalled, telling = step.text_mean.lstm(context, telling)
            previous, mean = with_mean(step.text_mean, previous, left, torch.cat([recalled, context], dim=2))
        made.append(previous)
    return torch.cat(made, dim=1)


def with_mean(network: TextMean, x: Tensor, left: Tensor, told: Tensor) -> tuple[Tensor, Tensor]:
    """x with its mean by the text, and that mean. left: what the mean left open of the x before."""
    if not isinstance(network, PitchedTextMean):
        mean = network.out(told)
        return x + mean, mean
    mels = x.shape[2] - network.pitches
    of_pitch = network.out(told)
    pitch = x[..., mels:] + network.hold(left[..., mels:]) + of_pitch
    body = torch.relu(network.body(told))
    ripple = looked_up(network.ripples, pitch * network.place[1] + network.place[0]).flatten(-2)
    of_mels = network.level(body) + (network.depth(body) * ripple + network.tilt(pitch)) @ network.axes
    return torch.cat([x[..., :mels] + of_mels, pitch], dim=2), torch.cat([of_mels, of_pitch], dim=2)


def spoken(voice: str, count: int, rounds: int) -> dict[str, Any]:
    """The real-time factor of a voice over sentences of the hard list that are neither words nor very long."""
    speaker = load(voice)
    texts = [s.text for s in hard_sentences() if s.kind not in ("one word", "long")][:count]

    def whole_list() -> float:
        sounds = [speaker.say(text, seed=index, pause=0.0).waveform for index, text in enumerate(texts)]
        return sum(sound.duration_seconds for sound in sounds)

    seconds = whole_list()
    timing = best_of({"spoken": whole_list}, rounds, warm_up=0)["spoken"]
    print(
        f"{speaker.name}: {seconds:.1f} s of sound, {len(texts)} sentences: {timing.wall / seconds:.4f} of real time "
        f"(processor {timing.cpu / seconds:.4f}), vocoder included"
    )
    return {
        "voice": speaker.name, "sentences": len(texts), "seconds_of_sound": seconds, "timing": timing,
        "real_time_factor": timing.wall / seconds, "processor_factor": timing.cpu / seconds,
    }  # fmt: skip


def _wait(device: str) -> None:
    if device != "cpu":
        torch.cuda.synchronize()


if __name__ == "__main__":
    main()
