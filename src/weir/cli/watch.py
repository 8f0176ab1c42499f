"""`weir watch`: follow the change log, one line a change."""

import sys
from collections.abc import Mapping
from typing import Any

import typer

from weir.cli.session import client
from weir.model.change import ChangeKind
from weir.model.view import EventView


def register(app: typer.Typer) -> None:
    """Add this module's command."""
    app.command()(watch)


def watch(
    since: int = typer.Option(
        0, help="Begin after this position of the change log; by default with what comes next."
    ),
    cycles: bool = typer.Option(False, "--cycles", help="Show the scheduler's own cycles too."),
    json_: bool = typer.Option(False, "--json", help="One JSON object a line, cycles included."),
) -> None:
    """Follow what changes: submissions, moves of jobs, centres. Ends with Ctrl-C."""
    import json

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
            elif cycles or event.kind is not ChangeKind.CYCLE:
                for text in event_lines(event):
                    print(text)
            sys.stdout.flush()
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def event_lines(event: EventView) -> list[str]:
    """A change in words, one line for each run of jobs that moved alike."""
    from weir.units import format_time

    before = f"{format_time(event.at_ms)}  {event.kind.value:<10} "
    return [before + words for words in _words(event.kind, event.body)]


def _words(kind: ChangeKind, body: Mapping[str, Any]) -> list[str]:
    if kind is ChangeKind.SUBMITTED:
        size = body.get("size", 1)
        return [f"{body['submission']}{f' ({size} jobs)' if size != 1 else ''}"]
    if kind is ChangeKind.MOVED:
        return [f"{_jobs(*move[:3])} is {move[3]}" for move in body.get("moves", ())]
    if kind is ChangeKind.EDITED:
        return [_jobs(*edited) for edited in body.get("jobs", ())]
    if kind is ChangeKind.CYCLE:
        return [f"through {body.get('through')}, {body.get('starts')} started"]
    return [", ".join(f"{name} {_plain(value)}" for name, value in body.items()) or "changed"]


def _jobs(submission: str, first: int | None, count: int) -> str:
    if first is None:
        return submission
    return f"{submission}.{first}" if count == 1 else f"{submission}.{first} to .{first + count - 1}"


def _plain(value: Any) -> str:
    return ", ".join(str(one) for one in value) if isinstance(value, list | tuple) else str(value)
