"""Does the speech fit its text? Differences of log-likelihoods per frame, as an aligner gives them; any language.

l(x, t) is the mean log-likelihood of a frame of the recording x along the best path through the states of the text t,
in nats. Two differences mean something: of two recordings of one text, and of two texts for one recording.
"""

import math
from collections.abc import Sequence

import numpy as np

OTHER_TEXTS = 5
"""Other texts that a recording is set against; more change the mean by little."""


def likelihood_ratio(spoken: float, recorded: float) -> float:
    """l(speech, text) - l(human recording, text), in nats a frame: the logarithm of a ratio of likelihoods.

    0: the speech is as likely as the recording; below: less likely. It may be above: speech without a person's changes
    from word to word lies nearer to the means that an aligner has learnt.
    """
    return spoken - recorded


def text_margin(own: float, others: Sequence[float]) -> float:
    """l(speech, its text) - the mean of l(speech, another text), in nats a frame; 0 where it could be any text.

    The room, the level and a smoothed sound move both sides, so that what is left is what was said. Texts that are too
    long for the speech (NaN) are left out; NaN where none is left.
    """
    found = [value for value in others if not math.isnan(value)]
    return own - float(np.mean(found)) if found else math.nan


def other_texts(texts: Sequence[str], text: str, count: int = OTHER_TEXTS) -> list[str]:
    """Those of `texts` nearest to `text` in length, itself left out, so that the length does not tell them apart."""
    others = [other for other in dict.fromkeys(texts) if other != text]
    return sorted(others, key=lambda other: abs(len(other) - len(text)))[:count]


def shuffled_words(text: str, seed: int) -> str:
    """The words of a text in another order; a text of one word comes back as it was."""
    words = text.split()
    if len(set(words)) < 2:
        return text
    generator = np.random.default_rng(seed)
    while (shuffled := [words[k] for k in generator.permutation(len(words))]) == words:
        pass
    return " ".join(shuffled)
