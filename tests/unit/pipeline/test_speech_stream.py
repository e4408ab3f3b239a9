"""Speech heard while it is made: the samples of `say`, text as it arrives, blocks that come early, what is refused."""

import itertools
import json
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from moksori.errors import BadInput, MoksoriError, TextError, UnknownName
from moksori.models.checkpoint import Loaded, Manifest
from moksori.models.contract import CanStream
from moksori.pipeline import say
from moksori.pipeline.run_config import run_config
from moksori.pipeline.sentences import arriving
from moksori.pipeline.speaker import Speaker
from moksori.types import SpokenBlocks

TEXT = "Hello there. How are you, my friend?\n\nA new paragraph. 🎉 It ends."
SSML = (
    "<speak>Hello there. <break time='300ms'/> "
    "<prosody rate='fast' volume='-6dB' pitch='+2st'>Once more.</prosody></speak>"
)
TOLERANCE = 1e-5


@pytest.fixture
def voice(toy_folder) -> Speaker:
    """A voice without streaming."""
    return say.load(toy_folder)


@pytest.fixture
def streaming(voice, toy_family) -> Speaker:
    """The same, its sentences in blocks; `made` counts the blocks that were really made."""

    class Streaming(toy_family.ToyVoice):
        takes_pitch = True
        made = 0

        def stream(self, text, controls, chunk_frames=(12,), generator=None) -> SpokenBlocks:
            spoken = self.say(text, controls, generator)

            def blocks() -> Iterator[torch.Tensor]:
                start = 0
                for frames in itertools.chain(chunk_frames, itertools.repeat(chunk_frames[-1])):
                    if start >= spoken.waveform.shape[1]:
                        return
                    self.made += 1
                    stop = start + frames * self.config.hop_length
                    yield spoken.waveform[:, start:stop]
                    start = stop

            return SpokenBlocks(blocks(), spoken.waveform_lengths, spoken.durations)

    model = Streaming(voice.loaded.model.config)
    model.load_state_dict(voice.loaded.model.state_dict())
    return Speaker(Loaded(model.eval(), voice.manifest, voice.loaded.folder))


@pytest.fixture(scope="module")
def vits() -> Speaker:
    """A tiny VITS, not trained, that streams by itself."""
    from moksori.models.vits import Vits

    config = run_config("vits/tiny").model
    torch.manual_seed(0)
    manifest = Manifest(
        family="vits", name="tiny", model=config.model_dump(), text=config.text, sample_rate=config.mel.sample_rate
    )
    return Speaker(Loaded(Vits(config).eval(), manifest, None))


@pytest.mark.parametrize("options", [{}, {"pause": 0.0, "volume": 6.0}, {"speed": 1.5, "pause": 0.4}])
@pytest.mark.parametrize("text", [TEXT, SSML])
def test_the_blocks_together_are_what_say_says(voice, streaming, text, options):
    for speaker in (voice, streaming):
        whole = speaker.say(text, seed=4, **options)
        stream = speaker.stream(text, seed=4, **options)
        blocks = list(stream)
        assert np.array_equal(np.concatenate(blocks), whole.samples)
        assert all(block.dtype == np.float32 and len(block) for block in blocks)
        assert (stream.sample_rate, stream.seed) == (whole.sample_rate, whole.seed)
        assert stream.duration_seconds == whole.duration_seconds
        assert stream.sentences == whole.sentences
        assert stream.timings == whole.timings


def test_a_vits_says_the_same_in_blocks_of_any_size(vits):
    assert isinstance(vits.model, CanStream)
    whole = vits.say(TEXT, seed=4)
    for sizes in (7, (12, 64, 160)):
        stream = vits.stream(TEXT, seed=4, chunk_frames=sizes)
        samples = np.concatenate(list(stream))
        assert samples.shape == whole.samples.shape
        assert np.abs(samples - whole.samples).max() < TOLERANCE
        assert stream.timings == whole.timings
    blocks = list(vits.stream(TEXT, seed=4, chunk_frames=(3, 9)))
    assert [len(block) for block in blocks[:3]] == [round(0.125 * 22050), 3 * 256, 9 * 256]


def test_a_voice_that_is_played_faster_for_its_pitch_streams_too(streaming):
    type(streaming.model).takes_pitch = False
    whole = streaming.say("Hello there, how are you?", seed=1, pitch=3.0)
    samples = np.concatenate(list(streaming.stream("Hello there, how are you?", seed=1, pitch=3.0, chunk_frames=5)))
    assert samples.shape == whole.samples.shape
    assert np.abs(samples - whole.samples).max() < TOLERANCE


def test_nothing_is_made_before_it_is_asked_for(streaming):
    stream = streaming.stream("Hello there, how are you?", seed=1, chunk_frames=(2, 3))
    assert streaming.model.made == 0
    assert not np.concatenate([next(stream)]).any()  # the silence before the text
    assert streaming.model.made == 0
    assert len(next(stream)) == 2 * 32
    assert len(next(stream)) == 3 * 32
    assert streaming.model.made == 2
    stream.close()
    assert list(stream) == []


# ---- text that arrives ----


def counted(parts, taken: list) -> Iterator[str]:
    for part in parts:
        taken.append(part)
        yield part


@pytest.mark.parametrize("speaker", ["voice", "streaming"])
def test_a_sentence_is_spoken_as_soon_as_it_is_complete(request, speaker):
    speaker = request.getfixturevalue(speaker)
    words = ["Hello", " there", ".", " How", " are", " you", "?", "\n\n", "Fine", "."]
    taken = []
    stream = speaker.stream(counted(words, taken), seed=4)
    assert taken == []
    heard = [next(stream), next(stream)]
    assert taken == words[:4]
    assert heard[1].any()
    while len(stream.sentences) < 2:
        heard.append(next(stream))
    assert taken == words[:8]  # a blank line needs no next word
    heard += list(stream)
    assert np.array_equal(np.concatenate(heard), speaker.say("".join(words), seed=4).samples)


def test_a_text_without_end_is_spoken(streaming):
    stream = streaming.stream(f"Sentence number {number}. " for number in itertools.count())
    while len(stream.sentences) < 5:
        next(stream)
    assert stream.sentences[4].text == "Sentence number 4."


def test_ssml_may_arrive_in_pieces(voice):
    for text in (SSML, "<3 is no SSML. Really.", "<speakers> are loud."):
        parts = [text[start : start + 3] for start in range(0, len(text), 3)]
        stitched = np.concatenate(list(voice.stream(iter(parts), seed=2)))
        assert np.array_equal(stitched, voice.say(text, seed=2).samples), text
    taken = []
    first = next(arriving(counted(["<", "3", " yes. ", "Then", " more"], taken)))
    assert (first.text, len(taken)) == ("<3 yes.", 4)


def test_what_the_source_raises_comes_after_what_was_complete(voice):
    def broken() -> Iterator[str]:
        yield "Hello there. How"
        raise TimeoutError("no more tokens")

    stream = voice.stream(broken(), seed=4, pause=0.0)
    first = next(stream)
    assert np.array_equal(first, voice.say("Hello there.", seed=4, pause=0.0).samples)
    with pytest.raises(TimeoutError, match="no more tokens"):
        next(stream)


# ---- what is refused ----


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the text is empty"),
        (" \n", "the text is empty"),
        ("🎉", "'🎉' holds no words"),
        ([], "the text is empty"),
        (["", " "], "the text is empty"),
        (["🎉", "🎉"], "'🎉🎉' holds no words"),
        (5, "expected a string or an iterator of strings, found int"),
        (b"Hello.", "part 1 of the text: expected a string, found int"),
        (["Hello. ", None], "part 2 of the text: expected a string, found NoneType"),
    ],
)
def test_texts_that_cannot_be_spoken(voice, text, message):
    with pytest.raises(TextError, match=message):
        list(voice.stream(text))


@pytest.mark.parametrize("sizes", [0, -3, (12, 0), (), 2.5, "12", True, (8, None)])
def test_bad_chunks_are_refused_at_once(voice, sizes):
    with pytest.raises(BadInput, match="chunk_frames") as caught:
        voice.stream("Hello.", chunk_frames=sizes)
    assert "\n" not in str(caught.value)


def test_bad_options_are_refused_at_once(voice):
    with pytest.raises(BadInput, match="speed 0"):
        voice.stream("Hello.", speed=0)
    with pytest.raises(UnknownName, match="unknown speaker 'bobb'"):
        voice.stream(iter(["Hello."]), speaker="bobb")
    with pytest.raises(UnknownName, match="unknown speaker 'eve'"):
        voice.stream("<speak><voice name='eve'>Hello.</voice></speak>")


def test_nan_ends_the_stream(streaming):
    with torch.no_grad():
        streaming.model.embedding.weight.fill_(float("nan"))
    with pytest.raises(MoksoriError, match=r"made NaN or infinity of 'Hello\.'"):
        list(streaming.stream("Hello."))


def test_timings_of_a_stream_can_be_saved(streaming, tmp_path):
    stream = streaming.stream("Hello there.", seed=1)
    list(stream)
    stream.save_timings(tmp_path / "a.json")
    streaming.say("Hello there.", seed=1).save_timings(tmp_path / "b.json")
    assert json.loads((tmp_path / "a.json").read_text()) == json.loads((tmp_path / "b.json").read_text())
