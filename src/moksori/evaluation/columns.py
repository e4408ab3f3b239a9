"""What a measure is called, how it is shown, and which way is better."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from moksori.evaluation.statistics import Estimate


@dataclass(frozen=True)
class Column:
    """How a measure is shown. scale: what the value is multiplied by; better: "lower", "higher" or "" (neither)."""

    title: str
    scale: float
    digits: int
    better: str


COLUMNS: Mapping[str, Column] = {
    "wer": Column("WER %", 100, 2, "lower"),
    "cer": Column("CER %", 100, 2, "lower"),
    "clean": Column("all said once %", 100, 1, "higher"),
    "skips": Column("with skips %", 100, 1, "lower"),
    "repeats": Column("with repeats %", 100, 1, "lower"),
    "cut_off": Column("cut off %", 100, 1, "lower"),
    "truncated": Column("never stopped %", 100, 1, "lower"),
    "coverage": Column("phonemes attended %", 100, 1, "higher"),
    "ovrl": Column("OVRL", 1, 2, "higher"),
    "sig": Column("SIG", 1, 2, "higher"),
    "bak": Column("BAK", 1, 2, "higher"),
    "p808": Column("P808", 1, 2, "higher"),
    "mcd": Column("MCD dB", 1, 2, "lower"),
    "log_f0_rmse": Column("ln F0 RMSE", 1, 3, "lower"),
    "log_f0_correlation": Column("F0 corr.", 1, 2, "higher"),
    "voicing_error": Column("voicing err. %", 100, 1, "lower"),
    "f0_ratio": Column("F0 ratio", 1, 3, ""),
    "f0_deviation": Column("F0 dev. st", 1, 2, ""),
    "duration_ratio": Column("duration ratio", 1, 3, ""),
    "duration_mae": Column("duration err. ms", 1, 1, "lower"),
    "duration_rmse": Column("duration RMSE ms", 1, 1, "lower"),
    "pause_mae": Column("pause err. ms", 1, 1, "lower"),
    "speaker": Column("speaker cos.", 1, 3, "higher"),
    "speaker_centroid": Column("cos. with the voice", 1, 3, "higher"),
    "speaker_identified": Column("identified %", 100, 1, "higher"),
    "speaker_eer": Column("verification EER %", 100, 1, "lower"),
    "likelihood_ratio": Column("likelihood ratio", 1, 2, ""),
    "text_margin": Column("text margin", 1, 2, "higher"),
    "speaker_prompt": Column("cos. with the prompt", 1, 3, "higher"),
    "speaker_source": Column("cos. with the source", 1, 3, "lower"),
    "nearer": Column("nearer to the target %", 100, 1, "higher"),
    "speaker_copied": Column("cos. with the copied prompt", 1, 3, "higher"),
    "speaker_accepted": Column("accepted as the target %", 100, 1, "higher"),
    "f0_error": Column("F0 off, st", 1, 2, "lower"),
    "melody": Column("melody corr.", 1, 2, "higher"),
    "prosody_pitch_mean": Column("pitch mean off, Hz", 1, 1, "lower"),
    "prosody_pitch_deviation": Column("pitch dev. off, Hz", 1, 1, "lower"),
    "prosody_pitch_skewness": Column("pitch skew off", 1, 2, "lower"),
    "prosody_pitch_kurtosis": Column("pitch kurt. off", 1, 2, "lower"),
    "prosody_duration_mean": Column("length mean off, frames", 1, 2, "lower"),
    "prosody_duration_deviation": Column("length dev. off, frames", 1, 2, "lower"),
    "prosody_duration_skewness": Column("length skew off", 1, 2, "lower"),
    "prosody_duration_kurtosis": Column("length kurt. off", 1, 2, "lower"),
    "prosody_duration_mean_ms": Column("length mean off, ms", 1, 1, "lower"),
    "prosody_duration_deviation_ms": Column("length dev. off, ms", 1, 1, "lower"),
    "phoneme_pitch_correlation": Column("phoneme pitch corr.", 1, 2, "higher"),
    "phoneme_pitch_rmse": Column("phoneme pitch RMSE Hz", 1, 1, "lower"),
    "phoneme_duration_correlation": Column("phoneme length corr.", 1, 2, "higher"),
    "phoneme_duration_rmse": Column("phoneme length RMSE, frames", 1, 2, "lower"),
    "pesq": Column("PESQ", 1, 2, "higher"),
    "stoi": Column("STOI", 1, 3, "higher"),
    "mel_distance": Column("mel distance", 1, 3, "lower"),
    "raw_pitch_accuracy": Column("pitch within 50 cents %", 100, 1, "higher"),
    "score_pitch": Column("of the score within 50 cents %", 100, 1, "higher"),
    "raw_chroma_accuracy": Column("the same, any octave %", 100, 1, "higher"),
    "octave_errors": Column("octave errors %", 100, 1, "lower"),
    "pitch_correlation": Column("ln F0 corr.", 1, 3, "higher"),
    "voicing_recall": Column("voiced found %", 100, 1, "higher"),
    "voicing_false_alarm": Column("voiced in vain %", 100, 1, "lower"),
    "singer_identified": Column("taken for the target %", 100, 1, "higher"),
    "singer_source": Column("taken for the source %", 100, 1, "lower"),
    "code_probe": Column("singer read off codes %", 100, 1, "lower"),
    "bits_per_second": Column("kbit/s", 1e-3, 2, "lower"),
    "transposition": Column("transposed, st", 1, 1, ""),
    "rtf": Column("RTF", 1, 4, "lower"),
    "first_audio": Column("first sound ms", 1, 0, "lower"),
}


VERSA = {"ovrl": "dns_overall", "p808": "dns_p808", "speaker": "spk_similarity"}
"""Measures that the toolkit VERSA has under another name, by which the JSON calls them. `mcd`, `wer` and `cer` are
the same word there; its `f0rmse` and `f0corr` are of Hz, ours of the logarithm, and so keep their own names."""


def number(key: str, value: float) -> str:
    """A value in the column's scale and digits."""
    return f"{value * COLUMNS[key].scale:.{COLUMNS[key].digits}f}"


def value_cell(key: str, estimate: Estimate | None) -> str:
    """The value alone; "-" where there is none."""
    return "-" if estimate is None or not math.isfinite(estimate.value) else number(key, estimate.value)


def cell(key: str, estimate: Estimate | None) -> str:
    """The value ± half of its interval; "-" where there is none."""
    if estimate is None or not math.isfinite(estimate.value):
        return "-"
    return f"{number(key, estimate.value)} ±{number(key, (estimate.high - estimate.low) / 2)}"
