"""The ledger's tables. Amounts are integer micro-yuan. Triggers refuse to change or delete what was posted.

Nothing refers to `ledger_entry` or `ledger_transfer` by a foreign key: PostgreSQL's check of one needs the right to
update the row referred to, which the application's role does not have.
"""

from sqlalchemy import BigInteger, CheckConstraint, Column, Integer, Table, Text

from weir.store.schema_base import Key, metadata

ledger_book = Table(
    "ledger_book",
    metadata,
    Column("number", Key, primary_key=True, autoincrement=True),
    Column("id", Text, nullable=False, unique=True),
    Column("length", BigInteger, nullable=False),
    Column("hash", Text, nullable=False),
    comment="billing.ledger: one a payer (organisation, funder), so that its entries form one chain; length and "
    "hash of its last entry",
)

ledger_entry = Table(
    "ledger_entry",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("cause", Text, nullable=False, unique=True),
    Column("kind", Text, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("corrects", BigInteger),
    Column("detail", Text, nullable=False),
    Column("hash", Text, nullable=False),
    comment="billing.ledger: a set of transfers with one cause, unique; number is the book's number times 2^32 plus "
    "its place in the book; append-only",
)

ledger_transfer = Table(
    "ledger_transfer",
    metadata,
    Column("entry", BigInteger, primary_key=True, autoincrement=False),
    Column("line", Integer, primary_key=True, autoincrement=False),
    Column("debit", Text, nullable=False),
    Column("credit", Text, nullable=False),
    Column("amount_micro_yuan", BigInteger, nullable=False),
    CheckConstraint("amount_micro_yuan > 0 AND debit <> credit", "moves"),
    comment="billing.ledger: append-only",
)

ledger_counter = Table(
    "ledger_counter",
    metadata,
    Column("key", Text, primary_key=True),
    Column("limit_micro_yuan", BigInteger, nullable=False),
    Column("held_micro_yuan", BigInteger, nullable=False),
    Column("spent_micro_yuan", BigInteger, nullable=False),
    CheckConstraint(
        "held_micro_yuan >= 0 AND spent_micro_yuan >= 0 "
        "AND held_micro_yuan + spent_micro_yuan <= limit_micro_yuan",
        "within",
    ),
    comment="billing.ledger_counters: limits; held and spent follow from the transfers of the accounts that name "
    "the counter",
)

ledger_account = Table(
    "ledger_account",
    metadata,
    Column("code", Text, primary_key=True),
    Column("counters", Text, nullable=False),
    comment="billing.ledger: accounts of holds, with the keys of the counters that they count against (JSON)",
)

counter_check = Table(
    "counter_check",
    metadata,
    Column("day", Text, primary_key=True),
    Column("at_ms", BigInteger, nullable=False),
    Column("counters", Integer, nullable=False),
    Column("faults", Text, nullable=False),
    comment="billing.counter_check: the nightly recomputation of all counters from transfers, one a day of "
    "Asia/Shanghai; faults: what was found, in words (JSON)",
)

__all__ = [
    "counter_check",
    "ledger_account",
    "ledger_book",
    "ledger_counter",
    "ledger_entry",
    "ledger_transfer",
]
