"""`moksori doctor`: what works here, and the remedy for what does not."""

import typer


def register(app: typer.Typer) -> None:
    app.command("doctor")(doctor)


def doctor() -> None:
    """Check the installation; each line says ok, or why not and the remedy."""
    from moksori.pipeline.doctor import Finding, examine

    marks = {"ok": "ok  ", "absent": "-   ", "bad": "BAD "}
    findings: list[Finding] = []
    for finding in examine():
        findings.append(finding)
        remedy = f" -> {finding.remedy}" if finding.remedy else ""
        typer.echo(f"{marks[finding.state]} {finding.name:<14} {finding.detail}{remedy}")
    bad = [finding.name for finding in findings if finding.state == "bad"]
    if bad:
        typer.echo(f"{len(bad)} of {len(findings)} checks failed: {', '.join(bad)}", err=True)
        raise typer.Exit(1)
