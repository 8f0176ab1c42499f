"""Keeping up with one kind of object: list once, then watch, and list again when the watch has lost its
place."""

import threading
import time
from collections.abc import Set
from typing import Protocol

from weir.engines.driver import EngineUnreachableError
from weir.engines.kubernetes.api import Api, ApiError, Plain, WatchGoneError, WatchStream

__all__ = ["Follower", "Watcher"]

_FIRST_PAUSE_S, _LAST_PAUSE_S = 0.2, 5.0


class Follower(Protocol):
    """Who is told what happens. Called from the watcher's thread."""

    def known(self) -> Set[str]:
        """The uids of what is believed to exist, asked right before each list."""
        ...

    def listed(self, objects: list[Plain], missing: Set[str]) -> None:
        """Everything that exists now; of what was known before, `missing` does not."""
        ...

    def happened(self, kind: str, plain: Plain) -> None:
        """ADDED, MODIFIED or DELETED."""
        ...

    def heard(self) -> None:
        """The server answers, or has ceased to."""
        ...


class Watcher:
    """One list-and-watch loop on a thread of its own.

    `trouble` says why the server cannot be asked now, empty while it can. `synced` is set once everything was
    listed.
    """

    def __init__(self, api: Api, path: str, selector: str, follower: Follower) -> None:
        self._api = api
        self._path = path
        self._selector = selector
        self._follower = follower
        self._stream: WatchStream | None = None
        self._closed = threading.Event()
        self.trouble = ""
        self.synced = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name=f"watch {path}")
        self._thread.start()

    def close(self) -> None:
        """End the loop; nobody is told anything any more once this returns."""
        self._closed.set()
        stream = self._stream
        if stream is not None:
            stream.close()
        if threading.current_thread() is not self._thread:
            self._thread.join(5.0)

    def _run(self) -> None:
        version, pause_s = "", _FIRST_PAUSE_S
        while not self._closed.is_set():
            try:
                began = time.monotonic()
                version = self._watch(version or self._list())
                if time.monotonic() - began < _FIRST_PAUSE_S:
                    self._closed.wait(_FIRST_PAUSE_S)  # a server that ends watches at once is not hurried
                pause_s = _FIRST_PAUSE_S
            except WatchGoneError:
                version = ""
            except Exception as error:  # noqa: BLE001 (a thread that died would leave a driver that looks alive)
                known = isinstance(error, EngineUnreachableError | ApiError)
                version = version if known else ""
                self._say(str(error) if known else f"the API server's answer is not understood: {error!r}")
                self._closed.wait(pause_s)
                pause_s = min(_LAST_PAUSE_S, pause_s * 2)

    def _list(self) -> str:
        known = self._follower.known()
        query = {"labelSelector": self._selector} if self._selector else {}
        objects, version = self._api.list(self._path, **query)
        found = {str(plain["metadata"].get("uid", "")) for plain in objects}
        if not self._closed.is_set():
            self._follower.listed(objects, known - found)
            self._say("")
            self.synced.set()
        return version

    def _watch(self, version: str) -> str:
        """Follow until it ends, or breaks off; the version to go on from."""
        stream = self._api.watch(self._path, version, self._selector)
        self._say("")
        self._stream = stream
        if self._closed.is_set():
            stream.close()
        try:
            for kind, plain in stream.events():
                version = str(plain["metadata"]["resourceVersion"])
                if kind != "BOOKMARK" and not self._closed.is_set():
                    self._follower.happened(kind, plain)
        except EngineUnreachableError:
            # The next watch tells whether the server is still there; this one was, so it is asked at once.
            return version
        finally:
            self._stream = None
        return version

    def _say(self, trouble: str) -> None:
        if trouble != self.trouble:
            self.trouble = trouble
            self._follower.heard()
