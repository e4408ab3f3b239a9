"""How far apart are two spectrograms, frame by frame? The mean absolute log-mel difference, in a front end of ours."""

from functools import lru_cache

import torch

from moksori.audio.mel import MEL_16KHZ, MelConfig, MelSpectrogram
from moksori.evaluation.pairs import paired
from moksori.types import Waveform


@torch.no_grad()
def mel_distance(reference: Waveform, heard: Waveform, front_end: MelConfig = MEL_16KHZ) -> float:
    """Mean over bands and frames of |ln mel - ln mel'|, in nepers (0.1 is 0.87 dB); 0 for equal sounds.

    Both are brought to the front end's rate; frames are compared in their places, without warping in time.
    Raises AudioError for two recordings that are not of one sound, or shorter than a frame.
    """
    first, second = paired(reference, heard, front_end.sample_rate)
    mels = _mel(front_end)
    return float((mels(torch.from_numpy(first)[None]) - mels(torch.from_numpy(second)[None])).abs().mean())


@lru_cache(maxsize=4)
def _mel(front_end: MelConfig) -> MelSpectrogram:
    return MelSpectrogram(front_end)
