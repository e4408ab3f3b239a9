"""The hard list, and skips, repeats and cut-offs told apart; also from sound, where they were planted."""

from collections import Counter

import numpy as np
import pytest

from moksori.evaluation.hard_sentences import aligned, count_slips, hard_sentences
from moksori.evaluation.intelligibility import spoken_words


def test_the_list_is_fifty_sentences_of_five_kinds() -> None:
    found = hard_sentences()
    assert Counter(s.kind for s in found) == dict.fromkeys(
        ("repeats", "numbers", "long", "one word", "tongue twisters"), 10
    )
    assert len({s.text for s in found}) == 50
    for sentence in found:
        words = len(spoken_words(sentence.text))
        assert (words == 1) == (sentence.kind == "one word")
        if sentence.kind == "long":
            assert words >= 50
            assert len(sentence.text) <= 300  # the pipeline would cut it in two


def test_the_recogniser_knows_every_word() -> None:
    pytest.importorskip("pocketsphinx")
    from moksori.evaluation.intelligibility import split_by_dictionary

    assert not split_by_dictionary([s.text for s in hard_sentences()]).left_out


@pytest.mark.parametrize(
    ("heard", "skipped", "repeated", "cut_off"),
    [
        ("the cat sat on the old mat", "", "", ""),
        ("the cat on the old mat", "sat", "", ""),
        ("the cat sat sat on the old mat", "", "sat", ""),
        ("the cat sat on the cat sat on the old mat", "", "the cat sat on", ""),
        ("the cat sat on", "", "", "the old mat"),
        ("the sat on", "cat", "", "the old mat"),
        ("the cat sat on the bold mat", "", "", ""),
        ("the cat sat on the old mat thank you", "", "", ""),
        ("", "", "", "the cat sat on the old mat"),
    ],
)
def test_slips_are_told_apart(heard: str, skipped: str, repeated: str, cut_off: str) -> None:
    slips = count_slips("The cat sat on the old mat.", heard)
    assert (" ".join(slips.skipped), " ".join(slips.cut_off)) == (skipped, cut_off)
    assert Counter(slips.repeated) == Counter(repeated.split())
    assert slips.clean == (not (skipped or repeated or cut_off))
    assert slips.values["clean"] == float(slips.clean)


def test_words_that_are_meant_to_be_said_twice_are_no_repeats() -> None:
    text = "No, no, no, that is not what I said."
    assert count_slips(text, "no no no that is not what i said").clean
    assert count_slips(text, "no no that is not what i said").skipped == ("no",)
    assert count_slips(text, "no no no no that is not what i said").repeated == ("no",)
    assert str(count_slips(text, "no no no that is")) == "cut off before not what i said"
    assert str(count_slips(text, "")) == "cut off before no no no that is not what i said; not understood"


def test_words_heard_as_others_are_no_slips() -> None:
    slips = count_slips("Six slick snakes slid past.", "six sick snakes slid past")
    assert slips.clean
    assert slips.misheard == ("slick",)
    assert count_slips("Six slick snakes.", "six slick snakes hello").inserted == ("hello",)


def test_what_is_not_understood_is_not_clean() -> None:
    slips = count_slips("Six slick snakes slid past.", "sick sick snakes hid past")
    assert (len(slips.misheard), slips.understood, slips.clean) == (3, False, False)
    assert str(slips) == "not understood"
    assert count_slips("Yes.", "no").values == {"clean": 0.0, "skips": 0.0, "repeats": 0.0, "cut_off": 0.0}


def test_numbers_are_compared_as_they_are_read() -> None:
    assert count_slips("Line 12.", "line twelve").clean


def test_an_alignment_uses_every_word_once_and_in_order() -> None:
    said, heard = list("abbcd"), list("abccxd")
    moves = aligned(said, heard)
    assert [place for what, place, _ in moves if what != "extra"] == list(range(len(said)))
    assert [other for what, _, other in moves if what != "missing"] == list(range(len(heard)))


def test_planted_slips_are_heard() -> None:
    """Words cut out of sound, put in again, or cut off at the end are counted; the sound itself is clean."""
    pytest.importorskip("pocketsphinx")
    pytest.importorskip("jiwer")
    from moksori.evaluation.intelligibility import Recogniser
    from moksori.pipeline.say import load
    from moksori.types import Waveform

    texts = [s.text for s in hard_sentences()]
    recogniser, voice = Recogniser(texts), load("kathleen")
    text = "The parcel weighs 12.75 kg and measures 40 by 30 by 20 cm."
    speech = voice.say(text, seed=5, pause=0.0)
    samples, rate = speech.samples, speech.sample_rate
    words = {word.text: word for word in speech.timings}
    start, stop = (round(t * rate) for t in (words["measures"].start_seconds, words["measures"].end_seconds))

    def slips(*parts: np.ndarray):  # type: ignore[no-untyped-def]
        return count_slips(text, recogniser.transcribe(Waveform(np.concatenate(parts), rate)))

    assert slips(samples).clean
    assert slips(samples[:start], samples[stop:]).skipped == ("measures",)
    assert slips(samples[:stop], samples[start:]).repeated == ("measures",)
    assert slips(samples[:start]).cut_off[0] == "measures"
