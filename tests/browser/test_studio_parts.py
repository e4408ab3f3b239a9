"""Parts of the studio page alone: its strings, spectra, pictures, wave files and events."""

import base64
import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import soundfile

if TYPE_CHECKING:
    from playwright.sync_api import Page

    OpenPage = Callable[..., Page]

STATIC = Path(__file__).resolve().parents[2] / "src" / "moksori" / "serving" / "static"


@pytest.fixture(scope="module")
def page(open_page: "OpenPage") -> "Page":
    return open_page()


def test_every_text_is_there_in_both_languages(page: "Page") -> None:
    strings = page.evaluate("import('/js/strings.js').then(({ STRINGS }) => STRINGS)")
    assert all(set(texts) == {"en", "ko"} and all(texts.values()) for texts in strings.values())
    places = {key: [set(re.findall(r"\{\w+\}", text)) for text in texts.values()] for key, texts in strings.items()}
    assert [key for key, (english, korean) in places.items() if english != korean] == []
    scripts = "".join(path.read_text(encoding="utf-8") for path in (STATIC / "js").rglob("*.js"))
    markup = (STATIC / "index.html").read_text(encoding="utf-8")
    used = set(re.findall(r'data-t(?:-\w+)?="([^"]+)"', markup))
    used |= set(re.findall(r'(?:translated|tell|PageError)\("([^"]+)"', scripts))
    assert used - set(strings) == set()


def test_a_spectrum_is_that_of_numpy(page: "Page") -> None:
    frame = np.random.default_rng(0).standard_normal(512)
    found = page.evaluate(
        "frame => import('/js/fourier.js').then(({ Spectrum }) => [...new Spectrum(512).of(frame)])", frame.tolist()
    )
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(512) / 512)
    np.testing.assert_allclose(found, np.abs(np.fft.rfft(frame * window)) * 4 / 512, rtol=1e-4, atol=1e-6)


def test_a_picture_shows_where_the_sound_is_and_stays_bounded(page: "Page") -> None:
    """A tone of 1 kHz from second 30 to 60 of 60: its columns are the second half, its row that of 1 kHz."""
    found = page.evaluate(
        """async () => {
            const { Picture, ROWS } = await import("/js/picture.js");
            const { melShare } = await import("/js/fourier.js");
            const picture = new Picture(16000);
            for (let second = 0; second < 60; second++) {
                const samples = Float32Array.from({ length: 16000 }, (_, n) =>
                    second < 30 ? 0 : 0.5 * Math.sin((2 * Math.PI * 1000 * n) / 16000));
                picture.append(samples);
            }
            picture.end();
            const column = Math.round(picture.columns * 0.75);
            const levels = [...picture.decibels.subarray(column * ROWS, (column + 1) * ROWS)];
            return {
                columns: picture.columns, room: picture.high.length, hop: picture.hop,
                row: levels.indexOf(Math.max(...levels)), expected: melShare(1000, picture.top) * ROWS,
                loudest: picture.loudest, before: Math.max(...picture.high.subarray(0, picture.columns * 0.49)),
                after: Math.min(...picture.high.subarray(picture.columns * 0.51, picture.columns - 2)),
            };
        }"""
    )
    assert found["columns"] <= found["room"] < 3000
    assert found["columns"] * found["hop"] == pytest.approx(60 * 16000, rel=0.01)
    assert found["row"] == pytest.approx(found["expected"], abs=1.5)
    assert found["loudest"] == pytest.approx(-6.0, abs=0.5)
    assert (found["before"], found["after"]) == (0.0, pytest.approx(0.5, abs=0.01))


def test_wave_files_are_made_and_mended(page: "Page") -> None:
    samples = np.sin(np.arange(1600) / 20).astype(np.float32) * 0.5
    made = page.evaluate(
        """async (samples) => {
            const { waveFile, mended, WaveReader } = await import("/js/wave_file.js");
            const { decoded, Sound } = await import("/js/sound.js");
            const whole = new Uint8Array(await waveFile(Sound.of(Float32Array.from(samples), 16000)).arrayBuffer());
            const open = whole.slice();  // as a server sends it that does not know its length yet
            open.fill(255, 4, 8);
            open.fill(255, 40, 44);
            const back = await mended(new Blob([open]));
            const sound = await decoded(back);
            const reader = new WaveReader();
            const read = [];  // the same bytes as they come, cut anywhere
            for (let at = 0; at < open.length; at += 77) read.push(...reader.push(open.slice(at, at + 77)));
            const text = (bytes) => btoa(String.fromCharCode(...bytes));
            const closed = new Uint8Array(await back.arrayBuffer());
            return [text(whole), text(closed), sound.sampleRate, sound.length, reader.sampleRate, read];
        }""",
        samples.tolist(),
    )
    assert made[0] == made[1]
    assert made[2:5] == [16000, 1600, 16000]
    np.testing.assert_allclose(made[5], samples, atol=1e-4)
    read, rate = soundfile.read(io.BytesIO(base64.b64decode(made[0])))
    assert rate == 16000
    np.testing.assert_allclose(read, samples, atol=1e-4)


def test_events_are_read_however_they_are_cut(page: "Page") -> None:
    stream = (
        ': hello\n\ndata: {"n": 1}\n\nevent: x\r\ndata: {"n":\r\ndata: 2}\r\n\r\n'
        'data: {"n": "목소리"}\n\ndata: [DONE]\n\n'
    )
    found = page.evaluate(
        """async (text) => {
            const { events } = await import("/js/api.js");
            const bytes = new TextEncoder().encode(text);
            const read = [];
            for (const width of [1, 7, bytes.length]) {
                const stream = new ReadableStream({
                    start(control) {
                        for (let at = 0; at < bytes.length; at += width) control.enqueue(bytes.slice(at, at + width));
                        control.close();
                    },
                });
                const events_ = [];
                for await (const event of events(stream)) events_.push(event.n);
                read.push(events_);
            }
            return read;
        }""",
        stream,
    )
    assert found == [[1, 2, "목소리"]] * 3


def test_cells_of_the_scoreboard_are_read(page: "Page") -> None:
    cells = ["0.42 ± 0.30 (0.53)", "3.01", "-", "0.0186"]
    found = page.evaluate("cells => import('/js/pages/board.js').then((m) => cells.map(m.readCell))", cells)
    assert found == [
        {"value": 0.42, "shown": "0.42", "spread": 0.3, "people": 0.53},
        {"value": 3.01, "shown": "3.01", "spread": 0, "people": None},
        None,
        {"value": 0.0186, "shown": "0.0186", "spread": 0, "people": None},
    ]


def test_a_sound_is_played_without_gaps_while_it_grows(page: "Page") -> None:
    """Every piece begins at the sample where the one before ends, though half of it came while the rest was heard."""
    found = page.evaluate(
        """async () => {
            const { Player } = await import("/js/player.js");
            const { Sound } = await import("/js/sound.js");
            const pieces = [];
            const start = AudioBufferSourceNode.prototype.start;
            AudioBufferSourceNode.prototype.start = function (at) {
                pieces.push({ at, seconds: this.buffer.duration });
                return start.call(this, at);
            };
            const sound = new Sound(16000);
            sound.append(new Float32Array(8000).fill(0.01));
            const player = new Player(sound);
            await player.play();
            await new Promise((resolve) => setTimeout(resolve, 200));
            const during = player.position;
            for (let n = 0; n < 4; n++) sound.append(new Float32Array(1000).fill(0.01));
            sound.ended = true;
            await new Promise((resolve) => player.addEventListener("state", resolve));
            AudioBufferSourceNode.prototype.start = start;
            return { pieces, during, position: player.position, playing: player.playing };
        }"""
    )
    assert 0.0 < found["during"] < 0.5
    assert (found["position"], found["playing"]) == (0.75, False)
    assert sum(piece["seconds"] for piece in found["pieces"]) == pytest.approx(0.75)
    ends = [piece["at"] + piece["seconds"] for piece in found["pieces"]]
    assert [piece["at"] for piece in found["pieces"][1:]] == pytest.approx(ends[:-1], abs=1e-6)
