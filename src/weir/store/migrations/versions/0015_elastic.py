"""How many tasks an attempt of an elastic job has, by which it is charged."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

COMMENT = (
    "billing.meters: what an attempt has been metered for (disjoint intervals) and charged (by unit and band); "
    "nothing after until_ms counts: the limit. tasks: how many an elastic job has in it; 0 for one of one size"
)


def upgrade() -> None:
    op.add_column("meter", sa.Column("tasks", sa.Integer(), server_default="0", nullable=False))
    if op.get_bind().dialect.name == "postgresql":
        op.create_table_comment("meter", COMMENT)
