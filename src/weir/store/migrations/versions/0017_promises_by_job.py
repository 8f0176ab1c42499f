"""A pool may promise several starts, each to another job; what was promised before stands."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.rename_table("promise", "promise_by_pool")
    if op.get_bind().dialect.name == "postgresql":
        # The name of a key is taken until its table is gone.
        op.execute("ALTER TABLE promise_by_pool RENAME CONSTRAINT pk_promise TO pk_promise_by_pool")
    op.create_table(
        "promise",
        sa.Column("job", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("pool", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("start_ms", sa.BigInteger(), nullable=False),
        sa.Column("first_start_ms", sa.BigInteger(), nullable=False),
        sa.Column("nodes", sa.Text(), nullable=False),
        sa.Column("cause", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("job", name=op.f("pk_promise")),
        comment="control.promises: what the last plan promised of pools (centre/pool), to which version of which job",
    )
    op.execute(
        "INSERT INTO promise (job, pool, version, start_ms, first_start_ms, nodes, cause) "
        "SELECT job, pool, version, start_ms, first_start_ms, nodes, cause FROM promise_by_pool"
    )
    op.drop_table("promise_by_pool")
