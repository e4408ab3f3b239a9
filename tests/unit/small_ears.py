"""A speaker encoder for tests that takes no package and no time."""

import numpy as np


class Ears:
    """An embedding that tells voices by their long-term spectrum."""

    identity = name = "ears"

    def embed(self, waveform):
        spectrum = np.abs(np.fft.rfft(waveform.samples, 4 * waveform.sample_rate))[200:1600]
        smooth = np.convolve(spectrum, np.ones(9) / 9, "same")
        return (smooth / max(float(np.linalg.norm(smooth)), 1e-8)).astype(np.float32)
