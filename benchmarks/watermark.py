"""Is the mark of `--watermark` inaudible, is it found after what sound goes through, and never where it is not?

    python benchmarks/watermark.py RECORDINGS... [--limit 40] [--unmarked 400] [--seconds 3 5 10] [--json]

Each of RECORDINGS is a folder with a folder a corpus. Of each the first --limit long enough recordings, in an order
that their names' hashes give, are marked, changed, and looked at; --unmarked of each are looked at as they are, whole.
mp3 is LAME at 64 kbit/s by PyAV (pip install av).
"""

import argparse
import hashlib
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
from common import finish, parser, start

from moksori.audio.io import SUFFIXES, probe, read
from moksori.audio.resample import resample
from moksori.audio.watermark import CHANCE, find, mark
from moksori.errors import AudioError
from moksori.evaluation.naturalness import Dnsmos
from moksori.evaluation.pesq import pesq
from moksori.types import Waveform

MP3_KBPS = 64
JUDGED = 40
"""Clips in all that the judges hear: DNSMOS takes seconds a clip."""


def main() -> None:
    chosen = arguments()
    environment = start(chosen)
    folders = [folder for root in chosen.recordings for folder in sorted(root.iterdir())]
    corpora = {folder.name: found for folder in folders if (found := recordings(folder))}
    result: dict[str, object] = {"unmarked": unmarked(corpora, chosen.unmarked)}
    clips = {
        name: [read(path, duration_seconds=max(chosen.seconds)) for path in long_enough(paths, chosen)]
        for name, paths in corpora.items()
    }
    result["marked"] = [row for seconds in chosen.seconds for row in marked(clips, seconds)]
    result["judges"] = judged([clip for found in clips.values() for clip in found], chosen.threads)
    finish("watermark", chosen, environment, result)


def arguments() -> argparse.Namespace:
    options = parser(__doc__.split("\n")[0])
    options.add_argument("recordings", type=Path, nargs="+")
    options.add_argument("--limit", type=int, default=40, help="marked recordings of each corpus")
    options.add_argument("--unmarked", type=int, default=400, help="recordings of each corpus looked at as they are")
    options.add_argument("--seconds", type=float, nargs="+", default=[3.0, 5.0, 10.0])
    return options.parse_args()


def recordings(folder: Path) -> list[Path]:
    """The recordings in a folder, in an order that their names' hashes give."""
    if not folder.is_dir():
        return []
    found = [path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES]
    return sorted(found, key=lambda path: hashlib.sha256(path.name.encode()).digest())


def long_enough(paths: list[Path], chosen: argparse.Namespace) -> list[Path]:
    return [path for path in paths if probe(path).duration_seconds >= max(chosen.seconds)][: chosen.limit]


def unmarked(corpora: dict[str, list[Path]], limit: int) -> dict[str, object]:
    """How often sound without a mark is taken for marked."""
    scores, seconds = [], 0.0
    for paths in corpora.values():
        for path in paths[:limit]:
            try:
                sound = read(path)
            except AudioError:
                continue
            scores.append(find(sound.samples, sound.sample_rate))
            seconds += sound.duration_seconds
    worst = max(scores, key=lambda found: found.score)
    alarms = sum(found.found for found in scores)
    print(
        f"unmarked: {alarms} of {len(scores)} recordings ({seconds / 3600:.1f} h) taken for marked; highest score "
        f"{worst.score:.2f}, lowest chance {min(found.chance for found in scores):.1e} (found below {CHANCE:.0e})"
    )
    return {"recordings": len(scores), "hours": seconds / 3600, "alarms": alarms, "highest_score": worst.score}


def marked(clips: dict[str, list[Waveform]], seconds: float) -> list[dict[str, object]]:
    rows = []
    for name, found in clips.items():
        if not found:
            continue
        cut = [Waveform(clip.samples[: round(seconds * clip.sample_rate)], clip.sample_rate) for clip in found]
        sounds = [Waveform(mark(clip.samples, clip.sample_rate), clip.sample_rate) for clip in cut]
        row: dict[str, object] = {"corpus": name, "seconds": seconds, "n": len(sounds)}
        for change, function in CHANGES.items():
            marks = [find(changed.samples, changed.sample_rate) for changed in map(function, sounds)]
            row[change] = float(np.mean([one.found for one in marks]))
            row[f"{change} score"] = float(np.median([one.score for one in marks]))
        rows.append(row)
        shares = ", ".join(f"{change} {row[change]:.0%} ({row[f'{change} score']:.1f})" for change in CHANGES)
        print(f"{name}, {seconds:g} s, n = {len(sounds)}: {shares}", flush=True)
    return rows


def judged(clips: list[Waveform], threads: int) -> dict[str, float]:
    """What the judges say of sound before and after."""
    step = max(len(clips) // JUDGED, 1)
    heard = clips[::step][:JUDGED]
    after = [Waveform(mark(clip.samples, clip.sample_rate), clip.sample_rate) for clip in heard]
    opinions = Dnsmos(threads)
    differences = [opinions(late).ovrl - opinions(early).ovrl for early, late in zip(heard, after, strict=True)]
    scores = [pesq(early, late) for early, late in zip(heard, after, strict=True)]
    scores = [score for score in scores if np.isfinite(score)]
    result = {
        "n": len(heard),
        "pesq": float(np.mean(scores)),
        "pesq_least": float(min(scores)),
        "dnsmos_change": float(np.mean(differences)),
        "dnsmos_worst": float(min(differences)),
    }
    print(
        f"judges, n = {len(heard)}: PESQ {result['pesq']:.2f} (least {result['pesq_least']:.2f}, at most 4.64), "
        f"DNSMOS overall {result['dnsmos_change']:+.3f} (worst {result['dnsmos_worst']:+.3f})"
    )
    return result


def mp3(sound: Waveform) -> Waveform:
    """Through LAME and back."""
    import av

    rate = sound.sample_rate if sound.sample_rate in (16000, 22050, 24000, 44100, 48000) else 16000
    sound, packed = resample(sound, rate), io.BytesIO()
    with av.open(packed, "w", format="mp3") as file:
        stream = file.add_stream("libmp3lame", rate=rate, layout="mono")
        stream.bit_rate = 1000 * MP3_KBPS
        frame = av.AudioFrame.from_ndarray(sound.samples[None].astype(np.float32), "fltp", "mono")
        frame.sample_rate = rate
        for ready in av.AudioResampler(format=stream.format, layout="mono", rate=rate).resample(frame):
            file.mux(stream.encode(ready))
        file.mux(stream.encode(None))
    packed.seek(0)
    with av.open(packed) as file:
        parts = [frame.to_ndarray()[0] for frame in file.decode(audio=0)]
    return Waveform(np.concatenate(parts).astype(np.float32), rate)


def soft(sound: Waveform) -> Waveform:
    """A tenth as loud, in 16 bits."""
    return Waveform((np.round(sound.samples * 3276.8) / 32768.0).astype(np.float32), sound.sample_rate)


CHANGES: dict[str, Callable[[Waveform], Waveform]] = {
    "as it is": lambda sound: sound,
    "mp3": mp3,
    "16 kHz": lambda sound: resample(sound, 16000),
    "8 kHz": lambda sound: resample(sound, 8000),
    "mp3 and 8 kHz": lambda sound: resample(mp3(sound), 8000),
    "8 kHz, -20 dB": lambda sound: soft(resample(sound, 8000)),
}

if __name__ == "__main__":
    main()
