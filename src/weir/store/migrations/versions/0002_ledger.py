"""The ledger: books, entries, transfers and counters, and triggers that refuse to change what was posted."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

APPEND_ONLY = ("ledger_entry", "ledger_transfer")


def upgrade() -> None:
    key = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "ledger_book",
        sa.Column("number", key, autoincrement=True, nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("length", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_ledger_book")),
        sa.UniqueConstraint("id", name=op.f("uq_ledger_book_id")),
        comment=(
            "billing.ledger: one a payer (organisation, funder), so that its entries form one chain; length and "
            "hash of its last entry"
        ),
    )
    op.create_table(
        "ledger_entry",
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("corrects", sa.BigInteger(), nullable=True),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_ledger_entry")),
        sa.UniqueConstraint("cause", name=op.f("uq_ledger_entry_cause")),
        comment=(
            "billing.ledger: a set of transfers with one cause, unique; number is the book's number times 2^32 "
            "plus its place in the book; append-only"
        ),
    )
    op.create_table(
        "ledger_transfer",
        sa.Column("entry", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("line", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("debit", sa.Text(), nullable=False),
        sa.Column("credit", sa.Text(), nullable=False),
        sa.Column("amount_micro_yuan", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "amount_micro_yuan > 0 AND debit <> credit", name=op.f("ck_ledger_transfer_moves")
        ),
        sa.PrimaryKeyConstraint("entry", "line", name=op.f("pk_ledger_transfer")),
        comment="billing.ledger: append-only",
    )
    op.create_table(
        "ledger_counter",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("limit_micro_yuan", sa.BigInteger(), nullable=False),
        sa.Column("held_micro_yuan", sa.BigInteger(), nullable=False),
        sa.Column("spent_micro_yuan", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "held_micro_yuan >= 0 AND spent_micro_yuan >= 0 "
            "AND held_micro_yuan + spent_micro_yuan <= limit_micro_yuan",
            name=op.f("ck_ledger_counter_within"),
        ),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_ledger_counter")),
        comment=(
            "billing.ledger_counters: limits; held and spent follow from the transfers of the accounts that name "
            "the counter"
        ),
    )
    op.create_table(
        "ledger_account",
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("counters", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("code", name=op.f("pk_ledger_account")),
        comment=(
            "billing.ledger: accounts of holds, with the keys of the counters that they count against (JSON)"
        ),
    )
    if op.get_bind().dialect.name == "postgresql":
        _refuse_on_postgresql()
    else:
        _refuse_on_sqlite()


def _refuse_on_sqlite() -> None:
    """A row cannot be changed, deleted, or put in the place of another."""
    for table in APPEND_ONLY:
        same = "entry = NEW.entry AND line = NEW.line"
        if table == "ledger_entry":
            same = "number = NEW.number OR cause = NEW.cause"
        said = f"SELECT RAISE(ABORT, '{table} is append-only')"
        for event in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER {table}_refuses_{event.lower()} BEFORE {event} ON {table} BEGIN {said}; END"
            )
        # REPLACE deletes without asking the trigger above.
        there = f"EXISTS (SELECT 1 FROM {table} WHERE {same})"  # noqa: S608 - of constants
        op.execute(
            f"CREATE TRIGGER {table}_refuses_replace BEFORE INSERT ON {table} WHEN {there} BEGIN {said}; END"
        )


def _refuse_on_postgresql() -> None:
    op.execute(
        "CREATE FUNCTION ledger_refuses() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME; END $$"
    )
    for table in APPEND_ONLY:
        op.execute(
            f"CREATE TRIGGER {table}_refuses BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuses()"
        )
        # The owner may give itself these rights again, a role that is no owner may not.
        op.execute(f"REVOKE UPDATE, DELETE, TRUNCATE ON {table} FROM PUBLIC, CURRENT_USER")
