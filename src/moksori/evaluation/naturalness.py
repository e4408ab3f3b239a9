"""Does it sound like speech? DNSMOS (Reddy et al. 2021, arXiv:2110.01763; P.835: 2022), a learned mean opinion score.

The networks come with the package speechmos. `Dnsmos` gives the numbers of `speechmos.dnsmos.run`, and differs in what
does not reach them: the sessions are loaded once, the number of threads is chosen, and the segments of a clip go
through the network together. The score depends on the level, so every recording is brought to -23 LUFS first.
"""

from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from moksori.audio.loudness import normalize_loudness
from moksori.audio.resample import resample
from moksori.errors import MissingExtra
from moksori.types import Waveform

SAMPLE_RATE = 16000
LEVEL_LUFS = -23.0
SEGMENT_SECONDS = 9.01
# speechmos: raw network output -> opinion score, fitted by the authors for overall, speech and background.
_OVERALL = np.poly1d([-0.06766283, 1.11546468, 0.04602535])
_SIGNAL = np.poly1d([-0.08397278, 1.22083953, 0.0052439])
_BACKGROUND = np.poly1d([-0.13166888, 1.60915514, -0.39604546])


@dataclass(frozen=True)
class Opinion:
    """Mean opinion scores from 1 to 5: overall, speech signal, background (P.835), and overall after P.808."""

    ovrl: float
    sig: float
    bak: float
    p808: float


class Dnsmos:
    """The two networks, loaded once; `threads` CPU threads. Raises MissingExtra without speechmos or onnxruntime."""

    def __init__(self, threads: int = 1) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise MissingExtra("onnxruntime", "evaluate", "DNSMOS") from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = threads
        # Idle threads of the pool would otherwise spin, and take a core from whatever runs beside.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        folder = _model_folder()

        def session(name: str) -> Any:
            return onnxruntime.InferenceSession(str(folder / name), options, providers=["CPUExecutionProvider"])

        self.threads = threads
        self.identity = f"DNSMOS speechmos {metadata.version('speechmos')} {LEVEL_LUFS:g}"
        self._p835, self._p808 = session("sig_bak_ovr.onnx"), session("model_v8.onnx")

    def __call__(self, waveform: Waveform, level_lufs: float | None = LEVEL_LUFS) -> Opinion:
        """The opinion of one recording, at that loudness; None leaves the level as it is.

        Recordings under 9.01 s are repeated to that length; of longer ones every segment that starts at a whole second
        counts alike.
        """
        waveform = resample(waveform, SAMPLE_RATE)
        if level_lufs is not None:
            waveform = normalize_loudness(waveform, level_lufs)
        segments = _segments(np.clip(waveform.samples, -1.0, 1.0).astype(np.float32))
        # One by one: a batch of segments takes longer than they do (cache), and gives the same.
        raw = np.concatenate([self._p835.run(None, {"input_1": segment[None]})[0] for segment in segments])
        mels = np.stack([_p808_features(segment) for segment in segments])
        p808 = self._p808.run(None, {"input_1": mels})[0][:, 0]
        sig, bak, ovrl = raw.astype(np.float64).T
        return Opinion(
            float(_OVERALL(ovrl).mean()), float(_SIGNAL(sig).mean()), float(_BACKGROUND(bak).mean()), float(p808.mean())
        )


def _segments(samples: Float[np.ndarray, " samples"]) -> list[Float[np.ndarray, " segment"]]:
    length = int(SEGMENT_SECONDS * SAMPLE_RATE)
    if len(samples) == 0:
        samples = np.zeros(1, np.float32)
    while len(samples) < length:  # doubled, as speechmos does, and not cut to size
        samples = np.concatenate([samples, samples])
    hops = int(len(samples) // SAMPLE_RATE - SEGMENT_SECONDS) + 1
    cut = [samples[k * SAMPLE_RATE : int((k + SEGMENT_SECONDS) * SAMPLE_RATE)] for k in range(hops)]
    return [segment for segment in cut if len(segment) >= length]


def _p808_features(segment: Float[np.ndarray, " segment"]) -> Float[np.ndarray, "frames mels"]:
    """120 mel bands of 20 ms windows in dB under the maximum, scaled to about [-1, 1]; the last 10 ms are left out."""
    import librosa

    power = librosa.feature.melspectrogram(y=segment[:-160], sr=SAMPLE_RATE, n_fft=321, hop_length=160, n_mels=120)
    decibels = librosa.power_to_db(power, ref=np.max)
    return ((decibels + 40) / 40).T.astype(np.float32)


def _model_folder() -> Path:
    found = find_spec("speechmos")
    if found is None or found.origin is None or find_spec("librosa") is None:
        missing = "librosa" if find_spec("librosa") is None else "speechmos"
        raise MissingExtra(missing, "evaluate", "DNSMOS")
    return Path(found.origin).parent / "dnsmos_models"
