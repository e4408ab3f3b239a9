"""The ablations of speech in the voice of a prompt as tables, as a page and as a picture; see `ablation_report`."""

from collections.abc import Mapping
from pathlib import Path

from moksori.audio.io import write_whole
from moksori.corpus.manifest import write_text
from moksori.evaluation.bars import LIKENESS
from moksori.evaluation.names import HUMAN
from moksori.pipeline.ablation_report import Column, drawn, page, trained_and_measured
from moksori.pipeline.prompt_study import PromptStudy

PAGE_NAME, PICTURE_NAME = "prompts.md", "prompts.png"

COLUMNS: Mapping[str, Column] = {
    "speaker": Column("cosine with the prompt", 1, 3, 1),
    "speaker_eer": Column("verification EER %", 100, 1, -1),
    "wer": Column("word errors %", 100, 1, -1),
    "prosody_pitch_mean": Column("pitch mean off, Hz", 1, 1, -1),
    "prosody_pitch_deviation": Column("pitch dev. off, Hz", 1, 1, -1),
    "prosody_pitch_skewness": Column("pitch skew off", 1, 2, -1),
    "prosody_pitch_kurtosis": Column("pitch kurt. off", 1, 2, -1),
    "prosody_duration_mean": Column("length mean off, frames", 1, 2, -1),
    "prosody_duration_deviation": Column("length dev. off, frames", 1, 2, -1),
    "prosody_duration_skewness": Column("length skew off", 1, 2, -1),
    "prosody_duration_kurtosis": Column("length kurt. off", 1, 2, -1),
    "phoneme_pitch_correlation": Column("phoneme pitch corr.", 1, 2, 1),
    "phoneme_duration_correlation": Column("phoneme length corr.", 1, 2, 1),
    "data": Column("data loss", 1, 4, -1),
    "codes_1": Column("first code right %", 100, 1, 1),
    "prompt_gain": Column("told by the prompt %", 100, 2, 1),
    "condition_gain": Column("told by the text %", 100, 1, 1),
}
_PANELS = ("speaker", "wer", "prosody_pitch_mean", "prosody_duration_mean", "data", "codes_1")


def save_report(study: PromptStudy) -> tuple[Path, Path]:
    """Writes the page and the picture beside `prompts.json`, and returns their paths."""
    written, picture = study.folder / PAGE_NAME, study.folder / PICTURE_NAME
    write_text(written, "\n".join([*markdown(study), ""]))
    write_whole(picture, drawn(study, COLUMNS, _PANELS, _levels(study)))
    return written, picture


def markdown(study: PromptStudy) -> list[str]:
    """The page's lines."""
    introduction = (
        "The same model, with one thing taken away: the ablations of NaturalSpeech 2 (Shen et al. 2023). Voice, words "
        "and manner are those of people that no training heard, as `moksori evaluate --task like` hears them: manner "
        "is the difference between the prompt's and the output's moments of phoneme pitch and length. Losses and codes "
        "are those of the validation at which the weights were taken, of recordings whose pitch and lengths are known; "
        "what the prompt and the text tell is by how much the data loss rises without them at late times."
    )
    told = trained_and_measured(study.settings)
    return page(study, COLUMNS, "What each part of the prompt does", introduction, told, PICTURE_NAME)


def _levels(study: PromptStudy) -> dict[str, float]:
    """What a model has to reach, and the recordings' own."""
    human = study.references.get(HUMAN, {})
    beside = {
        name: human[name].value for name in ("wer", "prosody_pitch_mean", "prosody_duration_mean") if name in human
    }
    return {"speaker": LIKENESS, **beside}
