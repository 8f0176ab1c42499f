"""What vouchers would pay at each of the pools that a job may use, where they do not pay alike at all."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

COMMENT = (
    "billing.holds: what each job of a submission is priced by, and what is held for each that has no row in "
    "job_hold yet (legs), of which there are as many as untouched says; paid_there: thousandths that vouchers pay at "
    "each pool by itself, where they do not pay alike at all"
)


def upgrade() -> None:
    op.add_column("hold", sa.Column("paid_there", sa.Text(), server_default="{}", nullable=False))
    if op.get_bind().dialect.name == "postgresql":
        op.create_table_comment("hold", COMMENT)
