"""The tables of schemes, claims, statements and settlements. Days and months are ISO texts."""

from sqlalchemy import BigInteger, Column, Index, Integer, Table, Text

from weir.store.schema_base import Key, metadata

scheme = Table(
    "scheme",
    metadata,
    Column("id", Text, primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("body", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("applied_ms", BigInteger, nullable=False),
    Column("applied_by", Text, nullable=False),
    Column("act", Text, nullable=False, server_default=""),
    comment="billing.scheme_store: the text of each version, by whom and by which act; append-only",
)

voucher_claim = Table(
    "voucher_claim",
    metadata,
    Column("number", Key, primary_key=True, autoincrement=True),
    Column("scheme", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("organisation", Text, nullable=False),
    Column("centre", Text, nullable=False),
    Column("contract", Text, nullable=False),
    Column("claimed_day", Text, nullable=False),
    Column("amount_micro_yuan", BigInteger),
    Column("tier", Text, nullable=False, server_default=""),
    Column("valid_through", Text),
    Column("decided_ms", BigInteger, nullable=False),
    Column("decision", Text, nullable=False),
    Index(None, "organisation", "contract"),
    Index(None, "scheme", "number"),
    comment="billing.grants: what was granted to a contract, with every clause that decided; the amount is null where "
    "the rate is of each charge",
)

voucher_check = Table(
    "voucher_check",
    metadata,
    Column("claim", BigInteger, primary_key=True, autoincrement=False),
    Column("step", Text, primary_key=True),
    Column("at_ms", BigInteger, nullable=False),
    Column("by", Text, nullable=False),
    Column("said", Text, nullable=False, server_default=""),
    comment="billing.settlement: the re-check trail: who signed which step for which claim; append-only",
)

statement = Table(
    "statement",
    metadata,
    Column("id", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("party", Text, nullable=False),
    Column("month", Text, nullable=False),
    Column("issued_ms", BigInteger, nullable=False),
    Column("total_fen", BigInteger, nullable=False),
    Column("carry_micro_yuan", BigInteger, nullable=False),
    Column("body", Text, nullable=False),
    Column("hash", Text, nullable=False),
    Index(None, "kind", "party", "month", unique=True),
    comment="billing.statement_close: issued once, for a tenant or a centre; body is what it says (JSON), hash "
    "is over it and the hash of the party's statement before; append-only",
)

statement_close = Table(
    "statement_close",
    metadata,
    Column("month", Text, primary_key=True),
    Column("closes_ms", BigInteger, nullable=False),
    Column("closed_ms", BigInteger, nullable=False),
    Column("statements", Integer, nullable=False),
    Column("hash", Text, nullable=False),
    Column("held_back", Text, nullable=False, server_default="[]"),
    comment="billing.statement_close: months that are closed; hash is over all statements in order; append-only",
)

settlement = Table(
    "settlement",
    metadata,
    Column("id", Text, primary_key=True),
    Column("funder", Text, nullable=False),
    Column("quarter", Text, nullable=False),
    Column("issued_ms", BigInteger, nullable=False),
    Column("total_fen", BigInteger, nullable=False),
    Column("carry_micro_yuan", BigInteger, nullable=False),
    Column("body", Text, nullable=False),
    Column("hash", Text, nullable=False),
    Index(None, "funder", "quarter", unique=True),
    comment="billing.settlement: what a funder pays for a quarter; append-only",
)

redemption = Table(
    "redemption",
    metadata,
    Column("entry", BigInteger, primary_key=True, autoincrement=False),
    Column("line", Integer, primary_key=True, autoincrement=False),
    Column("quarter", Text, nullable=False),
    Column("disputed", Text, nullable=False, server_default=""),
    comment="billing.settlement: in which quarter a redemption was settled (once), or that it is disputed (why) and "
    "carried; quarter is empty while it is not settled",
)

__all__ = [
    "redemption",
    "scheme",
    "settlement",
    "statement",
    "statement_close",
    "voucher_check",
    "voucher_claim",
]
