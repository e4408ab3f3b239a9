"""What does a codec keep of recordings at its bit rates, beside Opus at 6, 9 and 12 kbit/s?

    python benchmarks/codec_opus.py CODEC CORPUS [--limit 40] [--json]

The clips and the judges are those of `moksori evaluate CODEC --task codec`: of each person of the test split who is in
no other split the beginnings of two recordings, people of the other splits and songs apart. Opus is libopus by PyAV
(pip install av), with its settings for speech (`voip`, 20 ms, complexity 10, variable rate); its bits are counted from
its packets, ours are those of the codes, so that neither pays for its container. Its sound is moved to where the
recording's lies, since PESQ and mel distance compare in place.

Under the table stand figures that others have published, of their own test recordings: to be read, not subtracted.
"""

import argparse
from dataclasses import replace
from fractions import Fraction

import numpy as np
from common import finish, parser, start

from moksori.audio.resample import resample
from moksori.corpus.manifest import Corpus
from moksori.evaluation.bars import codec_bars, named
from moksori.evaluation.report import Group, bar_lines
from moksori.models.checkpoint import fingerprint, load_model
from moksori.pipeline.evaluate_codec import evaluate_codec, material
from moksori.pipeline.evaluate_settings import Settings
from moksori.pipeline.models import find_model
from moksori.types import Waveform

OPUS_BITS = (6000, 9000, 12000)
RATE = 16000
_FRAME = 320
_MOST_DELAY_SECONDS = 0.05

PUBLISHED = (
    ("EnCodec", 6.0, 3.28, 0.94),
    ("SoundStream as of NaturalSpeech 2, 16 kHz, 6 stages", 4.8, 3.03, 0.90),
    ("SoundStream as of NaturalSpeech 2, 16 kHz, 12 stages", 9.6, 3.45, 0.94),
)
"""Codec, kbit/s, PESQ, STOI; from the paper of NaturalSpeech 3 (arXiv 2403.03100)."""


def main() -> None:
    chosen = arguments()
    environment = start(chosen)
    folder = find_model(chosen.codec)
    settings = Settings(
        Corpus.open(chosen.corpus),
        limit=chosen.limit,
        threads=chosen.threads,
        measures=("copy",),
        vocoder=chosen.vocoder,
    )
    clips = next(iter(material(settings).values()))
    beside = {}
    for bits in OPUS_BITS:
        spent = [opus(resample(sound, RATE), bits)[1] for _, sound in clips]
        actual = sum(spent) / sum(sound.duration_seconds for _, sound in clips)
        beside[f"Opus at {bits / 1000:g} kbit/s"] = (lambda place, sound, bits=bits: opus(sound, bits)[0], actual)
    found = evaluate_codec(load_model(folder), replace(settings, notes=[]), beside=beside)
    for group in found.groups:
        shown(group)
    first = found.groups[0]
    for line in bar_lines(codec_bars(first.systems, folder_name(first))):
        print(line)
    compared(first)
    print("\npublished (other recordings):")
    for name, rate, pesq, stoi in PUBLISHED:
        print(f"  {name:54s} {rate:5.1f} kbit/s  PESQ {pesq:.2f}  STOI {stoi:.2f}")
    figures = {
        "codec": fingerprint(folder),
        "groups": {
            g.speaker: {s.name: {k: e.value for k, e in s.measures.items()} for s in g.systems} for g in found.groups
        },
        "clips": {g.speaker: g.n for g in found.groups},
        "published": [dict(zip(("name", "kbit_s", "pesq", "stoi"), row, strict=True)) for row in PUBLISHED],
    }
    finish("codec_opus", chosen, environment, figures)


def arguments() -> argparse.Namespace:
    options = parser(__doc__.splitlines()[0])
    options.add_argument("codec", help="a codec's name or folder")
    options.add_argument("corpus", help="a corpus with people whom no training heard")
    options.add_argument("--limit", type=int, default=40, help="clips of each kind (default %(default)s)")
    options.add_argument("--vocoder", help="beside the codec (default: one that is here)")
    return options.parse_args()


def shown(group: Group) -> None:
    """The rows of a group, columns aligned."""
    table = [group.header(), *group.rows()]
    widths = [max(len(row[place]) for row in table) for place in range(len(table[0]))]
    print(f"\n{group.speaker}, {group.n} clips")
    for row in table:
        print(
            "  "
            + "  ".join(
                cell.ljust(w) if k == 0 else cell.rjust(w) for k, (cell, w) in enumerate(zip(row, widths, strict=True))
            )
        )


def folder_name(group: Group) -> str:
    """What the codec with all its stages is called: the last row."""
    return group.systems[-1].name


def compared(group: Group) -> None:
    """The bar: at the most bits PESQ above that of Opus at 6 kbit/s."""
    ours, theirs = group.systems[-1], named(group.systems, "Opus at 6 kbit/s")
    if theirs is None or "pesq" not in ours.measures:
        return
    differences = [
        a.values["pesq"] - b.values["pesq"] for a, b in zip(ours.items, theirs.items, strict=True) if "pesq" in b.values
    ]
    mean, half = float(np.mean(differences)), 1.96 * float(np.std(differences)) / len(differences) ** 0.5
    print(
        f"PESQ of {ours.name} less Opus at 6 kbit/s: {mean:+.2f} ±{half:.2f} over {len(differences)} clips, "
        f"higher in {sum(d > 0 for d in differences)}"
    )


def opus(sound: Waveform, bits_per_second: int) -> tuple[Waveform, int]:
    """A sound at 16 kHz through Opus and back, in its place, and the bits of the packets."""
    import av

    encoder = av.CodecContext.create("libopus", "w")
    encoder.sample_rate, encoder.layout, encoder.format = RATE, "mono", "s16"
    encoder.bit_rate, encoder.time_base = bits_per_second, Fraction(1, RATE)
    encoder.options = {"application": "voip", "frame_duration": "20", "vbr": "on", "compression_level": "10"}
    encoder.open()
    padded = np.pad(sound.samples, (0, -len(sound.samples) % _FRAME + 4 * _FRAME))
    whole = np.rint(padded * 32767.0).clip(-32768, 32767).astype(np.int16)
    packets = []
    for first in range(0, len(whole), _FRAME):
        frame = av.AudioFrame.from_ndarray(whole[None, first : first + _FRAME], format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = RATE, first, Fraction(1, RATE)
        packets += encoder.encode(frame)
    packets += encoder.encode(None)
    decoder = av.CodecContext.create("libopus", "r")
    decoder.sample_rate, decoder.layout = 48000, "mono"
    parts = [frame.to_ndarray() for packet in packets for frame in decoder.decode(av.Packet(bytes(packet)))]
    made = np.concatenate([part.reshape(-1) for part in parts])
    made = made.astype(np.float32) / 32768.0 if np.issubdtype(made.dtype, np.integer) else made.astype(np.float32)
    back = resample(Waveform(made, 48000), RATE).samples
    used = [bytes(packet) for packet in packets][: -(-len(sound.samples) // _FRAME)]
    return Waveform(in_place(sound.samples, back), RATE), 8 * sum(map(len, used))


def in_place(wanted: np.ndarray, made: np.ndarray) -> np.ndarray:
    """`made`, moved by the delay at which it goes best with `wanted`, and as long."""
    most = int(_MOST_DELAY_SECONDS * RATE)
    size = 1 << (len(wanted) + len(made) - 1).bit_length()
    both = np.fft.irfft(np.fft.rfft(made, size) * np.conj(np.fft.rfft(wanted, size)), size)
    lags = np.concatenate([both[: most + 1], both[-most:]])
    best = int(np.argmax(lags))
    delay = best if best <= most else best - len(lags)
    moved = made[delay:] if delay >= 0 else np.pad(made, (-delay, 0))
    return np.pad(moved, (0, max(len(wanted) - len(moved), 0)))[: len(wanted)]


if __name__ == "__main__":
    main()
