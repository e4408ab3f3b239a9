"""What a mel is worth without a trained vocoder: Griffin and Lim's phases (1984), by the package librosa.

The reference that every vocoder is measured beside: magnitudes of all bins by non-negative least squares, then the fast
variant of the iteration (Perraudin, Balazs, Soendergaard 2013) with momentum 0.99 from random phases.
"""

from typing import Any

import numpy as np
from jaxtyping import Float

from moksori.audio.mel import MelConfig
from moksori.errors import BadInput, MissingExtra

ITERATIONS = 60


def griffin_lim(
    mel: Float[np.ndarray, "mels frames"], front_end: MelConfig, iterations: int = ITERATIONS, seed: int = 0
) -> Float[np.ndarray, " samples"]:
    """The waveform of a log-mel of that front end, frames * hop_length samples; the same for the same seed.

    Raises MissingExtra without the package librosa, BadInput for fewer than two frames.
    """
    librosa, config = _package(), front_end
    if mel.shape[1] < 2:
        raise BadInput(f"a mel of {mel.shape[1]} frames: Griffin-Lim needs two or more")
    magnitude = librosa.feature.inverse.mel_to_stft(
        np.exp(mel),
        sr=config.sample_rate,
        n_fft=config.n_fft,
        power=1.0,
        fmin=config.f_min_hz,
        fmax=config.f_max_hz,
    )
    # Our frame t is centred at (t + 0.5) hops, librosa's frame k at k hops: one more frame at each end, half a hop off.
    magnitude = np.pad(magnitude, ((0, 0), (1, 1)), mode="edge")
    sound = librosa.griffinlim(
        magnitude,
        n_iter=iterations,
        hop_length=config.hop_length,
        win_length=config.window_length,
        n_fft=config.n_fft,
        random_state=seed,
    )
    half = config.hop_length // 2
    return np.asarray(sound[half : half + mel.shape[1] * config.hop_length], dtype=np.float32)


def _package() -> Any:
    try:
        import librosa
    except ImportError as error:
        raise MissingExtra("librosa", "evaluate", "Griffin-Lim") from error
    return librosa
