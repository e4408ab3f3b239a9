"""What does it bring, and cost, to draw each sentence several times and to keep what the attention liked best?

Test sentences, each drawn once, and N times with one kept (`--best-of N`), at the voice's own variation and at a
livelier one: word errors, DNSMOS, sentences of which something may be missing, core seconds per second of sound.

    python benchmarks/best_of.py --voice flowtron-kathleen --corpus corpora/kathleen --json
"""

import sys
import time
from collections.abc import Sequence
from typing import Any

from common import finish, parser, start

from moksori.corpus.manifest import Corpus
from moksori.corpus.splits import order
from moksori.errors import MoksoriError
from moksori.evaluation.intelligibility import Recogniser
from moksori.evaluation.naturalness import Dnsmos
from moksori.evaluation.statistics import mean_estimate
from moksori.pipeline.say import Speaker, load

DRAWS = (1, 2, 3, 5)


def main() -> None:
    options = parser(__doc__ or "")
    options.add_argument("--voice", default="flowtron-kathleen", help="one that takes --best-of (default %(default)s)")
    options.add_argument("--corpus", required=True, help="whose English test sentences are said")
    options.add_argument("--sentences", type=int, default=40)
    options.add_argument("--lively", type=float, default=0.5, help="the other variation (default %(default)s)")
    options.add_argument("--seed", type=int, default=0)
    chosen = options.parse_args()
    environment = start(chosen)
    try:
        test = [u for u in Corpus.open(chosen.corpus).split("test") if u.language.startswith("en")]
        texts = list(dict.fromkeys(u.text for u in sorted(test, key=lambda u: order(u.name))))[: chosen.sentences]
        voice = load(chosen.voice)
        figures = measure(voice, texts, (None, chosen.lively), chosen.seed, chosen.threads)
    except MoksoriError as error:
        sys.exit(f"{error}")
    finish("best_of", chosen, environment, {"voice": voice.name, "seed": chosen.seed, **figures})


def measure(
    voice: Speaker, texts: Sequence[str], variations: Sequence[float | None], seed: int, threads: int
) -> dict[str, Any]:
    """Of each variation (None: the voice's own) and number of draws."""
    recogniser, dnsmos = Recogniser(texts), Dnsmos(threads)
    understood = [text for text in texts if recogniser.covers(text)]
    rows = []
    print(f"{voice.name}: {len(understood)} sentences")
    voice.say(understood[0], seed=seed)  # what is compiled and laid out once does not count
    for variation in variations:
        for draws in DRAWS:
            begun = time.process_time()
            said = [
                voice.say(text, seed=seed + k, variation=variation, best_of=draws) for k, text in enumerate(understood)
            ]
            core, seconds = time.process_time() - begun, sum(one.waveform.duration_seconds for one in said)
            errors = [recogniser.errors(t, one.waveform) for t, one in zip(understood, said, strict=True)]
            words = sum(found.words for found in errors)
            opinion = mean_estimate([dnsmos(one.waveform).ovrl for one in said])
            row = {
                "variation": variation,
                "draws": draws,
                "word_errors_percent": 100.0 * sum(found.word_errors for found in errors) / words,
                "wrong_sentences": sum(found.word_errors > 0 for found in errors),
                "dns_overall": opinion.value,
                "told_of": sum(any(sentence.doubts for sentence in one.sentences) for one in said),
                "core_seconds_a_second": core / seconds,
            }
            rows.append(row)
            print(
                f"  sigma {'its own' if variation is None else variation}, best of {draws}: word errors "
                f"{row['word_errors_percent']:.2f} % (in {row['wrong_sentences']} sentences)  "
                f"OVRL {opinion.value:.3f}  told of {row['told_of']}  "
                f"{row['core_seconds_a_second']:.3f} core seconds a second"
            )
    return {"sentences": len(understood), "rows": rows}


if __name__ == "__main__":
    main()
