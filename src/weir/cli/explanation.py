"""`weir explain`: where a job stands, and per pool why it is or is not placed there."""

import time

import typer

from weir.cli.completion import complete_job
from weir.cli.session import client, show_json
from weir.cli.starting import start_words
from weir.model.problem import refused
from weir.model.view import ExplanationView, PoolReasonView, TermsView
from weir.units import format_duration, format_time, format_yuan, parse_duration_ms, parse_time_ms


def register(app: typer.Typer) -> None:
    """Add this module's command."""
    app.command()(explain)


def explain(
    job: str = typer.Argument(
        metavar="ID", help="A job's id, or the beginning of it.", autocompletion=complete_job
    ),
    cycle: int = typer.Option(
        -1,
        "--cycle",
        metavar="N",
        help="As of the last cycle that rests on no later position of the change log.",
    ),
    at: str = typer.Option(
        "",
        "--at",
        metavar="TIME",
        help="As of the last cycle by then: ISO 8601 with its offset, or how long ago.",
    ),
    json_: bool = typer.Option(False, "--json", help="Print JSON for a program."),
) -> None:
    """Say per pool which constraint fails, or the terms of its score, and where the job stands.

    A waiting job is explained by the last cycle, one that was placed by the reasons it was placed for; with --cycle or
    --at any job by what was found in a cycle of the last 7 days.
    """
    if cycle >= 0 and at:
        raise refused("--at", at, "give --cycle or --at, not both")
    explanation = client().explain(job, cycle=cycle if cycle >= 0 else None, at_ms=_instant(at))
    if json_:
        show_json(explanation)
        return
    for line in explanation_lines(explanation):
        print(line)


def _instant(text: str) -> int | None:
    if not text:
        return None
    try:
        return time.time_ns() // 1_000_000 - parse_duration_ms(text)
    except ValueError:
        pass
    try:
        return parse_time_ms(text)
    except ValueError as error:
        raise refused("--at", text, f"{error}; or say how long ago, such as 90m") from None


def explanation_lines(explanation: ExplanationView) -> list[str]:
    """The explanation in words, one thing a line."""
    lines = [f"{explanation.job} {explanation.state}: {explanation.summary}"]
    lines += [f"  waits for {what}" for what in explanation.waits_for]
    if explanation.start is not None:
        lines.append(f"  starts {start_words(explanation.start, time.time_ns() // 1_000_000)}")
    width = max((len(reason.pool) for reason in explanation.pools), default=0)
    lines += [f"  {reason.pool:<{width}}  {_reason(reason)}" for reason in explanation.pools]
    lines.append(
        f"as of {format_time(explanation.as_of_ms)}, position {explanation.as_of_position} of the change log"
    )
    return lines


def _reason(reason: PoolReasonView) -> str:
    parts = []
    if reason.constraint:
        parts.append(f"{reason.constraint}: it needs {reason.needed}, and there is {reason.found}")
    if reason.terms is not None:
        parts.append(_terms(reason.terms))
    if reason.note:
        parts.append(reason.note)
    return f"{reason.verdict:<9} {'; '.join(parts)}".rstrip()


def _terms(terms: TermsView) -> str:
    parts = [f"score {terms.score:,} (lower is better)", f"runs up to {format_duration(terms.run_ms)}"]
    if terms.wait_ms:
        parts.append(f"waits about {format_duration(terms.wait_ms)} in the centre's own queue")
    if terms.data_ms:
        parts.append(f"data there in {format_duration(terms.data_ms)}")
    parts.append(f"costs up to {format_yuan(terms.money_micro_yuan)}")
    if terms.carbon_mg:
        parts.append(f"emits {terms.carbon_mg / 1e6:.3g} kg CO2")
    return ", ".join(parts)
