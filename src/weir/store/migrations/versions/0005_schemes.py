"""Schemes, claims, statements and settlements."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

APPEND_ONLY = {
    "scheme": "id = NEW.id AND version = NEW.version",
    "settlement": "id = NEW.id OR (funder = NEW.funder AND quarter = NEW.quarter)",
    "statement": "id = NEW.id OR (kind = NEW.kind AND party = NEW.party AND month = NEW.month)",
    "statement_close": "month = NEW.month",
    "voucher_check": "claim = NEW.claim AND step = NEW.step",
}
"""Each with what makes a row the same as one that is there."""


def upgrade() -> None:
    op.create_table(
        "redemption",
        sa.Column("entry", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("line", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("quarter", sa.Text(), nullable=False),
        sa.Column("disputed", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("entry", "line", name=op.f("pk_redemption")),
        comment=(
            "billing.settlement: in which quarter a redemption was settled (once), or that it is disputed "
            "(why) and carried; quarter is empty while it is not settled"
        ),
    )
    op.create_table(
        "scheme",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("applied_ms", sa.BigInteger(), nullable=False),
        sa.Column("applied_by", sa.Text(), nullable=False),
        sa.Column("act", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("id", "version", name=op.f("pk_scheme")),
        comment="billing.scheme_store: the text of each version, by whom and by which act; append-only",
    )
    op.create_table(
        "settlement",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("funder", sa.Text(), nullable=False),
        sa.Column("quarter", sa.Text(), nullable=False),
        sa.Column("issued_ms", sa.BigInteger(), nullable=False),
        sa.Column("total_fen", sa.BigInteger(), nullable=False),
        sa.Column("carry_micro_yuan", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_settlement")),
        comment="billing.settlement: what a funder pays for a quarter; append-only",
    )
    op.create_index(op.f("ix_settlement_funder_quarter"), "settlement", ["funder", "quarter"], unique=True)
    op.create_table(
        "statement",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("party", sa.Text(), nullable=False),
        sa.Column("month", sa.Text(), nullable=False),
        sa.Column("issued_ms", sa.BigInteger(), nullable=False),
        sa.Column("total_fen", sa.BigInteger(), nullable=False),
        sa.Column("carry_micro_yuan", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_statement")),
        comment=(
            "billing.statement_close: issued once, for a tenant or a centre; body is what it says (JSON), hash is "
            "over it and the hash of the party's statement before; append-only"
        ),
    )
    op.create_index(
        op.f("ix_statement_kind_party_month"), "statement", ["kind", "party", "month"], unique=True
    )
    op.create_table(
        "statement_close",
        sa.Column("month", sa.Text(), nullable=False),
        sa.Column("closes_ms", sa.BigInteger(), nullable=False),
        sa.Column("closed_ms", sa.BigInteger(), nullable=False),
        sa.Column("statements", sa.Integer(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("held_back", sa.Text(), server_default="[]", nullable=False),
        sa.PrimaryKeyConstraint("month", name=op.f("pk_statement_close")),
        comment="billing.statement_close: months that are closed; hash is over all statements in order; append-only",
    )
    op.create_table(
        "voucher_check",
        sa.Column("claim", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("step", sa.Text(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("said", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("claim", "step", name=op.f("pk_voucher_check")),
        comment="billing.settlement: the re-check trail: who signed which step for which claim; append-only",
    )
    op.create_table(
        "voucher_claim",
        sa.Column(
            "number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("scheme", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("organisation", sa.Text(), nullable=False),
        sa.Column("centre", sa.Text(), nullable=False),
        sa.Column("contract", sa.Text(), nullable=False),
        sa.Column("claimed_day", sa.Text(), nullable=False),
        sa.Column("amount_micro_yuan", sa.BigInteger(), nullable=True),
        sa.Column("tier", sa.Text(), server_default="", nullable=False),
        sa.Column("valid_through", sa.Text(), nullable=True),
        sa.Column("decided_ms", sa.BigInteger(), nullable=False),
        sa.Column("decision", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_voucher_claim")),
        comment=(
            "billing.grants: what was granted to a contract, with every clause that decided; the amount is "
            "null where the rate is of each charge"
        ),
    )
    op.create_index(
        op.f("ix_voucher_claim_organisation_contract"), "voucher_claim", ["organisation", "contract"]
    )
    op.create_index(op.f("ix_voucher_claim_scheme_number"), "voucher_claim", ["scheme", "number"])
    for table, same in APPEND_ONLY.items():
        if op.get_bind().dialect.name == "postgresql":
            op.execute(
                f"CREATE TRIGGER {table}_refuses BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
                "FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuses()"
            )
            continue
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
