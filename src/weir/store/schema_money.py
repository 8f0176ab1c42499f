"""The tables of prices, budgets, holds and charges. Amounts are integer micro-yuan, lists and mappings JSON."""

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Index, Integer, Table, Text

from weir.store.schema_base import Key, metadata

price_book = Table(
    "price_book",
    metadata,
    Column("version", BigInteger, primary_key=True, autoincrement=False),
    Column("name", Text, nullable=False),
    Column("starts_ms", BigInteger, nullable=False),
    Column("applied_ms", BigInteger, nullable=False),
    Column("digest", Text, nullable=False),
    Column("body", Text, nullable=False),
    comment="billing.price_versions: billing.price_book.PriceBook; append-only",
)

budget = Table(
    "budget",
    metadata,
    Column("id", Text, primary_key=True),
    Column("organisation", Text, ForeignKey("organisation.id"), nullable=False, index=True),
    Column("body", Text, nullable=False),
    comment="billing.budgets: billing.budget.Budget",
)

contract = Table(
    "contract",
    metadata,
    Column("id", Text, primary_key=True),
    Column("organisation", Text, ForeignKey("organisation.id"), nullable=False, index=True),
    Column("centre", Text, nullable=False),
    Column("body", Text, nullable=False),
    comment="billing.contracts: billing.contracts.Contract",
)

contract_document = Table(
    "contract_document",
    metadata,
    Column("contract", Text, ForeignKey("contract.id"), primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("reference", Text, primary_key=True),
    Column("at_ms", BigInteger, nullable=False),
    Column("amount_micro_yuan", BigInteger, nullable=False),
    Column("digest", Text, nullable=False, server_default=""),
    comment="billing.contracts: invoices, payments and evidence as they were recorded",
)

hold = Table(
    "hold",
    metadata,
    Column("submission", BigInteger, ForeignKey("submission.number"), primary_key=True, autoincrement=False),
    Column("organisation", Text, nullable=False),
    Column("project", Text, nullable=False),
    Column("budget", Text, ForeignKey("budget.id"), nullable=False),
    Column("period", Text, nullable=False),
    Column("price_version", BigInteger, ForeignKey("price_book.version"), nullable=False),
    Column("tenant_class", Text, nullable=False),
    Column("needs", Text, nullable=False),
    Column("pools", Text, nullable=False),
    Column("barred", Text, nullable=False),
    Column("legs", Text, nullable=False),
    Column("untouched", Integer, nullable=False),
    Column("max_price_micro_yuan", BigInteger),
    Column("purpose", Text, nullable=False, server_default=""),
    Column("paid_there", Text, nullable=False, server_default="{}"),
    comment="billing.holds: what each job of a submission is priced by, and what is held for each that has no row in "
    "job_hold yet (legs), of which there are as many as untouched says; paid_there: thousandths that vouchers pay at "
    "each pool by itself, where they do not pay alike at all",
)

job_hold = Table(
    "job_hold",
    metadata,
    Column("job", BigInteger, ForeignKey("job.number"), primary_key=True, autoincrement=False),
    Column("submission", BigInteger, nullable=False),
    Column("legs", Text, nullable=False),
    Column("closed", Boolean, nullable=False, server_default="0"),
    Column("postings", Integer, nullable=False, server_default="0"),
    Column("waiting_ms", BigInteger, index=True),
    comment="billing.holds: what is held and charged for one job, by leg; waiting_ms: since when it is queued "
    "without money",
)

meter = Table(
    "meter",
    metadata,
    Column("job", BigInteger, ForeignKey("job.number"), primary_key=True, autoincrement=False),
    Column("epoch", Integer, primary_key=True, autoincrement=False),
    Column("centre", Text, nullable=False),
    Column("pool", Text, nullable=False),
    Column("contract", Text, nullable=False),
    Column("started_ms", BigInteger, nullable=False),
    Column("until_ms", BigInteger, nullable=False),
    Column("intervals", Text, nullable=False),
    Column("parts", Text, nullable=False),
    Column("postings", Integer, nullable=False, server_default="0"),
    Column("open", Boolean, nullable=False),
    Column("tasks", Integer, nullable=False, server_default="0"),
    Index(None, "centre", "open"),
    comment="billing.meters: what an attempt has been metered for (disjoint intervals) and charged (by unit and band); "
    "nothing after until_ms counts: the limit. tasks: how many an elastic job has in it; 0 for one of one size",
)

charge = Table(
    "charge",
    metadata,
    Column("entry", BigInteger, primary_key=True, autoincrement=False),
    Column("line", Integer, primary_key=True, autoincrement=False),
    Column("job", BigInteger, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("organisation", Text, nullable=False),
    Column("centre", Text, nullable=False),
    Column("pool", Text, nullable=False),
    Column("contract", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("from_ms", BigInteger, nullable=False),
    Column("to_ms", BigInteger, nullable=False),
    Column("times", Text, nullable=False),
    Column("parts", Text, nullable=False),
    Column("amount_micro_yuan", BigInteger, nullable=False),
    Index(None, "job", "epoch"),
    Index(None, "centre", "at_ms"),
    comment="billing.meters: usage as it was charged (or given back), with its ledger entry; append-only",
)

money_exception = Table(
    "money_exception",
    metadata,
    Column("number", Key, primary_key=True, autoincrement=True),
    Column("cause", Text, nullable=False, unique=True),
    Column("kind", Text, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("organisation", Text, nullable=False),
    Column("centre", Text, nullable=False),
    Column("job", BigInteger),
    Column("epoch", Integer),
    Column("said", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("resolved_ms", BigInteger),
    Column("resolution", Text, nullable=False, server_default=""),
    comment="billing.exceptions: what could not be metered or priced, until somebody has settled it",
)

__all__ = [
    "budget",
    "charge",
    "contract",
    "contract_document",
    "hold",
    "job_hold",
    "meter",
    "money_exception",
    "price_book",
]
