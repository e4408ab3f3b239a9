"""SSML: what each element means, what is refused, and that any document ends in segments or in one line."""

import math
from xml.sax.saxutils import escape

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moksori.errors import TextError
from moksori.text.inline import all_given
from moksori.text.markup import MAXIMUM_PAUSE_SECONDS, Segment, Style, espeak_language, is_ssml, parse_ssml
from moksori.text.say_as import words_as


def parsed(body: str) -> tuple[list[Segment], list[str]]:
    warnings: list[str] = []
    return parse_ssml(f"<speak>{body}</speak>", warn=warnings.append), warnings


def test_text_is_split_into_sentences_and_paragraphs() -> None:
    segments, warnings = parsed("One &amp; two. Three\n  four!<p>Five.</p><p><s>Six</s><s>Seven</s></p>Eight")
    assert [(s.text, s.pause_seconds, s.ends_paragraph) for s in segments] == [
        ("One & two.", None, False),
        ("Three four!", None, False),
        ("Five.", None, True),
        ("Six", None, False),
        ("Seven", None, True),
        ("Eight", None, True),
    ]
    assert warnings == []
    assert all(s.style == Style() for s in segments)


@pytest.mark.parametrize(
    ("tag", "seconds"),
    [
        ('<break time="500ms"/>', 0.5),
        ('<break time="2s"/>', 2.0),
        ('<break time=".25s"/>', 0.25),
        ("<break/>", 0.4),
        ('<break strength="x-strong"/>', 1.2),
        ('<break strength="none"/>', 0.0),
        ('<break time="1s"/><break time="500ms"/>', 1.5),
        ('<break time="99s"/>', MAXIMUM_PAUSE_SECONDS),
        ('<break time="19s"/>' * 50, MAXIMUM_PAUSE_SECONDS),
    ],
)
def test_breaks(tag: str, seconds: float) -> None:
    segments, _ = parsed(f"before {tag} after")
    assert [s.text for s in segments] == ["before", "after"]
    assert segments[0].pause_seconds == pytest.approx(seconds, abs=1e-6)
    assert segments[1].pause_seconds is None


def test_a_break_before_all_text_is_kept() -> None:
    segments, _ = parsed('<break time="1s"/>Hello.')
    assert [(s.text, s.pause_seconds) for s in segments] == [("", 1.0), ("Hello.", None)]


def test_prosody_nests_and_stays_in_range() -> None:
    segments, warnings = parsed(
        'a <prosody rate="slow" pitch="+2st" volume="soft">b <prosody rate="200%" pitch="-5st" volume="+4.5dB">c'
        "</prosody></prosody> d"
    )
    assert [s.style for s in segments] == [
        Style(),
        Style(rate=0.75, shift_semitones=2.0, volume_db=-6.0),
        Style(rate=1.5, shift_semitones=-3.0, volume_db=-1.5),
        Style(),
    ]
    assert [s.pause_seconds for s in segments] == [0.0, 0.0, 0.0, None]
    assert warnings == []
    extreme, _ = parsed('<prosody rate="x-fast" pitch="+99st" volume="+99dB">' * 9 + "x" + "</prosody>" * 9)
    assert extreme[0].style == Style(rate=10.0, shift_semitones=12.0, volume_db=40.0)


@pytest.mark.parametrize(
    ("attribute", "style"),
    [
        ('rate="1.2"', Style(rate=1.2)),
        ('rate="+20%"', Style(rate=1.2)),
        ('rate="80%"', Style(rate=0.8)),
        ('pitch="+100%"', Style(shift_semitones=12.0)),
        ('pitch="low"', Style(shift_semitones=-3.0)),
        ('volume="silent"', Style(volume_db=-80.0)),
    ],
)
def test_values_of_prosody(attribute: str, style: Style) -> None:
    (segment,), warnings = parsed(f"<prosody {attribute}>x</prosody>")
    assert warnings == []
    assert segment.style.rate == pytest.approx(style.rate)
    assert segment.style.shift_semitones == pytest.approx(style.shift_semitones)
    assert segment.style.volume_db == pytest.approx(style.volume_db)


@pytest.mark.parametrize(
    ("body", "warning"),
    [
        ('<prosody rate="quick">x</prosody>', "prosody's rate 'quick': expected slow, 80% or 1.2"),
        ('<prosody rate="0%">x</prosody>', "prosody's rate '0%'"),
        ('<prosody pitch="-100%">x</prosody>', "prosody's pitch '-100%'"),
        ('<prosody volume="11">x</prosody>', "prosody's volume '11': expected loud or +6dB"),
        ('<prosody contour="(0%,+1st)">x</prosody>', "prosody's 'contour' has no effect"),
        ('x<break time="soon"/>', "break's time 'soon': expected 500ms or 2s"),
        ('x<break strength="huge"/>', "break's strength 'huge'"),
        ('<sub alias="">x</sub>', "sub's alias ''"),
        ('<phoneme ph="">x</phoneme>', "phoneme's ph ''"),
        ('<phoneme alphabet="x-sampa" ph="a">x</phoneme>', "alphabet 'x-sampa' is not known"),
        ('<say-as interpret-as="cardinal">x</say-as>', "say-as 'cardinal' does not fit 'x'"),
        ('<say-as interpret-as="song">x</say-as>', "say-as 'song' does not fit 'x'"),
        ('<say-as interpret-as="date" format="zzz">x</say-as>', "say-as's format 'zzz': expected dmy, mdy, ymd"),
        ("<say-as>x</say-as>", "say-as's interpret-as '': expected cardinal"),
        ("<voice>x</voice>", "voice's name '': expected a speaker of the model"),
        ('<voice name=" ">x</voice>', "voice's name ''"),
        ("<emphasis>x</emphasis><emphasis></emphasis>", "<emphasis> is not known, its text is spoken as it is"),
        ('x<mark name="here"/>', "<mark> has no effect"),
    ],
)
def test_what_is_not_understood_is_told_once_and_its_text_spoken(body: str, warning: str) -> None:
    segments, warnings = parsed(body)
    assert [s.text for s in segments] == ["x"]
    assert segments[0].style == Style()
    assert len(warnings) == 1
    assert warning in warnings[0]


@pytest.mark.parametrize(
    ("attribute", "style", "warning"),
    [
        ('volume="+999dB"', Style(volume_db=40.0), "prosody's volume '+999dB' comes to 999 dB, cut to 40 dB"),
        ('pitch="+999st"', Style(shift_semitones=12.0), "prosody's pitch '+999st' comes to 999 st, cut to 12 st"),
        ('pitch="-13st"', Style(shift_semitones=-12.0), "prosody's pitch '-13st' comes to -13 st, cut to -12 st"),
        ('rate="5%"', Style(rate=0.1), "prosody's rate '5%' comes to 0.05, cut to 0.1"),
        ('rate="20"', Style(rate=10.0), "prosody's rate '20' comes to 20, cut to 10"),
    ],
)
def test_what_is_cut_to_its_limit_is_told(attribute: str, style: Style, warning: str) -> None:
    segments, warnings = parsed(f"<prosody {attribute}>x</prosody> <prosody {attribute}>y</prosody>")
    assert [s.style for s in segments] == [style, style]
    assert warnings == [f"SSML: {warning}"]


def test_a_voice_of_a_language_needs_no_name() -> None:
    assert parsed('<voice xml:lang="de">x</voice>')[1] == []


def test_metadata_is_not_spoken() -> None:
    assert [s.text for s in parsed("<metadata><a>no</a></metadata>yes")[0]] == ["yes"]


def test_languages_and_voices() -> None:
    segments, warnings = parsed(
        'Hello <lang xml:lang="de-DE">Guten Tag.</lang> <voice name="bob">I am Bob. <lang xml:lang="nl">Dag.</lang>'
        "</voice>"
        '<s xml:lang="ko-KR">안녕하세요.</s>'
    )
    assert [(s.text, s.style.language, s.style.voice) for s in segments] == [
        ("Hello", None, None),
        ("Guten Tag.", "de", None),
        ("I am Bob.", None, "bob"),
        ("Dag.", "nl", "bob"),
        ("안녕하세요.", "ko", None),
    ]
    assert warnings == []
    root = parse_ssml('<?xml version="1.0"?><speak version="1.1" xml:lang="en-GB"><p>Hello.</p></speak>')
    assert root[0].style.language == "en-gb"


@pytest.mark.parametrize(
    ("tag", "voice"),
    [("en", "en-us"), ("EN_gb", "en-gb"), ("de-AT", "de"), ("pt-BR", "pt-br"), ("zh-CN", "cmn"), ("en-ZA", "en-us")],
)
def test_language_tags(tag: str, voice: str) -> None:
    assert espeak_language(tag) == voice


def test_phoneme_and_sub_keep_the_written_word() -> None:
    (segment,), _ = parsed(
        '<phoneme alphabet="ipa" ph="pɪˈkɑːn">pecan</phoneme> <sub alias="World. Wide Web">WWW</sub>!'
    )
    assert [(g.written, g.sounds, g.respelled) for g in all_given(segment.text)] == [
        ("pecan", "pɪˈkɑːn", False),
        ("WWW", "World. Wide Web", True),
    ]


@pytest.mark.parametrize(
    ("kind", "order", "written", "words"),
    [
        ("cardinal", "", "1984", "one thousand nine hundred eighty-four"),
        ("cardinal", "", "-1,234.5", None),
        ("cardinal", "", "-12.5", "minus twelve point five"),
        ("ordinal", "", "3", "third"),
        ("ordinal", "", "21st", "twenty-first"),
        ("ordinal", "", "first", None),
        ("characters", "", "a1-b", "A one dash B"),
        ("spell-out", "", "SQL", "S Q L"),
        ("digits", "", "10:30", "one zero three zero"),
        ("telephone", "", "+1 (212) 555-1234", "plus one, two one two, five five five, one two three four"),
        ("telephone", "", "none", None),
        ("date", "dmy", "3/4/2021", "April 3, 2021"),
        ("date", "mdy", "3/4/2021", "March 4, 2021"),
        ("date", "ymd", "2021-04-03", "April 3, 2021"),
        ("date", "md", "12-25", "December 25"),
        ("date", "my", "6/1999", "June 1999"),
        ("date", "d", "5", "the fifth"),
        ("date", "mdy", "13/1/2000", None),
        ("date", "", "2021-04-03", "2021-04-03"),
        ("time", "hms12", "2:30pm", "2:30pm"),
        ("fraction", "", "3/4", "3/4"),
        ("currency", "", "$5", "$5"),
        ("song", "", "la", None),
    ],
)
def test_say_as(kind: str, order: str, written: str, words: str | None) -> None:
    assert words_as(written, kind, order, "en-us") == words


def test_say_as_in_another_language() -> None:
    assert words_as("3,5", "cardinal", "", "de") is None
    assert words_as("3", "ordinal", "", "de") == "dritte"
    assert words_as("3.5", "cardinal", "", "de") == "drei Komma fünf"


BAD = {
    "not closed": ("<speak>a", "line 1, column 9: no element found"),
    "crossed": ("<speak>\n<p><s>a</p></s></speak>", "line 2, column 10: mismatched tag"),
    "entity": ("<speak>&nbsp;</speak>", "undefined entity"),
    "bare sign": ("<speak>a & b</speak>", "write & as &amp;"),
    "document type": ("<!DOCTYPE speak><speak>a</speak>", "a document type (<!DOCTYPE>) is not read"),
    "bomb": (
        '<!DOCTYPE x [<!ENTITY a "aa"><!ENTITY b "&a;&a;">]><speak>&b;</speak>',
        "a document type (<!DOCTYPE>) is not read",
    ),
    "file": ('<!DOCTYPE x SYSTEM "file:///etc/passwd"><speak>a</speak>', "a document type"),
    "root": ("<p>a</p>", "starts with <p>, expected <speak>"),
    "deep": ("<speak>" + "<p>" * 40, "more than 32 deep"),
    "long": ("<speak>" + "a" * 2_000_001, "2,000,000 at most"),
    "empty": ("", "no element found"),
    "zero": ("<speak>\0</speak>", "not well-formed"),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_documents_are_refused_on_one_line(kind: str) -> None:
    document, message = BAD[kind]
    with pytest.raises(TextError) as raised:
        parse_ssml(document)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


DOCTYPE = (
    '<!DOCTYPE speak PUBLIC "-//W3C//DTD SYNTHESIS 1.0//EN" "http://www.w3.org/TR/speech-synthesis/synthesis.dtd">'
)


@pytest.mark.parametrize(
    "text",
    [
        "<speak>a",
        " \n<speak version='1.1'>",
        '<?xml version="1.0"?>\n<speak>',
        "\ufeff<speak/>",
        "<!-- one -->\n<!-- two --> <speak>",
        f"{DOCTYPE}<speak>",
        f'<?xml version="1.0"?>\n<!-- one -->\n{DOCTYPE}\n<!-- two --><speak version="1.0">hi</speak>',
        "<!DOCTYPE speak [<!ENTITY a 'b'>]><speak>",
    ],
)
def test_ssml_is_recognised(text: str) -> None:
    assert is_ssml(text)


def test_a_document_type_is_refused_without_being_told_that_it_is_ssml() -> None:
    text = f'<?xml version="1.0"?>{DOCTYPE}<speak version="1.0">hi</speak>'
    assert is_ssml(text)
    with pytest.raises(TextError, match=r"a document type \(<!DOCTYPE>\) is not read: leave it out"):
        parse_ssml(text)


def test_many_comments_are_looked_through_at_once() -> None:
    assert not is_ssml("<!-- a -->" * 2000)


@pytest.mark.parametrize(
    "text", ["", "speak", "<speaker>", "see <speak>", "<spea k>", "< speak>", "<!DOCTYPE html>", "<!-- a <speak>"]
)
def test_plain_text_is_not_taken_for_ssml(text: str) -> None:
    assert not is_ssml(text)


WORDS = st.text(alphabet=st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Cn", "Co"]), max_size=12)
VALUES = st.sampled_from(
    ["", "slow", "+2st", "-150%", "1e9", "99999%", "2s", "-1s", "9" * 30, "de", "bob", "ipa", "mdy"]
)
NAMES = st.sampled_from(
    ["p", "s", "break", "prosody", "voice", "lang", "phoneme", "sub", "say-as", "emphasis", "metadata", "x:speak", "w"]
)
KEYS = st.sampled_from(
    ["rate", "pitch", "volume", "time", "strength", "xml:lang", "name", "ph", "alias", "interpret-as"]
)


def element(children: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    attributes = st.dictionaries(KEYS, VALUES, max_size=3).map(lambda d: "".join(f' {k}="{v}"' for k, v in d.items()))
    return st.builds(lambda name, given, inside: f"<{name}{given}>{inside}</{name}>", NAMES, attributes, children)


TREES = st.recursive(
    WORDS.map(escape), lambda children: st.lists(element(children), max_size=3).map("".join), max_leaves=8
)


@settings(max_examples=200, deadline=None)
@given(TREES)
def test_any_document_gives_segments_in_range(body: str) -> None:
    segments, _ = parsed(body)
    for segment in segments:
        style = segment.style
        assert 0.1 <= style.rate <= 10.0
        assert -12.0 <= style.shift_semitones <= 12.0
        assert -80.0 <= style.volume_db <= 40.0
        assert math.isfinite(style.rate + style.shift_semitones + style.volume_db)
        assert segment.pause_seconds is None or 0.0 <= segment.pause_seconds <= MAXIMUM_PAUSE_SECONDS
        assert "<" not in segment.text or "<" in body.replace("&lt;", "<")


@settings(max_examples=100, deadline=None)
@given(WORDS)
def test_no_word_is_lost(text: str) -> None:
    segments, _ = parsed(f"<p>{escape(text)}</p>")
    assert "".join("".join(s.text for s in segments).split()) == "".join(text.split())


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="<>/speak &;\"'=![]\n", max_size=60))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    for document in (text, f"<speak>{text}</speak>"):
        try:
            segments = parse_ssml(document, warn=lambda message: None)
        except TextError:
            continue
        assert document.lstrip().startswith(("<speak", "<!--", "<?"))
        assert all(isinstance(segment, Segment) for segment in segments)
