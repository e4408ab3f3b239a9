"""`moksori voice`: voices as files, which `--like` takes."""

from pathlib import Path
from typing import Annotated

import typer

from moksori.cli.convert import tell_consent
from moksori.errors import BadInput

_Output = Annotated[Path | None, typer.Option("-o", "--output", help="A file that ends in .voice.", show_default=False)]
_Name = Annotated[str | None, typer.Option("--name", help="What the voice is called.", show_default="the files' names")]
_Model = Annotated[
    str | None,
    typer.Option("--model", "--voice", help="A model's name or folder.", show_default="the one that imitates"),
]


def register(app: typer.Typer) -> None:
    group = typer.Typer(
        help="Keep voices in files: make, mix, draw and list them; look for one among samples.", no_args_is_help=True
    )
    group.command("make")(make)
    group.command("fit")(fit)
    group.command("mix")(mix)
    group.command("random")(random)
    group.command("search")(search)
    group.command("list")(list_files)
    app.add_typer(group, name="voice")


def make(
    recordings: Annotated[list[Path], typer.Argument(help="Recordings of one speaker; a .voice file counts as one.")],
    output: _Output = None,
    name: _Name = None,
    model: _Model = None,
    text: Annotated[
        list[str] | None,
        typer.Option(
            "--text",
            "--style-text",
            help="For a style: what is said in each recording, in their order.",
            show_default="a .txt or .lab beside it, or Whisper's",
        ),
    ] = None,
    speaker: Annotated[
        str | None, typer.Option("--speaker", help="For a style: who speaks in them, of the model's speakers.")
    ] = None,
    mode: Annotated[
        str, typer.Option("--mode", "--style-mode", help="For a style: batch or time-and-batch.")
    ] = "batch",
    consent: Annotated[
        str | None,
        typer.Option("--consent", help="A note to keep in the file: who agreed to what.", show_default="a reminder"),
    ] = None,
    codec: Annotated[
        str | None,
        typer.Option("--codec", "--vocoder", help="For prompts: the codec's folder.", show_default="the model's"),
    ] = None,
) -> None:
    """Keep the voice of recordings in a file; of a model with styles (flowtron), their style.

    Examples: moksori voice make target.wav more.wav -o target.voice; moksori voice make sad.wav --text "So it goes."
    --model flowtron-kathleen -o sad.voice
    """
    path = _path(output)

    from dataclasses import replace

    from moksori.models.checkpoint import load_model
    from moksori.pipeline.convert import find_imitator
    from moksori.pipeline.enrolment import enroll
    from moksori.pipeline.prompts import enroll_prompt
    from moksori.pipeline.styles import has_styles
    from moksori.pipeline.voices import check_voice_path, write_voice

    check_voice_path(path)
    folder = find_imitator(model)
    if has_styles(folder):
        _make_style(folder, recordings, path, name, text or [], speaker, mode)
        return
    if text or speaker:
        raise BadInput("--text and --speaker: are for styles: name a model that has some, --model NAME")
    loaded = load_model(folder)
    found = enroll(loaded, recordings, name) if codec is None else enroll_prompt(loaded, recordings, name, codec)
    tell_consent()
    for note in found.notes:
        typer.echo(f"moksori: {note}", err=True)
    write_voice(found.voice if consent is None else replace(found.voice, consent=" ".join(consent.split())), path)
    count = f"{len(recordings)} recording{'s' if len(recordings) > 1 else ''}"
    typer.echo(f"{path}: the voice {found.voice.name!r} of {count}, for {loaded.manifest.name}")


def _make_style(
    folder: Path,
    recordings: list[Path],
    path: Path,
    name: str | None,
    texts: list[str],
    speaker: str | None,
    mode: str,
) -> None:
    from moksori.cli.manner import style_clips
    from moksori.pipeline.say import load
    from moksori.pipeline.styles import style_of
    from moksori.pipeline.voices import write_voice

    if mode == "segment":  # Manner would name an option that only `say` has
        raise BadInput(
            "--mode segment: is of parts of clips, and a file keeps the style of whole ones: cut the recordings to "
            "those parts, or speak with the parts at once, by 'moksori say --style' with --style-part"
        )
    clips, voice = style_clips(recordings, texts), load(folder)
    made, notes = style_of(voice, clips, mode.replace("-", "_"), name, speaker)
    tell_consent()
    for note in notes:
        typer.echo(f"moksori: {note}", err=True)
    write_voice(made, path)
    count = f"{len(recordings)} clip{'s' if len(recordings) > 1 else ''}"
    typer.echo(f"{path}: the style {made.name!r} of {count}, for {voice.name}")


def fit(
    recordings: Annotated[list[Path], typer.Argument(help="Recordings of one singer, or folders of such.")],
    output: _Output = None,
    name: _Name = None,
    model: Annotated[
        str | None,
        typer.Option("--model", "--voice", help="A model's name or folder.", show_default="the one with singers"),
    ] = None,
    steps: Annotated[int, typer.Option("--steps", min=1, max=10000, help="Of gradient descent.")] = 300,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Draws what is listened to at each step.")] = 0,
    tune_layers: Annotated[
        int,
        typer.Option(
            "--tune-layers", min=0, help="Last layers of the decoder to tune too, in as many steps; 0: the vector only."
        ),
    ] = 0,
) -> None:
    """Find the voice of a singer whom a model's table does not hold, and keep it in a file.

    Example: moksori voice fit my_singing/ --model DIR -o me.voice; moksori convert song.wav --like me.voice --model DIR
    -o out.wav
    """
    path = _path(output)

    from moksori.cli.progress import progress_bar
    from moksori.models.checkpoint import load_model
    from moksori.pipeline.voice_fitting import find_singing_model, fit_voice
    from moksori.pipeline.voices import check_voice_path, write_voice

    check_voice_path(path)
    loaded = load_model(find_singing_model(model))
    with progress_bar("fitting") as progress:
        found = fit_voice(loaded, recordings, name, steps, seed, progress, tune_layers)
    tell_consent()
    for note in found.notes:
        typer.echo(f"moksori: {note}", err=True)
    write_voice(found.voice, path)
    typer.echo(
        f"{path}: the voice {found.voice.name!r}, for {loaded.manifest.name}; {found.bits_after:.3f} bits a sample, "
        f"{found.bits_before:.3f} with the nearest singer, {found.nearest!r}"
        + (f"; {found.bits_tuned:.3f} with {tune_layers} layers tuned" if found.voice.tuned else "")
    )


def mix(
    voices: Annotated[
        list[str], typer.Argument(help="Voices of one model: .voice files, or singers and shares, a=0.3,b=0.7.")
    ],
    output: _Output = None,
    weight: Annotated[
        list[float] | None,
        typer.Option("--weight", help="Share of each file, in the same order; may be repeated.", show_default="equal"),
    ] = None,
    name: _Name = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model", help="For singers by their names: whose they are.", show_default="the one with singers"
        ),
    ] = None,
) -> None:
    """Mix voices into a new one.

    Examples: moksori voice mix a.voice b.voice --weight 0.3 --weight 0.7 -o ab.voice; moksori voice mix
    kathleen=0.3,kerstin=0.7 --model DIR -o between.voice
    """
    path = _path(output)

    from dataclasses import replace

    from moksori.pipeline.voices import check_voice_path, mixed, read_voice, write_voice

    check_voice_path(path)
    if any("=" in voice for voice in voices):
        from moksori.models.checkpoint import load_model
        from moksori.pipeline.voice_fitting import find_singing_model, mixed_singers

        if weight:
            raise BadInput("--weight: the shares stand behind the names, a=0.3,b=0.7: leave it out")
        made = mixed_singers(load_model(find_singing_model(model)), ",".join(voices))
    else:
        made = mixed([read_voice(voice) for voice in voices], weight or ())
    if name is not None:
        made = replace(made, name=name)
    write_voice(made, path)
    typer.echo(f"{path}: the voice {made.name!r}, made of {', '.join(made.sources)}")


def random(
    output: _Output = None,
    seed: Annotated[
        int | None, typer.Option("--seed", help="The same seed draws the same voice.", show_default="drawn")
    ] = None,
    variation: Annotated[
        float, typer.Option("--variation", help="Standard deviation of each number of the voice; the prior's is 1.")
    ] = 0.5,
    mean: Annotated[float, typer.Option("--mean", help="Mean of each number; the prior's is 0.")] = 0.0,
    name: _Name = None,
    model: _Model = None,
) -> None:
    """Draw the voice of nobody from the model's prior.

    Example: moksori voice random -o somebody.voice --seed 3
    """
    path = _path(output)

    from dataclasses import replace

    from moksori.models.checkpoint import load_model
    from moksori.pipeline.convert import find_imitator
    from moksori.pipeline.seeds import chosen_seed
    from moksori.pipeline.voices import check_voice_path, drawn, write_voice

    check_voice_path(path)
    chosen = chosen_seed(seed)
    loaded = load_model(find_imitator(model))
    voice = drawn(loaded, chosen, mean, variation)
    if name is not None:
        voice = replace(voice, name=name)
    write_voice(voice, path)
    typer.echo(f"{path}: the voice {voice.name!r}, for {loaded.manifest.name}, seed {chosen}")


def search(
    recordings: Annotated[list[Path], typer.Argument(help="Recordings of who is looked for.")],
    model: Annotated[str, typer.Option("--model", "--voice", help="A model whose latents say who speaks.")],
    text: Annotated[str, typer.Option("--text", help="What is said in each try.")] = "This is how I sound, is it not?",
    draws: Annotated[int, typer.Option("--draws", min=2, help="Samples that are tried.")] = 100,
    variation: Annotated[float, typer.Option("--variation", help="Standard deviation of the latents drawn.")] = 0.7,
    seed: Annotated[int, typer.Option("--seed", min=0, help="The first seed that is tried.")] = 0,
    keep: Annotated[int, typer.Option("--keep", min=1, help="Seeds that are shown.")] = 5,
) -> None:
    """Find the seeds with which a model without a table of speakers sounds most like somebody.

    Example: moksori voice search target.wav --model DIR --draws 200
    """
    from moksori.cli.progress import progress_bar
    from moksori.pipeline.say import load
    from moksori.pipeline.speaker_search import search_speaker

    voice = load(model)
    tell_consent()
    with progress_bar("trying") as progress:
        found = search_speaker(voice, recordings, text, draws, variation, seed, progress=progress)
    for note in found.notes:
        typer.echo(f"moksori: {note}", err=True)
    for item in found.found[:keep]:
        typer.echo(f"seed {item.seed}: similarity {item.similarity:.3f}")
    typer.echo(f"{draws} draws: {found.mean:.3f} on average, standard deviation {found.deviation:.3f}")
    best = found.found[0].seed
    typer.echo(f'use it: moksori say "..." --voice {voice.name} --blend seed:{best}=1 --variation {variation:g}')


def list_files(
    folder: Annotated[Path, typer.Argument(help="Where the files are.", show_default="here")] = Path(),
) -> None:
    """List the voice files of a folder."""
    from moksori.pipeline.voices import list_voices

    found = list_voices(folder)
    if not found:
        typer.echo(f"no voices: {folder} holds no .voice file")
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for title in ("file", "name", "kind", "family", "model", "made of", "consent"):
        table.add_column(title)
    for listed in found:
        if listed.voice is None:
            table.add_row(listed.path.name, "broken", "", "", "", listed.problem, "")
        else:
            voice = listed.voice
            made_of = ", ".join(voice.sources)
            consent = " ".join(voice.consent.split())
            table.add_row(listed.path.name, voice.name, voice.kind, voice.family, voice.model, made_of, consent)
    Console(soft_wrap=True, markup=False).print(table)  # notes may hold brackets


def _path(output: Path | None) -> Path:
    if output is None:
        raise BadInput("no output: name a file: -o target.voice")
    return output
