"""Writes a migration from what schema.py says and the migrations do not yet: tools/revision.py 0002 "what changes".

Read it before you keep it, and raise `HEAD` in src/weir/store/migrate.py.
"""

import sqlite3
import sys

from alembic import command

from weir.store import memory_image, migrate
from weir.store.sqlite import make_engine, session_on


def main(revision: str, message: str) -> None:
    """Compare a store migrated so far with the schema."""
    database = sqlite3.connect(":memory:", isolation_level=None)
    database.deserialize(memory_image().content)
    session = session_on(make_engine(), database)
    command.revision(migrate.configuration(session.connection), message, autogenerate=True, rev_id=revision)
    session.close()


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
