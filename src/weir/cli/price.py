"""`weir price` and `weir quote`: what things cost, and what a job would cost before it runs."""

import time
from pathlib import Path

import typer

from weir.cli.session import client, confirm, show_json, show_table
from weir.model.money_view import PoolQuoteView, QuoteView

price = typer.Typer(help="The price book: versions, what one says, applying another.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.add_typer(price, name="price")
    app.command()(quote)


@price.command("apply")
def apply(
    file: Path = typer.Argument(help="A price book file."),
    yes: bool = typer.Option(False, "--yes", "-y", help="Do not ask."),
) -> None:
    """Make a price book the next version: shows the difference, asks, applies. No version ever changes."""
    text = file.read_text(encoding="utf-8")
    apply_price_book(text, file.name, yes)


def apply_price_book(text: str, source: str, yes: bool) -> None:
    """Show what a price book changes, ask, and apply it."""
    from weir.units import format_time

    api = client()
    difference = api.price_diff(text, source=source)
    for line in difference.lines:
        print(line)
    if not difference.changed:
        print("nothing to change")
        return
    if not confirm("Apply this price book?", yes, typer.confirm):
        print("nothing was changed; say yes, or give --yes")
        raise typer.Exit(1)
    made = api.apply_price_book(text, source=source, expected=difference.version)
    print(f"applied: version {made.version}, in force from {format_time(made.starts_ms)}")


@price.command("list")
def list_(json_: bool = typer.Option(False, "--json", help="Print JSON for a program.")) -> None:
    """Every version, newest first."""
    from weir.units import format_time

    versions = client().prices()
    if json_:
        show_json(versions)
        return
    rows = [
        [
            str(one.version),
            one.name,
            format_time(one.starts_ms),
            "in force" if one.in_force else "",
            one.digest[:12],
        ]
        for one in versions
    ]
    show_table(["VERSION", "NAME", "FROM", "", "DIGEST"], rows, empty="no price book; work is not priced")


@price.command()
def show(
    version: int = typer.Argument(0, help="By default the one in force."),
    json_: bool = typer.Option(False, "--json", help="Print JSON for a program."),
) -> None:
    """What a version says, as the JSON of its file; prices in micro-yuan."""
    from weir.client import ApiError

    try:
        found = client().price(version)
    except ApiError as error:
        if version or error.status != 404:
            raise
        print("no price book is in force; work is not priced")
        return
    show_json(found if json_ else found.book)


def quote(
    file: str = typer.Argument(help="A job file, as for `weir submit`; - for standard input."),
    lines: bool = typer.Option(False, "--lines", help="Show each unit and band of every pool."),
    json_: bool = typer.Option(False, "--json", help="Print JSON for a program."),
) -> None:
    """What a job would cost at each pool: at its time limit and at its forecast run time, less vouchers."""
    from weir.cli.job_file import read_job_file

    api = client()
    for specification in read_job_file(file):
        # What its inputs are makes no difference, and they are not uploaded for a question.
        found = api.quote({name: value for name, value in specification.items() if name != "inputs"})
        if json_:
            show_json(found)
        else:
            _show(found, lines)


def _show(found: QuoteView, lines: bool) -> None:
    from weir.units import format_duration, format_yuan

    if found.version is None:
        print("no price book is in force; work is not priced")
        _show_start(found)
        return
    jobs = "" if found.jobs == 1 else f", each of {found.jobs} jobs"
    print(
        f"price book version {found.version}, {found.tenant_class} prices, {found.tax}; "
        f"limit {format_duration(found.limit_ms)}{jobs}"
    )
    if found.tasks:
        print(
            f"{found.tasks} tasks: at the limit from what the fewest cost to what the most do, and NET for the most"
        )
    if found.forecast_ms is not None:
        print(
            f"forecast {format_duration(found.forecast_ms)}: by the last {found.forecast_from} jobs like it that ended"
        )
    else:
        print("no forecast: no job like it has ended yet")
    rows = [
        [
            one.pool,
            "-" if one.refused else _at_limit(one),
            "-" if one.at_forecast is None else format_yuan(one.at_forecast),
            format_yuan(sum(voucher.amount for voucher in one.vouchers)),
            "-" if one.refused else format_yuan(one.net),
            one.refused or ("work lost to others is charged" if one.preempted_charged else ""),
        ]
        for one in found.pools
    ]
    show_table(["POOL", "AT LIMIT", "FORECAST", "VOUCHERS", "NET", ""], rows, empty="no pool could run it")
    if lines:
        for one in found.pools:
            _show_lines(one, found.class_share)
    _show_start(found)
    if found.refused:
        print(f"submitting it would be refused: {found.refused}")
    else:
        print(f"submitting it sets {format_yuan(found.hold)} aside")


def _at_limit(one: PoolQuoteView) -> str:
    from weir.units import format_yuan

    most = format_yuan(one.at_limit)
    return most if one.at_limit_fewest is None else f"{format_yuan(one.at_limit_fewest)}..{most}"


def _show_start(found: QuoteView) -> None:
    from weir.cli.starting import range_words, start_words

    now_ms = time.time_ns() // 1_000_000
    if found.start is not None:
        when = start_words(found.start, now_ms)
        print(f"behind all that waits now it would start {when}" if found.start.start_ms else when)
        if not found.start.start_ms:
            return
        print(f"that follows from {found.start.basis}; pool by pool, if that is where it starts:")
    rows = [
        [one.pool, *range_words(one.start, now_ms)]
        for one in sorted(
            found.starts, key=lambda one: (not one.start.start_ms, one.start.start_ms[3:4], one.pool)
        )
    ]
    if rows:
        show_table(["POOL", "MIDDLE", "50 %", "80 %", "95 %"], rows, empty="")


def _show_lines(one: PoolQuoteView, share: str) -> None:
    from fractions import Fraction

    from weir.units import format_duration, format_yuan

    for line in one.lines:
        of = f"{line.quantity}/h x {format_duration(line.lasts_ms)}" if line.lasts_ms else line.quantity
        band = f" ({line.band})" if line.band else ""
        price = f"{of} x {format_yuan(line.price)}" + (f" x {share}" if share != "1" else "")
        if line.unit == "minimum":
            price = f"up to {format_yuan(line.price)}"
        print(f"  {one.pool}  {line.unit}{band}  {price}  {format_yuan(line.amount)}")
    for voucher in one.vouchers:
        part = f"{float(Fraction(voucher.share) * 100):.6g} %"
        print(f"  {one.pool}  {voucher.account}  {part}  -{format_yuan(voucher.amount)}")


__all__ = ["apply_price_book", "register"]
