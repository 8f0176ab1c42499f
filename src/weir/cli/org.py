"""`weir org`: the facts that are held about organisations."""

from collections import Counter
from pathlib import Path

import typer

from weir.cli.session import client, confirm, show_json, show_table
from weir.model.fact import FactImportView, FactRowView

org = typer.Typer(help="What is held about organisations.", no_args_is_help=True)
OUTCOMES = ("added", "corrected", "withdrawn", "unchanged", "refused")


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.add_typer(org, name="org")


@org.command("import")
def import_(
    file: Path = typer.Argument(
        help="CSV: organisation, fact, value, valid_from; if wanted valid_through, evidence, action."
    ),
    dry_run: bool = typer.Option(False, "--dry-run", help="Only say what each row would do."),
    yes: bool = typer.Option(False, "--yes", "-y", help="Do not ask."),
    json_: bool = typer.Option(False, "--json", help="Print JSON for a program."),
) -> None:
    """State facts about organisations from a table: all rows, or none where one is refused."""
    api = client()
    text = file.read_text(encoding="utf-8")
    report = api.import_facts(text, source=file.name, dry_run=True)
    refused = [row for row in report.rows if row.outcome == "refused"]
    if not json_:
        _show(report)
    if dry_run or refused:
        if json_:
            show_json(report)
        if refused:
            raise typer.Exit(2)
        return
    if not any(row.outcome != "unchanged" for row in report.rows):
        if json_:
            show_json(report)
        return
    if not confirm("State these facts?", yes, typer.confirm):
        print("nothing was changed; say yes, or give --yes")
        raise typer.Exit(1)
    done = api.import_facts(text, source=file.name)
    if json_:
        show_json(done)
    else:
        print(f"stated: {_counts(done.rows)}")


@org.command()
def facts(
    organisation: str = typer.Argument(help="Its unified social credit code."),
    json_: bool = typer.Option(False, "--json", help="Print JSON for a program."),
) -> None:
    """List what is held about an organisation. What is not listed is undecided, neither true nor false."""
    found = client().organisation_facts(organisation)
    if json_:
        show_json(found)
        return
    rows = [
        (one.name, one.value, one.valid_from, one.valid_through or "-", one.evidence or "-", one.recorded_by)
        for one in found.facts
    ]
    show_table(("FACT", "VALUE", "FROM", "THROUGH", "EVIDENCE", "STATED BY"), rows, empty="nothing is held")


def _show(report: FactImportView) -> None:
    rows = [
        (str(row.line), row.organisation, row.name, row.value, row.outcome, row.why or "-")
        for row in report.rows
    ]
    show_table(("LINE", "ORGANISATION", "FACT", "VALUE", "OUTCOME", "WHY"), rows, empty="no rows")
    print(f"{len(report.rows)} rows: {_counts(report.rows)}")


def _counts(rows: tuple[FactRowView, ...]) -> str:
    counts = Counter(row.outcome for row in rows)
    return ", ".join(f"{counts[outcome]} {outcome}" for outcome in OUTCOMES if counts[outcome]) or "nothing"
