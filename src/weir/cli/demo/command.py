"""`weir demo`: starts a province on this machine, does real work on it, and shows what came of it."""

from pathlib import Path

import typer

TRAININGS = 24


def register(app: typer.Typer) -> None:
    """Add this module's command."""
    app.command()(demo)


def demo(
    jobs: int = typer.Option(TRAININGS, help="How many models to train."),
    folder: Path | None = typer.Option(
        None, help="Where everything lies; must not exist. A fresh one by default."
    ),
    keep: bool = typer.Option(False, "--keep", help="Leave the province running, and say how to use it."),
    end: Path | None = typer.Option(
        None, help="End the province that was kept in this folder, and do nothing else."
    ),
    json_: bool = typer.Option(False, "--json", help="Print the facts as JSON for a program."),
) -> None:
    """Start a province of three centres here, train models on it, and write a report of the best.

    Exit code 0 only if every job succeeded and the report is there.
    """
    from weir.cli.demo.main_job import run_demo

    raise typer.Exit(run_demo(jobs=jobs, folder=folder, keep=keep, end=end, json_=json_))
