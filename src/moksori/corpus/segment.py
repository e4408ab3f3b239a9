"""Long clips cut at pauses: most of LibriSpeech's are longer than what models train on."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

from moksori.corpus.manifest import Corpus, CorpusInfo, Dropped, rewrite, write_dropped, write_text
from moksori.errors import CorpusError
from moksori.types import Utterance

SHORTEST_SECONDS = 0.6
LONGEST_SECONDS = 20.0

Timing = tuple[str, float, float]
"""A word with its start and end in seconds from the utterance's start."""


@dataclass(frozen=True)
class SplitReport:
    """What `split_corpus` did. too_long: names of clips that no pause could bring under the house's 20 s."""

    clips: int
    cut: int
    pieces: int
    longest_seconds: float
    without_times: tuple[str, ...]
    too_long: tuple[str, ...]
    info: CorpusInfo


def split_clip(
    utterance: Utterance,
    words: Sequence[Timing],
    maximum_seconds: float = 10.0,
    minimum_pause: float = 0.2,
    shortest_seconds: float = SHORTEST_SECONDS,
    longest_seconds: float = LONGEST_SECONDS,
) -> list[Utterance]:
    """Pieces of an utterance, cut in the middle of pauses between words.

    words: (word, start, end) in seconds from the utterance's start, in order. maximum_seconds: clips up to this stay
    whole, and pieces are longer only where no pause of `minimum_pause` seconds allows less. Of the ways to cut, the one
    with the fewest pieces over the maximum, then the fewest pieces and the longest pauses is taken.
    Returns the utterance alone if it is short enough or has no pause, and nothing if no way to cut gives pieces within
    `shortest_seconds` and `longest_seconds`. Pieces are named NAME-01, NAME-02 ...
    """
    duration = utterance.duration_seconds
    if duration <= maximum_seconds:
        return [utterance]
    _check_times(utterance, words)
    # Border k lies before word `before[k]`; the first and last are the clip's own ends.
    borders, before, pauses = [0.0], [0], [0.0]
    for index in range(1, len(words)):
        pause = words[index][1] - words[index - 1][2]
        if pause >= minimum_pause:
            borders.append((words[index][1] + words[index - 1][2]) / 2)
            before.append(index)
            pauses.append(pause)
    borders.append(duration)
    before.append(len(words))
    cuts = _best_cuts(borders, pauses, maximum_seconds, shortest_seconds, longest_seconds)
    if cuts is None:
        return []
    if len(cuts) == 2:
        return [utterance]
    texts = _texts(utterance.text, [word for word, _, _ in words], [before[cut] for cut in cuts])
    return [
        replace(
            utterance,
            name=f"{utterance.name}-{number:02d}",
            text=text,
            start_seconds=utterance.start_seconds + borders[first],
            duration_seconds=borders[last] - borders[first],
        )
        for number, (first, last, text) in enumerate(zip(cuts, cuts[1:], texts, strict=False), start=1)
    ]


def snap_to_pauses(
    words: Sequence[Timing], silences: Sequence[tuple[float, float]], tolerance_seconds: float = 0.35
) -> list[Timing]:
    """Word times whose pauses are where the recording is silent.

    An aligner knows which words surround a pause, but gives part of the silence to them; the recording's energy knows
    where the silence is, but not between which words. silences: (start, end) in seconds. Each goes to the word boundary
    nearest to it, if that lies within `tolerance_seconds`; gaps between words without a silence close, so that nothing
    is cut in the middle of sound. Silences before the middle of the first word or after that of the last are no pauses.
    """
    if len(words) < 2:
        return list(words)
    gaps = [(before[2], after[1]) for before, after in pairwise(words)]
    chosen: dict[int, tuple[float, float]] = {}
    first, last = (words[0][1] + words[0][2]) / 2, (words[-1][1] + words[-1][2]) / 2
    for start, end in silences:
        if not first < (start + end) / 2 < last:
            continue
        distances = [max(low - end, start - high, 0.0) + abs(low + high - start - end) / 2e3 for low, high in gaps]
        nearest = min(range(len(gaps)), key=distances.__getitem__)
        known = chosen.get(nearest, (0.0, 0.0))
        if distances[nearest] <= tolerance_seconds and end - start > known[1] - known[0]:
            chosen[nearest] = (start, end)
    starts, ends = [words[0][1]], []
    for index, (low, high) in enumerate(gaps):
        middle = (low + high) / 2
        silence = chosen.get(index, (middle, middle))
        ends.append(silence[0])
        starts.append(silence[1])
    ends.append(words[-1][2])
    snapped, now = [], 0.0
    for (word, _, _), start, end in zip(words, starts, ends, strict=True):
        start = max(start, now)  # a silence may reach over a neighbour that is shorter than it
        now = max(start, end)
        snapped.append((word, start, now))
    return snapped


def split_corpus(
    corpus: Corpus,
    words: Mapping[str, Sequence[Timing]],
    maximum_seconds: float = 10.0,
    minimum_pause: float = 0.2,
) -> SplitReport:
    """Cuts the long clips of a corpus and rewrites its manifests; the recordings stay as they are.

    words: utterance name -> its word times; clips without are left whole if they are within 20 s. Pieces stay in the
    split of their clip. What was cut where is written to `split.tsv`, what was left out to `dropped.tsv`.
    Raises CorpusError for a packed corpus and for word times that do not fit their clip.
    """
    if corpus.info.packed:
        raise CorpusError(f"{corpus.folder}: is packed; split the corpus before packing it")
    whole = Corpus.open(corpus.folder, with_dropped=True)
    parts: dict[str, list[Utterance]] = {name: [] for name in whole.splits}
    lines = ["clip\tpiece\tstart_seconds\tduration_seconds\ttext"]
    without, too_long, dropped, cut_count = [], [], [], 0
    for name in whole.splits:
        for utterance in whole.utterances[name]:
            if utterance.duration_seconds <= maximum_seconds:
                parts[name].append(utterance)
                continue
            if utterance.name not in words:
                without.append(utterance.name)
            times = words.get(utterance.name, ())
            pieces = split_clip(utterance, times, maximum_seconds, minimum_pause)
            if not pieces:
                too_long.append(utterance.name)
                reason = (
                    f"{utterance.duration_seconds:.1f} s and no pause of {minimum_pause} s to cut it at within 20 s"
                )
                dropped.append(Dropped(utterance.name, "split", reason, utterance.text))
            cut_count += len(pieces) > 1
            parts[name] += pieces
            for piece in pieces if len(pieces) > 1 else ():
                start = piece.start_seconds - utterance.start_seconds
                lines.append(f"{utterance.name}\t{piece.name}\t{start:.3f}\t{piece.duration_seconds:.3f}\t{piece.text}")
    kept = {name: items for name, items in parts.items() if items}
    if not kept:
        raise CorpusError(f"{corpus.folder}: no clip could be cut to 20 s or less; check the word times")
    report = corpus.folder / "split.tsv"
    if cut_count:
        earlier = report.read_text(encoding="utf-8").splitlines()[1:] if report.is_file() else []
        write_text(report, "\n".join([lines[0], *earlier, *lines[1:]]) + "\n")
    if dropped:
        write_dropped(corpus.folder, dropped, "split")
    info = rewrite(
        corpus.folder, replace(whole.info, settings={**whole.info.settings, "split_seconds": maximum_seconds}), kept
    )
    items = [u for part in kept.values() for u in part]
    return SplitReport(
        clips=sum(len(whole.utterances[name]) for name in whole.splits),
        cut=cut_count,
        pieces=len(items),
        longest_seconds=max(u.duration_seconds for u in items),
        without_times=tuple(without),
        too_long=tuple(too_long),
        info=info,
    )


def read_word_times(path: Path) -> dict[str, list[Timing]]:
    """Word times from a JSON file {name: [[word, start, end], ...]}; raises CorpusError naming what is wrong."""
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        return {name: [(str(w), float(s), float(e)) for w, s, e in words] for name, words in stored.items()}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise CorpusError(f"{path}: cannot be read as {{name: [[word, start, end], ...]}} ({error})") from error


def _check_times(utterance: Utterance, words: Sequence[Timing]) -> None:
    previous = 0.0
    for word, start, end in words:
        # A frame of slack: aligners count whole frames of the recording.
        if not (previous - 0.05 <= start <= end <= utterance.duration_seconds + 0.05):
            raise CorpusError(
                f"utterance {utterance.name!r}: word {word!r} at {start:.2f} to {end:.2f} s does not fit after "
                f"{previous:.2f} s in a clip of {utterance.duration_seconds:.2f} s; align it again"
            )
        previous = end


def _best_cuts(
    borders: Sequence[float], pauses: Sequence[float], maximum: float, shortest: float, longest: float
) -> list[int] | None:
    """Indices of the borders to cut at, both ends included, of least cost; None if there is no way."""
    costs: list[float] = [0.0] + [float("inf")] * (len(borders) - 1)
    previous = [0] * len(borders)
    for last in range(1, len(borders)):
        for first in range(last):
            length = borders[last] - borders[first]
            if not shortest <= length <= longest:
                continue
            # 100 outweighs every sum of pieces of a clip; among few pieces a long pause is the surer cut.
            cost = costs[first] + 1.0 + (100.0 + (length - maximum) if length > maximum else 0.0)
            cost -= 0.5 * min(pauses[last], 1.0) if last < len(borders) - 1 else 0.0
            if cost < costs[last]:
                costs[last], previous[last] = cost, first
    if costs[-1] == float("inf"):
        return None
    cuts = [len(borders) - 1]
    while cuts[-1] != 0:
        cuts.append(previous[cuts[-1]])
    return cuts[::-1]


def _texts(text: str, words: Sequence[str], starts: Sequence[int]) -> list[str]:
    """The text of each piece, with its punctuation where the words are found in the text, else the words alone."""
    places, position, folded = [], 0, text.casefold()
    for word in words:
        found = folded.find(word.casefold(), position) if len(folded) == len(text) else -1
        if found < 0:
            return [" ".join(words[first:last]) for first, last in pairwise(starts)]
        places.append(found)
        position = found + len(word)
    # An opening quotation mark or bracket belongs to the word that follows it.
    edges = [0] + [_opening(text, places[start]) for start in starts[1:-1]] + [len(text)]
    return [text[first:last].strip() for first, last in pairwise(edges)]


def _opening(text: str, place: int) -> int:
    while place > 0 and text[place - 1] in "\"'“‘«([¿¡":
        place -= 1
    return place
