"""What a lexicon's rows are meant for: a language or voice that nothing here has would make them hold for nothing."""

from collections.abc import Iterable

from moksori.pipeline.models import models
from moksori.text.lexicon import Lexicon
from moksori.text.phonemes import espeak_languages, has_espeak


def unknown_scopes(lexicon: Lexicon, voices: Iterable[str]) -> str:
    """One line that names languages and voices of a lexicon that nobody has; empty where there are none.

    voices: of the model that speaks; rows for other models here and their speakers are no mistake.
    """
    asked = {entry.voice for entry in lexicon.entries if entry.voice is not None} - set(voices)
    if asked:
        for model in models():
            asked -= {model.name, *(model.manifest.speakers if model.manifest is not None else ())}
    scopes = {entry.language for entry in lexicon.entries if entry.language is not None}
    if scopes and has_espeak():  # else nobody can tell
        known = espeak_languages()
        scopes = {scope for scope in scopes if not any(f"{name}-".startswith(f"{scope}-") for name in known)}
    else:
        scopes = set()
    parts = [
        f"unknown {kind} {', '.join(map(repr, sorted(names)[:5]))}"
        for kind, names in (("language", scopes), ("voice", asked))
        if names
    ]
    return f"lexicon: {' and '.join(parts)}: such rows are never used, correct their names" if parts else ""
