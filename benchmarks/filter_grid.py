"""What does the synthesis of the homomorphic decoder cost the sound, before any network: hop, window, detail, tracker?

Recordings are analysed by WORLD (CheapTrick envelope, D4C aperiodicity) and made again from pulses and noise through
minimum-phase filters in the STFT domain, as the decoder does, with the true envelope in place of a network's. DNSMOS
judges the recordings, WORLD's own resynthesis, and each grid. Needs pyworld, speechmos and onnxruntime.
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from common import finish, parser, start

from moksori.audio.f0 import Method, extract_f0
from moksori.corpus.manifest import Corpus, read_utterance
from moksori.evaluation.mcd import require_pyworld
from moksori.evaluation.naturalness import Dnsmos
from moksori.models.decoders.pitch import pitch_from_f0
from moksori.nn.istft import InverseStft
from moksori.nn.source_filter import Excitation
from moksori.types import Waveform

RATE, ENVELOPE_FFT = 22050, 1024


@dataclass(frozen=True)
class Grid:
    """hop and n_fft in samples; quefrencies kept of pulse and noise filters (None: all); f0 by which tracker."""

    hop: int
    n_fft: int
    quefrencies: tuple[int, int] | None = None
    tracker: Method = "harvest"


GRIDS = {
    "hop 256, window 1024": Grid(256, 1024),
    "hop 128, window 512": Grid(128, 512),
    "hop 64, window 256": Grid(64, 256),
    "hop 128, window 512, 128 and 64 quefrencies": Grid(128, 512, (128, 64)),
    "hop 128, window 512, 40 and 20 quefrencies": Grid(128, 512, (40, 20)),
    "hop 128, window 512, F0 and voicing by dio": Grid(128, 512, None, "dio"),
}


def main() -> None:
    options = parser(__doc__ or "")
    options.add_argument("--corpus", type=Path, required=True, help="folder made by 'moksori corpus import'")
    options.add_argument("--limit", type=int, default=12, help="validation sentences (default %(default)s)")
    chosen = options.parse_args()
    environment = start(chosen)
    utterances = list(Corpus.open(chosen.corpus).split("valid"))[: chosen.limit]
    if not utterances:
        sys.exit(f"{chosen.corpus}: no validation sentences")
    clips = [read_utterance(utterance, RATE).samples.astype(np.float64) for utterance in utterances]
    judge = Dnsmos(chosen.threads)
    systems: dict[str, Callable[[np.ndarray], np.ndarray]] = {"recordings": lambda clip: clip, "WORLD": _world}
    systems |= {name: _through(grid) for name, grid in GRIDS.items()}
    figures = {"sentences": len(clips), "opinions": {}}
    for name, system in systems.items():
        figures["opinions"][name] = _opinion(judge, [system(clip) for clip in clips])
        row = "  ".join(f"{key} {value:.2f}" for key, value in figures["opinions"][name].items())
        print(f"  {name:45} {row}", flush=True)
    finish("filter_grid", chosen, environment, figures)


def _opinion(judge: Dnsmos, sounds: Sequence[np.ndarray]) -> dict[str, float]:
    found = [judge(Waveform(np.clip(sound, -1.0, 1.0).astype(np.float32), RATE)) for sound in sounds]
    return {key: round(float(np.mean([getattr(o, key) for o in found])), 3) for key in ("ovrl", "sig", "bak", "p808")}


def _world(clip: np.ndarray) -> np.ndarray:
    """Analysis and synthesis by WORLD itself, every 5 ms."""
    pyworld = require_pyworld()
    f0, times = pyworld.harvest(clip, RATE, 60.0, 500.0)
    envelope = pyworld.cheaptrick(clip, f0, times, RATE)
    return np.asarray(pyworld.synthesize(f0, envelope, pyworld.d4c(clip, f0, times, RATE), RATE))


def _through(grid: Grid) -> Callable[[np.ndarray], np.ndarray]:
    excitation, istft = Excitation(RATE, grid.n_fft, grid.hop), InverseStft(grid.n_fft, grid.hop)

    def system(clip: np.ndarray) -> np.ndarray:
        pyworld = require_pyworld()
        frames = len(clip) // grid.hop
        f0 = extract_f0(Waveform(clip.astype(np.float32), RATE), grid.hop, method=grid.tracker)
        times = (np.arange(frames) + 0.5) * grid.hop / RATE
        step = ENVELOPE_FFT // grid.n_fft
        power = pyworld.cheaptrick(clip, f0.astype(np.float64), times, RATE, fft_size=ENVELOPE_FFT)[:, ::step]
        aperiodicity = pyworld.d4c(clip, f0.astype(np.float64), times, RATE, fft_size=ENVELOPE_FFT)[:, ::step]
        envelope = 0.5 * torch.from_numpy(np.log(power)).float().T[None]
        noisy = torch.from_numpy(aperiodicity).float().T[None]
        pitch = pitch_from_f0(torch.from_numpy(f0)[None])
        hertz, voiced = pitch.log_f0.exp(), pitch.voicing.unsqueeze(1) > 0.5
        # A pulse of the power of one sample a period: harmonics of the amplitude 2 sqrt(f0 / rate).
        pulse = envelope + 0.5 * torch.log1p(-noisy.clamp(max=0.9999).square())
        pulse = pulse + 0.5 * torch.log(4.0 * hertz / RATE).unsqueeze(1)
        noise = torch.where(voiced, envelope + noisy.clamp(min=1e-4).log(), envelope)
        draw = torch.Generator().manual_seed(0)
        kept = grid.quefrencies or (grid.n_fft // 2, grid.n_fft // 2)
        pulses = excitation.pulses(hertz, pitch.voicing, draw) / excitation.pulse_scale
        whites = excitation.noise(1, frames, torch.device("cpu"), draw) / excitation.noise_scale
        spectrum = pulses * _minimum_phase(pulse, grid.n_fft, kept[0])
        spectrum = spectrum + whites * _minimum_phase(noise, grid.n_fft, kept[1])
        return istft(spectrum)[0].double().numpy()

    return system


def _minimum_phase(log_magnitude: torch.Tensor, n_fft: int, quefrencies: int) -> torch.Tensor:
    cepstrum = torch.fft.irfft(log_magnitude.to(torch.complex64), n=n_fft, dim=1)
    fold = torch.zeros(n_fft)
    fold[0], fold[1:quefrencies] = 1.0, 2.0
    return torch.fft.rfft(cepstrum * fold.unsqueeze(1), dim=1).exp()


if __name__ == "__main__":
    main()
