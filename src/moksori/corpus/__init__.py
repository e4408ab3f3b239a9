"""Corpora: import, manifests, checks, features, batches.

`Corpus.open(folder)` reads a corpus that `moksori corpus import` made; `features.prepare` turns a split into examples.
"""

from moksori.corpus.manifest import Corpus, CorpusInfo, read_utterance

__all__ = ["Corpus", "CorpusInfo", "read_utterance"]
