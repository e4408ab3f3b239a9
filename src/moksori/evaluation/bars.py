"""What a model has to reach, task by task."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from moksori.evaluation.names import CHANCE, COPY, GRIFFIN_LIM, HUMAN, OTHER_PEOPLE, UNCHANGED, at_snr
from moksori.evaluation.score import SystemScores
from moksori.evaluation.statistics import Estimate

OPINION_MARGIN = 0.15
VOCODER_OPINION_MARGIN = 0.2
LEAST_PESQ, PESQ_OVER_GRIFFIN_LIM = 2.5, 0.5
NEARER, WORDS_LOST = 0.85, 0.20
NOISE_DB, LIKENESS_LOST = 10.0, 0.05
SPEAKER_CODE_EER, CONTENT_CODE_EER = 0.10, 0.35
CONVERSION_RTF = 0.1
ALL_SAID_ONCE = 0.9
VOCODER_RTF = 0.02
CODEC_STOI, CODEC_RTF = 0.88, 0.05
LIKENESS, PROMPTED_WORDS_TIMES, PROMPTED_WORDS_LOST, PROMPTED_RTF = 0.75, 2.5, 0.05, 0.4
SCORE_PITCH = 0.8
SINGER_IDENTIFIED, TUNE_KEPT, PROBE_TIMES_CHANCE = 0.70, 0.85, 1.5


@dataclass(frozen=True)
class Bar:
    """A measure of the model against what it has to reach. rule: how the limit came about."""

    measure: str
    value: float
    limit: float
    rule: str
    reached: bool


@dataclass(frozen=True)
class TrialScores:
    """Verification of short segments by some vectors of theirs. code: "speaker" or "content" of the model, or a judge.

    kind: "within files" or "across files". targets, impostors: trials of one person and of two of one sex.
    """

    code: str
    kind: str
    error_rate: Estimate
    targets: int
    impostors: int


def task_bars(
    task: str, systems: Sequence[SystemScores], model: str, trials: Sequence[TrialScores] = (), times: float = 1.5
) -> list[Bar]:
    """The bars of a task; those whose measures were not taken are left out."""
    if task == "speak":
        return speech_bars(systems, model, times)
    if task == "convert":
        return conversion_bars(systems, model, trials)
    if task == "hard":
        return hard_bars(systems, model)
    if task == "sing":
        return singing_bars(systems, model)
    if task == "like":
        return prompted_bars(systems, model)
    if task == "codec":
        return codec_bars(systems, model)
    return copy_bars(systems, model) if task == "vocode" else []


def speech_bars(systems: Sequence[SystemScores], model: str, times: float = 1.5) -> list[Bar]:
    """The model against the recordings: word errors under `word_error_limit`, opinions within 0.15 of theirs."""
    human, own = named(systems, HUMAN), named(systems, model)
    if human is None or own is None:
        return []
    found = []
    if "wer" in own.measures and "wer" in human.measures:
        theirs, ours = human.measures["wer"].value, own.measures["wer"].value
        limit = word_error_limit(theirs, times)
        rule = f"at most max({times:g} x the recordings', theirs + 1 point)"
        found.append(Bar("wer", ours, limit, rule, ours <= limit))
    for key in ("ovrl", "p808"):
        if key in own.measures and key in human.measures:
            ours, limit = own.measures[key].value, human.measures[key].value - OPINION_MARGIN
            rule = f"at most {OPINION_MARGIN:g} under the recordings'"
            found.append(Bar(key, ours, limit, rule, ours >= limit))
    return found


def conversion_bars(systems: Sequence[SystemScores], model: str, trials: Sequence[TrialScores] = ()) -> list[Bar]:
    """Nearer to the target in 85 %, at most 20 points more word errors than the source, 10 dB of noise cost at most
    0.05 of likeness, real-time factor 0.1; and what the model's two codes know of the speaker."""
    found = []
    nearer, heard = _value(systems, model, "nearer"), _value(systems, model, "wer")
    if not math.isnan(nearer):
        found.append(Bar("nearer", nearer, NEARER, "at least 85 % of the conversions", nearer >= NEARER))
    source = _value(systems, UNCHANGED, "wer")
    if not math.isnan(heard + source):
        limit = source + WORDS_LOST
        found.append(Bar("wer", heard, limit, "at most 20 points over the source's", heard <= limit))
    likeness, noisy = _value(systems, model, "speaker"), _value(systems, at_snr(model, NOISE_DB), "speaker")
    if not math.isnan(likeness + noisy):
        limit = likeness - LIKENESS_LOST
        rule = f"with {NOISE_DB:g} dB of noise at most {LIKENESS_LOST:g} under that without"
        found.append(Bar("speaker", noisy, limit, rule, noisy >= limit))
    speed = _value(systems, model, "rtf")
    if not math.isnan(speed):
        found.append(Bar("rtf", speed, CONVERSION_RTF, "at most, with the vocoder", speed <= CONVERSION_RTF))
    for row in trials:
        rate = row.error_rate.value
        if row.code == "speaker":
            rule = f"the speaker code's, {row.kind}: at most"
            found.append(Bar("speaker_eer", rate, SPEAKER_CODE_EER, rule, rate <= SPEAKER_CODE_EER))
        elif row.code == "content":
            rule = f"the pooled content code's, {row.kind}: at least"
            found.append(Bar("speaker_eer", rate, CONTENT_CODE_EER, rule, rate >= CONTENT_CODE_EER))
    return found


def hard_bars(systems: Sequence[SystemScores], model: str) -> list[Bar]:
    """Nothing skipped, repeated or cut off in 90 % of the hard list."""
    clean = _value(systems, model, "clean")
    return [] if math.isnan(clean) else [Bar("clean", clean, ALL_SAID_ONCE, "at least", clean >= ALL_SAID_ONCE)]


def singing_bars(systems: Sequence[SystemScores], model: str) -> list[Bar]:
    """Of conversions: taken for the target in 70 %, 85 % of the pitch within 50 cents of the tune in its key, and codes
    off which the singer is read at most 1.5 times as often as by guessing. Models that only copy have no bars."""
    found = []
    identified = _value(systems, model, "singer_identified")
    if not math.isnan(identified):
        rule = "of the conversions at least, by a classifier of recordings and made songs"
        found.append(Bar("singer_identified", identified, SINGER_IDENTIFIED, rule, identified >= SINGER_IDENTIFIED))
        tune = _value(systems, model, "raw_pitch_accuracy")
        if not math.isnan(tune):
            rule = "at least, of the source's tune in its new key"
            found.append(Bar("raw_pitch_accuracy", tune, TUNE_KEPT, rule, tune >= TUNE_KEPT))
    probe, chance = _value(systems, model, "code_probe"), _value(systems, CHANCE, "code_probe")
    if not math.isnan(probe + chance):
        limit = PROBE_TIMES_CHANCE * chance
        rule = f"at most {PROBE_TIMES_CHANCE:g} times guessing"
        found.append(Bar("code_probe", probe, limit, rule, probe <= limit))
    score = _value(systems, model, "score_pitch")
    if not math.isnan(score):
        rule = "of the frames that are voiced in both, at least"
        found.append(Bar("score_pitch", score, SCORE_PITCH, rule, score >= SCORE_PITCH))
    return found


def prompted_bars(systems: Sequence[SystemScores], model: str) -> list[Bar]:
    """Speech in the voice of a prompt: likeness of 0.75, and more than others of the prompt's sex and than the baseline
    have (a system that is neither); word errors of at most max(2.5 times the recordings', theirs + 5 points); real-time
    factor 0.4. Only where others of the same sex stand beside the model: where it is asked to speak, not to convert."""
    likeness, floor = _value(systems, model, "speaker"), _value(systems, OTHER_PEOPLE, "speaker")
    if named(systems, OTHER_PEOPLE) is None:
        return []
    found = []
    if not math.isnan(likeness):
        found.append(Bar("speaker", likeness, LIKENESS, "at least", likeness >= LIKENESS))
    if not math.isnan(likeness + floor):
        found.append(Bar("speaker", likeness, floor, f"more than {OTHER_PEOPLE}", likeness > floor))
    own = (HUMAN, COPY, OTHER_PEOPLE, model)
    for other in systems:
        value = math.nan if other.name in own else _value(systems, other.name, "speaker")
        if not math.isnan(likeness + value):
            found.append(Bar("speaker", likeness, value, f"more than {other.name}", likeness > value))
    ours, theirs = _value(systems, model, "wer"), _value(systems, HUMAN, "wer")
    if not math.isnan(ours + theirs):
        limit = max(PROMPTED_WORDS_TIMES * theirs, theirs + PROMPTED_WORDS_LOST)
        rule = f"at most max({PROMPTED_WORDS_TIMES:g} x the recordings', theirs + 5 points)"
        found.append(Bar("wer", ours, limit, rule, ours <= limit))
    speed = _value(systems, model, "rtf")
    if not math.isnan(speed):
        found.append(Bar("rtf", speed, PROMPTED_RTF, "at most, the prompt already heard", speed <= PROMPTED_RTF))
    return found


def copy_bars(systems: Sequence[SystemScores], model: str) -> list[Bar]:
    """Wide-band PESQ of at least 2.5 and 0.5 above Griffin-Lim's, OVRL within 0.2 of the recordings', real-time factor
    of at most 0.02."""
    found = []
    ours, plain = _value(systems, model, "pesq"), _value(systems, GRIFFIN_LIM, "pesq")
    if not math.isnan(ours):
        found.append(Bar("pesq", ours, LEAST_PESQ, "at least", ours >= LEAST_PESQ))
    if not math.isnan(ours + plain):
        limit = plain + PESQ_OVER_GRIFFIN_LIM
        found.append(Bar("pesq", ours, limit, f"{PESQ_OVER_GRIFFIN_LIM:g} above Griffin-Lim's", ours >= limit))
    opinion, theirs = _value(systems, model, "ovrl"), _value(systems, HUMAN, "ovrl")
    if not math.isnan(opinion + theirs):
        limit = theirs - VOCODER_OPINION_MARGIN
        rule = f"at most {VOCODER_OPINION_MARGIN:g} under the recordings'"
        found.append(Bar("ovrl", opinion, limit, rule, opinion >= limit))
    speed = _value(systems, model, "rtf")
    if not math.isnan(speed):
        found.append(Bar("rtf", speed, VOCODER_RTF, "at most, on one thread", speed <= VOCODER_RTF))
    return found


def codec_bars(systems: Sequence[SystemScores], model: str) -> list[Bar]:
    """With all its stages: STOI of at least 0.88, coding and decoding in at most a twentieth of the sound's time."""
    found = []
    clear, speed = _value(systems, model, "stoi"), _value(systems, model, "rtf")
    if not math.isnan(clear):
        found.append(Bar("stoi", clear, CODEC_STOI, "at least, with all stages", clear >= CODEC_STOI))
    if not math.isnan(speed):
        found.append(Bar("rtf", speed, CODEC_RTF, "at most, coding and decoding", speed <= CODEC_RTF))
    return found


def word_error_limit(theirs: float, times: float) -> float:
    """The house's bar "X times the human recordings'": max(X · theirs, theirs + 0.01), as fractions of the words."""
    return max(times * theirs, theirs + 0.01)


def named(systems: Sequence[SystemScores], name: str) -> SystemScores | None:
    """The system of that name, None if it was not scored."""
    return next((system for system in systems if system.name == name), None)


def _value(systems: Sequence[SystemScores], name: str, measure: str) -> float:
    """NaN where it was not measured."""
    system = named(systems, name)
    return system.measures[measure].value if system is not None and measure in system.measures else math.nan
