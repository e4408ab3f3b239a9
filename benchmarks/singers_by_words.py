"""How well is a singer known by the words alone, and how well by a model's codes?

A code that keeps all that is said and nothing of who says it still tells singers who speak different languages, at
different speeds, apart. The probe of `moksori evaluate --task sing --measure codes` learns from crops of a second of
training recordings and is asked about crops of test recordings, three times: off the phones that the texts put at each
frame (an aligner finds where), which is what no code that carries the words can go below; off a model's codes; off
phones of those singers alone who speak one language, the commonest.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import finish, parser, start

from moksori.corpus.features import prepare
from moksori.corpus.manifest import Corpus
from moksori.evaluation.singer import CodeProbe, probe_codes
from moksori.models.checkpoint import load_model
from moksori.models.contract import CanEncode
from moksori.pipeline.align import align
from moksori.pipeline.models import find_model
from moksori.text.symbols import SYMBOLS
from moksori.text.tokenizer import TextConfig
from moksori.types import SpeechNeeds

NEEDS = SpeechNeeds(16000, 200)
FRAMES = 80
"""Of a crop: a second."""
CROPS_A_CLIP, CLIPS_A_SINGER = 3, 60
TEXT = TextConfig(mode="phones", blanks=False, ends=True)

Crops = dict[str, np.ndarray]


def main() -> None:
    options = parser(__doc__ or "")
    options.add_argument("--corpus", type=Path, required=True, help="a corpus with texts, of several speakers")
    options.add_argument("--model", default="nine-singers", help="whose codes; default: %(default)s")
    chosen = options.parse_args()
    environment = start(chosen)
    corpus = Corpus.open(chosen.corpus)
    durations = align(corpus, NEEDS, TEXT, ("train", "test")).durations
    loaded = load_model(find_model(chosen.model))
    model = loaded.model
    assert isinstance(model, CanEncode) and loaded.manifest.sample_rate == NEEDS.sample_rate  # noqa: PT018
    phones: list[Crops] = []
    codes: list[Crops] = []
    languages: dict[str, str] = {}
    for split in ("train", "test"):
        spoken, heard = defaultdict(list), defaultdict(list)
        clips = Counter[str]()
        for example in prepare(corpus, split, NEEDS, TEXT):
            speaker = example.utterance.speaker
            if example.utterance.name not in durations or clips[speaker] == CLIPS_A_SINGER:
                continue
            clips[speaker] += 1
            languages[speaker] = example.utterance.language
            tokens = np.repeat(np.asarray(example.tokens), durations[example.utterance.name])
            for k in range(min(len(tokens) // FRAMES, CROPS_A_CLIP)):
                spoken[speaker].append(np.eye(len(SYMBOLS) + 2, dtype=np.float32)[tokens[k * FRAMES :][:FRAMES]].T)
                second = np.asarray(example.waveform)[k * NEEDS.sample_rate :][: NEEDS.sample_rate]
                with torch.inference_mode():
                    heard[speaker].append(model.encode(torch.tensor(second)[None])[0].numpy())
        phones.append(stacked(spoken))
        codes.append(stacked(heard))
    common = Counter(languages.values()).most_common(1)[0][0]
    among = [name for name, language in languages.items() if language == common]
    figures: dict[str, Any] = {
        "phones": told("phones of the text", probe_codes(*phones)),
        "codes": told(f"codes of {chosen.model}", probe_codes(*codes)),
        f"phones, {common} alone": told(f"phones, {common} alone", probe_codes(*(of(part, among) for part in phones))),
        f"codes, {common} alone": told(f"codes, {common} alone", probe_codes(*(of(part, among) for part in codes))),
    }
    finish("singers_by_words", chosen, environment, figures)


def stacked(crops: dict[str, list[np.ndarray]]) -> Crops:
    return {name: np.stack(rows) for name, rows in crops.items()}


def of(crops: Crops, names: Iterable[str]) -> Crops:
    return {name: crops[name] for name in names}


def told(what: str, probe: CodeProbe) -> dict[str, Any]:
    asked = sum(len(right) for right in probe.right.values())
    print(f"{what}: {100 * probe.accuracy:.1f} % of {asked} crops, guessing {100 / probe.singers:.1f} %")
    each = {name: float(np.mean(right)) for name, right in probe.right.items()}
    return {"right": probe.accuracy, "guess": 1 / probe.singers, "crops": asked, "singers": each}


if __name__ == "__main__":
    main()
