"""Is our VITS faster than transformers' VitsModel, on the same architecture and weights?

A VitsModel of the published size (MMS: 36.3 M, 16 kHz) with random weights is stored and imported; both then speak the
same 100 phonemes, blanks between them, without noise, at a speed that gives each token a likely length. In float32 both
give the same samples, which is checked; in bfloat16 ours is compared with its own float32 sound. Beside them runs the
ONNX graph that `moksori export` makes of the same weights, under onnxruntime.
"""

import json
import math
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import best_of, finish, parser, start
from torch import Tensor

from moksori.models.onnx_file import session
from moksori.models.vits import Vits
from moksori.models.vits.interop.onnx import speech_graph
from moksori.pipeline.import_model import import_model
from moksori.pipeline.say import load
from moksori.types import SayControls, TextBatch

PHONEMES = 100
SPEED = 0.25
"""Predictors with random weights say one frame a token; speech has some four."""
TOLERANCE = 1e-4


def main() -> None:
    options = parser(__doc__ or "")
    options.set_defaults(rounds=4)
    chosen = options.parse_args()
    environment = start(chosen)
    import transformers

    torch.manual_seed(0)
    settings = transformers.VitsConfig(noise_scale=0.0, noise_scale_duration=0.0, speaking_rate=SPEED)
    theirs = transformers.VitsModel(settings).eval()
    _quietened(theirs)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        theirs.save_pretrained(folder / "hf")
        _write_tokenizer(folder / "hf", settings.vocab_size)
        import_model(folder / "hf", folder / "ours")
        voices = {precision: load(folder / "ours", precision=precision).model for precision in ("fp32", "bf16")}
    ids = torch.randint(1, settings.vocab_size, (1, PHONEMES))
    tokens = torch.zeros(1, 2 * PHONEMES + 1, dtype=torch.long)
    tokens[:, 1::2] = ids
    lengths = torch.tensor([tokens.shape[1]])
    batch = TextBatch(tokens, torch.zeros_like(tokens), lengths, torch.zeros_like(lengths))
    controls = SayControls(variation=0.0)  # the import keeps the speaking rate

    def ours(precision: str) -> Tensor:
        return voices[precision].say(batch, controls).waveform

    @torch.inference_mode()
    def peer() -> Tensor:
        return theirs(input_ids=tokens).waveform

    whole = voices["fp32"]
    assert isinstance(whole, Vits)
    graph = speech_graph(whole).SerializeToString()
    given = {"input": tokens.numpy(), "input_lengths": lengths.numpy(), "scales": np.array([0.0, 1.0, 0.0], np.float32)}
    reference, exact, rounded = peer(), ours("fp32"), ours("bf16")
    error = float((reference - exact).abs().max())
    if reference.shape != exact.shape or error > TOLERANCE:
        raise SystemExit(f"not the same function: {reference.shape} and {exact.shape}, largest difference {error}")
    kept = 10.0 * math.log10(float(exact.square().mean() / (exact - rounded).square().mean()))
    seconds = exact.shape[1] / settings.sampling_rate
    print(f"{seconds:.2f} s of sound; largest difference {error:.1e}; bfloat16 keeps {kept:.1f} dB")
    figures: dict[str, Any] = {"seconds": seconds, "largest_difference": error, "bf16_decibels": kept, "by_threads": {}}
    for threads in (1, 2):
        torch.set_num_threads(threads)
        runner = session(graph, threads)
        sound = np.asarray(runner.run(None, given)[0]).reshape(1, -1)
        apart = float(np.abs(sound - exact.numpy()).max()) if sound.shape == exact.shape else math.inf
        if apart > TOLERANCE:
            raise SystemExit(f"the graph is not the same function: {sound.shape}, largest difference {apart}")
        contestants: dict[str, Callable[[], Any]] = {
            "transformers": peer,
            "fp32": partial(ours, "fp32"),
            "bf16": partial(ours, "bf16"),
            "graph": partial(runner.run, None, given),
        }
        timings = best_of(contestants, chosen.rounds)
        ratios = {name: timings["transformers"].wall / timings[name].wall for name in ("fp32", "bf16", "graph")}
        for name, timing in timings.items():
            faster = f", {ratios[name]:.2f} times as fast" if name in ratios else ""
            wall, cpu = timing.wall / seconds, timing.cpu / seconds
            print(f"{threads} threads  {name:<12}  {wall:.3f} s wall, {cpu:.3f} s CPU a second of sound{faster}")
        figures["by_threads"][threads] = {"timings": timings, "ratios": ratios}
    finish("transformers_speed", chosen, environment, figures)


@torch.no_grad()
def _quietened(model: Any) -> None:
    """Scales the last convolution: random weights drive its tanh into the corners, where all would agree."""
    peaks: list[float] = []
    hook = model.decoder.conv_post.register_forward_hook(lambda *call: peaks.append(float(call[2].abs().max())))
    model(torch.arange(30)[None])
    hook.remove()
    model.decoder.conv_post.weight.mul_(0.5 / peaks[0])


def _write_tokenizer(folder: Path, symbols: int) -> None:
    letters = ["_", *(chr(0x61 + index) for index in range(symbols - 1))]
    (folder / "vocab.json").write_text(json.dumps({letter: index for index, letter in enumerate(letters)}))
    settings = {
        "add_blank": True,
        "normalize": True,
        "phonemize": False,
        "is_uroman": False,
        "language": "xyz",
        "tokenizer_class": "VitsTokenizer",
        "pad_token": "_",
        "unk_token": "<unk>",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


if __name__ == "__main__":
    main()
