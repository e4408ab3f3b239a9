"""A text of any length into one file, in bounded memory: python examples/03_long_text.py [VOICE]

Interrupt it and run it again: it goes on after the last sentence, from 03_long_text.wav.job.
"""

import sys

from moksori.pipeline.say import SayOptions, load, sentences, speak_to_file

TEXT = """The lamp.

An old man had a lamp that nobody could light. He carried it to the river, and to the hill.
On the third day a child asked him why. "Because," he said, "it is the carrying that keeps me warm."
"""

voice = load(*sys.argv[1:2])
written = speak_to_file(
    voice,
    sentences(TEXT),
    "03_long_text.wav",
    options=SayOptions(speed=1.1, pause_seconds=0.4),
    seed=1,
    timings="03_long_text.json",
    progress=lambda done, total: print(f"sentence {done} of {total}"),
    total=sum(1 for _ in sentences(TEXT)),
)
print(f"{written.path}: {written.sentences} sentences, {written.duration_seconds:.1f} s of speech")
