"""Where each word is heard, used to pull the words apart: python examples/02_timings.py [VOICE]"""

import sys

import numpy as np

import moksori
from moksori.audio.io import write
from moksori.types import Waveform

voice = moksori.load(*sys.argv[1:2])
speech = voice.say("Every word of this sentence stands alone.", seed=1, speed=0.9)
pause = np.zeros(speech.sample_rate // 2, np.float32)
parts = []
for word in speech.timings:
    start, end = (round(seconds * speech.sample_rate) for seconds in (word.start_seconds, word.end_seconds))
    print(f"{word.start_seconds:6.3f} to {word.end_seconds:6.3f} s  {word.text}")
    parts += [speech.samples[start:end], pause]
write("02_timings.wav", Waveform(np.concatenate(parts), speech.sample_rate))
print("02_timings.wav")
