"""Where an output lies that its centre wrote to a URL."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

COMMENT = "control.reports: files that an attempt handed over; with a url they lie there, and no blob is kept"


def upgrade() -> None:
    op.add_column("output", sa.Column("url", sa.Text(), server_default="", nullable=False))
    if op.get_bind().dialect.name == "postgresql":
        op.create_table_comment("output", COMMENT)
