"""`weir budget`, `weir bill` and `weir ledger`: who may spend what, what was charged, and where every yuan went."""

from collections.abc import Sequence

import typer

from weir.cli.session import client, show_json, show_table
from weir.model.money_view import BudgetView, LedgerEntryView

budget = typer.Typer(help="Budgets: limits, sub-limits, payments.", no_args_is_help=True)
ledger = typer.Typer(help="The ledger: entries, balances, verification, exceptions.", no_args_is_help=True)
JSON = typer.Option(False, "--json", help="Print JSON for a program.")
AMOUNT = typer.Argument(help="In yuan, such as 1000.00.")
REFERENCE = typer.Argument(help="The payment's own number; the same is booked once.")


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.add_typer(budget, name="budget")
    app.add_typer(ledger, name="ledger")
    app.command()(bill)


@budget.command("list")
def list_(json_: bool = JSON) -> None:
    """Every budget that you may see, in its present period."""
    found = client().budgets()
    if json_:
        show_json(found)
    else:
        _show(found)


@budget.command("set")
def set_(
    id_: str = typer.Argument(metavar="ID", help="The budget's id."),
    organisation: str = typer.Option(..., help="Whose it is: its unified social credit code."),
    limit: str = typer.Option("0", help="In yuan, of each period; a prepaid budget's is what was paid in."),
    period: str = typer.Option("month", help="month, quarter, year or once."),
    kind: str = typer.Option("credit", help="credit or prepaid."),
    member: list[str] = typer.Option([], help="PROJECT=YUAN: a sub-limit."),
    threshold: list[str] = typer.Option([], help="Share of the limit from which on submitters are warned."),
    json_: bool = JSON,
) -> None:
    """Make a budget, or give it other limits from now on."""
    members = {}
    for one in member:
        name, equals, amount = one.partition("=")
        if not equals:
            raise typer.BadParameter(f"{one!r}: give PROJECT=YUAN")
        members[name] = amount
    fields = {
        "organisation": organisation,
        "limit": limit,
        "period": period,
        "kind": kind,
        "members": members,
    }
    made = client().set_budget(id_, **fields, **({"thresholds": threshold} if threshold else {}))
    if json_:
        show_json(made)
    else:
        _show([made])


@budget.command("top-up")
def top_up(id_: str = typer.Argument(metavar="ID"), amount: str = AMOUNT, reference: str = REFERENCE) -> None:
    """Book a payment into a prepaid budget."""
    _show([client().top_up(id_, amount, reference)])


@budget.command("pay-out")
def pay_out(
    id_: str = typer.Argument(metavar="ID"), amount: str = AMOUNT, reference: str = REFERENCE
) -> None:
    """Book that money was paid back out of a prepaid budget."""
    _show([client().pay_out(id_, amount, reference)])


def bill(
    since: str = typer.Option("", help="ISO 8601 with offset; by default all."),
    until: str = typer.Option("", help="ISO 8601 with offset; by default now."),
    organisation: str = typer.Option("", help="Whose charges; by default your own."),
    centre: str = typer.Option("", help="What a centre earned."),
    limit: int = typer.Option(50, help="So many charges at most; the sums are over all."),
    json_: bool = JSON,
) -> None:
    """What was charged so far, running jobs included, by pool and charge by charge."""
    from weir.units import format_duration, format_time, format_yuan, parse_time_ms

    try:
        from_ms = parse_time_ms(since) if since else 0
        to_ms = parse_time_ms(until) if until else None
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    found = client().bill(from_ms=from_ms, to_ms=to_ms, organisation=organisation, centre=centre, limit=limit)
    if json_:
        show_json(found)
        return
    rows = [
        [
            f"{one.job}-{one.epoch}",
            f"{one.centre}/{one.pool}",
            one.kind,
            format_time(one.from_ms),
            format_duration(one.to_ms - one.from_ms),
            format_yuan(one.amount),
        ]
        for one in found.charges
    ]
    show_table(["ATTEMPT", "POOL", "KIND", "FROM", "TIME", "AMOUNT"], rows, empty="nothing was charged")
    for pool, amount in found.pools.items():
        print(f"{pool}\t{format_yuan(amount)}")
    print(f"in all\t{format_yuan(found.total)}")


@ledger.command()
def verify(json_: bool = JSON) -> None:
    """Walk every entry: chains of hashes, transfers, and the limits that follow. Ends with 1 where one is wrong."""
    from weir.units import format_time

    found = client().verify_ledger()
    if json_:
        show_json(found)
    else:
        print(f"{found.entries} entries with {found.transfers} transfers in {found.books} books")
        print(f"root {found.root}")
        if found.checked_ms is not None:
            shown = ", ".join(found.check_faults) or "they follow from the transfers"
            print(f"counters made anew at {format_time(found.checked_ms)}: {shown}")
        for fault in found.faults:
            print(f"FAULT {fault}")
        if not found.faults:
            print("the ledger is whole")
    if found.faults or found.check_faults:
        raise typer.Exit(1)


@ledger.command()
def show(
    book: str = typer.Argument("", help="Whose book; by default your organisation's."),
    cursor: str = typer.Option("", help="Go on after a page."),
    limit: int = typer.Option(50, help="So many entries at most."),
    json_: bool = JSON,
) -> None:
    """The entries of a payer's book, oldest first."""
    api = client()
    page = api.book(book or api.whoami().organisation, cursor=cursor, limit=limit)
    if json_:
        show_json(page)
        return
    if not page.entries:
        print("no entries")
    for entry in page.entries:
        _show_entry(entry)
    if page.next:
        print(f"more: --cursor {page.next}")


@ledger.command()
def entry(number: int = typer.Argument(help="The entry's number."), json_: bool = JSON) -> None:
    """One entry with its transfers."""
    found = client().entry(number)
    if json_:
        show_json(found)
    else:
        _show_entry(found)


@ledger.command()
def balances(
    prefix: str = typer.Argument("", help="Only accounts whose codes begin so, such as payable:."),
    json_: bool = JSON,
) -> None:
    """Balances of all accounts."""
    from weir.units import format_yuan

    found = client().balances(prefix)
    if json_:
        show_json(dict(found))
        return
    rows = [[code, format_yuan(amount)] for code, amount in found.items()]
    show_table(["ACCOUNT", "BALANCE"], rows, empty="nothing was ever posted")


@ledger.command()
def refund(
    attempt: str = typer.Argument(help="Such as k7m2q9xw4tcd-1."),
    amount: str = AMOUNT,
    reason: str = typer.Argument(help="Why."),
) -> None:
    """Give back part of what an attempt was charged, as a correction that points at its charge."""
    _show_entry(client().refund(attempt, amount, reason))


@ledger.command()
def exceptions(
    all_: bool = typer.Option(False, "--all", help="Settled ones too."), json_: bool = JSON
) -> None:
    """What could not be metered, priced or paid, with its reason."""
    found = client().exceptions(settled=all_)
    if json_:
        show_json(found)
        return
    rows = [
        [str(one.number), one.kind, f"{one.job}-{one.epoch}", one.centre, one.said, one.resolution]
        for one in found
    ]
    show_table(["", "KIND", "ATTEMPT", "CENTRE", "", "SETTLED"], rows, empty="no exceptions")


@ledger.command()
def resolve(
    number: int = typer.Argument(help="The exception's number."),
    resolution: str = typer.Argument(help="How it was settled."),
) -> None:
    """Settle an exception."""
    print(f"{client().resolve_exception(number, resolution).number} is settled")


def _show(budgets: Sequence[BudgetView]) -> None:
    from weir.units import format_yuan

    rows = []
    for one in budgets:
        rows.append(
            [
                one.id,
                one.organisation,
                one.kind,
                one.period,
                *(
                    format_yuan(part)
                    for part in (one.total.limit, one.total.held, one.total.spent, one.total.available)
                ),
            ]
        )
        rows += [
            [
                f"  {name}",
                "",
                "",
                "",
                *(format_yuan(part) for part in (its.limit, its.held, its.spent, its.available)),
            ]
            for name, its in one.members.items()
        ]
    headings = ["BUDGET", "ORGANISATION", "KIND", "PERIOD", "LIMIT", "HELD", "SPENT", "LEFT"]
    show_table(headings, rows, empty="no budgets")
    for one in budgets:
        if one.warning:
            print(one.warning)


def _show_entry(entry: LedgerEntryView) -> None:
    from weir.units import format_time, format_yuan

    corrects = f", corrects {entry.corrects}" if entry.corrects else ""
    print(f"{entry.number}  {format_time(entry.at_ms)}  {entry.kind}  {entry.cause}{corrects}")
    for transfer in entry.transfers:
        print(f"    {format_yuan(transfer.amount)}  {transfer.debit} → {transfer.credit}")


__all__ = ["register"]
