"""How one process learns of another's commits on PostgreSQL: LISTEN, and a slow look of its own behind it."""

import json
import logging
import os
import select
import threading
from contextlib import suppress
from typing import Any

import pg8000.dbapi

from weir.store.notifier import EVERY_CENTRE, ChangeNotifier

CHANNEL = "weir"
LOOK_EVERY_S = 1.0
"""So late at most a commit is noticed whose notification was lost."""

_LAST = (
    "SELECT coalesce((SELECT max(position) FROM change), "
    "(SELECT CAST(value AS bigint) - 1 FROM meta WHERE key = 'change_floor'), 0)"
)
_log = logging.getLogger(__name__)


class Listener:
    """A thread that tells the notifier of what other processes committed."""

    def __init__(self, connect_arguments: dict[str, Any], own: str, notifier: ChangeNotifier) -> None:
        self._arguments = connect_arguments
        self._own = own
        self._notifier = notifier
        self._closing = False
        first = self._connect()
        self._wake_out, self._wake_in = os.pipe()
        self._thread = threading.Thread(target=self._serve, args=(first,), name="store-listener", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread; harmless when repeated."""
        if not self._closing:
            self._closing = True
            os.write(self._wake_in, b".")
            self._thread.join()
            os.close(self._wake_in)
            os.close(self._wake_out)

    def _connect(self) -> Any:
        connection = pg8000.dbapi.connect(**self._arguments)
        connection.autocommit = True
        connection.cursor().execute(f"LISTEN {CHANNEL}")
        return connection

    def _serve(self, connection: Any) -> None:
        while not self._closing:
            try:
                if connection is None:
                    connection = self._connect()
                    # What was committed while nobody listened is not known by name.
                    self._look(connection, {EVERY_CENTRE})
                self._listen(connection)
            except (pg8000.dbapi.Error, OSError) as error:
                _close(connection)
                connection = None
                _log.warning("the database does not answer, trying on: %s", error)
                select.select([self._wake_out], [], [], LOOK_EVERY_S)
        _close(connection)

    def _listen(self, connection: Any) -> None:
        socket = connection._usock  # noqa: SLF001 - the driver has no other way to wait for a notification
        while not self._closing:
            ready, _, _ = select.select([socket, self._wake_out], [], [], LOOK_EVERY_S)
            self._look(connection, set(), missed=not ready)

    def _look(self, connection: Any, centres: set[str], *, missed: bool = False) -> None:
        """Ask for the last position, which also takes in the notifications, and tell what is new."""
        cursor = connection.cursor()
        cursor.execute(_LAST)
        position = int(cursor.fetchone()[0])
        told = False
        if len(connection.notifications) == connection.notifications.maxlen:
            # The driver keeps so many and forgets older ones.
            centres.add(EVERY_CENTRE)
        while connection.notifications:
            _, _, payload = connection.notifications.popleft()
            sender, names = json.loads(payload)
            if sender != self._own:
                told = True
                centres.update(names)
        # Growth that comes with this process's own notification alone is told of by who committed it.
        grown = position > self._notifier.position and (told or missed)
        if grown and not told:
            centres.add(EVERY_CENTRE)
        if centres or grown:
            self._notifier.committed(position, frozenset(centres), grown)


def _close(connection: Any) -> None:
    if connection is not None:
        with suppress(pg8000.dbapi.Error, OSError):
            connection.close()


__all__ = ["CHANNEL", "Listener"]
