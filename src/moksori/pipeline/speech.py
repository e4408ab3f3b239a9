"""A text that was spoken: samples, timings, and the files that they become."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from moksori import __version__
from moksori.pipeline.made_sound import MadeSound
from moksori.pipeline.speech_timings import SentenceTiming, Word
from moksori.pipeline.timing_files import TimingHeader, check_timings_path, write_timings


@dataclass(frozen=True)
class Speech(MadeSound):
    """A spoken text: float32 samples in [-1, 1], their rate in Hz, and when everything is heard.

    sentences: tokens and frames of each; they can be given back as `durations`. seed: with it the same model says the
    text with the same samples again.
    """

    sentences: Sequence[SentenceTiming]
    seed: int
    model: str
    text: str = ""
    timings: list[Word] = field(init=False)
    """When each word is heard, with its phonemes."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "timings", [word for sentence in self.sentences for word in sentence.words])

    def save(self, path: str | Path, timings: str | Path | None = None, watermark: bool = False) -> Path:
        """Writes a wav, flac, ogg, opus or mp3 file (by its suffix) whose metadata says that it is synthetic.

        timings: also writes them there, see `save_timings`. watermark: with the mark that `moksori verify` finds.
        Raises AudioError or BadInput for another suffix or a folder that is missing, and MoksoriError when the disk is
        full; nothing is left half written.
        """
        if timings is not None:
            check_timings_path(Path(timings))
        self.write(path, synthetic_metadata(self.model, self.seed, self.text), watermark)
        if timings is not None:
            self.save_timings(timings)
        return Path(path)

    def save_timings(self, path: str | Path) -> Path:
        """Writes when sentences, words and phonemes are heard: .json, .srt, .vtt or .TextGrid, by the suffix.

        Raises BadInput for another suffix, MoksoriError if the disk refuses; nothing is left half written.
        """
        path = Path(path)
        header = TimingHeader(self.model, self.seed, self.sample_rate, self.duration_seconds)
        write_timings(path, lambda: self.sentences, header)
        return path


def synthetic_metadata(model: str, seed: int, text: str = "") -> dict[str, str]:
    """Tags of a file: that a machine spoke, which model, with which seed."""
    tags = {
        "artist": f"moksori {model}",
        "synthetic": "true",
        "software": f"moksori {__version__}",
        "model": model,
        "seed": str(seed),
    }
    title = " ".join(text.split())
    return {**tags, "title": title[:80]} if title else tags
