"""Our DNSMOS against `speechmos.dnsmos.run` of the installed package (written with 0.0.1.1): the same to 1e-5."""

import numpy as np
import pytest

from moksori.evaluation.naturalness import Dnsmos
from moksori.types import Waveform

speechmos = pytest.importorskip("speechmos.dnsmos", reason="needs speechmos (extra evaluate)")


def murmur(seconds: float) -> Waveform:
    """Harmonics that come and go, with some noise."""
    time = np.arange(round(seconds * 16000)) / 16000
    voice = sum(np.sin(2 * np.pi * 130 * k * time + 3 * np.sin(5 * time)) / k for k in range(1, 12))
    noise = 0.02 * np.random.default_rng(0).standard_normal(len(time))
    return Waveform((0.1 * voice * np.abs(np.sin(4 * time)) + noise).astype(np.float32), 16000)


# Repeated to 9.01 s or more; and long enough for two segments, the last of them cut short.
@pytest.mark.parametrize("seconds", [4.4, 10.5])
def test_scores_are_the_packages_own(seconds):
    sound = murmur(seconds)
    ours, theirs = Dnsmos()(sound, level_lufs=None), speechmos.run(sound.samples, 16000)
    for name in ("ovrl", "sig", "bak", "p808"):
        assert getattr(ours, name) == pytest.approx(float(theirs[f"{name}_mos"]), abs=1e-5)
