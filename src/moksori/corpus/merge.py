"""Several corpora as one: songs beside speech, one folder to train on."""

import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from moksori.corpus.journal import check_new
from moksori.corpus.manifest import SPLITS, Corpus, CorpusInfo, rewrite
from moksori.corpus.splits import sentence_key
from moksori.errors import CorpusError
from moksori.types import Utterance


def merge_corpora(
    corpora: Sequence[Corpus],
    target: Path,
    progress: Callable[[int, int], None] | None = None,
) -> CorpusInfo:
    """Writes the corpora as one into `target`, a new folder; recordings are hard links where the disk allows it.

    Every utterance keeps its split, but a sentence that is held out in one of them is held out in all: in "test" if it
    is there anywhere, else in "valid". Raises CorpusError for two utterances of one name, a packed corpus, a target
    that holds something or cannot be written.
    """
    for corpus in corpora:
        if corpus.info.packed:
            raise CorpusError(f"{corpus.folder}: is packed; merge the corpus that it was packed from")
    target = Path(target)
    check_new(target)
    parts = _parts(corpora)
    recordings = {u.audio: None for items in parts.values() for u in items}
    names: dict[str, Path] = {}
    for path in recordings:
        other = names.setdefault(path.name.casefold(), path)
        if other != path:
            raise CorpusError(
                f"{path}: has the name of {other}; merge corpora whose recordings have names of their own"
            )
    try:
        (target / "audio").mkdir(parents=True, exist_ok=True)
        for done, path in enumerate(recordings, start=1):
            _link(path, target / "audio" / path.name)
            if progress is not None:
                progress(done, len(recordings))
    except OSError as error:
        raise CorpusError(
            f"{target}: cannot be written ({error.strerror or error}); give another destination"
        ) from error
    moved = {
        split: [replace(u, audio=target / "audio" / u.audio.name) for u in items] for split, items in parts.items()
    }
    infos = [corpus.info for corpus in corpora]
    info = CorpusInfo(
        name=target.resolve().name,
        licence="; ".join(dict.fromkeys(info.licence for info in infos)),
        language=infos[0].language,
        speakers=tuple(sorted({u.speaker for items in parts.values() for u in items})),
        sources=tuple({**source, "corpus": info.name} for info in infos for source in info.sources),
        settings={info.name: dict(info.settings) for info in infos},
        split_rule="; ".join(dict.fromkeys(info.split_rule for info in infos if info.split_rule)),
    )
    return rewrite(target, info, moved)


def _parts(corpora: Sequence[Corpus]) -> dict[str, list[Utterance]]:
    """All utterances by split, sentences that are held out anywhere held out everywhere."""
    held: dict[str, str] = {}
    seen: dict[str, Path] = {}
    for split in ("valid", "test"):  # the second wins
        for corpus in corpora:
            for utterance in corpus.utterances.get(split, ()):
                if sentence_key(utterance.text):
                    held[sentence_key(utterance.text)] = split
    found: dict[str, list[Utterance]] = {}
    for corpus in corpora:
        for split in corpus.splits:
            for utterance in corpus.split(split):
                other = seen.setdefault(utterance.name, corpus.folder)
                if other != corpus.folder:
                    raise CorpusError(f"{corpus.folder}: its utterance {utterance.name!r} is in {other} too")
                there = held.get(sentence_key(utterance.text), split)
                found.setdefault(there if split == "train" or there == "test" else split, []).append(utterance)
    ordered = [*(name for name in SPLITS if name in found), *sorted(set(found) - set(SPLITS))]
    return {name: found[name] for name in ordered}


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another disk, or one that knows no links
        shutil.copyfile(source, target)
