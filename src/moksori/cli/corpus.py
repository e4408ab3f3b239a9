"""`moksori corpus`: import, check, stats, align, split, merge, speed, pack, sing."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from moksori.cli.corpus_sing import sing
from moksori.cli.progress import progress_bar

if TYPE_CHECKING:
    from moksori.corpus.check import CheckReport
    from moksori.corpus.manifest import CorpusInfo, Dropped

_CORPUS = Annotated[Path, typer.Argument(help="A corpus made by 'moksori corpus import'.", show_default=False)]
JUDGED_SHOWN = 25
FORMATS = ("csv", "folder", "ljspeech", "vctk", "libritts")


def register(app: typer.Typer) -> None:
    corpus = typer.Typer(no_args_is_help=True, help="Bring recordings and texts into the form that training reads.")
    corpus.command("import")(import_)
    corpus.command("check")(check)
    corpus.command("stats")(stats)
    corpus.command("align")(align)
    corpus.command("split")(split)
    corpus.command("merge")(merge)
    corpus.command("speed")(speed)
    corpus.command("pack")(pack)
    corpus.command("sing")(sing)
    app.add_typer(corpus, name="corpus")


def import_(
    places: Annotated[
        list[str],
        typer.Argument(
            metavar="[FORMAT] SRC... DST",
            help=f"FORMAT: {', '.join(FORMATS)}; detected when not named. Several SRC are merged into DST.",
        ),
    ],
    name: Annotated[str | None, typer.Option(help="Name of the corpus; DST's by default.")] = None,
    licence: Annotated[str | None, typer.Option("--licence", "--license", help="Where SRC does not state it.")] = None,
    language: Annotated[str | None, typer.Option(help="espeak's name, such as en-us, de, nl, ko.")] = None,
    lufs: Annotated[float, typer.Option(help="Loudness that every recording is brought to, from -70 to 0.")] = -23.0,
    keep_level: Annotated[bool, typer.Option("--keep-level", help="Leave the loudness as it is.")] = False,
    keep_silence: Annotated[bool, typer.Option("--keep-silence", help="Leave the silence at both ends.")] = False,
    redo: Annotated[
        bool, typer.Option("--redo", help="Replace what DST holds from an import with other settings.")
    ] = False,
) -> None:
    """Import recordings with their texts; run again to go on after an interruption."""
    from moksori.corpus.ingest import QUIETEST_LUFS, ImportSettings
    from moksori.pipeline.corpora import import_corpus

    format_name = places[0] if places[0] in FORMATS and len(places) > 2 else None
    folders = places[1:] if format_name else places
    if len(folders) < 2:
        raise typer.BadParameter("expected [FORMAT] SRC... DST, for example: csv recordings corpora/mine")
    if not QUIETEST_LUFS <= lufs <= 0.0:
        raise typer.BadParameter(f"--lufs {lufs:g}: expected a loudness from {QUIETEST_LUFS:g} to 0 LUFS, such as -23")
    settings = ImportSettings(
        target_lufs=None if keep_level else lufs, trim_db=None if keep_silence else ImportSettings().trim_db
    )
    with progress_bar("importing") as progress:
        report = import_corpus(
            folders[:-1], folders[-1], format_name, settings,
            name=name, licence=licence, language=language, redo=redo, progress=progress,
        )  # fmt: skip
    if report.imported == 0:
        typer.echo(f"{folders[-1]}: imported before, nothing to do")
    _print_counts(report.info)
    before = f", {report.done_before} by an earlier run" if report.done_before and report.imported else ""
    typer.echo(f"imported {report.imported} recordings{before}; dropped {len(report.dropped)}")
    _print_dropped(report.dropped, Path(folders[-1]))
    typer.echo(f"splits: {report.info.split_rule}; licence: {report.info.licence}; language: {report.info.language}")


def check(
    corpus: _CORPUS,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Report only; leave dropped.tsv alone.")] = False,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "--voice",
            help="Have a Flowtron judge the clips instead: the unlikely ones, and those unlike their texts.",
        ),
    ] = None,
    threshold: Annotated[
        float, typer.Option(help="With --model: robust z-score under which a clip stands out.", show_default=True)
    ] = 4.0,
    split: Annotated[list[str] | None, typer.Option(help="With --model: a split to judge; all without it.")] = None,
    limit: Annotated[int | None, typer.Option(help="With --model: so many clips of each split.")] = None,
    json: Annotated[Path | None, typer.Option(help="With --model: where all figures of all clips go.")] = None,
    drop: Annotated[
        bool, typer.Option("--drop", help="With --model: leave out what stands out, in dropped.tsv.")
    ] = False,
) -> None:
    """Report hours, speakers and defects; write what is left out to dropped.tsv. Exits with 2 on unknown symbols.

    Example: moksori corpus check corpora/mine --model runs/mine/model --json judged.json
    """
    if model is not None:
        _judge(corpus, model, split or [], threshold, limit, json, drop and not dry_run)
        return
    if drop or json is not None or limit is not None or split:
        raise typer.BadParameter("--drop, --json, --limit and --split go with --model")
    from moksori.corpus.check import require_known_symbols
    from moksori.pipeline.corpora import check as look

    with progress_bar("checking") as progress:
        report = look(corpus, write=not dry_run, progress=progress)
    _print_check(report)
    _print_dropped(report.dropped, corpus)
    require_known_symbols(report)


def _judge(
    corpus: Path, model: str, splits: list[str], threshold: float, limit: int | None, json: Path | None, drop: bool
) -> None:
    from rich.console import Console
    from rich.table import Table

    from moksori.pipeline.judge import judge_corpus

    with progress_bar("judging") as progress:
        report = judge_corpus(corpus, model, splits, threshold, limit, drop=drop, json_path=json, progress=progress)
    table = Table(box=None, pad_edge=False)
    for title in ("clip", "score", "nats", "worst at s", "text gain", "coverage", "why"):
        table.add_column(title, justify="left" if title in ("clip", "why") else "right")
    shown = report.suspects[:JUDGED_SHOWN]
    for clip in shown:
        gain = "-" if clip.text_gain is None else f"{clip.text_gain:+.3f}"
        table.add_row(
            clip.name, f"{clip.score:.1f}", f"{clip.likelihood:.3f}", f"{clip.worst_seconds:.2f}", gain,
            f"{clip.coverage:.0%}", "; ".join(clip.reasons),
        )  # fmt: skip
    if shown:
        Console(soft_wrap=True).print(table)
    more = len(report.suspects) - len(shown)
    middle = report.medians
    typer.echo(
        f"{len(report.suspects)} of {len(report.clips)} clips stand out"
        + (f", {more} more than shown" if more else "")
        + (f"; {report.skipped} too long or without text" if report.skipped else "")
    )
    typer.echo(
        f"medians: {middle['likelihood']:.3f} nats, text gain {middle['text_gain']:+.3f}, coverage "
        f"{middle['coverage']:.0%}"
    )
    if not report.aligned:
        typer.echo(f"{report.model} does not follow the texts of most clips: believe its likelihoods only")
    if json is not None:
        typer.echo(f"wrote {json}")
    if drop:
        typer.echo(f"left out from now on: {len(report.suspects)} clips, listed in {corpus / 'dropped.tsv'}")


def stats(
    corpus: _CORPUS,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder for stats.json and stats.png.")] = None,
) -> None:
    """Draw durations and F0 per speaker."""
    from rich.console import Console
    from rich.table import Table

    from moksori.pipeline.corpora import stats as measure

    with progress_bar("measuring") as progress:
        found = measure(corpus, out, progress=progress)
    table = Table(box=None, pad_edge=False)
    for title in ("speaker", "utterances", "hours", "median s", "longest s", "F0 5 %", "median", "95 % Hz", "voiced"):
        table.add_column(title, justify="left" if title == "speaker" else "right")
    shown = sorted(found.items(), key=lambda item: -item[1].hours)[:20]
    for name, s in shown:
        low, middle, high = s.f0_hz
        table.add_row(
            name, str(s.utterances), f"{s.hours:.2f}", f"{s.median_seconds:.2f}", f"{s.longest_seconds:.2f}",
            f"{low:.0f}", f"{middle:.0f}", f"{high:.0f}", f"{s.voiced:.0%}",
        )  # fmt: skip
    Console(soft_wrap=True).print(table)
    if len(shown) < len(found):
        typer.echo(f"and {len(found) - len(shown)} more speakers")
    typer.echo(f"wrote {(out or corpus) / 'stats.json'} and {(out or corpus) / 'stats.png'}")


def align(
    corpus: _CORPUS,
    settings: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Overrides, such as training.max_steps=500.")
    ] = None,
    preset: Annotated[str | None, typer.Option(help="aligner/compact (without it) or aligner/forward_sum.")] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Where the word times go; CORPUS/alignment/words.json without it."),
    ] = None,
    show: Annotated[int, typer.Option(min=0, help="How many of the worst fits to show.")] = 10,
) -> None:
    """Find the time of every word; show which recordings fit their texts worst."""
    from rich.console import Console
    from rich.table import Table

    from moksori.pipeline.timings import align_words

    with progress_bar("aligning") as progress:
        timings = align_words(corpus, out, preset, settings or (), progress=progress)
    table = Table(box=None, pad_edge=False)
    for title in ("worst fits", "misfit", "seconds", "text"):
        table.add_column(title, justify="right" if title in ("misfit", "seconds") else "left")
    for utterance, misfit in timings.worst[:show]:
        text = utterance.text if len(utterance.text) <= 60 else utterance.text[:59] + "…"
        table.add_row(utterance.name, f"{misfit:.3f}", f"{utterance.duration_seconds:.1f}", text)
    if show:
        Console(soft_wrap=True).print(table)
    if timings.worst:
        middle = timings.worst[len(timings.worst) // 2][1]
        typer.echo(f"{len(timings.worst)} recordings aligned, median misfit {middle:.3f}")
    if timings.too_short:
        typer.echo(f"{len(timings.too_short)} are too short for their text: {', '.join(timings.too_short[:5])}")
    typer.echo(f"wrote {timings.path}")


def split(
    corpus: _CORPUS,
    words: Annotated[
        Path | None,
        typer.Option(help="JSON {name: [[word, start, end], ...]} in seconds; an aligner is trained without it."),
    ] = None,
    seconds: Annotated[float, typer.Option(help="Clips longer than this are cut.")] = 10.0,
    pause: Annotated[float, typer.Option(help="Shortest pause to cut at, in seconds.")] = 0.2,
) -> None:
    """Cut long clips at pauses; the recordings stay as they are."""
    from moksori.corpus.segment import read_word_times
    from moksori.pipeline.corpora import split as cut

    times = None if words is None else read_word_times(words)
    with progress_bar("aligning") as progress:
        report = cut(corpus, times, seconds, pause, progress=progress)
    typer.echo(
        f"{report.cut} of {report.clips} clips cut: {report.pieces} utterances, "
        f"the longest {report.longest_seconds:.1f} s"
    )
    if report.without_times:
        typer.echo(f"{len(report.without_times)} long clips have no word times: {', '.join(report.without_times[:5])}")
    if report.too_long:
        typer.echo(f"{len(report.too_long)} have no pause to cut at and are left out: {', '.join(report.too_long[:5])}")
    _print_counts(report.info)


def merge(
    places: Annotated[
        list[Path], typer.Argument(metavar="CORPUS... DST", help="Corpora, and a new folder for all of them.")
    ],
) -> None:
    """Make one corpus of several, such as songs and speech; held-out sentences stay held out in all of them."""
    from moksori.pipeline.corpora import merge as write

    if len(places) < 2:
        raise typer.BadParameter("expected CORPUS... DST, for example: corpora/speech corpora/sung corpora/all")
    with progress_bar("merging") as progress:
        info = write(places[:-1], places[-1], progress=progress)
    _print_counts(info)
    typer.echo(f"wrote {places[-1]}: {len(info.speakers)} speakers")


def speed(
    corpus: _CORPUS,
    target: Annotated[Path, typer.Argument(metavar="DST", help="A new folder for them.", show_default=False)],
    speeds: Annotated[
        list[float] | None,
        typer.Option("--speed", help="1.1: a tenth faster and higher; repeat it.", show_default="0.9 and 1.1"),
    ] = None,
) -> None:
    """Play the training recordings faster and slower, as other people: for models that are to meet many voices.

    Example: moksori corpus speed corpora/speech corpora/others; moksori corpus merge corpora/speech corpora/others
    corpora/many
    """
    from moksori.pipeline.corpora import speed as write

    with progress_bar("playing") as progress:
        info = write(corpus, target, speeds or (0.9, 1.1), progress=progress)
    _print_counts(info)
    typer.echo(f"wrote {target}: {len(info.speakers)} speakers, who are nobody; merge it with {corpus}")


def pack(
    corpus: _CORPUS,
    target: Annotated[Path, typer.Argument(metavar="DST", help="A new folder for the shards.", show_default=False)],
    audio: Annotated[str, typer.Option("--audio", help="flac (exact) or opus (small).")] = "flac",
    shard: Annotated[int, typer.Option(help="Utterances a shard.")] = 1000,
) -> None:
    """Write Lhotse Shar shards, for moving a corpus to another machine; training reads them."""
    from moksori.pipeline.corpora import pack as write

    with progress_bar("packing") as progress:
        info = write(corpus, target, audio, shard, progress=progress)
    _print_counts(info)
    size = sum(path.stat().st_size for path in target.rglob("*") if path.is_file()) / 2**20
    typer.echo(f"wrote {target}: {size:.1f} MiB of {audio} shards")


def _print_counts(info: "CorpusInfo") -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for column in ("split", "utterances", "hours"):
        table.add_column(column, justify="left" if column == "split" else "right")
    for split_name, numbers in info.counts.items():
        table.add_row(split_name, f"{numbers['utterances']:g}", f"{numbers['hours']:.3f}")
    Console(soft_wrap=True).print(table)


def _print_check(report: "CheckReport") -> None:
    from rich.console import Console
    from rich.table import Table

    speakers = sorted(report.speakers.items(), key=lambda item: -item[1][1])
    listed = ", ".join(f"{name} ({hours:.2f} h)" for name, (_, hours) in speakers[:6])
    more = f" and {len(speakers) - 6} more" if len(speakers) > 6 else ""
    typer.echo(
        f"{report.kept} of {report.utterances} utterances kept, {report.kept_hours:.2f} of {report.hours:.2f} hours"
    )
    typer.echo(f"{len(speakers)} speakers: {listed}{more}")
    typer.echo(f"{report.repeated} sentences with several takes; median {report.seconds_per_token:.3f} s a token")
    table = Table(box=None, pad_edge=False)
    table.add_column("finding")
    table.add_column("utterances", justify="right")
    table.add_column("for example")
    for reason, names in report.found.items():
        kept = " (kept)" if reason == "clipped" else ""
        table.add_row(f"{reason}{kept}", str(len(names)), ", ".join(names[:3]))
    Console(soft_wrap=True).print(table)


def _print_dropped(rows: "tuple[Dropped, ...]", corpus: Path) -> None:
    for row in rows[:5]:
        typer.echo(f"  {row.name}: {row.reason}")
    if len(rows) > 5:
        typer.echo(f"  and {len(rows) - 5} more: {corpus / 'dropped.tsv'}")
