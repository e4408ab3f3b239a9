"""Written text -> words that can be read aloud."""

import re
import unicodedata

_SPACES = re.compile(r"\s+")


def normalize(text: str, language: str) -> str:
    """Text with Unicode in one form and single spaces."""
    return _SPACES.sub(" ", unicodedata.normalize("NFC", text)).strip()
