"""English words that are written alike and said in several ways, by what they mean or which part of speech they are.

Where nothing says which of the ways is meant (`text.mixed`), such words stay letters. The list is our own: words that
dictionaries of American English give two pronunciations by meaning, with their common inflections; to it come those
that the English front end of this package tells apart.
"""

from functools import cache

from moksori.text.english_phonemes import DATA, words_with_readings

HETERONYMS = "english_heteronyms.txt"


@cache
def heteronyms() -> frozenset[str]:
    """All that are known here, in small letters."""
    listed = (DATA / HETERONYMS).read_text(encoding="utf-8").split()
    return frozenset((*listed, *(word.lower() for word in words_with_readings())))
