"""How long pools let wait, and attempts that are taken back before they start."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

COMMENTS = {
    "pool": "body, removed (draining until empty): registry. observed (model.agent.PoolObservation), expected_wait_ms "
    "(in its own queue) and whose word that is (engine or history): control.reports",
    "job": "priority, time_limit_ms, held, cancelled_ms: intake. epoch, withdrawals (how many of its attempts "
    "were taken back before they started): control. state, cause, exit_code "
    "and the times: the state function, in whichever transaction changes a fact; each write raises version",
    "attempt": "placement, desired, desired_revision, term, reason, expected_wait_ms (when it was placed), withdrawn "
    "(why it is to be taken back unless it has started): control. observed and what follows from it: "
    "control.reports, from the agent's reports alone",
}


def upgrade() -> None:
    op.add_column("pool", sa.Column("expected_wait_ms", sa.BigInteger()))
    op.add_column("pool", sa.Column("expected_wait_from", sa.Text(), server_default="", nullable=False))
    op.add_column("job", sa.Column("withdrawals", sa.Integer(), server_default="0", nullable=False))
    op.add_column("attempt", sa.Column("expected_wait_ms", sa.BigInteger()))
    op.add_column("attempt", sa.Column("withdrawn", sa.Text(), server_default="", nullable=False))
    if op.get_bind().dialect.name == "postgresql":
        for table, comment in COMMENTS.items():
            op.create_table_comment(table, comment)
