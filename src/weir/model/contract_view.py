"""What the API shows of contracts: what was agreed, invoiced, paid and charged. Amounts are integer micro-yuan."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ContractLineView:
    """One line of what was agreed."""

    said: str
    amount: int
    kind: str
    chip_origin: str = ""


@dataclass(frozen=True, slots=True)
class ContractDocumentView:
    """An invoice, a payment or evidence, as it was recorded. `digest` is SHA-256 of the paper, where it was kept."""

    kind: str
    reference: str
    at_ms: int
    amount: int
    digest: str = ""


@dataclass(frozen=True, slots=True)
class ContractView:
    """A contract and what became of it. A standing one, which needs no paper, has no term, amount or documents.

    `charged` is what was posted for work under it so far, refunds and corrections included; `invoiced` and `paid` are
    the sums of its documents.
    """

    id: str
    organisation: str
    centre: str
    signed: str
    starts: str
    ends: str
    amount: int
    lines: tuple[ContractLineView, ...]
    documents: tuple[ContractDocumentView, ...]
    charged: int
    invoiced: int
    paid: int


@dataclass(frozen=True, slots=True)
class ContractsView:
    """Contracts by id. Work under none of them belongs to the standing contract of its tenant and centre."""

    contracts: tuple[ContractView, ...]


__all__ = ["ContractDocumentView", "ContractLineView", "ContractView", "ContractsView"]
