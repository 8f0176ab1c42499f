"""`weir contract`: what tenants and centres agreed, with invoices, payments and evidence."""

import hashlib
from pathlib import Path

import typer

from weir.cli.session import client, show_json, show_table
from weir.model.contract_view import ContractView

contract = typer.Typer(help="Contracts of tenants and centres, with their papers.", no_args_is_help=True)
JSON = typer.Option(False, "--json", help="Print JSON for a program.")
ID = typer.Argument(metavar="ID", help="The contract's id.")
REFERENCE = typer.Argument(help="The paper's own number; the same is recorded once.")
AMOUNT = typer.Argument(help="In yuan, such as 1000.00.")
AT = typer.Option("", "--at", help="ISO 8601 with offset; by default now.")
PAPER = typer.Option(None, "--paper", exists=True, dir_okay=False, help="The paper; its SHA-256 is kept.")


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.add_typer(contract, name="contract")


@contract.command("list")
def list_(
    organisation: str = typer.Option("", help="Whose, as a tenant."),
    centre: str = typer.Option("", help="With which centre."),
    json_: bool = JSON,
) -> None:
    """Every contract that you may see. All other work belongs to standing/ORGANISATION/CENTRE."""
    from weir.units import format_yuan

    found = client().contracts(organisation=organisation, centre=centre)
    if json_:
        show_json(found)
        return
    rows = [
        [
            one.id,
            one.organisation,
            one.centre,
            one.starts,
            one.ends,
            *(format_yuan(part) for part in (one.amount, one.charged, one.invoiced, one.paid)),
        ]
        for one in found
    ]
    headings = ["CONTRACT", "TENANT", "CENTRE", "FROM", "UNTIL", "AMOUNT", "CHARGED", "INVOICED", "PAID"]
    show_table(headings, rows, empty="no contracts; all work belongs to standing ones")


@contract.command()
def show(id_: str = ID, json_: bool = JSON) -> None:
    """One contract with its lines and papers; standing/ORGANISATION/CENTRE for a standing one."""
    _show(client().contract(id_), json_=json_)


@contract.command()
def add(
    file: Path = typer.Argument(help="A contract as YAML.", exists=True, dir_okay=False), json_: bool = JSON
) -> None:
    """Record a contract. The same once more changes nothing; another of its id is refused."""
    _show(client().add_contract(file.read_text("utf-8"), source=file.name), json_=json_)


@contract.command()
def end(id_: str = ID, ends: str = typer.Argument(help="ISO 8601 with offset."), json_: bool = JSON) -> None:
    """End a contract sooner or later than it says; work that has begun stays with it."""
    _show(client().end_contract(id_, ends), json_=json_)


@contract.command()
def invoice(
    id_: str = ID,
    reference: str = REFERENCE,
    amount: str = AMOUNT,
    at: str = AT,
    paper: Path | None = PAPER,
    json_: bool = JSON,
) -> None:
    """Record an invoice that the centre has issued."""
    _record("invoice", id_, reference, amount, at, paper, json_=json_)


@contract.command()
def payment(
    id_: str = ID,
    reference: str = REFERENCE,
    amount: str = AMOUNT,
    at: str = AT,
    paper: Path | None = PAPER,
    json_: bool = JSON,
) -> None:
    """Record that the tenant has paid the centre."""
    _record("payment", id_, reference, amount, at, paper, json_=json_)


@contract.command()
def evidence(
    id_: str = ID, reference: str = REFERENCE, at: str = AT, paper: Path | None = PAPER, json_: bool = JSON
) -> None:
    """Record evidence, such as no-other-subsidy or a proof of electricity used, as schemes ask for it."""
    _record("evidence", id_, reference, "", at, paper, json_=json_)


def _record(
    kind: str, id_: str, reference: str, amount: str, at: str, paper: Path | None, *, json_: bool
) -> None:
    digest = "" if paper is None else hashlib.sha256(paper.read_bytes()).hexdigest()
    made = client().add_contract_document(id_, kind, reference, amount=amount, at=at, digest=digest)
    _show(made, json_=json_)


def _show(one: ContractView, *, json_: bool) -> None:
    from weir.units import format_time, format_yuan

    if json_:
        show_json(one)
        return
    print(f"{one.id}: {one.organisation} with {one.centre}")
    if one.starts:
        print(f"signed {one.signed}, from {one.starts} until {one.ends}, {format_yuan(one.amount)}")
    for line in one.lines:
        print(
            f"  {format_yuan(line.amount)}  {line.said} ({' '.join(filter(None, (line.kind, line.chip_origin)))})"
        )
    rows = [
        [
            paper.kind,
            paper.reference,
            format_time(paper.at_ms),
            format_yuan(paper.amount),
            paper.digest or "-",
        ]
        for paper in one.documents
    ]
    if rows or one.starts:
        show_table(["PAPER", "REFERENCE", "AT", "AMOUNT", "SHA-256"], rows, empty="no papers")
    sums = ((one.charged, "charged"), (one.invoiced, "invoiced"), (one.paid, "paid"))
    print(", ".join(f"{format_yuan(amount)} {said}" for amount, said in sums))


__all__ = ["register"]
