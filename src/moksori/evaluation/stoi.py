"""Is it as intelligible as the recording? STOI (Taal et al. 2011), by the package pystoi; VERSA's key is `stoi`."""

import warnings
from typing import Any

import numpy as np

from moksori.errors import MissingExtra
from moksori.evaluation.pairs import paired, parts
from moksori.types import Waveform

SAMPLE_RATE = 10000
"""The measure's own; bands reach 4.3 kHz."""
LONGEST_SECONDS = 60.0
"""Longer recordings are cut, which bounds the memory."""


def stoi(reference: Waveform, heard: Waveform) -> float:
    """Short-time objective intelligibility of `heard` against the recording it copies: 1 = equal, noise 0.2 to 0.4.

    The mean correlation of third-octave envelopes over 384 ms, where the reference is not silent. Recordings over 60 s
    are cut into equal parts whose mean counts. NaN where no part holds 0.4 s of speech.
    Raises MissingExtra without the package pystoi, AudioError for two recordings that are not of one sound.
    """
    package = _package()
    first, second = paired(reference, heard, SAMPLE_RATE)
    scores = []
    for part in parts(len(first), int(LONGEST_SECONDS * SAMPLE_RATE)):
        if not first[part].any():
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("error", RuntimeWarning)
            try:
                scores.append(float(package.stoi(first[part], second[part], SAMPLE_RATE)))
            except (RuntimeWarning, ValueError):  # fewer than 30 frames of speech, or than one
                continue
    return float(np.mean(scores)) if scores else float("nan")


def _package() -> Any:
    try:
        import pystoi
    except ImportError as error:
        raise MissingExtra("pystoi", "evaluate", "STOI") from error
    return pystoi
