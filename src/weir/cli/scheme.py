"""`weir scheme` and `weir voucher`: public schemes, what they grant, and why."""

import sys
from pathlib import Path

import typer

from weir.cli.session import client, confirm, show_json, show_table
from weir.model.voucher import ClauseView, DecisionView, SchemeChangeView
from weir.units import format_yuan

scheme = typer.Typer(help="Public schemes: dated rules over facts.", no_args_is_help=True)
voucher = typer.Typer(help="What schemes grant to whom, and why.", no_args_is_help=True)
JSON = typer.Option(False, "--json", help="Print JSON for a program.")
CLAW_BACK = typer.Option(False, "--claw-back", help="Ask back what was redeemed in excess.")
_SIGN = {"for": "+", "against": "-", "undecided": "?"}


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.add_typer(scheme, name="scheme")
    app.add_typer(voucher, name="voucher")


@scheme.command("list")
def list_(json_: bool = JSON) -> None:
    """List the schemes in force, with this year's pool and what is taken of it."""
    found = client().schemes()
    if json_:
        show_json(found)
        return
    rows = [
        (
            one.id,
            str(one.version),
            one.begins,
            one.ends or "-",
            "-" if one.pool_micro_yuan is None else format_yuan(one.pool_micro_yuan),
            format_yuan(one.taken_micro_yuan),
            one.name_zh or one.name,
        )
        for one in found
    ]
    show_table(("ID", "VERSION", "FROM", "THROUGH", "POOL", "TAKEN", "NAME"), rows, empty="no schemes")
    if any(one.notice for one in found):
        print("weir: read the notice of a scheme with `weir scheme show ID`", file=sys.stderr)


@scheme.command()
def show(id_: str = typer.Argument(metavar="ID", help="A scheme's id."), json_: bool = JSON) -> None:
    """Show a scheme's file as it is in force, and who applied it."""
    one = client().scheme(id_)
    if json_:
        show_json(one)
        return
    print(one.text.rstrip())
    act = f" by act {one.act}" if one.act else ""
    print(f"# version {one.version}, sha256 {one.digest}, applied by {one.applied_by}{act}")


@scheme.command()
def check(files: list[Path] = typer.Argument(help="Scheme files.")) -> None:
    """Check scheme files without a server: form, facts, editions, limits."""
    from weir.billing.scheme import read_scheme

    for file in files:
        one = read_scheme(file.read_text(encoding="utf-8"), file.name)
        print(f"{file}: {one.scheme} is in order, {len(one.editions)} editions")


@scheme.command()
def apply(
    file: Path = typer.Argument(help="A scheme file, such as schemes/henan-2025.yaml."),
    dry_run: bool = typer.Option(False, "--dry-run", help="Only say who gains and who loses, by how much."),
    act: str = typer.Option("", help="Number or title of the act, where rules of past days change."),
    expected: str = typer.Option("", help="The digest that the dry run showed."),
    claw_back: bool = CLAW_BACK,
    yes: bool = typer.Option(False, "--yes", "-y", help="Do not ask."),
) -> None:
    """Apply a scheme: shows what it changes, asks, applies. What changes past days needs an act and the dry run."""
    api = client()
    text = file.read_text(encoding="utf-8")
    change = api.scheme_diff(text, source=file.name, claw_back=claw_back)
    _show_change(change)
    if dry_run:
        return
    if not confirm("Apply this scheme?", yes, typer.confirm):
        print("nothing was changed; say yes, or give --yes")
        raise typer.Exit(1)
    signed = expected if change.reaches_back else change.digest
    done = api.apply_scheme(text, source=file.name, act=act, expected=signed, claw_back=claw_back)
    print(f"{done.scheme}: version {done.version} is in force")


@voucher.command("list")
def vouchers(
    organisation: str = typer.Argument("", help="Its credit code; your own unless given, or all."),
    json_: bool = JSON,
) -> None:
    """List vouchers with what is held, redeemed and left of each."""
    found = client().vouchers(organisation)
    if json_:
        show_json(found)
        return
    rows = [
        (
            str(one.claim),
            one.scheme,
            one.organisation,
            one.contract,
            one.claimed_day,
            one.valid_through or "-",
            "each charge" if one.amount_micro_yuan is None else format_yuan(one.amount_micro_yuan),
            format_yuan(one.held_micro_yuan),
            format_yuan(one.redeemed_micro_yuan),
            format_yuan(one.left_micro_yuan),
        )
        for one in found
    ]
    headings = (
        "NO.",
        "SCHEME",
        "HOLDER",
        "CONTRACT",
        "CLAIMED",
        "THROUGH",
        "AMOUNT",
        "HELD",
        "REDEEMED",
        "LEFT",
    )
    show_table(headings, rows, empty="no vouchers")


@voucher.command()
def why(
    organisation: str = typer.Argument(help="Its credit code."),
    scheme_id: str = typer.Argument(metavar="SCHEME", help="A scheme's id."),
    centre: str = typer.Option("", help="Only contracts with this centre."),
    json_: bool = JSON,
) -> None:
    """Say what a scheme grants to an organisation and why: every clause, for, against or undecided, and its facts."""
    found = client().voucher_why(scheme_id, organisation, centre=centre)
    if json_:
        show_json(found)
        return
    for place, one in enumerate(found.decisions):
        if place:
            print()
        _show_decision(one)
    if not found.decisions:
        print("no contract and no centre")


@voucher.command()
def grant(
    organisation: str = typer.Argument("", help="Its credit code; everybody's contracts unless given."),
) -> None:
    """Claim for recorded contracts what they are entitled to. Work under a contract does so by itself."""
    before = {one.claim for one in client().vouchers(organisation)}
    made = [one for one in client().grant_vouchers(organisation) if one.claim not in before]
    for one in made:
        amount = (
            "a share of each charge" if one.amount_micro_yuan is None else format_yuan(one.amount_micro_yuan)
        )
        print(f"{one.organisation} {one.contract}: {one.scheme}, {amount}")
    print(f"{len(made)} vouchers were granted")


def _show_decision(one: DecisionView) -> None:
    claimed = f"claimed as voucher no. {one.claim}; another claim would be " if one.claim else ""
    print(f"{one.contract} at {one.centre}: {claimed}{one.said}")
    for clause in one.clauses:
        _show_clause(clause)
    for limit in one.limits:
        print(f"  ≤ {format_yuan(limit.allows_micro_yuan)}  {limit.text}")
    for clause in one.open:
        _show_clause(clause)


def _show_clause(clause: ClauseView) -> None:
    print(f"  {_SIGN[clause.verdict]} {clause.id}: {clause.text}")
    for reading in clause.readings:
        values = ", ".join(reading.values) or "missing: nothing is held"
        evidence = f" ({'; '.join(reading.evidence)})" if reading.evidence else ""
        print(f"      {reading.fact} = {values}{evidence}")


def _show_change(change: SchemeChangeView) -> None:
    print(f"{change.scheme}: version {change.version}")
    if not change.reaches_back:
        print("no rule of a past day changes")
        return
    print(f"rules change from {change.reaches_back}; digest {change.digest}")
    rows = [
        (
            str(one.claim),
            one.organisation,
            one.contract,
            one.claimed_day,
            format_yuan(one.before_micro_yuan),
            format_yuan(one.after_micro_yuan),
            format_yuan(one.after_micro_yuan - one.before_micro_yuan),
            format_yuan(one.receivable_micro_yuan),
            one.said,
        )
        for one in change.claims
    ]
    headings = ("NO.", "HOLDER", "CONTRACT", "CLAIMED", "BEFORE", "AFTER", "DIFFERENCE", "ASKED BACK", "WHY")
    show_table(headings, rows, empty="no claim is touched")
    gains = [one.after_micro_yuan - one.before_micro_yuan for one in change.claims]
    more, less = sum(each for each in gains if each > 0), sum(each for each in gains if each < 0)
    asked = sum(one.receivable_micro_yuan for one in change.claims)
    print(
        f"{sum(each > 0 for each in gains)} gain {format_yuan(more)}, {sum(each < 0 for each in gains)} lose "
        f"{format_yuan(-less)}, asked back {format_yuan(asked)}"
    )
