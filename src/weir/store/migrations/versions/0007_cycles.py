"""Cycles that are kept, so that they can be run again."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "kept_cycle",
        sa.Column("through", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("whole", sa.Boolean(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("through", name=op.f("pk_kept_cycle")),
        comment=(
            "control.journal: by the position that a cycle rests on, what it was told and what came of it; whole: it "
            "began from nothing. Dropped after some days"
        ),
    )
    op.create_index(op.f("ix_kept_cycle_at_ms"), "kept_cycle", ["at_ms"])
    op.create_table(
        "cycle_base",
        sa.Column("through", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("through", name=op.f("pk_cycle_base")),
        comment="control.journal: all that the scheduler knew after the cycle that rests on this position",
    )
