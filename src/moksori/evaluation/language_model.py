"""A closed trigram of the sentences that are judged, smoothed by Witten and Bell, in the ARPA form of n-gram files.

p(w | h) = (c(h w) + t(h) p(w | h')) / (c(h) + t(h)), where c counts, t(h) is the number of different words seen after
the history h, and h' is h without its first word; below the unigrams lies the uniform distribution (Witten and Bell
1991; Chen and Goodman 1998, eq. 20). In ARPA's back-off form a word unseen after h has t(h) / (c(h) + t(h)) times
p(w | h'), which is the same number.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from moksori.errors import TextError

START, END = "<s>", "</s>"
_NEVER = -99.0  # ARPA's logarithm of zero: the start of a sentence is a history, never a prediction


@dataclass(frozen=True)
class TrigramModel:
    """Probabilities of the n-grams that were seen, and the back-off factors of their histories.

    probabilities: n-gram -> p(last word | the words before it). backoffs: history -> factor for words unseen after it.
    vocabulary: all words that can follow a history, the sentence's end among them.
    """

    probabilities: Mapping[tuple[str, ...], float]
    backoffs: Mapping[tuple[str, ...], float]
    vocabulary: tuple[str, ...]

    def probability(self, word: str, history: tuple[str, ...]) -> float:
        """p(word | the last two words of history), by back-off as a reader of the ARPA file computes it."""
        history = history[-2:]
        if (*history, word) in self.probabilities:
            return self.probabilities[(*history, word)]
        if not history:
            return 0.0
        return self.backoffs.get(history, 1.0) * self.probability(word, history[1:])

    def to_arpa(self) -> str:
        """The model as the text of an ARPA file: decimal logarithms, one section an order."""
        orders: dict[int, list[str]] = {1: [], 2: [], 3: []}
        unigrams = {(START,): 0.0} | {gram: p for gram, p in self.probabilities.items() if len(gram) == 1}
        grams = unigrams | {gram: p for gram, p in self.probabilities.items() if len(gram) > 1}
        for gram, probability in sorted(grams.items()):
            log = f"{math.log10(probability):.7f}" if probability > 0 else f"{_NEVER:g}"
            factor = self.backoffs.get(gram) if len(gram) < 3 else None
            orders[len(gram)].append(
                f"{log}\t{' '.join(gram)}" + ("" if factor is None else f"\t{math.log10(factor):.7f}")
            )
        head = [f"ngram {order}={len(lines)}" for order, lines in orders.items()]
        sections = [f"\\{order}-grams:\n" + "\n".join(lines) + "\n" for order, lines in orders.items()]
        return "\\data\\\n" + "\n".join(head) + "\n\n" + "\n".join(sections) + "\n\\end\\\n"


def witten_bell_trigram(sentences: Iterable[Sequence[str]]) -> TrigramModel:
    """The trigram of sentences given as words.

    Raises TextError if there is no word at all.
    """
    after: dict[tuple[str, ...], Counter[str]] = defaultdict(Counter)
    for words in sentences:
        if not words:
            continue
        padded = [START, *words, END]
        for place in range(1, len(padded)):
            for length in range(min(place, 2) + 1):
                after[tuple(padded[place - length : place])][padded[place]] += 1
    if not after:
        raise TextError("language model: no sentence with words was given; the recogniser needs what is said")
    vocabulary = tuple(sorted(after[()]))
    probabilities: dict[tuple[str, ...], float] = {}
    backoffs: dict[tuple[str, ...], float] = {}
    for history in sorted(after, key=len):  # shorter ones first: longer ones lean on them
        counts = after[history]
        total, kinds = sum(counts.values()), len(counts)
        for word, count in counts.items():
            lower = TrigramModel(probabilities, backoffs, vocabulary).probability(word, history[1:])
            below = lower if history else 1.0 / len(vocabulary)
            probabilities[(*history, word)] = (count + kinds * below) / (total + kinds)
        if history:
            backoffs[history] = kinds / (total + kinds)
    return TrigramModel(probabilities, backoffs, vocabulary)


def perplexity(model: TrigramModel, sentences: Iterable[Sequence[str]]) -> float:
    """exp of the mean surprise per word, ends of sentences included; infinite where a word is not in the vocabulary."""
    logs, count = 0.0, 0
    for words in sentences:
        padded = [START, *words, END]
        for place in range(1, len(padded)):
            probability = model.probability(padded[place], tuple(padded[max(place - 2, 0) : place]))
            if probability <= 0.0:
                return math.inf
            logs += math.log(probability)
            count += 1
    return math.exp(-logs / count) if count else math.inf
