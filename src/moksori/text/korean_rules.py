"""Written Korean -> its standard pronunciation in Hangul: the Standard Pronunciation Rules (표준 발음법), by article.

What the spelling decides is decided here, syllable by syllable: what becomes of a coda and of the onset after it
(`_linked`, `_breathed`, `_met`), then of the vowel (article 5). What one has to know of a word (compounds, Sino-Korean
tense consonants, added ㄴ) is respelled first by text.korean_exceptions, so that particles and endings still follow the
rules. Vowel length (articles 6, 7) is left out, as no symbol stands for it.

Words are kept apart unless two of them are said as one: the left one has one syllable (옷 한 벌, 못 와요), so has the
right one (집 앞), or the list of exceptions has both (할 일). Then articles 12, 15, 18 and 23 hold across the space;
what moves over it (ㄷ in 밭 아래 [바다래]) is the onset of the right word. ㄴ, ㅁ and ㅇ stay: they sound the same.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from moksori.text.hangul import NEUTRAL, TENSE, Syllable, decompose
from moksori.text.korean_exceptions import Exceptions, bundled, tensed, word_classes

_CLUSTERS = {
    "ㄳ": ("ㄱ", "ㅆ"), "ㄵ": ("ㄴ", "ㅈ"), "ㄺ": ("ㄹ", "ㄱ"), "ㄻ": ("ㄹ", "ㅁ"), "ㄼ": ("ㄹ", "ㅂ"),
    "ㄽ": ("ㄹ", "ㅆ"), "ㄾ": ("ㄹ", "ㅌ"), "ㄿ": ("ㄹ", "ㅍ"), "ㅄ": ("ㅂ", "ㅆ"),
}  # fmt: skip
"""Cluster -> what stays and what moves to a vowel (article 14: ㅅ moves tense)."""
_WITH_H = {"ㅎ": "", "ㄶ": "ㄴ", "ㅀ": "ㄹ"}
"""Codas with ㅎ and what stays of them (article 12)."""
_ASPIRATED = {"ㄱ": "ㅋ", "ㄷ": "ㅌ", "ㅂ": "ㅍ", "ㅈ": "ㅊ"}
_NASAL = {"ㄱ": "ㅇ", "ㄷ": "ㄴ", "ㅂ": "ㅁ"}
_STEM_CLUSTERS = ("ㄵ", "ㄻ", "ㄼ", "ㄾ")
"""Ends of verb stems after which an ending is tense (articles 24, 25)."""
_NOUNS_IN_CLUSTER = frozenset("삶앎덟")
_NOUNS_IN_RG = frozenset("닭흙칡탉슭삵딹")
"""Nouns in ㄺ are read ㄱ before ㄱ too (흙과); verb stems are read ㄹ there (맑게, article 11)."""
_STEM_READ_B = ("밟", "빫")
_PLAIN_VOWEL = {"ㅑ": "ㅏ", "ㅕ": "ㅓ", "ㅛ": "ㅗ", "ㅠ": "ㅜ", "ㅖ": "ㅔ", "ㅒ": "ㅐ"}

_R = "".join(chr(0xAC08 + 28 * k) for k in range(19 * 21))
"""All syllables with the coda ㄹ."""
_ENDINGS_IN_R = re.compile(
    rf"(?<=[{_R}])(?=수록|지라도|지언정|진대|세라|게요$|걸요?$|거야$|거예요$|거에요$|겁니다$|건데|것)"
    r"|(?<=[할갈볼올될줄])(?=밖에)|(?<=[할될갈올볼을])(?=지(?:$|도|는|를|라|에|가|요|만))"
    rf"|(?<=[{_R}])(?<![길멀달말들놀알열풀울날팔걸불물글힘만둘칠돌빌])(?=게$)"
)
"""Where an ending that begins with -(으)ㄹ goes on (article 27, note); 길게, 말게 and their like are stems in ㄹ."""
_BOUND_NOUN = re.compile(
    r"것|거(?:$|야|예|에요|다|니|라|지|죠|면|고|든|냐|였|잖)|게요?$|걸요?$|건데|건가|건지|겁니|수(?:$|가|는|도|밖|를|만|록)|"
    r"데(?:$|가|는|도|에|다)|바(?:$|를|는|가|에|와)|적(?:에|이|도)|줄(?:은|을|도|로|만|이)|듯|법(?:$|한|하|도|이)|셈|지경|정도|성싶"
)
_CLASSES = word_classes()
_ADNOMINAL, _OTHER_IN_R = frozenset(_CLASSES["adnominal"]), frozenset(_CLASSES["other"])
_FREE_NOUN = re.compile("|".join(_CLASSES["noun"]))


@dataclass(frozen=True)
class Pronounced:
    """A written word as it is said; `joined` where something of the word before became its onset."""

    syllables: tuple[Syllable, ...]
    joined: bool = False

    def __str__(self) -> str:
        return "".join(map(str, self.syllables))


def pronounce(words: Sequence[str], exceptions: Exceptions | None = None) -> tuple[Pronounced, ...]:
    """How words in Hangul syllables, said without a pause, are pronounced.

    exceptions: the package's list by default; an empty one gives what the rules alone make of the spelling.
    """
    respelled, said_as_one = (bundled() if exceptions is None else exceptions).respelled(" ".join(words))
    spelled = [[letters for letters in map(decompose, word) if letters] for word in _with_tense_r(respelled.split(" "))]
    position, bounds = 0, []
    for left, right in pairwise(words):
        position += len(left) + 1
        if position - 1 in said_as_one:
            bounds.append("one")
        else:
            bounds.append("phrase" if min(len(left), len(right)) == 1 else "pause")
    letters = [syllable for word in spelled for syllable in word]
    written = [syllable for word in words for syllable in map(decompose, word) if syllable]
    kinds: list[str] = []
    for index, word in enumerate(spelled):
        kinds += ["inside"] * (len(word) - 1) + ([bounds[index]] if index < len(bounds) else [])
    moved = _meet_all(letters, kinds)
    result, start = [], 0
    for index, word in enumerate(spelled):
        end = start + len(word)
        vowels = [_vowel(letters[k], written[k], k == start, k + 1 == end) for k in range(start, end)]
        result.append(Pronounced(tuple(vowels), index > 0 and moved[start - 1]))
        start = end
    return tuple(result)


def _with_tense_r(words: list[str]) -> list[str]:
    """Words with the consonants after -(으)ㄹ made tense (article 27): inside endings, and in the noun that follows."""
    result = []
    for index, word in enumerate(words):
        before = words[index - 1] if index else ""
        places = {match.start() for match in _ENDINGS_IN_R.finditer(word)}
        if (
            before[-1:] in _R
            and before
            and before not in _OTHER_IN_R
            and not before.endswith("를")
            and (_BOUND_NOUN.match(word) or (before in _ADNOMINAL and _FREE_NOUN.match(word)))
        ):
            places.add(0)
        result.append("".join(tensed(c) if k in places else c for k, c in enumerate(word)))
    return result


def _meet_all(letters: list[Syllable], kinds: Sequence[str]) -> list[bool]:
    """Applies the rules to all pairs of neighbours, in place; where a coda became the onset of the next."""
    moved = []
    for index, kind in enumerate(kinds):
        left, right = letters[index], letters[index + 1]
        if kind == "pause":
            letters[index] = replace(left, coda=NEUTRAL[left.coda])
            moved.append(False)
            continue
        if kind == "phrase":
            left = _neutral(left)
        if right.onset == "ㅇ":
            stays = kind != "inside" and left.coda in "ㄴㅁㅇ"
            coda, onset = (left.coda, "ㅇ") if stays else _linked(left, right)
        elif right.onset == "ㅎ":
            coda, onset = _breathed(left, right)
        elif kind == "phrase" and right.onset == "ㄹ":
            coda, onset = left.coda, "ㄹ"
        else:
            coda, onset = _met(left, right)
        letters[index] = replace(left, coda=coda)
        letters[index + 1] = replace(right, onset=onset)
        moved.append(left.coda != "" and coda == "" and right.onset in "ㅇㅎ")
    if letters:
        letters[-1] = _neutral(letters[-1])
    return moved


def _neutral(syllable: Syllable) -> Syllable:
    coda = "ㅂ" if str(syllable) in _STEM_READ_B else NEUTRAL[syllable.coda]
    return replace(syllable, coda=coda)


def _linked(left: Syllable, right: Syllable) -> tuple[str, str]:
    """Coda and onset where a vowel follows: articles 12.4, 13, 14, 17."""
    coda = left.coda
    if coda in ("", "ㅇ"):
        return coda, "ㅇ"
    if coda in _WITH_H:
        return "", _WITH_H[coda] or "ㅇ"
    if coda in "ㄷㅌㄾ" and right.vowel in "ㅣㅕ":
        return ("ㄹ" if coda == "ㄾ" else ""), ("ㅈ" if coda == "ㄷ" else "ㅊ")
    return _CLUSTERS.get(coda, ("", coda))


def _breathed(left: Syllable, right: Syllable) -> tuple[str, str]:
    """Coda and onset where ㅎ follows: articles 12.1 and 17."""
    coda, before_i = left.coda, right.vowel in "ㅣㅕ"
    if coda in _WITH_H:
        return _WITH_H[coda], "ㅎ"
    if coda == "ㄺ":
        return ("ㄹ" if before_i else ""), "ㅋ"
    if coda in ("ㄵ", "ㄼ", "ㄾ") and str(left) not in _NOUNS_IN_CLUSTER:
        stays, moves = _CLUSTERS[coda]
        return stays, "ㅊ" if coda == "ㄾ" and before_i else _ASPIRATED.get(moves, moves)
    plain = NEUTRAL[coda]
    if plain not in _ASPIRATED:
        return plain, "ㅎ"
    if coda in "ㄷㅈㅌ" and before_i:
        return "", "ㅊ"
    return "", _ASPIRATED[plain]


def _met(left: Syllable, right: Syllable) -> tuple[str, str]:
    """Coda and onset where another consonant follows: articles 8 to 12, 18 to 20, 23 to 25."""
    coda, onset, character = left.coda, right.onset, str(left)
    if coda in _WITH_H:
        rest = _WITH_H[coda]
        if onset in "ㄱㄷㅈ":
            return rest, _ASPIRATED[onset]
        if onset == "ㅅ":
            return rest, "ㅆ"
        coda = rest or "ㄷ"
    plain = "ㅂ" if character in _STEM_READ_B else NEUTRAL[coda]
    hardens = plain in _ASPIRATED or (coda in _STEM_CLUSTERS and character not in _NOUNS_IN_CLUSTER)
    if coda == "ㄻ" and onset == "ㄱ" and right.vowel in "ㅣㅕ":
        hardens = False  # 굶기다, 옮겨: causatives
    if coda == "ㄺ" and onset == "ㄱ" and character not in _NOUNS_IN_RG:
        plain = "ㄹ"
    if hardens:
        onset = TENSE.get(onset, onset)
    if onset == "ㄹ" and plain in ("ㅁ", "ㅇ", *_NASAL):
        return _NASAL.get(plain, plain), "ㄴ"
    if (plain, onset) in (("ㄴ", "ㄹ"), ("ㄹ", "ㄴ")):
        return "ㄹ", "ㄹ"
    if onset in "ㄴㅁ":
        plain = _NASAL.get(plain, plain)
    return plain, onset


def _vowel(said: Syllable, written: Syllable, first: bool, last: bool) -> Syllable:
    """Article 5: 져 as 저, ㅖ after a consonant as ㅔ, ㅢ as ㅣ unless it begins a word, the particle 의 as 에."""
    vowel = said.vowel
    if said.onset in "ㅈㅉㅊ":
        vowel = _PLAIN_VOWEL.get(vowel, vowel)
    elif vowel == "ㅖ" and written.onset not in "ㅇㄹ":
        vowel = "ㅔ"
    elif vowel == "ㅢ" and (written.onset != "ㅇ" or not first):
        vowel = "ㅔ" if last and written.onset == "ㅇ" and written.coda == "" else "ㅣ"
    return replace(said, vowel=vowel)
