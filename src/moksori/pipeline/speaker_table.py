"""Who stands in a model's speaker table: those whom its training hears, in the order of the corpus's table.

A corpus lists whoever is heard in any of its splits. A row that no training clip teaches keeps its first weights, and
would be offered as a voice all the same.
"""

import logging
from collections.abc import Sequence
from dataclasses import replace

from moksori.corpus.manifest import Corpus
from moksori.errors import CorpusError
from moksori.types import Example

logger = logging.getLogger(__name__)


def trained_speakers(corpus: Corpus) -> tuple[str, ...]:
    """The speakers of a corpus's table who have a clip in its training split."""
    heard = {utterance.speaker for utterance in corpus.utterances.get("train", ())}
    return tuple(name for name in corpus.info.speakers if name in heard)


def with_table(corpus: Corpus, recorded: Sequence[str] | None = None) -> Corpus:
    """The corpus with the table of a model that learns from it; nothing is left out, and nothing on disk changes.

    recorded: the table that a run has been given before, which stays. Raises CorpusError where it lacks a speaker whom
    the training hears now.
    """
    trained = trained_speakers(corpus)
    missing = [] if recorded is None else [name for name in trained if name not in recorded]
    if missing:
        raise CorpusError(
            f"{corpus.folder}: trains {', '.join(missing)}, who {'is' if len(missing) == 1 else 'are'} not in the "
            "speaker table of this run: name the corpus that it was started with, or start another run"
        )
    return replace(corpus, info=replace(corpus.info, speakers=trained if recorded is None else tuple(recorded)))


def in_table(examples: Sequence[Example], table: Sequence[str], split: str) -> list[Example]:
    """The examples of those who stand in a table, each with its speaker's row; others are named in the log."""
    rows = {name: row for row, name in enumerate(table)}
    known = [replace(e, speaker=rows[e.utterance.speaker]) for e in examples if e.utterance.speaker in rows]
    if len(known) < len(examples):
        strangers = sorted({e.utterance.speaker for e in examples if e.utterance.speaker not in rows})
        logger.warning(
            "%d clips of the %s split are left out: %s, who speaks in them, has no training clip",
            len(examples) - len(known),
            split,
            " or ".join(strangers),
        )
    return known
