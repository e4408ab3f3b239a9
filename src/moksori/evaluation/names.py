"""What systems are called in every report; a model is called by its own name."""

HUMAN, COPY = "recordings", "copy-synthesis"
OTHER_TAKES = "other takes"
OTHER_TEXTS, NOISE = "recordings against other texts", "noise"
OWN_OTHER_TEXTS = "the same against other texts"
UNCHANGED = "no conversion"
PITCH_SHIFT = "mean-pitch shift (WORLD)"
KEY_CHANGE = "key change alone (WORLD)"
GRIFFIN_LIM = "Griffin-Lim"
NOISY = "noisy"
PROBED_MELS, CHANCE = "the same probe on mels", "guessing"
OTHER_PEOPLE = "others of the same sex"
CONTROLS = (OTHER_TEXTS, OWN_OTHER_TEXTS, NOISE)
"""What must fail: shown under the tables, not in them."""


def at_snr(model: str, snr_db: float) -> str:
    """The model, given recordings with noise at that signal-to-noise ratio."""
    return f"{model} at {snr_db:g} dB SNR"


def at_stages(model: str, stages: int) -> str:
    """The codec, when it uses its first codebooks alone."""
    return f"{model}, {stages} stage{'' if stages == 1 else 's'}"


def one_after_the_other(voice: str, converter: str) -> str:
    """What the first says, converted by the second."""
    return f"{voice}, then {converter}"
