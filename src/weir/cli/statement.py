"""`weir statement` and `weir settlement`: months and quarters that are closed, on paper."""

from pathlib import Path

import typer

from weir.cli.session import client, show_json, show_table
from weir.model.statement import SettlementView
from weir.units import format_time, format_yuan

statement = typer.Typer(help="Monthly statements of tenants and centres.", no_args_is_help=True)
settlement = typer.Typer(help="Quarterly settlements of funders.", no_args_is_help=True)
JSON = typer.Option(False, "--json", help="Print JSON for a program.")
FEN = 10_000


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.add_typer(statement, name="statement")
    app.add_typer(settlement, name="settlement")


@statement.command("list")
def list_(
    party: str = typer.Option("", help="Credit code of a tenant, or id of a centre."),
    month: str = typer.Option("", help="Only this month, such as 2025-06."),
    limit: int = typer.Option(100, min=1, max=10_000, help="At most so many."),
    json_: bool = JSON,
) -> None:
    """List issued statements, newest month first: your own, or everybody's where you may see all."""
    found = client().statements(party=party, month=month, limit=limit)
    if json_:
        show_json(found)
        return
    rows = [
        (
            one.id,
            one.kind,
            one.party,
            format_yuan(one.gross_micro_yuan),
            format_yuan(one.voucher_micro_yuan),
            format_yuan(one.total_fen * FEN),
            format_yuan(one.carry_micro_yuan),
            one.hash[:12],
        )
        for one in found
    ]
    headings = ("NO.", "KIND", "PARTY", "CHARGES", "BY VOUCHERS", "TOTAL", "CARRIED", "SHA-256")
    show_table(headings, rows, empty="no statements")


@statement.command()
def save(
    to: Path = typer.Option(
        ..., help="File to write: ID.html for one statement, or a .csv of all that are asked for."
    ),
    id_: str = typer.Argument("", metavar="ID", help="A statement's number, for a page."),
    party: str = typer.Option("", help="Credit code of a tenant, or id of a centre."),
    month: str = typer.Option("", help="Only this month, such as 2025-06."),
) -> None:
    """Write one statement as a page for print, or many line by line as CSV."""
    api = client()
    if id_:
        to.write_bytes(api.statement_page(id_))
    elif to.suffix == ".csv":
        to.write_bytes(api.statements_csv(party=party, month=month))
    else:
        raise typer.BadParameter("name a statement for a page, or write to a .csv")
    print(to)


@statement.command()
def close(month: str = typer.Argument(help="Such as 2025-06.")) -> None:
    """Issue a month's statements, once, after the fifth working day of the next (coordinator)."""
    done = client().close_month(month)
    held = f"; open exceptions held back {done.held_back} charges" if done.held_back else ""
    print(f"{done.month}: {done.statements} statements, closed at {format_time(done.closed_ms)}{held}")
    print(f"sha256 {done.hash}")


@statement.command()
def verify() -> None:
    """See that every statement is as it was issued, and follows the one before. Exit code 1 where one is not."""
    faults = client().verify_statements()
    for fault in faults:
        print(fault)
    if faults:
        raise typer.Exit(1)
    print("every statement is as it was issued")


@statement.command()
def focus(
    month: str = typer.Argument(help="A closed month, such as 2025-06."),
    to: Path = typer.Option(..., help="File to write."),
) -> None:
    """Write a closed month's charges as FOCUS 1.2 (CSV) and check every column's rules; exit code 1 on a fault."""
    import csv
    import io

    from weir.billing.focus_rules import focus_faults

    content = client().focus_csv(month)
    to.write_bytes(content)
    table = csv.DictReader(io.StringIO(content.decode()))
    rows = list(table)
    faults = list(focus_faults(table.fieldnames or (), rows))
    for fault in faults[:20]:
        print(fault)
    if faults:
        raise typer.Exit(1)
    print(f"{to}: {len(rows)} rows, every rule holds")


@settlement.command("list")
def settlements(json_: bool = JSON) -> None:
    """List what funders pay, newest quarter first."""
    found = client().settlements()
    if json_:
        show_json(found)
        return
    _show(found)


@settlement.command("close")
def settle(quarter: str = typer.Argument(help="Such as 2025-Q2.")) -> None:
    """Settle a quarter that has ended: each redeemed voucher once, shared out by the funders' parts (coordinator)."""
    _show(client().settle_quarter(quarter))


@settlement.command()
def waiting(json_: bool = JSON) -> None:
    """List what vouchers paid and is not settled, and what it waits for: papers, signatures, a dispute, the quarter."""
    found = client().redemptions()
    if json_:
        show_json(found)
        return
    rows = [
        (
            str(one.entry),
            str(one.line),
            one.scheme,
            one.organisation,
            one.contract,
            format_yuan(one.amount_micro_yuan),
            one.waits or "the quarter",
        )
        for one in found
    ]
    headings = ("ENTRY", "LINE", "SCHEME", "HOLDER", "CONTRACT", "AMOUNT", "WAITS FOR")
    show_table(headings, rows, empty="nothing waits")


@settlement.command()
def dispute(
    entry: int = typer.Argument(help="The ledger's entry, from `weir settlement waiting`."),
    line: int = typer.Argument(help="Its line."),
    why: str = typer.Option("", help="The reason; without one, the dispute is over."),
) -> None:
    """Hold a redemption out of settlements, or let it in again (coordinator)."""
    client().dispute_redemption(entry, line, why)
    print(f"{entry}/{line} is {'carried: ' + why if why else 'settled with its quarter'}")


@settlement.command()
def sign(
    claim: int = typer.Argument(help="A voucher's number, from `weir voucher list`."),
    step: str = typer.Argument(help="A step of the scheme's re-check trail (`checks`)."),
    said: str = typer.Option("", help="Number of the paper, or a remark."),
) -> None:
    """Sign a step of a claim's re-check trail, without which its redemptions are not settled (coordinator)."""
    client().sign_check(claim, step, said)
    print(f"{step} of voucher {claim} is signed")


@settlement.command()
def cities(month: str = typer.Argument(help="A closed month, such as 2025-06.")) -> None:
    """Print what tenants of each city used in their own and in other cities, as CSV."""
    print(client().city_flows_csv(month).decode(), end="")


def _show(found: tuple[SettlementView, ...]) -> None:
    rows = [
        (
            one.id,
            one.funder,
            str(one.redemptions),
            str(one.carried),
            format_yuan(one.total_fen * FEN),
            format_yuan(one.carry_micro_yuan),
            one.hash[:12],
        )
        for one in found
    ]
    headings = ("NO.", "FUNDER", "REDEMPTIONS", "CARRIED", "TOTAL", "REST", "SHA-256")
    show_table(headings, rows, empty="nothing to settle")
