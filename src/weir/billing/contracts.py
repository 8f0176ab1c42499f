"""Contracts: what a tenant and a centre agree, with the invoices, payments and evidence recorded for it.

Every charge belongs to one: that whose term holds the start of the work, else the standing contract of the two,
which needs no paper.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from sqlalchemy import Connection, bindparam, insert, select, update

from weir.access import Actor, record
from weir.model.codec import from_plain, to_plain
from weir.model.problem import conflict, not_found, refused
from weir.registry.document import parse_document, read_document
from weir.store import Transaction, schema
from weir.units import MicroYuan, format_yuan, parse_time_ms

_STRICT = {"extra": "forbid"}
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_DIGEST = re.compile(r"[0-9a-f]{64}")

_contract = schema.contract.c
_document = schema.contract_document.c
_BETWEEN = (
    select(schema.contract)
    .where(_contract.organisation == bindparam("organisation"), _contract.centre == bindparam("centre"))
    .order_by(_contract.id)
)


class DocumentKind(Enum):
    """What is recorded for a contract."""

    INVOICE = "invoice"
    """Issued by the centre."""
    PAYMENT = "payment"
    EVIDENCE = "evidence"
    """Such as the signed contract, a proof of delivery or of electricity used."""


@dataclass(frozen=True, slots=True)
class ContractLine:
    """One line of what was agreed, for people."""

    __pydantic_config__ = _STRICT
    said: str
    amount: MicroYuan = 0
    kind: str = "service"
    """What schemes count it as: compute, memory, storage, transfer, network, security or service."""
    chip_origin: str = ""
    """domestic or foreign, where it was agreed."""


@dataclass(frozen=True, slots=True)
class Contract:
    """An agreement of an organisation with a centre. Times are ISO 8601 with offset; the term is [from, until)."""

    __pydantic_config__ = _STRICT
    id: str
    organisation: str
    centre: str
    signed: str
    starts: str
    ends: str
    amount: MicroYuan
    lines: tuple[ContractLine, ...] = ()

    @property
    def starts_ms(self) -> int:
        return parse_time_ms(self.starts)

    @property
    def ends_ms(self) -> int:
        return parse_time_ms(self.ends)

    @property
    def signed_ms(self) -> int:
        return parse_time_ms(self.signed)


@dataclass(frozen=True, slots=True)
class ContractDocument:
    """An invoice, a payment or evidence, as it was recorded."""

    contract: str
    kind: DocumentKind
    reference: str
    at_ms: int
    amount: int
    digest: str = ""
    """SHA-256 of the paper, where it was kept."""


def read_contract(text: str, source: str) -> Contract:
    """The contract that a YAML text says. Raises ProblemError naming line, field and what is accepted."""
    return parse_document(read_document(text, source), Contract, kind="invalid-contract")


def standing(organisation: str, centre: str) -> str:
    """The id of the contract that an organisation and a centre have without any paper."""
    return f"standing/{organisation}/{centre}"


def add_contract(tx: Transaction, actor: Actor, contract: Contract, now_ms: int) -> None:
    """Record a contract. The same once more changes nothing; another of its id raises ProblemError (409).

    Raises ProblemError: 404 for an organisation or centre that is not declared, 422 for what cannot be accepted,
    among it a term that overlaps with that of another contract of the two.
    """
    _check(tx.connection, contract)
    body = json.dumps(to_plain(contract), ensure_ascii=False, sort_keys=True)
    known = tx.connection.execute(
        select(_contract.body).where(_contract.id == contract.id)
    ).scalar_one_or_none()
    if known == body:
        return
    if known is not None:
        raise conflict(f"contract {contract.id} is recorded, and says otherwise; give another id")
    for other in contracts_between(tx.connection, contract.organisation, contract.centre):
        if contract.starts_ms < other.ends_ms and other.starts_ms < contract.ends_ms:
            raise refused("starts", contract.starts, f"the term overlaps with that of contract {other.id}")
    row = {
        "id": contract.id,
        "organisation": contract.organisation,
        "centre": contract.centre,
        "body": body,
    }
    tx.connection.execute(insert(schema.contract), row)
    detail = {"centre": contract.centre, "amount_micro_yuan": contract.amount}
    record(tx, actor, "contract.add", contract.id, detail, now_ms, organisation=contract.organisation)


def end_contract(tx: Transaction, actor: Actor, contract_id: str, ends: str, now_ms: int) -> Contract:
    """End a contract sooner or later than it says; work that has begun stays with it. Raises ProblemError."""
    found = contract_of(tx.connection, contract_id)
    changed = from_plain(Contract, {**to_plain(found), "ends": ends})
    try:
        later = changed.ends_ms > changed.starts_ms
    except ValueError as error:
        raise refused("ends", ends, str(error)) from None
    if not later:
        raise refused("ends", ends, f"give an instant after {found.starts}")
    body = json.dumps(to_plain(changed), ensure_ascii=False, sort_keys=True)
    tx.connection.execute(update(schema.contract).where(_contract.id == contract_id).values(body=body))
    record(tx, actor, "contract.end", contract_id, {"ends": ends}, now_ms, organisation=found.organisation)
    return changed


def add_document(tx: Transaction, actor: Actor, document: ContractDocument, now_ms: int) -> None:
    """Record an invoice, payment or piece of evidence, once for its kind and reference.

    Raises ProblemError: 404 for no such contract, 409 where the reference is recorded otherwise, 422.
    """
    if document.contract.startswith("standing/"):
        said = "a standing contract has no papers; record a contract and its papers with that"
        raise refused("contract", document.contract, said)
    found = contract_of(tx.connection, document.contract)
    if not document.reference:
        raise refused("reference", "", "give the paper's own number")
    if document.amount < 0:
        raise refused("amount", format_yuan(document.amount), "give an amount of at least 0")
    if document.digest and not _DIGEST.fullmatch(document.digest):
        raise refused("digest", document.digest, "give the SHA-256 of the paper in hexadecimal")
    row = {
        "contract": document.contract,
        "kind": document.kind.value,
        "reference": document.reference,
        "at_ms": document.at_ms,
        "amount_micro_yuan": document.amount,
        "digest": document.digest,
    }
    for known in documents_of(tx.connection, document.contract):
        if (known.kind, known.reference) == (document.kind, document.reference):
            if known == document:
                return
            raise conflict(f"{document.kind.value} {document.reference} is recorded otherwise")
    tx.connection.execute(insert(schema.contract_document), row)
    detail = {"kind": document.kind.value, "reference": document.reference}
    record(tx, actor, "contract.document", document.contract, detail, now_ms, organisation=found.organisation)


def contract_of(connection: Connection, contract_id: str) -> Contract:
    """The contract of this id. Raises ProblemError (404)."""
    body = connection.execute(select(_contract.body).where(_contract.id == contract_id)).scalar_one_or_none()
    if body is None:
        raise not_found("contract", contract_id)
    return from_plain(Contract, json.loads(body))


def contracts(
    connection: Connection, *, organisation: str | None = None, centre: str | None = None
) -> list[Contract]:
    """All contracts by id, or those of an organisation or a centre."""
    query = select(_contract.body).order_by(_contract.id)
    if organisation is not None:
        query = query.where(_contract.organisation == organisation)
    if centre is not None:
        query = query.where(_contract.centre == centre)
    return [from_plain(Contract, json.loads(body)) for body in connection.execute(query).scalars()]


def contracts_between(connection: Connection, organisation: str, centre: str) -> list[Contract]:
    """Those of one organisation with one centre, by id."""
    rows = connection.execute(_BETWEEN, {"organisation": organisation, "centre": centre})
    return [from_plain(Contract, json.loads(row.body)) for row in rows]


def contract_among(agreed: Sequence[Contract], organisation: str, centre: str, at_ms: int) -> str:
    """The id of the one of the two's contracts that work beginning at this time belongs to."""
    for contract in agreed:
        if contract.starts_ms <= at_ms < contract.ends_ms:
            return contract.id
    return standing(organisation, centre)


def documents_of(connection: Connection, contract_id: str) -> Sequence[ContractDocument]:
    """What is recorded for a contract, oldest first."""
    query = select(schema.contract_document).where(_document.contract == contract_id)
    rows = connection.execute(query.order_by(_document.at_ms, _document.kind, _document.reference))
    return [
        ContractDocument(
            row.contract, DocumentKind(row.kind), row.reference, row.at_ms, row.amount_micro_yuan, row.digest
        )
        for row in rows
    ]


def _check(connection: Connection, contract: Contract) -> None:
    if not _ID.fullmatch(contract.id):
        raise refused("id", contract.id, "give letters, digits, ., _ and -, at most 63 of them")
    for name, table, value in (
        ("organisation", schema.organisation, contract.organisation),
        ("centre", schema.centre, contract.centre),
    ):
        if connection.execute(select(table.c.id).where(table.c.id == value)).first() is None:
            raise not_found(name, value)
    for name in ("signed", "starts", "ends"):
        try:
            parse_time_ms(getattr(contract, name))
        except ValueError as error:
            raise refused(name, getattr(contract, name), str(error)) from None
    if contract.ends_ms <= contract.starts_ms:
        raise refused("ends", contract.ends, f"give an instant after {contract.starts}")
    for amount in (contract.amount, *(line.amount for line in contract.lines)):
        if not 0 <= amount < 2**62:
            raise refused("amount", format_yuan(amount), "give an amount of at least 0")


__all__ = [
    "Contract",
    "ContractDocument",
    "ContractLine",
    "DocumentKind",
    "add_contract",
    "add_document",
    "contract_among",
    "contract_of",
    "contracts",
    "contracts_between",
    "documents_of",
    "end_contract",
    "read_contract",
    "standing",
]
