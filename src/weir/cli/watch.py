"""`weir watch`: follow the change log, one line a change."""

import sys

import typer

from weir.cli.session import client


def register(app: typer.Typer) -> None:
    """Add this module's command."""
    app.command()(watch)


def watch(
    since: int = typer.Option(
        0, help="Begin after this position of the change log; by default with what comes next."
    ),
    json_: bool = typer.Option(False, "--json", help="One JSON object a line."),
) -> None:
    """Follow what changes: submissions, moves of jobs, centres."""
    import json

    from weir.units import format_time

    try:
        for event in client().events(since=since or None):
            if json_:
                line = {
                    "position": event.position,
                    "at_ms": event.at_ms,
                    "kind": event.kind.value,
                    "body": event.body,
                }
                print(json.dumps(line, ensure_ascii=False))
            else:
                print(
                    f"{format_time(event.at_ms)}  {event.position:>8}  {event.kind.value:<10} {_words(event.body)}"
                )
            sys.stdout.flush()
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def _words(body: object) -> str:
    if not isinstance(body, dict):
        return str(body)
    return ", ".join(f"{name} {value}" for name, value in body.items())
