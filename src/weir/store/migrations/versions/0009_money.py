"""What the nightly recomputation of counters has found."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "counter_check",
        sa.Column("day", sa.Text(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("counters", sa.Integer(), nullable=False),
        sa.Column("faults", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("day", name=op.f("pk_counter_check")),
        comment="billing.counter_check: the nightly recomputation of all counters from transfers, one a day of "
        "Asia/Shanghai; faults: what was found, in words (JSON)",
    )
