"""The studio page in a real browser: what a person does, hears and sees."""

import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import soundfile

if TYPE_CHECKING:
    from playwright.sync_api import Page, Route

    OpenPage = Callable[..., Page]

PARTS = ("speak", "convert", "sing", "clone", "compare", "scoreboard")
SENTENCE = "Hello there, this is a test."


def _wait_for(page: "Page", selector: str, pattern: str) -> str:
    """The text of `selector` once it matches `pattern`."""
    page.wait_for_function(
        "([selector, pattern]) => new RegExp(pattern).test(document.querySelector(selector)?.textContent)",
        arg=[selector, pattern],
    )
    return page.text_content(selector) or ""


def _drop(page: "Page", selector: str, path: Path) -> None:
    """Drops a file onto an element, as a person does."""
    carried = page.evaluate_handle(
        """([name, bytes]) => {
            const carried = new DataTransfer();
            carried.items.add(new File([new Uint8Array(bytes)], name));
            return carried;
        }""",
        [path.name, list(path.read_bytes())],
    )
    page.dispatch_event(selector, "drop", {"dataTransfer": carried})


def test_a_text_is_heard_seen_and_saved(open_page: "OpenPage") -> None:
    page = open_page()
    page.fill("#speak-text", SENTENCE)
    page.fill("#speak-seed", "7")
    page.click("#speak [type=submit]")
    page.wait_for_selector("#speak-sound .word.heard")  # a word lights up while it is heard
    told = _wait_for(page, "#speak .status", "seed 7")
    seconds = float(told.split()[0])
    page.wait_for_selector('#speak-sound .play[data-playing="false"]')
    heard = page.evaluate("window.heard")
    assert sum(piece["seconds"] for piece in heard) == pytest.approx(seconds, abs=0.06)
    assert max(piece["power"] for piece in heard) > 1e-4
    words = page.locator("#speak-sound .word").all_text_contents()
    assert [word.strip(",.").lower() for word in words] == ["hello", "there", "this", "is", "a", "test"]

    with page.expect_download() as waiting:
        page.click("#speak-sound .saver button")
    saved = io.BytesIO(Path(waiting.value.path()).read_bytes())
    assert waiting.value.suggested_filename == "moksori-7.wav"
    with soundfile.SoundFile(saved) as file:
        assert len(file) / file.samplerate == pytest.approx(seconds, abs=0.06)
        assert "synthetic" in " ".join(file.copy_metadata().values())


def test_the_picture_is_worked_by_keys(open_page: "OpenPage") -> None:
    page = open_page()
    page.fill("#speak-text", SENTENCE)
    page.press("#speak-text", "Control+Enter")
    _wait_for(page, "#speak .status", "seed")
    stage = page.locator("#speak-sound .stage")
    stage.focus()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    if page.get_attribute("#speak-sound .play", "data-playing") == "true":
        page.keyboard.press("Space")
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    assert float(stage.get_attribute("aria-valuenow") or 0) == pytest.approx(1.0, abs=0.15)
    page.keyboard.press("Space")
    page.wait_for_selector('#speak-sound .play[data-playing="true"]')
    page.keyboard.press("Space")
    page.wait_for_selector('#speak-sound .play[data-playing="false"]')


def test_pronunciations_are_kept_and_used(open_page: "OpenPage") -> None:
    page = open_page()
    page.click("#speak-lexicon summary")
    page.click("#speak-lexicon > button")
    page.fill("#speak-lexicon .row input >> nth=0", "test")
    page.fill("#speak-lexicon .row input >> nth=1", "tˈɛst")
    page.fill("#speak-text", "A test.")
    with page.expect_request("**/v1/audio/speech") as asked:
        page.click("#speak [type=submit]")
    assert asked.value.post_data_json["lexicon"] == [["test", "tˈɛst"]]
    _wait_for(page, "#speak .status", "seed")
    page.reload()
    page.wait_for_selector("html[data-ready]")
    assert page.input_value("#speak-lexicon .row input >> nth=1") == "tˈɛst"


def test_a_dropped_file_is_converted(open_page: "OpenPage", talk: Path) -> None:
    page = open_page("convert")
    _drop(page, "#convert-source", talk)
    _wait_for(page, "#convert-source .picked", "talk.wav · 0:0")
    page.select_option("#convert-voice-in", "seven-voices/kerstin")
    page.click("#convert [type=submit]")
    _wait_for(page, "#convert .status", "seed")
    lengths = [text.split(" / ")[1] for text in page.locator("#convert-result .time").all_text_contents()]
    source = soundfile.info(talk).duration
    assert [float(text.split(":")[1]) for text in lengths] == pytest.approx([source, source], abs=0.15)
    page.wait_for_selector('#convert-result [aria-pressed="true"]:has-text("After")')
    page.locator("body").press("a")
    page.wait_for_selector('#convert-result [aria-pressed="true"]:has-text("Before")')


def test_with_its_words_a_recording_is_said_anew(open_page: "OpenPage", talk: Path) -> None:
    page = open_page("convert")
    _drop(page, "#convert-source", talk)
    assert not page.is_visible("#convert-text")
    page.click("#convert .segments label >> nth=1")
    _drop(page, "#convert-target", talk)
    assert page.is_visible("#convert-strength")
    page.fill("#convert-text-in", "The sun was warm, and the road was long.")
    assert not page.is_visible("#convert-strength")
    with page.expect_request(lambda request: request.url.endswith("/v1/convert")):
        page.click("#convert [type=submit]")
    _wait_for(page, "#convert .status", "seed")


def test_a_recording_is_taken_from_the_microphone(open_page: "OpenPage") -> None:
    page = open_page("convert")
    page.click("#convert-source .record")
    page.wait_for_timeout(700)
    page.click("#convert-source .record")
    assert re.search(r"recording-\d+\.wav · 0:00\.[4-9]", _wait_for(page, "#convert-source .picked", "wav · "))


def test_a_voice_is_made_with_consent_used_and_deleted(open_page: "OpenPage", talk: Path) -> None:
    page = open_page("clone")
    _drop(page, "#clone-files", talk)
    _wait_for(page, "#clone-files .picked", "talk.wav")
    page.fill("#clone-name", "Anna")
    page.fill("#clone-consent", "Anna agreed to this test.")
    page.click("#clone [type=submit]")
    assert "consent" in _wait_for(page, "#clone .problem[role=alert]:not(.picker *)", "consent")
    page.check("#clone [name=agreed]")
    page.click("#clone [type=submit]")
    _wait_for(page, "#clone .status", "Anna")
    assert page.locator("#clone-list h3").all_text_contents() == ["Anna"]
    assert page.locator("#convert-voice-in optgroup[label='Your own'] option").all_text_contents() == ["Anna"]
    page.click("#clone-list button:has-text('Delete')")
    page.click("#forget [value=yes]")
    page.wait_for_selector("#clone-empty:not([hidden])")
    assert page.locator("#clone-list li").count() == 0


def test_names_are_hidden_until_the_vote(open_page: "OpenPage") -> None:
    page = open_page("compare")
    page.fill("#compare-text", "Good morning.")
    for box in page.locator("#compare-voices input").all():
        box.set_checked(box.get_attribute("value") in ("kathleen/kathleen", "seven-voices/kathleen"))
    page.click("#compare [type=submit]")
    _wait_for(page, "#compare .status", "then choose")
    names = page.locator("#compare-cards h3")
    assert names.all_text_contents() == ["Voice A", "Voice B"]
    page.click("#compare-cards .vote >> nth=1")
    assert all("kathleen" in name for name in names.all_text_contents())
    assert page.locator("#compare-cards .best h3").text_content() in (_wait_for(page, "#compare .status", "chose"))
    assert sorted(page.locator("#tally-rows td:nth-of-type(1)").all_text_contents()) == ["0", "1"]


def test_the_scoreboard_is_shown(open_page: "OpenPage") -> None:
    page = open_page("scoreboard")
    page.wait_for_selector("#board .plot svg")
    page.click("#board summary")
    assert "kathleen" in (page.text_content("#board tbody") or "")
    value = page.locator("#board tr:has(th:text-is('kathleen')) td").nth(2).text_content() or ""
    plotted = page.get_attribute("#board .plot svg >> nth=0", "aria-label") or ""
    assert value.split(" ")[0] in plotted


def test_bad_input_is_told(open_page: "OpenPage", tmp_path: Path) -> None:
    page = open_page()
    page.fill("#speak-text", " ")
    page.click("#speak [type=submit]")
    assert "nothing to say" in _wait_for(page, "#speak .problem", "say")
    page.fill("#speak-text", "x" * 301)
    page.click("#speak [type=submit]")
    assert "301 characters" in _wait_for(page, "#speak .problem", "301")
    page.fill("#speak-text", SENTENCE)
    page.fill("#speak-seed", "-3")
    page.click("#speak [type=submit]")
    _wait_for(page, "#speak .problem", "seed")  # the server's own words
    page.fill("#speak-seed", "3")
    page.click("#speak [type=submit]")
    _wait_for(page, "#speak .status", "seed 3")  # it works again, and the error is gone
    assert page.locator("#speak .problem").is_hidden()

    page.evaluate("location.hash = '#convert'")
    page.click("#convert [type=submit]")
    _wait_for(page, "#convert .problem:not(.picker *)", "no recording")
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"RIFF no sound at all")
    _drop(page, "#convert-source", broken)
    _wait_for(page, "#convert-source .picked", "broken.wav")
    page.click("#convert [type=submit]")
    _wait_for(page, "#convert .problem:not(.picker *)", "sound|read|wav")


@pytest.mark.parametrize("locale", ["en-US", "ko-KR"])
def test_every_part_fits_a_phone_and_has_words(open_page: "OpenPage", locale: str) -> None:
    page = open_page(locale=locale, width=360, height=740)
    assert page.get_attribute("html", "lang") == locale[:2]
    for part in PARTS:
        page.evaluate("part => location.hash = '#' + part", part)
        page.wait_for_selector(f"#page-{part}:not([hidden])")
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, part
        # A key that has no text shows itself; a field without a label is silent to a screen reader.
        shown = page.locator(f"#page-{part}").inner_text()
        assert not re.search(r"\b[a-z]+\.[a-z]+\b", shown.replace("naturalspeech2.", "")), part
        assert page.evaluate(_NAMELESS) == [], part


_NAMELESS = """() => [...document.querySelectorAll(":is(a, input, select, textarea, button, [role=slider])")]
  .filter((found) => found.checkVisibility())
  .filter((found) => !(found.labels?.length || found.getAttribute("aria-label") || found.innerText.trim()))
  .map((found) => found.outerHTML.slice(0, 120))"""


def test_the_language_is_switched_and_kept(open_page: "OpenPage") -> None:
    page = open_page()
    page.click("#language")
    assert page.text_content("#speak-title") == "말하기"
    assert page.get_attribute("html", "lang") == "ko"
    page.fill("#speak-text", "")
    page.click("#speak [type=submit]")
    _wait_for(page, "#speak .problem", "글이 없습니다")
    page.reload()
    page.wait_for_selector("html[data-ready]")
    assert page.text_content("#speak-title") == "말하기"
    page.click("#language")
    assert page.text_content("#speak-title") == "Speak"


def test_a_server_that_is_busy_gone_or_wants_a_key(open_page: "OpenPage") -> None:
    page = open_page()
    busy = '{"error": {"message": "busy", "type": "rate_limit_error", "param": null, "code": "busy"}}'
    page.route("**/v1/audio/speech", lambda route: route.fulfill(status=429, headers={"Retry-After": "9"}, body=busy))
    page.click("#speak [type=submit]")
    assert "9 seconds" in _wait_for(page, "#speak .problem", "busy")
    page.unroute("**/v1/audio/speech")
    page.route("**/v1/audio/speech", lambda route: route.abort())
    page.click("#speak [type=submit]")
    assert "moksori serve" in _wait_for(page, "#speak .problem", "does not answer")
    page.unroute("**/v1/audio/speech")

    keys: list[str | None] = []

    def guard(route: "Route") -> None:
        keys.append(route.request.headers.get("authorization"))
        if keys[-1] == "Bearer the-right-key":
            route.continue_()
        else:
            route.fulfill(status=401, body='{"error": {"message": "a key is needed", "code": "no_key"}}')

    page.route("**/v1/scoreboard", guard)
    page.evaluate("location.hash = '#scoreboard'")
    page.fill("#key-in", "the-right-key")
    page.click("#key [value=yes]")
    page.wait_for_selector("#board .plot svg")
    assert keys == [None, "Bearer the-right-key"]
