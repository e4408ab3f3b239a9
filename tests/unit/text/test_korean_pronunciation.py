"""The Standard Pronunciation Rules on their own examples, by article, and on words that are not among these."""

import re
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moksori.text.hangul import decompose
from moksori.text.korean_exceptions import Exceptions, bundled, read_entry, read_exceptions
from moksori.text.korean_rules import pronounce
from moksori.text.normalize import normalize

GOLDEN = Path(__file__).parents[2] / "golden"
NOTHING = read_exceptions("")


def rows(name: str) -> list[tuple[str, str, str]]:
    lines = (GOLDEN / name).read_text(encoding="utf-8").splitlines()
    found = [line.split("\t") for line in lines if line and not line.startswith("#")]
    return [(written, said, kind) for written, said, kind in found]


EXAMPLES = rows("pronunciation_ko.tsv")
UNSEEN = rows("pronunciation_ko_unseen.tsv")
ARTICLES = sorted({int(article) for _, _, article in EXAMPLES})


def said(written: str, exceptions: Exceptions | None = None) -> list[str]:
    return [str(word) for word in pronounce(normalize(written, "ko").split(), exceptions)]


def wrong(table: Sequence[tuple[str, str, str]], exceptions: Exceptions | None = None) -> list[tuple[str, str, str]]:
    """Written, pronounced so, and what is right, of the rows that are wrong."""
    results = [(written, "".join(said(written, exceptions)), right) for written, right, _ in table]
    return [row for row in results if row[1] not in row[2].replace(" ", "").split("/")]


def test_the_examples_are_many_and_of_every_article() -> None:
    assert len(EXAMPLES) >= 380
    assert len(set(EXAMPLES)) == len(EXAMPLES)
    assert [5, *range(9, 31)] == ARTICLES
    assert min(Counter(article for _, _, article in EXAMPLES).values()) >= 4
    assert not {written for written, _, _ in UNSEEN} & {written for written, _, _ in EXAMPLES}
    assert len({written for written, _, _ in UNSEEN}) == len(UNSEEN) >= 420


@pytest.mark.parametrize("article", ARTICLES)
def test_examples_of_article(article: int) -> None:
    assert wrong([row for row in EXAMPLES if row[2] == str(article)]) == []


@pytest.mark.parametrize("kind", ["rule", "word", "frequency", "sentence"])
def test_unseen_words(kind: str) -> None:
    assert wrong([row for row in UNSEEN if row[2] == kind]) == []


def test_words_of_sentences_stay_apart() -> None:
    for written, right, kind in UNSEEN:
        if kind == "sentence":
            assert said(written) == right.split()


def test_what_the_rules_do_without_the_list() -> None:
    """The honest share: the spelling alone tells these; the list has to grow for the rest."""
    assert len(wrong(EXAMPLES, NOTHING)) == 125
    by_kind = {kind: len(wrong([r for r in UNSEEN if r[2] == kind], NOTHING)) for kind in ("rule", "word", "frequency")}
    assert by_kind["rule"] <= 3
    assert by_kind["word"] >= 60
    assert by_kind["frequency"] <= 10


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("꽃잎 꽃잎이 꽃잎만 꽃잎에서", "꼰닙 꼰니피 꼰님만 꼰니페서"),
        ("값 값이 값도 값만 값어치", "갑 갑씨 갑또 감만 가버치"),
        ("닭이 닭도 닭만 닭과 통닭집", "달기 닥또 당만 닥꽈 통닥찝"),
        ("여덟이 여덟도 여덟만", "여덜비 여덜도 여덜만"),
        ("밟아 밟고 밟는 밟히다 짓밟다", "발바 밥꼬 밤는 발피다 짇빱따"),
        ("삶이 삶도 닮고 닮아 굶기다 옮겨요", "살미 삼도 담꼬 달마 굼기다 옴겨요"),
        ("신고가 신고했다 참고하세요 안다", "신고가 신고핻따 참고하세요 안다"),
        ("주의 우리의 회의에서 의의", "주이 우리에 회이에서 의이"),
        ("할게요 말게 길게 먹을걸 별것", "할께요 말게 길게 머글껄 별껃"),
        ("선로 대관령 생산량이 전력 전력난", "설로 대괄령 생산냥이 절력 절령난"),
        ("강남역에서 지역에서 통역 서울역과", "강남녀게서 지여게서 통역 서울력꽈"),
        ("수영장 대가족 시대가 병원과 응원가", "수영장 대가족 시대가 병원과 응원가"),
        ("남다른 맹활약 정약용 불도저", "남다른 맹화략 정야굥 불도저"),
        ("건물개발 이발사 해결사 동일시 개별도", "건물개발 이발사 해결사 동일시 개별도"),
    ],
)
def test_particles_and_look_alikes(written: str, expected: str) -> None:
    assert [said(word)[0] for word in written.split()] == expected.split()


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("할 일이 한 일주일", "할 리리 한 일쭈일"),
        ("물을 수도 하늘 수", "무를 쑤도 하늘 수"),
        ("지금 있어 저녁 아버지", "지금 이써 저녁 아버지"),
        ("열 개와 열 살", "열 깨와 열 쌀"),
        ("못 읽어 못 해 못 가", "몬 닐거 모 태 몯 까"),
    ],
)
def test_words_are_joined_only_where_they_make_one_phrase(written: str, expected: str) -> None:
    assert said(written) == expected.split()


def test_the_list_is_well_formed() -> None:
    entries = [*bundled().start.values(), *bundled().any.values(), *bundled().end.values()]
    assert len(entries) >= 1000
    for entry in entries:
        assert len(entry.written) == len(entry.respelled)
        assert re.fullmatch("[가-힣 ]+", entry.written + entry.respelled)
        assert entry.article.rstrip("+").isdigit()


@pytest.mark.parametrize(
    ("marked", "respelled"),
    [
        ("갈'등", "갈뜽"),
        ("솜+이불", "솜니불"),
        ("생산-량", "생산냥"),
        ("겉=옷", "거돗"),
        ("냇~가", "내까"),
        ("넓죽:넙죽", "넙죽"),
    ],
)
def test_marks(marked: str, respelled: str) -> None:
    assert read_entry(marked).respelled == respelled


@pytest.mark.parametrize("marked", ["갈'나", "솜+비", "나=옷", "낮~가", "넓죽:넙", "'", "a'b"])
def test_marks_that_do_not_fit_are_refused(marked: str) -> None:
    with pytest.raises(ValueError, match=re.escape(marked[:2])):
        read_entry(marked)


def test_a_list_begins_with_a_head() -> None:
    with pytest.raises(ValueError, match="before the first head"):
        read_exceptions("갈'등")


@settings(max_examples=300, deadline=None)
@given(st.lists(st.text(st.characters(min_codepoint=0xAC00, max_codepoint=0xD7A3), min_size=1), min_size=1, max_size=5))
def test_any_words_are_pronounced_in_syllables_that_can_be_said(words: list[str]) -> None:
    result = pronounce(words)
    assert [len(word.syllables) for word in result] == [len(word) for word in words]
    for word in result:
        for syllable in word.syllables:
            assert syllable.coda in ("", *"ㄱㄴㄷㄹㅁㅂㅇ")
            assert decompose(str(syllable)) == syllable
    for word in result:
        for left, right in pairwise(word.syllables):
            assert left.coda + right.onset not in ("ㄴㄹ", "ㄹㄴ")
            if left.coda in ("ㄱ", "ㄷ", "ㅂ"):
                assert right.onset not in "ㄱㄷㅂㅅㅈㅎㅇㄹㄴㅁ"
