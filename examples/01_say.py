"""A sentence as a sound file: python examples/01_say.py [VOICE]"""

import sys

import moksori

voice = moksori.load(*sys.argv[1:2])  # no name: the bundled voice; else a model's name or folder
speech = voice.say("Good morning. This sentence was never recorded.", seed=1)
path = speech.save("01_say.wav")
print(f"{path}: {speech.duration_seconds:.2f} s at {speech.sample_rate} Hz, seed {speech.seed}")
