"""How much worse does it sound than the recording? Wide-band PESQ (ITU-T P.862.2, 2007), by the package pesq.

A listening test's mean opinion from 1.04 to 4.64, predicted from both signals; VERSA's key is `pesq`.
"""

from typing import Any

import numpy as np

from moksori.errors import MissingExtra
from moksori.evaluation.pairs import paired, parts
from moksori.types import Waveform

SAMPLE_RATE = 16000
LONGEST_SECONDS = 20.0
"""P.862 is made for 8 to 30 s, and its program has room for 50 utterances: longer recordings are cut."""


def pesq(reference: Waveform, heard: Waveform) -> float:
    """Wide-band PESQ of `heard` against the recording it copies; at 16 kHz, levels do not matter.

    Recordings over 20 s are cut into equal parts whose mean counts. NaN where no part of the reference holds speech,
    or all are shorter than a quarter of a second.
    Raises MissingExtra without the package pesq, AudioError for two recordings that are not of one sound.
    """
    package = _package()
    first, second = paired(reference, heard, SAMPLE_RATE)
    scores = []
    for part in parts(len(first), int(LONGEST_SECONDS * SAMPLE_RATE)):
        if not first[part].any() or not second[part].any():  # it divides by the maximum, and knows no silent copy
            continue
        try:
            scores.append(float(package.pesq(SAMPLE_RATE, first[part], second[part], "wb")))
        except (package.NoUtterancesError, package.BufferTooShortError):
            continue
    return float(np.mean(scores)) if scores else float("nan")


def _package() -> Any:
    try:
        import pesq
    except ImportError as error:
        raise MissingExtra("pesq", "evaluate-full", "PESQ") from error
    return pesq
