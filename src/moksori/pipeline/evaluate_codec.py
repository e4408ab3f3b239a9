"""Recordings through a codec, with more and with fewer of its codebooks: what each bit rate keeps of them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from moksori.audio.mel import MEL_16KHZ
from moksori.errors import CorpusError
from moksori.evaluation.codes import code_use
from moksori.evaluation.names import GRIFFIN_LIM, at_stages
from moksori.models.checkpoint import Loaded, load_model
from moksori.pipeline.codec import SoundCodec
from moksori.pipeline.evaluate_copies import CopyRun, Make, beginnings, classical, copying, songs
from moksori.pipeline.evaluate_material import held_out
from moksori.pipeline.evaluate_settings import Findings, Settings
from moksori.pipeline.models import find_model
from moksori.pipeline.vocoding import any_vocoder_for
from moksori.types import Waveform

CODEC = ("copy", "opinion", "speaker")
_JUDGED = {"copy": "copy", "opinion": "opinion", "speaker": "speaker"}
UNSEEN, SEEN, SINGING = "unseen", "seen", "singing"


def evaluate_codec(
    loaded: Loaded, settings: Settings, task: str = "codec", beside: Mapping[str, tuple[Make, float]] | None = None
) -> Findings:
    """Coded and decoded recordings of people that no training heard, of others, and of songs, each apart.

    PESQ, STOI, mel distance, DNSMOS and likeness of the voice for 1, 2, 4, ... codebooks, with their bit rates; beside
    them Griffin-Lim and the vocoder of such mels, where there is one. The model's own name stands for all its stages.
    beside: other codecs by name: what they do, and their bits a second.
    """
    groups = settings.chosen(CODEC, task)
    judges, groups = settings.judges((), groups, _JUDGED)
    codec = SoundCodec(loaded)
    parts = material(settings)
    if not parts:
        raise CorpusError(f"{settings.corpus.folder}: nothing in its split {settings.split!r} to code")
    systems: dict[str, Make] = {GRIFFIN_LIM: classical(MEL_16KHZ, settings.seed), **_vocoder(settings)}
    known: dict[str, dict[str, float]] = {}
    for name, (make, bits_per_second) in (beside or {}).items():
        systems[name], known[name] = make, {"bits_per_second": bits_per_second}
    for stages in ladder(codec.stages):
        name = codec.name if stages == codec.stages else at_stages(codec.name, stages)
        systems[name], known[name] = coding(codec, stages), {"bits_per_second": codec.bits_per_second(stages)}
    run = CopyRun(settings, judges, systems, codec.name, codec.sample_rate, known)
    found = run.findings(parts, "recordings, coded and decoded")
    settings.notes.extend(stage_use(codec, [sound for _, sound in next(iter(parts.values()))]))
    return replace(found, headline=next(iter(parts)) if len(parts) > 1 else "")


def material(settings: Settings) -> dict[str, list[tuple[str, Waveform]]]:
    """What is coded: clips of people who are in no other split, of those who are, and songs; parts without are left
    out."""
    unseen = held_out(settings.corpus, settings.split)
    strangers = {utterance.speaker for utterance in unseen}
    seen = [utterance for utterance in settings.clips() if utterance.speaker not in strangers]
    parts = {
        UNSEEN: beginnings(unseen, settings.limit),
        SEEN: beginnings(seen, settings.limit),
        SINGING: songs(settings),
    }
    return {name: clips for name, clips in parts.items() if clips}


def ladder(stages: int) -> list[int]:
    """1, 2, 4, ... and all of them."""
    return sorted({min(2**power, stages) for power in range(stages.bit_length() + 1)})


def coding(codec: SoundCodec, stages: int) -> Make:
    """Recordings to codes of the first stages, and back."""

    def coded(place: int, sound: Waveform) -> Waveform:
        return codec.decode(codec.encode(sound, stages)).waveform

    return coded


def stage_use(codec: SoundCodec, sounds: Sequence[Waveform]) -> list[str]:
    """Lines that tell how each codebook is used over some sounds."""
    head = codec.head()
    coded = [codec.encode(sound).codes for sound in sounds]
    lines = []
    for stage in range(codec.stages):
        use = code_use([codes[stage] for codes in coded], head.code_count, head.sample_rate / head.hop_length)
        lines.append(
            f"stage {stage + 1}: {use.used} of {use.size} entries in {use.codes} frames, perplexity "
            f"{use.perplexity:.0f}, {use.entropy_bits:.2f} of {head.code_bits} bits"
        )
    return lines


def _vocoder(settings: Settings) -> dict[str, Make]:
    """The vocoder for mels of 16 kHz: the one that is named, or one that is here."""
    folder = find_model(settings.vocoder) if settings.vocoder is not None else any_vocoder_for(MEL_16KHZ)
    if folder is None:
        settings.notes.append("no vocoder of 16 kHz is here to stand beside the codec")
        return {}
    vocoder = load_model(folder)
    return {vocoder.manifest.name: copying(vocoder, settings)[0]}
