"""What removes content that nobody wants any more: a thread beside the server."""

import threading
from collections.abc import Callable

import structlog

from weir.control.uploads import is_kept
from weir.files import BlobStore
from weir.store import Store

_log = structlog.stdlib.get_logger("weir.files")

OLDER_THAN_MS = 30 * 86_400_000
"""What nobody refers to is kept for so long: an agent may bring outputs and be cut off before it tells of them."""
_EVERY_S, _FIRST_S = 86_400.0, 600.0


class Sweeper:
    """Sweeps the blobs once a day, as a context."""

    def __init__(self, store: Store, blobs: BlobStore, now_ms: Callable[[], int]) -> None:
        self._store = store
        self._blobs = blobs
        self._now_ms = now_ms
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="weir-sweep", daemon=True)

    def __enter__(self) -> "Sweeper":
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop.set()
        self._thread.join()

    def sweep(self) -> int:
        """Remove what no upload and no output refers to; how many blobs and stale pieces that were."""

        def keep(digest: str) -> bool:
            # Whoever ends the server waits for nothing.
            return self._stop.is_set() or self._store.read(lambda connection: is_kept(connection, digest))

        return self._blobs.sweep(keep, older_than_ms=OLDER_THAN_MS, now_ms=self._now_ms())

    def _run(self) -> None:
        pause_s = _FIRST_S
        while not self._stop.wait(pause_s):
            pause_s = _EVERY_S
            try:
                removed = self.sweep()
            except Exception:  # noqa: BLE001 - whatever it is, the next day's is tried
                if not self._stop.is_set():
                    _log.exception("the blobs could not be swept; it is tried again in a day")
            else:
                if removed:
                    _log.info("blobs that nobody refers to were removed", count=removed)


__all__ = ["Sweeper"]
