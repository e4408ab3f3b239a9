"""Speaks a sentence with the bundled voice into demo/: sound, spectrogram, word timings; says what to try next."""

import sys
import time
from pathlib import Path

from moksori.errors import MoksoriError

TEXT = "Hello! I learned to speak from one hour of recordings, and now I can read your own words aloud."
ROOT = Path(__file__).resolve().parent.parent


def main(text: str) -> None:
    started = time.perf_counter()
    import moksori
    from moksori.audio.picture import save_spectrogram

    voice = moksori.load()
    voice.say("One.", seed=1)  # loads the pronunciation and the kernels, so that what is timed is speaking
    ready = time.perf_counter()
    speech = voice.say(text, seed=1)
    spoken = time.perf_counter()
    folder = ROOT / "demo"
    folder.mkdir(exist_ok=True)
    speech.save(folder / "hello.wav", timings=folder / "hello.json")
    words = [(word.text, word.start_seconds, word.end_seconds) for word in speech.timings]
    save_spectrogram(folder / "hello.png", speech.waveform, words)

    seconds = spoken - ready
    print(f'{voice.name} says: "{text}"')
    print("demo/hello.wav   the sound: play it")
    print("demo/hello.png   its spectrogram, words marked")
    print("demo/hello.json  when each word is heard")
    print(
        f"{speech.duration_seconds:.2f} s of speech in {seconds:.2f} s: real-time factor "
        f"{seconds / speech.duration_seconds:.3f} (start-up took {ready - started:.1f} s before it)"
    )
    print("Next, try:")
    print('  .venv/bin/moksori say "A sentence of your own." -o mine.wav')
    print('  .venv/bin/moksori say "Slowly now." --speed 0.8 --variation 0.3 -o slow.mp3')
    print("  .venv/bin/moksori say --file README.md -o readme.flac")
    print("  .venv/bin/moksori doctor")


if __name__ == "__main__":
    try:
        main(" ".join(sys.argv[1:]) or TEXT)
    except MoksoriError as error:
        sys.exit(f"moksori: {error}")
