"""Contracts for people: what was agreed, with its papers, and what was charged under it."""

from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, bindparam, func, select

from weir.billing.contracts import Contract, ContractDocument, DocumentKind, contract_of, documents_of
from weir.model.contract_view import ContractDocumentView, ContractLineView, ContractView
from weir.model.problem import not_found
from weir.store import schema

STANDING = "standing/"
_charge = schema.charge.c
_CHARGED = select(func.coalesce(func.sum(_charge.amount_micro_yuan), 0)).where(
    _charge.organisation == bindparam("organisation"),
    _charge.centre == bindparam("centre"),
    _charge.contract == bindparam("contract"),
)


def contract_view(connection: Connection, contract_id: str) -> ContractView:
    """The contract of this id, or the standing one that `standing/ORGANISATION/CENTRE` names.

    Raises ProblemError (404) for one that is not recorded, and a standing one of parties that are not declared.
    """
    if not contract_id.startswith(STANDING):
        return views(connection, [contract_of(connection, contract_id)])[0]
    organisation, _, centre = contract_id.removeprefix(STANDING).partition("/")
    for table, value in ((schema.organisation, organisation), (schema.centre, centre)):
        if connection.execute(select(table.c.id).where(table.c.id == value)).first() is None:
            raise not_found("contract", contract_id)
    charged = _charged(connection, contract_id, organisation, centre)
    return ContractView(contract_id, organisation, centre, "", "", "", 0, (), (), charged, 0, 0)


def views(connection: Connection, found: Iterable[Contract]) -> tuple[ContractView, ...]:
    """These contracts, in the order given."""
    return tuple(_view(connection, one, documents_of(connection, one.id)) for one in found)


def _view(connection: Connection, one: Contract, papers: Sequence[ContractDocument]) -> ContractView:
    return ContractView(
        one.id,
        one.organisation,
        one.centre,
        one.signed,
        one.starts,
        one.ends,
        one.amount,
        tuple(ContractLineView(line.said, line.amount, line.kind, line.chip_origin) for line in one.lines),
        tuple(
            ContractDocumentView(paper.kind.value, paper.reference, paper.at_ms, paper.amount, paper.digest)
            for paper in papers
        ),
        _charged(connection, one.id, one.organisation, one.centre),
        sum(paper.amount for paper in papers if paper.kind is DocumentKind.INVOICE),
        sum(paper.amount for paper in papers if paper.kind is DocumentKind.PAYMENT),
    )


def _charged(connection: Connection, contract: str, organisation: str, centre: str) -> int:
    asked = {"contract": contract, "organisation": organisation, "centre": centre}
    return int(connection.execute(_CHARGED, asked).scalar_one())


__all__ = ["contract_view", "views"]
