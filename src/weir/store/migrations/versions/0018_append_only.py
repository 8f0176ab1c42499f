"""The ledger's triggers on SQLite refuse to replace a row without having the statement undone.

RAISE(ABORT) undoes what the statement has done so far, and for that SQLite copies each page that the statement is
going to change: of every row that is posted. These triggers come before the one row of such a statement, when there
is nothing to undo. A transaction that meets one is rolled back by whoever began it, now as before.
"""

from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

SAME = {
    "ledger_entry": "number = NEW.number OR cause = NEW.cause",
    "ledger_transfer": "entry = NEW.entry AND line = NEW.line",
}


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        return
    for table, same in SAME.items():
        there = f"EXISTS (SELECT 1 FROM {table} WHERE {same})"  # noqa: S608 - of constants
        op.execute(f"DROP TRIGGER {table}_refuses_replace")
        op.execute(
            f"CREATE TRIGGER {table}_refuses_replace BEFORE INSERT ON {table} WHEN {there} "
            f"BEGIN SELECT RAISE(FAIL, '{table} is append-only'); END"
        )
