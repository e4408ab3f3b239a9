"""From a corpus to a model that speaks, in seconds: python examples/04_train_tiny.py

The corpus is made up, a chord for each sound of the language, so that no recordings are needed; twenty steps are far
too few to speak. The road is that of a real voice: the same calls, with `vits/compact` and half an hour or more.
"""

from pathlib import Path

from moksori.corpus.synthetic import write_synthetic
from moksori.pipeline.say import load
from moksori.pipeline.train import Listener, train

corpus = write_synthetic(Path("04_corpus"), count=24, seed=1).corpus
print(f"{corpus.folder}: {corpus.info.counts['train']['utterances']:g} training sentences")
# The tiny preset takes durations from the aligner; here they are searched for within the step, as in the paper.
result = train(
    "vits/tiny",
    corpus.folder,
    "04_run",
    [
        "training.max_steps=20",
        "training.speak_every=0",
        "objective.alignment=search",
        "objective.window_frames=null",
        "model.prior={kind: token}",
    ],
    listener=Listener(stage=print),
)
speech = load(result.model).say("One lemon, two rivers.", seed=1)
path = speech.save("04_train_tiny.wav")
print(f"{path}: {speech.duration_seconds:.2f} s, after {result.state.step} steps")
