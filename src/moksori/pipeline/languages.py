"""Languages by name: whether there is one of that name, before work starts that would end at its first text."""

from moksori.errors import UnknownName
from moksori.text.phonemes import Phonemizer, has_espeak


def check_language(language: str, option: str = "") -> None:
    """Raises UnknownName with the nearest names for a language that cannot be read.

    option: who named it, for the message. Without the espeak extra nobody can tell, and any name is taken.
    """
    if not has_espeak():
        return
    try:
        Phonemizer(language).phonemize("a")
    except UnknownName as error:
        raise UnknownName(f"{option}: {error}" if option else str(error)) from error
