"""How often does the built-in English front end say what espeak says, and how fast are the two?

Words of running text are equal where phones, stress and being run together with the word before are; `--text` names
files with one sentence or paragraph a line, or folders of recordings with a `metadata.csv`. Unseen words are the stored
sample that the tests use: words whose whole family was held out of the training of the letters model, asked of that
model alone. The start is the CPU time of the first sentence in a process of its own, what is imported before not
counted; the least of several runs.
"""

import csv
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from common import finish, parser, start

from moksori.text import english_phonemes, phonemes
from moksori.text.english_context import Sounds
from moksori.text.normalize import normalize

STARTS = 7
FIRST = "Hello there, this is a cold start of the voice."
UNSEEN = Path(__file__).parent.parent / "tests" / "golden" / "english_unseen_words.tsv"


def main() -> None:
    options = parser(__doc__ or "")
    options.add_argument("--text", type=Path, action="append", default=[], help="a text file or a folder of recordings")
    options.add_argument("--wrong", type=int, default=20, help="how many of the commonest differences are printed")
    chosen = options.parse_args()
    environment = start(chosen)
    figures: dict[str, Any] = {"start": start_up(), "unseen words": unseen_words()}
    for path in chosen.text:
        figures[path.name] = running_text(path, chosen.wrong)
    finish("english_front_end", chosen, environment, figures)


def start_up() -> dict[str, float]:
    """CPU seconds from a fresh process's first sentence to its tokens."""
    code = (
        "import sys, time\n"
        "if sys.argv[1] == 'built in': sys.modules['phonemizer'] = sys.modules['espeakng_loader'] = None\n"
        "from moksori.text import phonemes\n"
        "from moksori.text.tokenizer import Tokenizer\n"
        "if sys.argv[1] == 'espeak': phonemes._WITHOUT_ESPEAK.clear()\n"
        "began = time.process_time()\n"
        "Tokenizer().encode(sys.argv[2])\n"
        "print(time.process_time() - began)\n"
    )
    found: dict[str, list[float]] = {"espeak": [], "built in": []}
    for _ in range(STARTS):
        for name, seconds in found.items():
            command = [sys.executable, "-c", code, name, FIRST]
            seconds.append(float(subprocess.run(command, capture_output=True, text=True, check=True).stdout))
    least = {name: min(seconds) for name, seconds in found.items()}
    print("first sentence: " + ", ".join(f"{name} {seconds:.3f} CPU s" for name, seconds in least.items()))
    return least


def unseen_words() -> dict[str, Any]:
    rows = [line.split("\t") for line in UNSEEN.read_text(encoding="utf-8").splitlines()]
    model = english_phonemes._letters()
    began = time.process_time()
    said = [model.sounds(word) for word, _ in rows]
    seconds = time.process_time() - began
    wanted = [Sounds.read(sounds) for _, sounds in rows]
    right = sum(a == b for a, b in zip(said, wanted, strict=True))
    phones = sum(a.phones == b.phones for a, b in zip(said, wanted, strict=True))
    print(f"unseen words: {right / len(rows):.1%} equal, {phones / len(rows):.1%} but for stress, n = {len(rows)}")
    return {
        "n": len(rows),
        "equal": right / len(rows),
        "phones": phones / len(rows),
        "ms a word": 1e3 * seconds / len(rows),
    }


def running_text(path: Path, shown: int) -> dict[str, Any]:
    """Shares of equal words, and words a CPU second of either front end; texts are normalised before the clock runs."""
    texts = [normalize(text, "en-us") for text in _texts(path)]
    said: dict[str, list[phonemes.SpokenWord]] = {}
    seconds: dict[str, float] = {}
    fronts = {"espeak": None, "built in": english_phonemes.FRONT_END}
    for name, front in fronts.items():
        phonemes._front_end = lambda language, front=front: front  # type: ignore[assignment, misc]
        phonemes.Phonemizer("en-us").phonemize("a warm-up, obstreperously")
        began = time.process_time()
        items = [item for text in texts for item in phonemes.Phonemizer("en-us").phonemize(text)]
        seconds[name] = time.process_time() - began
        said[name] = [item for item in items if isinstance(item, phonemes.SpokenWord)]
    pairs = list(zip(said["espeak"], said["built in"], strict=True))
    wrong = Counter((a.text.lower(), _shown(a), _shown(b)) for a, b in pairs if a != b)
    equal = sum((a.phones, a.stress) == (b.phones, b.stress) for a, b in pairs) / len(pairs)
    whole = 1 - wrong.total() / len(pairs)
    print(f"{path.name}: {equal:.2%} of words equal, {whole:.2%} with the joints to the word before, n = {len(pairs)}")
    for name, spent in seconds.items():
        print(f"  {name:9} {len(pairs) / spent:8.0f} words a CPU second")
    for (word, theirs, ours), count in wrong.most_common(shown):
        print(f"  {count:5} {word}: espeak {theirs}, built in {ours}")
    return {
        "n": len(pairs),
        "equal": equal,
        "with joints": whole,
        "words a second": {k: len(pairs) / v for k, v in seconds.items()},
    }


def _shown(word: phonemes.SpokenWord) -> str:
    return "+" * word.joined + word.ipa


def _texts(path: Path) -> list[str]:
    if path.is_dir():
        with (path / "metadata.csv").open(encoding="utf-8") as file:
            return [row["text"] for row in csv.DictReader(file, delimiter="|", quoting=csv.QUOTE_NONE)]
    return [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


if __name__ == "__main__":
    main()
