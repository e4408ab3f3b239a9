"""Does a model sing what the score says, in the voice of a prompt?

    python benchmarks/singing_scores.py --model naturalspeech2 --like a.wav [--like b.wav ...] [--key auto] [--keep DIR]

Three songs that belong to nobody are sung in each voice. Share of the frames with a pitch, in the score and in what is
heard, that are within 50 cents of each other (WORLD's harvest; raw pitch accuracy, which counts what is heard without a
pitch as wrong, stands beside it), cosine of the speaker embedding with the prompt, and seconds of work per second.
`moksori evaluate --task sing` measures the same with the people of a corpus as prompts.
"""

import time
from pathlib import Path
from typing import Any

from common import finish, parser, start

from moksori.evaluation.bars import SCORE_PITCH
from moksori.evaluation.melody import compare_melodies, frames_in_tune, sung_f0
from moksori.pipeline.evaluate_scores import SONGS, song


def main() -> None:
    options = parser(__doc__ or "")
    options.add_argument("--model", default="naturalspeech2", help="a model's name or folder (default naturalspeech2)")
    options.add_argument("--like", action="append", required=True, help="a recording; may be repeated")
    options.add_argument("--key", default="auto", help="semitones or auto (default auto)")
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--keep", type=Path, help="a folder for the songs")
    chosen = options.parse_args()
    environment = start(chosen)

    from moksori.audio.io import read
    from moksori.evaluation.speaker import SpeakerEncoder
    from moksori.pipeline.say import load
    from moksori.pipeline.sing import SingOptions

    speaker, encoder = load(chosen.model), SpeakerEncoder()
    key: Any = "auto" if chosen.key == "auto" else int(chosen.key)
    rows, within, both_voiced = [], 0, 0
    for like in chosen.like:
        voice = encoder.embed(read(like))
        for name in SONGS:
            begun = time.process_time()
            sung = speaker.sing(song(name), like, SingOptions(key=key), chosen.seed)
            core = (time.process_time() - begun) / sung.duration_seconds
            hop = len(sung.samples) // len(sung.f0)
            heard = sung_f0(sung.waveform, hop)[: len(sung.f0)]
            near, both = frames_in_tune(sung.f0, heard)
            within, both_voiced = within + near, both_voiced + both
            row = {
                "voice": Path(like).name, "song": name, "key": sung.key, "within_50_cents": near / max(both, 1),
                "raw_pitch_accuracy": compare_melodies(sung.f0, heard, sung.frame_seconds).raw_pitch_accuracy,
                "cosine": float(encoder.embed(sung.waveform) @ voice), "core_seconds_a_second": core,
            }  # fmt: skip
            rows.append({k: round(v, 4) if isinstance(v, float) else v for k, v in row.items()})
            print(
                f"  {row['voice']:24} {name:8} key {sung.key:+3d} within 50 cents {100 * row['within_50_cents']:5.1f} %"
                f"   raw pitch accuracy {row['raw_pitch_accuracy']:.3f}   cosine {row['cosine']:.3f}   "
                f"{core:.2f} core seconds a second"
            )
            if chosen.keep is not None:
                chosen.keep.mkdir(parents=True, exist_ok=True)
                sung.save(chosen.keep / f"{Path(like).stem}-{name}.wav")
    share = within / max(both_voiced, 1)
    reached = "reaches" if share >= SCORE_PITCH else "misses"
    print(
        f"all: {100 * share:.1f} % of {both_voiced} voiced frames within 50 cents of the score: {reached} the bar of "
        f"{100 * SCORE_PITCH:.0f} %"
    )
    finish("singing_scores", chosen, environment, {"rows": rows, "within_50_cents": round(share, 4)})


if __name__ == "__main__":
    main()
