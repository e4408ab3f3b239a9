"""How fast is a voice in torch beside its own ONNX graph, and beside a graph of Piper's medium size, under onnxruntime?

All say a text of 100 phonemes at variation 0 within one run, in turn. Two questions, each at 1 and 2 threads: the
bundled voice in torch and its own graph (the same weights and durations); and the bundled voice beside
`vits/piper_medium` with random weights, exported by the same code as `--format piper`. A graph's cost depends on its
weights only by how long its sound is, so costs are given per second of sound, and the medium graph's durations are
scaled to those of speech, 0.08 s a phoneme.
"""

import argparse
import sys
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from common import best_of, finish, parser, start

from moksori.errors import MoksoriError
from moksori.models.checkpoint import load_model
from moksori.models.onnx_file import session
from moksori.models.vits import Vits
from moksori.models.vits.interop.onnx import speech_graph
from moksori.models.vits.interop.piper_symbols import PIPER_END, PIPER_PAD, PIPER_START, PiperTable
from moksori.models.vits.interop.piper_voice import piper_graph
from moksori.pipeline.models import find_model
from moksori.pipeline.run_config import run_config
from moksori.types import SayControls, TextBatch

PHONEMES = 100
SECONDS_PER_PHONEME = 0.08
"""Of ordinary speech: what the medium graph's length scale is set to, since random weights know no durations."""


def main() -> None:
    options = parser(__doc__ or "")
    options.add_argument("voice", nargs="?", default="kathleen", help="a model's name or folder")
    options.add_argument("--phonemes", type=int, default=PHONEMES, help="of the text (default %(default)s)")
    options.add_argument("--both-threads", type=int, nargs="+", default=[1, 2], metavar="N", help="default 1 2")
    chosen = options.parse_args()
    environment = start(chosen)
    try:
        model = load_model(find_model(chosen.voice), "vits").model
    except MoksoriError as error:
        sys.exit(f"{error}")
    assert isinstance(model, Vits)
    medium = _medium()
    graphs = {
        "own graph": speech_graph(model).SerializeToString(),
        "medium graph": piper_graph(medium, PiperTable(medium.config.text)).SerializeToString(),
    }
    figures: dict[str, Any] = {"voice": chosen.voice, "phonemes": chosen.phonemes}
    for threads in chosen.both_threads:
        figures[f"{threads} threads"] = _timed(model, medium, graphs, threads, chosen)
    finish("onnx_speed", chosen, environment, figures)


def _medium() -> Vits:
    torch.manual_seed(0)
    model = Vits(run_config("vits/piper_medium").model).eval()
    with torch.no_grad():
        # Fresh splines and couplings are zeros: other numbers, so that nothing is skipped or denormal.
        for parameter in model.parameters():
            if parameter.numel() > 1 and bool((parameter == parameter.flatten()[0]).all()):
                parameter.add_(0.01 * torch.randn_like(parameter))
    return model


def _timed(
    model: Vits, medium: Vits, graphs: Mapping[str, bytes], threads: int, chosen: argparse.Namespace
) -> dict[str, Any]:
    torch.set_num_threads(threads)
    draw = np.random.default_rng(0)
    count = chosen.phonemes
    tokens = draw.integers(1, model.text_encoder.embedding.num_embeddings, (1, count))
    stress = draw.integers(0, 3, (1, count))
    text = TextBatch(*(torch.from_numpy(v) for v in (tokens, stress, np.array([count]), np.array([0]))))
    scales = np.array([0.0, 1.0, 0.0], np.float32)
    own = {"input": tokens, "input_lengths": np.array([count]), "stress": stress, "scales": scales}
    own = {name: value for name, value in own.items() if name != "stress" or model.config.text_encoder.stress_embedding}
    own |= {"sid": np.array([0])} if model.config.num_speakers > 1 else {}

    characters = draw.integers(PIPER_END + 1, len(PiperTable(medium.config.text).characters), count)
    ids = [PIPER_START, PIPER_PAD, *(int(x) for c in characters for x in (c, PIPER_PAD)), PIPER_END]
    theirs = {"input": np.array([ids]), "input_lengths": np.array([len(ids)]), "scales": scales.copy()}
    runners = {name: session(graph, threads) for name, graph in graphs.items()}
    rate, hop = medium.config.mel.sample_rate, medium.hop_length
    for _ in range(4):  # durations are rounded up to whole frames, so the length scale is found in steps
        frames = float(runners["medium graph"].run(None, theirs)[1].sum())
        theirs["scales"][1] *= SECONDS_PER_PHONEME * count / (frames * hop / rate)

    controls = SayControls(variation=0.0)
    generator = torch.Generator().manual_seed(0)
    calls: dict[str, Callable[[], Any]] = {
        "torch": partial(model.say, text, controls, generator),
        "own graph": partial(runners["own graph"].run, None, own),
        "medium graph": partial(runners["medium graph"].run, None, theirs),
    }
    seconds = {
        "torch": float(calls["torch"]().waveform_lengths[0]) / model.config.mel.sample_rate,
        "own graph": calls["own graph"]()[0].size / model.config.mel.sample_rate,
        "medium graph": calls["medium graph"]()[0].size / rate,
    }
    times = best_of(calls, chosen.rounds, warm_up=2)
    print(f"{count} phonemes, {threads} threads, least of {chosen.rounds}")
    found = {}
    for name, timing in times.items():
        found[name] = {
            "sound_seconds": round(seconds[name], 3),
            "rtf_wall": round(timing.wall / seconds[name], 5),
            "rtf_cpu": round(timing.cpu / seconds[name], 5),
        }
    reference = found["torch"]
    for name, values in found.items():
        ratios = {clock: values[f"rtf_{clock}"] / reference[f"rtf_{clock}"] for clock in ("wall", "cpu")}
        values |= {f"ratio_{clock}": round(ratio, 3) for clock, ratio in ratios.items()}
        print(
            f"  {name:14} {values['sound_seconds']:6.2f} s of sound   real-time factor {values['rtf_wall']:.4f} wall "
            f"{values['rtf_cpu']:.4f} CPU   {ratios['wall']:5.2f} x the wall, {ratios['cpu']:5.2f} x the CPU of torch"
        )
    return found


if __name__ == "__main__":
    main()
