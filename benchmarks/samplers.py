"""How many evaluations of the network does each sampler need, and what is lost with fewer?

    python benchmarks/samplers.py [--points 20000]
    python benchmarks/samplers.py --model naturalspeech2 --corpus DIR [--sentences 20] [--guidance 1.5]

Without a model: the distance from the exact end of the diffusion's ODE, on a mixture of two Gaussians (peaks at +-1,
standard deviation 0.3) whose denoiser is known in closed form, with that denoiser and with one that errs by 0.05 times
a sine. For the sampler of the SDE, whose end is not one point, the mean distance between the quantiles of what comes
out and those of the mixture.
With a model: test sentences of a corpus, each in the voice of another clip of its speaker, with the same noise and seed
for all samplers. Word errors, cosine of the speaker embeddings with the prompt, DNSMOS, core seconds per second of
sound, and how far the latents are from those of 64 steps of `karras`, in standard deviations of these. The last
lines compare `--fast` with 150 steps of Euler's method, the paper's own way.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from common import finish, parser, start
from torch import Tensor

from moksori.nn.diffusion import VariancePreserving
from moksori.nn.diffusion_samplers import SAMPLERS

PEAK, SPREAD = 1.0, 0.3
PROCESS = VariancePreserving()
NORMAL = torch.distributions.Normal(0.0, 1.0)
EXACT_STEPS = {
    "euler": (2, 4, 8, 16, 32, 150), "sde": (16, 32, 150, 500), "ddim": (2, 4, 8, 16, 32),
    "heun": (1, 2, 4, 8, 16), "karras": (2, 3, 5, 8, 16), "dpmpp2m": (2, 4, 8, 16, 32),
}  # fmt: skip
MODEL_STEPS = {
    "euler": (4, 8, 16, 32, 150), "sde": (150,), "ddim": (4, 8, 16), "heun": (4, 8), "karras": (1, 2, 3, 5, 8),
    "dpmpp2m": (2, 4, 8, 16),
}  # fmt: skip
NETWORK_ERROR = 0.05
REFERENCE = ("karras", 64)
LONGEST_TEXT = 80
"""Characters: some 5 s, so that 150 evaluations for each of many sentences take minutes."""


def mixture(z: Tensor, t: float) -> Tensor:
    """E[z_0 | z_t]."""
    alpha, sigma = PROCESS.alpha(t), PROCESS.sigma(t)
    variance = alpha**2 * SPREAD**2 + sigma**2
    gain = alpha * SPREAD**2 / variance
    share = torch.sigmoid(2.0 * alpha * PEAK * z / variance)
    return share * (PEAK + gain * (z - alpha * PEAK)) + (1.0 - share) * (-PEAK + gain * (z + alpha * PEAK))


def exact_end(points: Tensor) -> Tensor:
    """In one dimension the ODE keeps quantiles."""
    alpha, sigma = PROCESS.alpha(1.0), PROCESS.sigma(1.0)
    spread = math.sqrt(alpha**2 * SPREAD**2 + sigma**2)
    level = 0.5 * (NORMAL.cdf((points - alpha * PEAK) / spread) + NORMAL.cdf((points + alpha * PEAK) / spread))
    grid = torch.linspace(-3.0, 3.0, 200001, dtype=torch.float64)
    levels = 0.5 * (NORMAL.cdf((grid - PEAK) / SPREAD) + NORMAL.cdf((grid + PEAK) / SPREAD))
    return torch.from_numpy(np.interp(level.numpy(), levels.numpy(), grid.numpy()))


def rms(difference: Tensor) -> float:
    return float(difference.square().mean().sqrt())


def exact_figures(count: int) -> list[dict[str, Any]]:
    points = NORMAL.icdf((torch.arange(count, dtype=torch.float64) + 0.5) / count).reshape(1, 1, -1)
    end = exact_end(points)
    figures = []
    print(f"mixture of two peaks: distance from the exact end, exact denoiser and one that errs by {NETWORK_ERROR}")
    for name, all_steps in EXACT_STEPS.items():
        for steps in all_steps:
            calls = 0

            def denoise(z: Tensor, t: float) -> Tensor:
                nonlocal calls
                calls += 1
                return mixture(z, t)

            def wrong(z: Tensor, t: float) -> Tensor:
                return mixture(z, t) + NETWORK_ERROR * torch.sin(37.0 * z + 11.0 * t)

            generator = torch.Generator().manual_seed(0)

            def noise(like: Tensor, generator: torch.Generator = generator) -> Tensor:
                return torch.randn(like.shape, generator=generator, dtype=like.dtype)

            found = SAMPLERS[name](denoise, points, PROCESS, steps, noise=noise)
            if name == "sde":
                error = float((found.flatten().sort().values - end.flatten().sort().values).abs().mean())
            else:
                error = rms(found - end)
            row = {"sampler": name, "steps": steps, "evaluations": calls, "error": round(error, 5)}
            if name != "sde":
                row["with_network_error"] = round(rms(SAMPLERS[name](wrong, points, PROCESS, steps) - end), 5)
            figures.append(row)
            print(
                f"  {name:8} {steps:4} steps {row['evaluations']:4} evaluations   {error:.4f}   "
                f"{row.get('with_network_error', math.nan):.4f}"
            )
    return figures


@dataclass(frozen=True)
class Asked:
    """A sentence of the test split, and the prompt: another clip of its speaker."""

    text: str
    prompt: Any
    encoded: Any
    latents: Any


@contextmanager
def sampling(model: Any, **changes: Any) -> Iterator[None]:
    """The model with other settings of its sampler."""
    before = model.config
    model.config = before.model_copy(update={"sampling": before.sampling.model_copy(update=changes)})
    try:
        yield
    finally:
        model.config = before


def asked(speaker: Any, corpus: str, count: int, split: str) -> list[Asked]:
    """English sentences, as the recogniser knows no others, spread over the speakers of a split, with prompts of 3 to 5
    s where there are such."""
    from moksori.corpus.manifest import Corpus, read_utterance
    from moksori.pipeline.prompt_choice import PromptChoice
    from moksori.pipeline.prompts import read_prompt
    from moksori.pipeline.say import SayOptions
    from moksori.pipeline.sentences import Sentence

    by_speaker: dict[str, list[Any]] = {}
    for utterance in Corpus.open(corpus).split(split):
        if (utterance.language or "en").startswith("en") and len(utterance.text) <= LONGEST_TEXT:
            by_speaker.setdefault(utterance.speaker, []).append(utterance)
    codec = speaker.model.codec
    found: list[Asked] = []
    for turn in range(max(map(len, by_speaker.values()))):
        for own in by_speaker.values():
            if turn >= len(own) or len(own) < 2 or len(found) == count:
                continue
            others = [u for u in own if u is not own[turn]]
            clip = min(others, key=lambda u: abs(u.duration_seconds - 4.0))
            sound = read_utterance(clip, speaker.sample_rate)
            prompt = read_prompt([sound], codec).prompt
            options = SayOptions(prompt=PromptChoice(prompt))
            if len(list(speaker.lines([Sentence(own[turn].text)], options, 0))) == 1:  # a longer one is said in parts
                found.append(Asked(own[turn].text, sound, prompt, prompt.latents(codec.model, codec.device)))
    return found


def model_figures(name: str, corpus: str, count: int, split: str, guidance: float | None) -> list[dict[str, Any]]:
    from moksori.evaluation.intelligibility import Recogniser
    from moksori.evaluation.naturalness import Dnsmos
    from moksori.evaluation.speaker import SpeakerEncoder
    from moksori.pipeline.prompt_choice import PromptChoice
    from moksori.pipeline.say import SayOptions, load
    from moksori.pipeline.sentences import Sentence
    from moksori.types import Waveform

    speaker: Any = load(name)
    model, codec = speaker.loaded.model, speaker.model.codec.model
    sentences = asked(speaker, corpus, count, split)
    recogniser, encoder, opinion = Recogniser([a.text for a in sentences]), SpeakerEncoder(), Dnsmos()
    heard_prompts = [encoder.embed(a.prompt) for a in sentences]
    if guidance is not None:
        model.config = model.config.model_copy(
            update={"sampling": model.config.sampling.model_copy(update={"guidance": guidance})}
        )

    def made() -> tuple[list[Tensor], float, float]:
        latents, seconds, core = [], 0.0, 0.0
        for number, one in enumerate(sentences):
            options = SayOptions(prompt=PromptChoice(one.encoded))
            line = next(iter(speaker.lines([Sentence(one.text)], options, number)))
            begun = time.process_time()
            with torch.inference_mode():
                spoken = speaker.model.latents(line.batch, line.controls, line.generator)
            core += time.process_time() - begun
            frames = int(spoken.frame_lengths[0])
            latents.append(spoken.latent[:, :, :frames])
            seconds += frames * model.hop_length / model.sample_rate
        return latents, core, seconds

    def figures(latents: Sequence[Tensor], reference: Sequence[Tensor]) -> dict[str, float]:
        errors = words = 0
        likeness, quality = [], []
        for one, heard, latent in zip(sentences, heard_prompts, latents, strict=True):
            with torch.inference_mode():
                sound = Waveform(codec.expand(latent)[0].numpy(), speaker.sample_rate)
            if recogniser.covers(one.text):
                found = recogniser.errors(one.text, sound)
                errors, words = errors + found.word_errors, words + found.words
            likeness.append(float(encoder.embed(sound) @ heard))
            quality.append(opinion(sound).ovrl)
        away = torch.cat([(a - b).flatten() for a, b in zip(latents, reference, strict=True)])
        spread = torch.cat([b.flatten() for b in reference]).std()
        return {
            "word_errors_percent": 100.0 * errors / max(words, 1),
            "cosine": float(np.mean(likeness)),
            "dnsmos": float(np.mean(quality)),
            "distance": float(away.square().mean().sqrt() / spread),
        }

    with sampling(model, sampler=REFERENCE[0], steps=REFERENCE[1]):
        reference, _, _ = made()
    rows = []
    for sampler, all_steps in MODEL_STEPS.items():
        for steps in all_steps:
            with sampling(model, sampler=sampler, steps=steps):
                latents, core, seconds = made()
            row = {"sampler": sampler, "steps": steps, "core_seconds_a_second": core / seconds}
            if not all(bool(latent.isfinite().all()) and float(latent.abs().max()) < 1e3 for latent in latents):
                rows.append({**row, "failed": "latents out of all range"})
                print(f"  {sampler:8} {steps:4} steps   latents out of all range")
                continue
            row.update(figures(latents, reference))
            rows.append({key: round(value, 5) if isinstance(value, float) else value for key, value in row.items()})
            print(
                f"  {sampler:8} {steps:4} steps   WER {row['word_errors_percent']:5.1f} %   cosine {row['cosine']:.3f} "
                f"  DNSMOS {row['dnsmos']:.2f}   distance {row['distance']:.3f}   "
                f"{row['core_seconds_a_second']:.3f} core seconds a second"
            )
    return rows


def main() -> None:
    options = parser(__doc__ or "")
    options.add_argument("--points", type=int, default=20000, help="of the exact mixture (default 20000)")
    options.add_argument("--model", help="a naturalspeech2 model's name or folder")
    options.add_argument("--corpus", help="a corpus with several clips a speaker")
    options.add_argument("--split", default="test", help="of the corpus (default test)")
    options.add_argument("--sentences", type=int, default=20, help="that each sampler says (default 20)")
    options.add_argument("--guidance", type=float, help="of both passes (default: the model's)")
    options.add_argument("--fast", default="karras:5", help="what is compared with euler:150 (default karras:5)")
    chosen = options.parse_args()
    environment = start(chosen)
    figures: dict[str, Any] = {"exact": exact_figures(chosen.points)}
    if chosen.model:
        if not chosen.corpus:
            options.error("--model needs --corpus")
        print(f"{chosen.model}, {chosen.sentences} sentences of {chosen.corpus}")
        rows = model_figures(chosen.model, chosen.corpus, chosen.sentences, chosen.split, chosen.guidance)
        figures["model"] = {"name": chosen.model, "rows": rows}
        sampler, steps = chosen.fast.split(":")
        by_way: Callable[[str, int], dict[str, Any]] = lambda s, n: next(  # noqa: E731
            row for row in rows if (row["sampler"], row["steps"]) == (s, n)
        )
        fast, plain = by_way(sampler, int(steps)), by_way("euler", 150)
        ratio = plain["core_seconds_a_second"] / fast["core_seconds_a_second"]
        figures["model"]["times_faster_than_150_euler_steps"] = round(ratio, 2)
        print(f"  {chosen.fast} is {ratio:.1f} x faster than euler:150")
    finish("samplers", chosen, environment, figures)


if __name__ == "__main__":
    main()
