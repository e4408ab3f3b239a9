"""How good are copies of recordings that were made from their mels, and what do they cost?

Side by side in one run: a trained vocoder (--model), Griffin-Lim's phases, and HiFi-GAN V1 with random weights, whose
speed alone counts. The recordings are those of a corpus's test split whose speakers are in no training split, cut to
--seconds, and songs of its test split. --blur adds the same from mels that were averaged over 3 bands and 3 frames, as
over-smooth models make them; --mels-of the same from the mels that another model makes of the recordings.

PESQ, STOI and mel distance compare with the recording; DNSMOS (ovrl, p808) has its own opinion, of the recording too.
"""

import argparse
import hashlib
from collections.abc import Callable, Sequence
from functools import partial
from itertools import chain, zip_longest
from typing import Any

import numpy as np
import torch
from common import best_of, finish, parser, start

from moksori.audio.mel import MelSpectrogram
from moksori.corpus.manifest import Corpus, read_utterance
from moksori.evaluation.griffin_lim import ITERATIONS, griffin_lim
from moksori.evaluation.mel_distance import mel_distance
from moksori.evaluation.naturalness import Dnsmos
from moksori.evaluation.pesq import pesq
from moksori.evaluation.statistics import mean_estimate
from moksori.evaluation.stoi import stoi
from moksori.models.checkpoint import fingerprint, load_model
from moksori.models.contract import CHUNK_FRAMES, CanReconstructMels
from moksori.models.vocoder import Vocoder, VocoderConfig
from moksori.models.vocoder.objective import smoothed
from moksori.nn.conv import arranged_for_inference
from moksori.pipeline.models import find_model
from moksori.types import LongRecording, Utterance, Waveform

SONGS = ("nit_f001_004", "crazy_antagata_dokosa")
SPEED_SECONDS, SLOW_SECONDS = 8.0, 3.0
"""Of sound in a call that is timed; HiFi-GAN V1 makes the fewer."""

Copy = Callable[[torch.Tensor], np.ndarray]
"""A log-mel `[1, mels, frames]` to samples."""


def main() -> None:
    chosen = arguments()
    environment = start(chosen)
    folder = find_model(chosen.model)
    loaded = load_model(folder, "vocoder")
    vocoder = loaded.model
    assert isinstance(vocoder, Vocoder)
    arranged_for_inference(vocoder)
    front_end = MelSpectrogram(vocoder.config.mel)
    hop, rate = vocoder.hop_length, vocoder.config.mel.sample_rate

    def trained(mel: torch.Tensor) -> np.ndarray:
        return vocoder.vocode(mel, generator=torch.Generator().manual_seed(0))[0].numpy()

    def classical(mel: torch.Tensor) -> np.ndarray:
        return griffin_lim(mel[0].numpy(), vocoder.config.mel, chosen.iterations)

    systems: dict[str, Copy] = {"vocoder": trained, "griffin-lim": classical}
    figures: dict[str, Any] = {
        "model": {"name": loaded.manifest.name, "steps": loaded.manifest.steps, "fingerprint": fingerprint(folder)},
        "sample_rate": rate,
        "griffin_lim_iterations": chosen.iterations,
        "quality": {},
    }
    corpus, dnsmos = Corpus.open(chosen.corpus), Dnsmos(chosen.threads)
    some = np.concatenate([read_utterance(clip, rate).samples for clip in held_out(corpus, 3)])
    with torch.inference_mode():
        mel = front_end(torch.from_numpy(some[: int(SPEED_SECONDS * rate)])[None])
    figures["speed"] = speeds(vocoder, systems, mel, chosen.rounds)
    for name, clips in (("speech", held_out(corpus, chosen.limit)), ("singing", songs(corpus, chosen.songs))):
        sounds = [(clip.name, beginning(read_utterance(clip, rate), chosen.seconds, hop)) for clip in clips]
        if not sounds:
            continue
        with torch.inference_mode():
            mels = [front_end(torch.from_numpy(sound.samples)[None]) for _, sound in sounds]
        inputs = {"mels of the recordings": mels}
        if chosen.blur:
            inputs["blurred mels"] = list(map(smoothed, mels))
        if chosen.mels_of:
            inputs[f"mels of {chosen.mels_of}"] = made_by(chosen.mels_of, [sound for _, sound in sounds])
        found = figures["quality"][name] = {"clips": [clip for clip, _ in sounds]}
        found["recordings"] = judged("recordings", [(s, s) for _, s in sounds], dnsmos)
        print(f"\n{name}: {len(sounds)} clips, {sum(s.duration_seconds for _, s in sounds):.0f} s")
        show("recordings", found["recordings"])
        for kind, given in inputs.items():
            rows = {}
            for system, copy in systems.items():
                pairs = [(s, Waveform(copy(mel), rate)) for (_, s), mel in zip(sounds, given, strict=True)]
                rows[system] = judged(system, pairs, dnsmos)
                show(f"{system}, {kind}", rows[system])
            found[kind] = rows
    finish("vocoders", chosen, environment, figures)


def arguments() -> argparse.Namespace:
    options = parser(__doc__ or "")
    options.set_defaults(rounds=2)  # each has a warm-up before it
    options.add_argument(
        "--model", default="vocoder", help="a vocoder's name, folder or run (default: the bundled one)"
    )
    options.add_argument("--corpus", required=True, help="a corpus with a test split of speakers that no split trains")
    options.add_argument("--limit", type=int, default=12, help="clips of speech, one a speaker first (default 12)")
    options.add_argument("--seconds", type=float, default=8.0, help="of each clip, from its start (default 8)")
    options.add_argument("--songs", nargs="*", default=list(SONGS), help="names of utterances that are sung")
    options.add_argument("--iterations", type=int, default=ITERATIONS, help="of Griffin-Lim (default %(default)s)")
    options.add_argument("--blur", action="store_true", help="also from over-smooth mels")
    options.add_argument("--mels-of", help="also from mels that this model makes of the recordings")
    return options.parse_args()


def held_out(corpus: Corpus, limit: int) -> list[Utterance]:
    """Test clips of speakers that are in no other split: speakers by hash of their names, in turn."""
    known = {u.speaker for split in corpus.splits if split != "test" for u in corpus.split(split)}
    spoken: dict[str, list[Utterance]] = {}
    for utterance in corpus.split("test"):
        if utterance.speaker not in known and utterance.name not in SONGS:
            spoken.setdefault(utterance.speaker, []).append(utterance)
    order = sorted(spoken, key=lambda speaker: hashlib.sha256(speaker.encode()).hexdigest())
    turns = chain.from_iterable(zip_longest(*(spoken[speaker] for speaker in order)))
    return [utterance for utterance in turns if utterance is not None][:limit]


def songs(corpus: Corpus, names: Sequence[str]) -> list[Utterance]:
    return [utterance for utterance in corpus.split("test") if utterance.name in names]


def beginning(sound: Waveform, seconds: float, hop_length: int) -> Waveform:
    """Whole frames, at most so many seconds."""
    frames = int(min(sound.duration_seconds, seconds) * sound.sample_rate) // hop_length
    return Waveform(sound.samples[: frames * hop_length], sound.sample_rate)


def made_by(name: str, sounds: Sequence[Waveform]) -> list[torch.Tensor]:
    """Log-mels `[1, mels, frames]` that a model makes of recordings, in the voices that they have."""
    model = arranged_for_inference(load_model(find_model(name)).model)
    if not isinstance(model, CanReconstructMels):
        raise SystemExit(f"--mels-of {name}: makes no mels of recordings")
    recordings = [LongRecording(len(s.samples), s.sample_rate, partial(iter, [s.samples])) for s in sounds]
    with torch.inference_mode():
        return [torch.cat(list(model.reconstruct_mels(recording)), dim=2) for recording in recordings]


def judged(system: str, pairs: Sequence[tuple[Waveform, Waveform]], dnsmos: Dnsmos) -> dict[str, dict[str, float]]:
    """Means and 95 % intervals of each measure; a recording is not compared with itself."""
    values: dict[str, list[float]] = {}
    for recording, copy in pairs:
        opinion = dnsmos(copy)
        row = {"dns_overall": opinion.ovrl, "dns_p808": opinion.p808}
        if system != "recordings":
            row |= {"pesq": pesq(recording, copy), "stoi": stoi(recording, copy)}
            row |= {"mel_distance": mel_distance(recording, copy)}
        for key, value in row.items():
            values.setdefault(key, []).append(value)
    estimates = {key: mean_estimate(numbers) for key, numbers in values.items()}
    return {key: {"value": e.value, "low": e.low, "high": e.high, "n": e.n} for key, e in estimates.items()}


def show(name: str, row: dict[str, dict[str, float]]) -> None:
    order = [key for key in ("pesq", "stoi", "mel_distance", "dns_overall", "dns_p808") if key in row]
    cells = [f"{key} {row[key]['value']:.3f} [{row[key]['low']:.2f}, {row[key]['high']:.2f}]" for key in order]
    print(f"  {name:38} {'  '.join(cells)}")


def speeds(vocoder: Vocoder, systems: dict[str, Copy], mel: torch.Tensor, rounds: int) -> dict[str, Any]:
    """Seconds of work per second of sound from one mel, and until the first block of a stream is there.

    HiFi-GAN V1 is given noise of its own front end: the cost of a network does not depend on what it is given.
    """
    torch.manual_seed(0)
    large = Vocoder(VocoderConfig()).eval()
    arranged_for_inference(large)

    def published(mel: torch.Tensor) -> np.ndarray:
        return large.vocode(mel)[0].numpy()

    other = large.config.mel
    noise = torch.randn(1, other.n_mels, int(SLOW_SECONDS * other.sample_rate) // other.hop_length) - 5.0
    every = {name: (copy, vocoder, mel) for name, copy in systems.items()} | {"hifigan v1": (published, large, noise)}
    calls: dict[str, Callable[[], Any]] = {name: partial(copy, given) for name, (copy, _, given) in every.items()}
    calls["first block"] = lambda: next(vocoder.vocode_in_chunks(mel))
    times = best_of(calls, rounds)
    figures: dict[str, Any] = {}
    for name, (_, owner, given) in every.items():
        sound = given.shape[2] * owner.hop_length / owner.config.mel.sample_rate
        row = {"real_time_factor": times[name].wall / sound, "cpu_per_second": times[name].cpu / sound}
        if name != "griffin-lim":
            row["parameters"] = sum(p.numel() for p in owner.parameters())
        figures[name] = row
        print(f"  {name:14} real-time factor {row['real_time_factor']:.4f} wall, {row['cpu_per_second']:.4f} CPU")
    first, mels = times["first block"].wall, vocoder.config.mel
    ahead = vocoder.look_ahead_frames * mels.hop_length / mels.sample_rate
    figures["vocoder"] |= {"first_audio_seconds": first, "look_ahead_seconds": ahead}
    print(
        f"  first {CHUNK_FRAMES[0]} frames of a stream after {1000 * first:.1f} ms; where mels come one by one, "
        f"{ahead:.2f} s after theirs"
    )
    return figures


if __name__ == "__main__":
    main()
