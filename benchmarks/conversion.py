"""Does a converted recording sound like the target, does it still say the same, and does the melody stay?

Every ordered pair of a model's speakers over test utterances, beside the recordings and their copies (source = target):
cosine of the speaker embedding (Resemblyzer) with the target's and with the source's other recordings, and the share
nearer to the target's; word error rate for English sources; DNSMOS; F0 against the target's and the melody against
the source's; real-time factor. First, how often the model finds out by itself who speaks.

    python benchmarks/conversion.py MODEL --corpus corpora/seven --json
"""

import sys
import time
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np
from common import finish, parser, start

from moksori.audio.f0 import extract_f0
from moksori.audio.io import write
from moksori.audio.resample import resample
from moksori.corpus import Corpus
from moksori.corpus.manifest import read_utterance
from moksori.errors import MoksoriError
from moksori.evaluation.intelligibility import Recogniser
from moksori.evaluation.naturalness import Dnsmos
from moksori.evaluation.speaker import SpeakerEncoder, Voices
from moksori.evaluation.statistics import Estimate, mean_estimate, ratio_estimate
from moksori.pipeline.convert import Converter, find_converter
from moksori.types import Utterance, Waveform

HOP_LENGTH = 256
SEMITONES = 12.0 / np.log(2.0)
NAN = float("nan")
SHOWN = {
    "to_target": ("to target", 3), "to_source": ("to source", 3), "nearer": ("nearer %", 1), "wer": ("WER %", 2),
    "ovrl": ("OVRL", 2), "p808": ("P808", 2), "f0_error": ("F0 off, st", 2), "melody": ("melody r", 2),
    "rtf": ("RTF", 4),
}  # fmt: skip


@dataclass(frozen=True)
class Measured:
    """One sound. nearer: 1 where it is more like the target than like the source. f0_error: of median ln F0 against the
    target's other recordings, in semitones. melody: correlation of ln F0 with the source's. rtf: CPU seconds a second.
    """

    source: str
    target: str
    to_target: float
    to_source: float
    nearer: float
    word_errors: float
    words: float
    ovrl: float
    p808: float
    f0_error: float
    melody: float
    rtf: float = NAN


class Judges:
    """What every sound goes through; built once.

    references: recordings of each speaker that are not judged. texts: of the English test sentences.
    """

    def __init__(self, references: Mapping[str, Sequence[Waveform]], texts: Sequence[str], threads: int) -> None:
        self.encoder, self.dnsmos = SpeakerEncoder(), Dnsmos(threads)
        self.recogniser = Recogniser(texts) if texts else None
        self.voices = Voices.of({name: [self.encoder.embed(w) for w in some] for name, some in references.items()})
        self.range = {name: _middle_log_f0([_log_f0(w) for w in some]) for name, some in references.items()}

    def __call__(self, sound: Waveform, utterance: Utterance, recording: Waveform, target: str) -> Measured:
        likeness = self.voices.likeness(self.encoder.embed(sound))
        opinion = self.dnsmos(sound)
        log_f0, spoken = _log_f0(sound), _log_f0(recording)
        errors, words, recogniser = NAN, NAN, self.recogniser
        if recogniser is not None and utterance.text in recogniser.texts and recogniser.covers(utterance.text):
            found = recogniser.errors(utterance.text, sound)
            errors, words = float(found.word_errors), float(found.words)
        source = utterance.speaker
        return Measured(
            source, target, likeness[target], likeness[source],
            NAN if source == target else float(likeness[target] > likeness[source]), errors, words, opinion.ovrl,
            opinion.p808, float(_middle_log_f0([log_f0]) - self.range[target]) * SEMITONES, _melody(log_f0, spoken),
        )  # fmt: skip


def main() -> None:
    options = parser(__doc__ or "")
    options.add_argument("model", help="a name or folder of a model of several speakers")
    options.add_argument("--corpus", type=Path, required=True, help="what it was trained on")
    options.add_argument("--split", default="test")
    options.add_argument("--utterances", type=int, default=3, help="of each source, to every target (default 3)")
    options.add_argument("--references", type=int, default=12, help="training clips of each speaker (default 12)")
    options.add_argument("--variation", type=float, help="the model's own if not given")
    options.add_argument("--flow-pitch", action="store_true", help="leave the melody where the flow moves it")
    options.add_argument("--keep", type=Path, metavar="DIR", help="keep the sound files there")
    chosen = options.parse_args()
    environment = start(chosen)
    try:
        figures = compare(chosen)
    except MoksoriError as error:
        sys.exit(f"{error}")
    finish("conversion", chosen, environment, figures)


def compare(chosen: Namespace) -> dict[str, object]:
    """All figures; prints them as they come."""
    converter = find_converter(chosen.model, "")
    if chosen.flow_pitch:
        converter.manifest = converter.manifest.model_copy(update={"speaker_pitch": {}})
    corpus = Corpus.open(chosen.corpus)
    first = [u for u in sorted(corpus.split("train"), key=lambda u: u.name) if u.duration_seconds >= 3.0]
    references = {s: [_read(u, converter) for u in _of(first, s, chosen.references)] for s in converter.speakers}
    tests = sorted(corpus.split(chosen.split), key=lambda u: u.name)
    used = [u for s in converter.speakers for u in _of(tests, s, chosen.utterances)]
    judges = Judges(references, sorted({u.text for u in tests if u.language.startswith("en")}), chosen.threads)
    print(f"{converter.name}, {converter.manifest.steps} steps; {len(used)} utterances of {corpus.info.name}")
    print("system".ljust(26) + "".join(title.rjust(18) for title, _ in SHOWN.values()))
    recordings = {u.name: _read(u, converter) for u in used}
    _convert(converter, recordings[used[0].name], converter.speakers[0], used[0].speaker, None, 0)  # warm up

    def each(targets: Callable[[Utterance], Sequence[str]]) -> Iterator[Measured]:
        for number, utterance in enumerate(used):
            recording = recordings[utterance.name]
            for target in targets(utterance):
                spent = time.process_time()
                sound = _convert(converter, recording, target, utterance.speaker, chosen.variation, number)
                spent = time.process_time() - spent
                if chosen.keep:
                    chosen.keep.mkdir(parents=True, exist_ok=True)
                    write(chosen.keep / f"{utterance.name}-to-{target}.wav", sound)
                yield replace(judges(sound, utterance, recording, target), rtf=spent / sound.duration_seconds)

    systems = {
        "recordings": [judges(recordings[u.name], u, recordings[u.name], u.speaker) for u in used],
        "copies": list(each(lambda u: [u.speaker])),
        "converted": list(each(lambda u: [s for s in converter.speakers if s != u.speaker])),
    }
    found = {name: _summary(rows) for name, rows in systems.items()}
    for name, summary in found.items():
        _print(name, summary)
    converted = systems["converted"]
    by_target = {s: _summary([row for row in converted if row.target == s]) for s in converter.speakers}
    by_source = {s: _summary([row for row in converted if row.source == s]) for s in converter.speakers}
    for title, part in (("to", by_target), ("from", by_source)):
        for speaker, summary in part.items():
            _print(f"  {title} {speaker}", summary)
    told = [float(converter.convert(recordings[u.name], u.speaker, seed=0).source == u.speaker) for u in used]
    print(f"who speaks: right for {sum(told):.0f} of {len(told)}")
    return {
        "model": converter.name,
        "steps": converter.manifest.steps,
        "corpus": corpus.info.name,
        "split": chosen.split,
        "utterances": len(used),
        "variation": chosen.variation,
        "melody_moved_by": "flow" if chosen.flow_pitch or not converter.manifest.speaker_pitch else "range",
        "language_model": judges.recogniser.description if judges.recogniser else None,
        "systems": {name: _as_json(summary) for name, summary in found.items()},
        "to": {name: _as_json(summary) for name, summary in by_target.items()},
        "from": {name: _as_json(summary) for name, summary in by_source.items()},
        "source_found": {"right": sum(told), "of": len(told)},
    }


def _convert(
    converter: Converter, recording: Waveform, target: str, source: str, variation: float | None, seed: int
) -> Waveform:
    return converter.convert(recording, target, source=source, seed=seed, variation=variation).waveform


def _read(utterance: Utterance, converter: Converter) -> Waveform:
    return resample(read_utterance(utterance), converter.sample_rate)


def _of(utterances: Sequence[Utterance], speaker: str, count: int) -> list[Utterance]:
    return list(islice((u for u in utterances if u.speaker == speaker), count))


def _log_f0(waveform: Waveform) -> np.ndarray:
    """Natural log of F0 per frame, NaN where unvoiced."""
    f0 = extract_f0(waveform, HOP_LENGTH, method="fast").astype(np.float64)
    return np.log(np.where(f0 > 0, f0, np.nan))


def _middle_log_f0(tracks: Sequence[np.ndarray]) -> float:
    """The median, which errs little where the tracker errs by octaves."""
    voiced = np.concatenate(tracks)
    voiced = voiced[~np.isnan(voiced)]
    return float(np.median(voiced)) if len(voiced) else NAN


def _melody(one: np.ndarray, other: np.ndarray) -> float:
    frames = min(len(one), len(other))
    both = ~np.isnan(one[:frames]) & ~np.isnan(other[:frames])
    if both.sum() < 20:
        return NAN
    return float(np.corrcoef(one[:frames][both], other[:frames][both])[0, 1])


def _summary(rows: Sequence[Measured]) -> dict[str, Estimate]:
    """Means over the sounds with their intervals; F0 errors by their size, word errors over words."""
    heard = [row for row in rows if not np.isnan(row.words)]
    plain = ("to_target", "to_source", "nearer", "ovrl", "p808", "melody", "rtf")
    summary = {name: mean_estimate([getattr(row, name) for row in rows]) for name in plain}
    summary["f0_error"] = mean_estimate([abs(row.f0_error) for row in rows])
    summary["wer"] = ratio_estimate([row.word_errors for row in heard], [row.words for row in heard])
    return summary


def _print(name: str, summary: Mapping[str, Estimate]) -> None:
    cells = []
    for key, (_, digits) in SHOWN.items():
        estimate, scale = summary[key], 100.0 if key in ("nearer", "wer") else 1.0
        half = scale * (estimate.high - estimate.low) / 2
        cells.append(f"{scale * estimate.value:.{digits}f} ± {half:.{digits}f}" if estimate.n else "-")
    print(name.ljust(26) + "".join(cell.rjust(18) for cell in cells), flush=True)


def _as_json(summary: Mapping[str, Estimate]) -> dict[str, dict[str, float]]:
    return {key: {"value": e.value, "low": e.low, "high": e.high, "n": e.n} for key, e in summary.items() if e.n}


if __name__ == "__main__":
    main()
