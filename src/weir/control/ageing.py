"""What is dropped once it is old: changes that everybody has read, and cycles that nobody can ask about any more.

The ledger, the audit, statements, jobs and attempts have tables of their own, from which nothing is dropped here: no
balance follows from the change log. A reader of the log that has slept for longer than it is kept is answered 410, and
lists anew.
"""

from sqlalchemy import Connection

from weir.control import journal
from weir.store import Store, log

KEPT_MS = 7 * 86_400_000
"""For so long a change is kept in the log."""
LEFT = 1_000
"""The last so many changes stay however old they are: some tell the newest time of the log."""
AT_ONCE = 2_000
"""Rows in one transaction, so that nobody waits long for the store."""
EVERY_MS = 600_000
SOON_MS = 1_000


def drop_old(store: Store, now_ms: int) -> int:
    """Drop one transaction's worth of either; when to come again."""
    more = store.write(lambda tx: journal.forget(tx, now_ms - journal.KEPT_MS, AT_ONCE))

    def old(connection: Connection) -> int:
        newest = log.last_position(connection)
        return min(log.position_before(connection, now_ms - KEPT_MS, AT_ONCE), newest - LEFT)

    before = store.read(old)
    if before > store.read(log.floor):
        store.cut(before)
        more = True
    return now_ms + (SOON_MS if more else EVERY_MS)


__all__ = ["drop_old"]
