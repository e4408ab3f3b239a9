"""What a model's codes know of who speaks: verification trials of held-out people, a speaker encoder's beside them."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from moksori.audio.resample import resample
from moksori.corpus.manifest import Corpus, read_utterance
from moksori.corpus.splits import order
from moksori.evaluation.bars import TrialScores
from moksori.evaluation.score import Judges
from moksori.evaluation.speaker_sexes import speaker_sexes
from moksori.evaluation.trials import (
    FILES_A_SPEAKER,
    Segment,
    Trials,
    across_files,
    segments_of,
    trial_error_rate,
    within_files,
)
from moksori.models.checkpoint import Loaded
from moksori.models.contract import CanShowCodes
from moksori.pipeline.evaluate_material import held_out
from moksori.pipeline.progress import Progress
from moksori.types import SoundBatch, Utterance

_BATCH = 16


def held_out_segments(corpus: Corpus, split: str, limit: int | None) -> list[Segment]:
    """Segments of 3 s of people that no training heard, of up to ten files each; limit: of people."""
    spoken: dict[str, list[Utterance]] = {}
    for utterance in held_out(corpus, split):
        if utterance.text:
            spoken.setdefault(utterance.speaker, []).append(utterance)
    chosen = sorted(spoken, key=order)[:limit]
    files = [u for name in chosen for u in sorted(spoken[name], key=lambda u: order(u.name))[:FILES_A_SPEAKER]]
    return segments_of((u.speaker, speaker_sexes().get(u.speaker, ""), u.name, read_utterance(u)) for u in files)


def verification(
    loaded: Loaded, judges: Judges, segments: Sequence[Segment], seed: int, progress: Progress
) -> tuple[TrialScores, ...]:
    """Equal error rates of each code of the model and of the speaker encoder, on the same trials.

    progress: is told segments. Kinds without trials (across files where everybody has one) are left out.
    """
    vectors = dict(_codes(loaded, segments)) if isinstance(loaded.model, CanShowCodes) else {}
    heard = []
    for segment in segments:
        heard.append(judges.embed(segment.waveform))
        progress(len(heard), len(segments))
    if heard:
        vectors[judges.encoder.name] = np.stack(heard)
    kinds: Mapping[str, Trials] = {"within files": within_files(segments), "across files": across_files(segments)}
    return tuple(
        TrialScores(code, kind, trial_error_rate(embeddings, trials, seed), trials.targets, trials.impostors)
        for code, embeddings in vectors.items()
        for kind, trials in kinds.items()
        if trials.targets and trials.impostors
    )


def _codes(loaded: Loaded, segments: Sequence[Segment]) -> Mapping[str, np.ndarray]:
    """[segments, channels] of each code."""
    model = loaded.model
    assert isinstance(model, CanShowCodes)
    device = next(loaded.model.parameters()).device
    samples = [resample(segment.waveform, loaded.manifest.sample_rate).samples for segment in segments]
    found: dict[str, list[np.ndarray]] = {}
    for start in range(0, len(samples), _BATCH):
        part = samples[start : start + _BATCH]
        lengths = torch.tensor([len(one) for one in part], device=device)
        padded = np.zeros((len(part), max(len(one) for one in part)), np.float32)
        for row, one in zip(padded, part, strict=True):
            row[: len(one)] = one
        for name, rows in model.codes(SoundBatch(torch.from_numpy(padded).to(device), lengths)).items():
            found.setdefault(name, []).append(rows.float().cpu().numpy())
    return {name: np.concatenate(rows) for name, rows in found.items()}
