"""How soon is a sentence of ten seconds heard when it is streamed, beside the time that all of it takes at once?

Both in one run, in turn, on one thread: the first block with speech of `voice.stream`, all of its blocks, and
`voice.say`. Then where the time to the first block goes, how much memory each way takes (in fresh processes), and how
far the decoders look to each side: as their modules add it up, and as a change of one latent frame shows it.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from common import Timing, best_of, finish, parser, start

from moksori.errors import MoksoriError
from moksori.models.contract import CHUNK_FRAMES
from moksori.pipeline.say import Speaker, load

SENTENCE = (
    "When the ship came into the harbour at last, the people who had waited for three days and three nights ran down "
    "to the water with lamps and ropes, and nobody forgot how quiet it was."
)
SETTINGS: dict[str, Sequence[int]] = {
    "8, 64, 160": (8, 64, 160),
    "12, 64, 160": CHUNK_FRAMES,
    "16, 64, 160": (16, 64, 160),
    "32": (32,),
    "160": (160,),
}
BAR = 0.25
MEMORY = """
import json
from pathlib import Path
import torch
torch.set_num_threads({threads})
from moksori.pipeline.say import load
voice = load({voice!r})
voice.say("Hello.", seed=1)
def peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew (Linux)
before = peak()
{call}
print(json.dumps([before, peak()]))
"""
CALLS = {
    "at once": "voice.say({text!r}, seed=1, pause=0.0)",
    "streamed": "sum(len(block) for block in voice.stream({text!r}, seed=1, pause=0.0))",
}
PIPER = (
    "model.decoder={kind: hifigan, channels: 32, rates: [8, 8, 4], kernel_sizes: [16, 16, 8], "
    "residual_kernel_sizes: [3, 5, 7], residual_dilations: [[1, 2], [2, 6], [3, 12]], residual_kind: 2}"
)
NARROW = ("model.latent_channels=32", "model.posterior.num_layers=1")
"""How far a model looks does not depend on its widths."""
MODELS: dict[str, tuple[str, tuple[str, ...]]] = {
    "HiFi-GAN V1 (vits/ljspeech)": ("vits/ljspeech", ("model.decoder={kind: hifigan, channels: 32}", *NARROW)),
    "ResBlock2 (Piper's medium)": ("vits/ljspeech", (PIPER, *NARROW)),
    "inverse STFT, 8 blocks": ("vits/compact", ("model.decoder={kind: istft}",)),
    "homomorphic (vits/compact)": ("vits/compact", ()),
}


def main() -> None:
    options = parser(__doc__ or "")
    options.add_argument("voice", nargs="?", help="a model's name or folder (default: the bundled voice)")
    options.add_argument("--only", choices=("time", "memory", "contexts"), help="one part alone")
    chosen = options.parse_args()
    environment = start(chosen)
    figures: dict[str, Any] = {}
    try:
        voice = load(chosen.voice)
    except MoksoriError as error:
        sys.exit(f"{error}")
    if chosen.only in (None, "time"):
        figures["time"] = times(voice, chosen.rounds)
    if chosen.only in (None, "memory"):
        figures["memory"] = memory(chosen.voice, chosen.threads)
    if chosen.only in (None, "contexts"):
        figures["contexts"] = contexts()
    finish("streaming", chosen, environment, {"voice": voice.name, **figures})


def times(voice: Speaker, rounds: int) -> dict[str, Any]:
    """First block and all blocks beside the whole sentence, for each setting of chunks."""

    def first(sizes: Sequence[int]) -> Callable[[], Any]:
        return lambda: next(voice.stream(SENTENCE, seed=1, pause=0.0, chunk_frames=sizes))

    def all_blocks(sizes: Sequence[int]) -> Callable[[], Any]:
        return lambda: sum(len(block) for block in voice.stream(SENTENCE, seed=1, pause=0.0, chunk_frames=sizes))

    calls: dict[str, Callable[[], Any]] = {"at once": lambda: voice.say(SENTENCE, seed=1, pause=0.0)}
    calls |= {f"first of {name}": first(sizes) for name, sizes in SETTINGS.items()}
    calls |= {f"all of {name}": all_blocks(sizes) for name, sizes in SETTINGS.items()}
    calls |= parts(voice)
    found = best_of(calls, rounds)
    whole, seconds = found["at once"], voice.say(SENTENCE, seed=1, pause=0.0).duration_seconds
    print(f"{voice.name}, {seconds:.2f} s of speech, least of {rounds} rounds; milliseconds of wall (of CPU)")
    print(f"  {'at once':28} {_shown(whole)}")
    for name in SETTINGS:
        early, every = found[f"first of {name}"], found[f"all of {name}"]
        print(
            f"  frames {name:12} first {_shown(early)} {early.cpu / whole.cpu:5.2f} of at once   "
            f"all {_shown(every)} {every.cpu / whole.cpu:5.2f}"
        )
    chosen = found["first of 12, 64, 160"]
    share = chosen.cpu / whole.cpu
    print(
        f"  first sound after {share:.3f} of the time at once: {'held' if share <= BAR else 'missed'} (at most {BAR})"
    )
    names = list(parts(voice))
    print("  of it: " + ", ".join(f"{name} {found[name].cpu * 1e3:.1f} ms" for name in names))
    return {
        "sound_seconds": round(seconds, 3),
        "share_of_first": round(share, 4),
        "cost_of_streaming": round(found["all of 12, 64, 160"].cpu / whole.cpu, 4),
        "timings": found,
    }


def parts(voice: Speaker) -> dict[str, Callable[[], Any]]:
    """What comes before the first block: the text, and what the model does once a sentence."""
    from moksori.pipeline.say import SayOptions, readings

    options = SayOptions(pause_seconds=0.0)

    def line() -> Any:
        return next(voice.lines(readings(SENTENCE), options, 1))

    ready = line()

    @torch.inference_mode()
    def planned() -> Any:
        return voice.loaded.model.stream(ready.batch, ready.controls, CHUNK_FRAMES, torch.Generator().manual_seed(1))

    return {"text to tokens": line, "text encoder and durations": planned}


def _shown(timing: Timing) -> str:
    return f"{timing.wall * 1e3:7.1f} ({timing.cpu * 1e3:.1f})"


def memory(voice: str | None, threads: int) -> dict[str, float]:
    """MiB that the sentence takes on top of a loaded voice that has spoken, at its peak; on Linux only."""
    found = {}
    for name, call in CALLS.items():
        code = MEMORY.format(threads=threads, voice=voice, call=call.format(text=SENTENCE))
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=False, env={**os.environ}
        )
        if done.returncode != 0:
            sys.exit(done.stderr.strip()[-500:])
        before, after = json.loads(done.stdout)
        found[name] = round((after - before) / 1024, 1)
    print("memory on top of a loaded voice: " + ", ".join(f"{name} {mib:.1f} MiB" for name, mib in found.items()))
    return found


def contexts() -> dict[str, Any]:
    """Frames to each side: what the modules add up, and how far a change of one frame is seen with random weights."""
    from moksori.models.decoders.decoders import HifiganDecoder
    from moksori.models.decoders.pitch import Pitch
    from moksori.models.vits import Vits
    from moksori.pipeline.run_config import run_config

    frames = 161
    mask = torch.ones(1, 1, frames, dtype=torch.bool)
    found: dict[str, Any] = {}
    print("frames to each side: added up by the modules (measured)")
    for name, (preset, assignments) in MODELS.items():
        torch.manual_seed(0)
        model = Vits(run_config(preset, assignments).model).eval()
        with torch.no_grad():
            own = isinstance(model.decoder, HifiganDecoder)
            for part, parameter in model.named_parameters():  # what starts at zero or near it would not be seen
                if not (own and part.startswith("decoder.")):
                    parameter.add_(0.05 * torch.randn_like(parameter))
        flow, decoder = model.flow.double(), model.decoder
        z = torch.randn(1, model.config.latent_channels, frames, dtype=torch.float64)
        made = {"flow": (flow.context_steps, _reach(partial(flow.inverse, mask=mask), z))}
        pitch = None
        if isinstance(decoder, HifiganDecoder):
            decoder.double()  # what the outermost samples hear is faint
        else:
            z = z.float()
        if model.takes_pitch:
            predictor: Any = decoder.pitch_predictor
            made["pitch"] = (predictor.context_frames, _reach(lambda x, p=predictor: p.predict(x).log_f0, z))
            pitch = Pitch(torch.full((1, frames), 5.0), torch.ones(1, frames))

        def sound(x: torch.Tensor, decoder: Any = decoder, pitch: Any = pitch) -> torch.Tensor:
            if isinstance(decoder, HifiganDecoder):  # its samples before they become float32
                return decoder.generator(x)
            return decoder(x, None, None, pitch, generator=torch.Generator().manual_seed(2))

        made["decoder"] = (decoder.context_frames, _reach(sound, z))
        found[name] = made
        print(f"  {name:30} " + ", ".join(f"{part} {by_sum} ({seen})" for part, (by_sum, seen) in made.items()))
    return found


def _reach(compute: Callable[[torch.Tensor], torch.Tensor], source: torch.Tensor) -> int:
    """Frames to each side that a change of the frame in the middle is seen in."""
    frames, place = source.shape[2], source.shape[2] // 2
    changed = source.clone()
    changed[..., place] += 5.0 * torch.randn(source.shape[:2], dtype=source.dtype)
    with torch.inference_mode():
        different = compute(source) != compute(changed)
        seen = different.unflatten(-1, (frames, -1)).flatten(0, -3).any(dim=0).any(dim=-1).nonzero()[:, 0]
    return max(place - int(seen.min()), int(seen.max()) - place)


if __name__ == "__main__":
    main()
