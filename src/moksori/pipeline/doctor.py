"""What works on this machine: Python, torch, device, extras, audio files, sound device, write access, voices."""

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from moksori.errors import MoksoriError
from moksori.pipeline.models import bundled_folder, home, models
from moksori.pipeline.whole_files import why_unwritable

_MINIMUM_PYTHON = (3, 11)
_TORCH = ((2, 6), (2, 14))
# extra -> packages by import name, and what a person has them for; the versions' ranges are in pyproject.toml
_EXTRAS = {
    "espeak": (("phonemizer", "espeakng_loader"), "phonemes of most languages"),
    "play": (("sounddevice",), "playing without an output file"),
    "fast": (("numba",), "faster alignment search, fast WaveNet sampling"),
    "world": (("pyworld",), "F0 and mel-cepstra by WORLD, conversion by world_vae models"),
    "sing": (("music21", "mido"), "scores as MusicXML and MIDI"),
    "train": (("lightning", "lhotse", "scipy", "tensorboard", "librosa", "pyloudnorm"), "corpora and training"),
    "evaluate": (("jiwer", "pocketsphinx", "speechmos", "pystoi", "mir_eval", "onnxruntime"), "measuring"),
    "export": (("onnx", "onnxruntime"), "models as ONNX files"),
    "serve": (
        ("fastapi", "uvicorn", "websockets", "python_multipart", "prometheus_client", "wyoming"),
        "the server and its page",
    ),
    "book": (("ebooklib", "av"), "audiobooks: epub in, m4b out"),
    "scale": (("ray",), "work on many processes or machines"),
    "evaluate-full": (("pesq", "resemblyzer"), "PESQ and speaker similarity"),
}
_NEED_PKG_RESOURCES = ("pyworld", "webrtcvad", "resemblyzer")
_TRAPS = ("torchaudio", "torchvision")


@dataclass(frozen=True)
class Finding:
    """One line of the examination; state "absent" is something optional that is not there."""

    name: str
    state: Literal["ok", "absent", "bad"]
    detail: str
    remedy: str = ""


def examine() -> Iterator[Finding]:
    """The findings, one check after the other; a check that breaks is itself a finding."""
    checks: dict[str, Callable[[], Finding]] = {
        "python": _python,
        "torch": _torch,
        "device": _device,
        "torch add-ons": _traps,
        **{f"[{extra}]": _extra_check(extra) for extra in _EXTRAS},
        "setuptools": _setuptools,
        "phonemes": _phonemes,
        "audio files": _audio_files,
        "sound device": _sound_device,
        "write access": _write_access,
        "voice": _voice,
        "vocoders": _vocoders,
    }
    for name, check in checks.items():
        try:
            yield check()
        except MoksoriError as error:
            yield Finding(name, "bad", str(error))
        except Exception as error:
            yield Finding(
                name,
                "bad",
                f"{type(error).__name__}: {' '.join(str(error).split())}",
                "install moksori's packages again",
            )


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] < _MINIMUM_PYTHON:
        return Finding("python", "bad", version, "install Python 3.11 or newer and make the environment anew")
    return Finding("python", "ok", f"{version} ({sys.executable})")


def _torch() -> Finding:
    try:
        import torch
    except (ImportError, OSError) as error:
        return Finding(
            "torch",
            "bad",
            f"cannot be imported: {' '.join(str(error).split())[:120]}",
            "pip install --force-reinstall torch",
        )
    version = torch.__version__
    numbers = tuple(int(part) for part in version.split("+")[0].split(".")[:2])
    if not _TORCH[0] <= numbers < _TORCH[1]:
        return Finding("torch", "bad", f"{version}: 2.6 to 2.13 are known to work", "pip install torch==2.13.0")
    return Finding("torch", "ok", version)


def _device() -> Finding:
    import torch

    cores = os.cpu_count() or 1
    if torch.cuda.is_available():
        return Finding("device", "ok", f"{torch.cuda.get_device_name(0)}, and CPU with {cores} cores")
    return Finding("device", "ok", f"CPU, {cores} cores, {torch.get_num_threads()} threads (no CUDA GPU)")


def _traps() -> Finding:
    found = [name for name in _TRAPS if find_spec(name)]
    if found:
        names = " and ".join(found)
        remedy = (
            f"pip uninstall {' '.join(found)}: moksori does not use it, and a build for another torch breaks imports"
        )
        return Finding("torch add-ons", "bad", f"{names} installed", remedy)
    return Finding("torch add-ons", "ok", "no torchaudio, no torchvision")


def _extra_check(extra: str) -> Callable[[], Finding]:
    packages, purpose = _EXTRAS[extra]

    def check() -> Finding:
        missing = [name for name in packages if find_spec(name) is None]
        if missing:
            remedy = f"pip install 'moksori[{extra}]'"
            return Finding(f"[{extra}]", "absent", f"{purpose}; {', '.join(missing)} not installed", remedy)
        return Finding(f"[{extra}]", "ok", purpose)

    return check


def _setuptools() -> Finding:
    needing = [name for name in _NEED_PKG_RESOURCES if find_spec(name)]
    if needing and find_spec("pkg_resources") is None:
        have = metadata.version("setuptools") if find_spec("setuptools") else "none"
        return Finding(
            "setuptools",
            "bad",
            f"{have} has no pkg_resources, which {needing[0]} imports",
            "pip install 'setuptools<81'",
        )
    return Finding("setuptools", "ok", "has what the extras need" if needing else "not needed here")


def _phonemes() -> Finding:
    if find_spec("phonemizer") is None or find_spec("espeakng_loader") is None:
        return Finding(
            "phonemes",
            "absent",
            "espeak-ng is not installed: English and Korean are read without it, other languages cannot be spoken",
            "pip install 'moksori[espeak]'",
        )
    from moksori.text.tokenizer import Tokenizer

    encoded = Tokenizer().encode("Hello, world.")
    if not encoded.words:
        return Finding(
            "phonemes", "bad", "espeak-ng gives no phonemes", "pip install --force-reinstall espeakng-loader phonemizer"
        )
    return Finding("phonemes", "ok", f"espeak-ng: 'Hello, world.' is {encoded.phonemes}")


def _audio_files() -> Finding:
    import numpy as np
    import soundfile

    from moksori.audio.io import SUFFIXES, read, write
    from moksori.types import Waveform

    tone = Waveform(np.sin(np.arange(4800, dtype=np.float32) * 0.1) * np.float32(0.5), 24000)
    with tempfile.TemporaryDirectory() as folder:
        for suffix in SUFFIXES:
            write(Path(folder) / f"tone{suffix}", tone)
            read(Path(folder) / f"tone{suffix}")
    return Finding("audio files", "ok", f"{', '.join(s[1:] for s in SUFFIXES)} ({soundfile.__libsndfile_version__})")


def _sound_device() -> Finding:
    remedy = "only needed without -o; write to a file instead: -o hello.wav"
    try:
        import sounddevice

        device = sounddevice.query_devices(kind="output")
    except ImportError:
        return Finding(
            "sound device", "absent", "sounddevice not installed", "pip install 'moksori[play]', or use -o hello.wav"
        )
    except OSError:
        return Finding("sound device", "absent", "PortAudio is missing", remedy)
    except (ValueError, RuntimeError, sounddevice.PortAudioError) as error:
        return Finding("sound device", "absent", str(error), remedy)
    return Finding("sound device", "ok", str(device["name"]))


def _write_access() -> Finding:
    own = home()
    for folder, remedy in (
        (own, "set MOKSORI_HOME to a folder that you can write"),
        (Path(tempfile.gettempdir()), "set TMPDIR to a folder that you can write"),
    ):
        if reason := why_unwritable(folder):
            return Finding("write access", "bad", reason, remedy)
    return Finding("write access", "ok", f"{own}, {tempfile.gettempdir()}")


def _voice() -> Finding:
    found = models()
    broken = [model for model in found if model.manifest is None]
    if broken:
        return Finding("voice", "bad", broken[0].problem, "install the model again, or remove its folder")
    default = [model.name for model in found if model.default]
    if not default:
        return Finding(
            "voice",
            "bad",
            f"no default voice in {bundled_folder()}",
            "install moksori again, or name a model with --voice",
        )
    from moksori.pipeline.mel_voice import MelVoice
    from moksori.pipeline.say import load

    voice = load()
    through = f", with the vocoder {voice.model.vocoder.name}," if isinstance(voice.model, MelVoice) else ""
    return Finding(
        "voice",
        "ok",
        f"{default[0]} ({voice.manifest.family}, {voice.sample_rate} Hz){through} is ready; {len(found)} models in all",
    )


def _vocoders() -> Finding:
    """Whether what models need of each other is here, and is what they were made with."""
    from moksori.models.checkpoint import fingerprint
    from moksori.pipeline.models import find_model

    needed: dict[str, str] = {}
    remedy = "install that one, or name another each time with --vocoder"
    for model in models():
        for name, known in (model.manifest.requires if model.manifest else {}).items():
            try:
                found = fingerprint(find_model(name))
            except MoksoriError as error:
                return Finding("vocoders", "bad", f"{model.name} needs {name!r}: {error}", remedy)
            if found != known:
                return Finding("vocoders", "bad", f"{model.name} needs {name!r} ({known}), here is {found}", remedy)
            needed[name] = known
    return Finding("vocoders", "ok", ", ".join(needed) or "none is needed by a model here")
