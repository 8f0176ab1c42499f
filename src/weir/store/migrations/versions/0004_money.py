"""Prices, budgets, contracts, holds, metering and the exceptions of money."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

APPEND_ONLY = ("charge", "price_book")


def upgrade() -> None:
    op.create_table(
        "charge",
        sa.Column("entry", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("line", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("job", sa.BigInteger(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("organisation", sa.Text(), nullable=False),
        sa.Column("centre", sa.Text(), nullable=False),
        sa.Column("pool", sa.Text(), nullable=False),
        sa.Column("contract", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("from_ms", sa.BigInteger(), nullable=False),
        sa.Column("to_ms", sa.BigInteger(), nullable=False),
        sa.Column("times", sa.Text(), nullable=False),
        sa.Column("parts", sa.Text(), nullable=False),
        sa.Column("amount_micro_yuan", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("entry", "line", name=op.f("pk_charge")),
        comment="billing.meters: usage as it was charged (or given back), with its ledger entry; append-only",
    )
    op.create_index(op.f("ix_charge_centre_at_ms"), "charge", ["centre", "at_ms"], unique=False)
    op.create_index(op.f("ix_charge_job_epoch"), "charge", ["job", "epoch"], unique=False)
    op.create_table(
        "money_exception",
        sa.Column(
            "number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("organisation", sa.Text(), nullable=False),
        sa.Column("centre", sa.Text(), nullable=False),
        sa.Column("job", sa.BigInteger(), nullable=True),
        sa.Column("epoch", sa.Integer(), nullable=True),
        sa.Column("said", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("resolved_ms", sa.BigInteger(), nullable=True),
        sa.Column("resolution", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_money_exception")),
        sa.UniqueConstraint("cause", name=op.f("uq_money_exception_cause")),
        comment="billing.exceptions: what could not be metered or priced, until somebody has settled it",
    )
    op.create_table(
        "price_book",
        sa.Column("version", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("starts_ms", sa.BigInteger(), nullable=False),
        sa.Column("applied_ms", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("version", name=op.f("pk_price_book")),
        comment="billing.price_versions: billing.price_book.PriceBook; append-only",
    )
    op.create_table(
        "budget",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("organisation", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["organisation"], ["organisation.id"], name=op.f("fk_budget_organisation")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_budget")),
        comment="billing.budgets: billing.budget.Budget",
    )
    op.create_index(op.f("ix_budget_organisation"), "budget", ["organisation"], unique=False)
    op.create_table(
        "contract",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("organisation", sa.Text(), nullable=False),
        sa.Column("centre", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["organisation"], ["organisation.id"], name=op.f("fk_contract_organisation")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_contract")),
        comment="billing.contracts: billing.contracts.Contract",
    )
    op.create_index(op.f("ix_contract_organisation"), "contract", ["organisation"], unique=False)
    op.create_table(
        "contract_document",
        sa.Column("contract", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("amount_micro_yuan", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.Text(), server_default="", nullable=False),
        sa.ForeignKeyConstraint(["contract"], ["contract.id"], name=op.f("fk_contract_document_contract")),
        sa.PrimaryKeyConstraint("contract", "kind", "reference", name=op.f("pk_contract_document")),
        comment="billing.contracts: invoices, payments and evidence as they were recorded",
    )
    op.create_table(
        "hold",
        sa.Column("submission", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("organisation", sa.Text(), nullable=False),
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("budget", sa.Text(), nullable=False),
        sa.Column("period", sa.Text(), nullable=False),
        sa.Column("price_version", sa.BigInteger(), nullable=False),
        sa.Column("tenant_class", sa.Text(), nullable=False),
        sa.Column("needs", sa.Text(), nullable=False),
        sa.Column("pools", sa.Text(), nullable=False),
        sa.Column("barred", sa.Text(), nullable=False),
        sa.Column("legs", sa.Text(), nullable=False),
        sa.Column("untouched", sa.Integer(), nullable=False),
        sa.Column("max_price_micro_yuan", sa.BigInteger(), nullable=True),
        sa.Column("purpose", sa.Text(), server_default="", nullable=False),
        sa.ForeignKeyConstraint(["budget"], ["budget.id"], name=op.f("fk_hold_budget")),
        sa.ForeignKeyConstraint(
            ["price_version"], ["price_book.version"], name=op.f("fk_hold_price_version")
        ),
        sa.ForeignKeyConstraint(["submission"], ["submission.number"], name=op.f("fk_hold_submission")),
        sa.PrimaryKeyConstraint("submission", name=op.f("pk_hold")),
        comment=(
            "billing.holds: what each job of a submission is priced by, and what is held for each that "
            "has no row in job_hold yet (legs), of which there are as many as untouched says"
        ),
    )
    op.create_table(
        "job_hold",
        sa.Column("job", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("submission", sa.BigInteger(), nullable=False),
        sa.Column("legs", sa.Text(), nullable=False),
        sa.Column("closed", sa.Boolean(), server_default="0", nullable=False),
        sa.Column("postings", sa.Integer(), server_default="0", nullable=False),
        sa.Column("waiting_ms", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["job"], ["job.number"], name=op.f("fk_job_hold_job")),
        sa.PrimaryKeyConstraint("job", name=op.f("pk_job_hold")),
        comment=(
            "billing.holds: what is held and charged for one job, by leg; waiting_ms: since when it is "
            "queued without money"
        ),
    )
    op.create_index(op.f("ix_job_hold_waiting_ms"), "job_hold", ["waiting_ms"], unique=False)
    op.create_table(
        "meter",
        sa.Column("job", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("epoch", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("centre", sa.Text(), nullable=False),
        sa.Column("pool", sa.Text(), nullable=False),
        sa.Column("contract", sa.Text(), nullable=False),
        sa.Column("started_ms", sa.BigInteger(), nullable=False),
        sa.Column("until_ms", sa.BigInteger(), nullable=False),
        sa.Column("intervals", sa.Text(), nullable=False),
        sa.Column("parts", sa.Text(), nullable=False),
        sa.Column("postings", sa.Integer(), server_default="0", nullable=False),
        sa.Column("open", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["job"], ["job.number"], name=op.f("fk_meter_job")),
        sa.PrimaryKeyConstraint("job", "epoch", name=op.f("pk_meter")),
        comment=(
            "billing.meters: what an attempt has been metered for (disjoint intervals) and charged (by "
            "unit and band); nothing after until_ms counts: the limit"
        ),
    )
    op.create_index(op.f("ix_meter_centre_open"), "meter", ["centre", "open"], unique=False)

    for table in APPEND_ONLY:
        if op.get_bind().dialect.name == "postgresql":
            # `ledger_refuses` was made with the ledger.
            op.execute(
                f"CREATE TRIGGER {table}_refuses BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
                "FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuses()"
            )
            continue
        for event in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER {table}_refuses_{event.lower()} BEFORE {event} ON {table} "
                f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
            )
