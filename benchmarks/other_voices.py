"""Voices that a Linux distribution installs offline, each as one command; for `say_speed.py` and `peers.py`.

Debian and Ubuntu: apt install festival festvox-us-slt-hts flite espeak-ng
"""

import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

FESTIVAL_VOICE = "cmu_us_slt_arctic_hts"
_FESTIVAL_FOLDERS = ("/usr/share/festival/voices", "/usr/local/share/festival/voices")


@dataclass(frozen=True)
class OtherVoice:
    """A command that writes a wav file. packages: Debian's, which it needs."""

    name: str
    packages: str
    found: Callable[[], bool]
    command: Callable[[str, Path], list[str]]
    input_text: bool = False

    def say(self, text: str, path: Path) -> None:
        """Writes the text as speech to `path`; raises CalledProcessError where the command fails."""
        fed = text if self.input_text else None
        subprocess.run(self.command(text, path), input=fed, text=True, check=True, capture_output=True)


def _festival_found() -> bool:
    voices = [path for root in _FESTIVAL_FOLDERS for path in Path(root).glob(f"*/{FESTIVAL_VOICE}")]
    return shutil.which("text2wave") is not None and bool(voices)


VOICES = (
    OtherVoice(
        "festival slt (HTS)",
        "festival festvox-us-slt-hts",
        _festival_found,
        lambda text, path: ["text2wave", "-eval", f"(voice_{FESTIVAL_VOICE})", "-o", str(path)],
        input_text=True,
    ),
    OtherVoice(
        "flite slt",
        "flite",
        lambda: shutil.which("flite") is not None,
        lambda text, path: ["flite", "-voice", "slt", "-t", text, "-o", str(path)],
    ),
    OtherVoice(
        "espeak-ng",
        "espeak-ng",
        lambda: shutil.which("espeak-ng") is not None,
        lambda text, path: ["espeak-ng", "-v", "en-us", "-w", str(path), "--", text],
    ),
)


def installed() -> list[OtherVoice]:
    """The voices that work here; says which are missing and how they are installed."""
    usable = []
    for voice in VOICES:
        if not voice.found():
            print(f"{voice.name}: not here (apt install {voice.packages})")
            continue
        with tempfile.TemporaryDirectory() as folder:
            try:
                voice.say("Hello.", Path(folder) / "hello.wav")
            except subprocess.CalledProcessError as error:
                print(f"{voice.name}: does not work here: {error.stderr.strip()[:200]}")
                continue
        usable.append(voice)
    return usable
