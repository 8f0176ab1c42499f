"""Where the output of tasks is read: in the shared folder, or from a copy of the containers' logs."""

import contextlib
import threading
import time
from pathlib import Path

from weir.engines.driver import EngineUnreachableError
from weir.engines.kubernetes.api import Api, ApiError
from weir.engines.kubernetes.logs import LogCopy
from weir.engines.kubernetes.manifest import CONTAINER
from weir.engines.kubernetes.mirror import Mirror
from weir.engines.kubernetes.settings import Settings
from weir.engines.kubernetes.tracked import Tracked

__all__ = ["Output"]

_FRESH_S = 0.3
"""A running log is asked for so often at most, however often it is read."""


class Output:
    """Files with the output of tasks. Without a shared folder both streams of a task are its stdout."""

    def __init__(self, api: Api, mirror: Mirror, settings: Settings, attempts: Path) -> None:
        self._api = api
        self._mirror = mirror
        self._settings = settings
        self._attempts = attempts
        self._lock = threading.Lock()
        self._copies: dict[str, dict[Path, tuple[LogCopy, float]]] = {}
        """By attempt: copies that go on, and when each was last brought up to now."""
        self._whole: dict[str, set[Path]] = {}
        """By attempt: copies that have all there will be."""

    def file(self, attempt: str, task: int, stream: str) -> Path:
        """The file, brought up to now; it may not exist. Raises EngineUnreachableError."""
        tracked = self._mirror.get(attempt)
        folder = Path(tracked.job.folder) if tracked and tracked.job.folder else self._attempts / attempt
        path = folder / f"{task}.{stream}"
        if tracked is not None and not self._settings.shared and stream == "stdout":
            with self._lock:
                self._update(tracked, task, path)
        return path

    def forget(self, attempt: str) -> None:
        """Drop what is known of an attempt's copies."""
        with self._lock:
            self._copies.pop(attempt, None)
            self._whole.pop(attempt, None)

    def _update(self, tracked: Tracked, task: int, path: Path) -> None:
        copies = self._copies.setdefault(tracked.attempt, {})
        whole = self._whole.setdefault(tracked.attempt, set())
        if path in whole:
            return
        ended = tracked.ended
        copy, asked_s = copies.get(path) or (LogCopy(path), 0.0)
        if not ended and time.monotonic() - asked_s < _FRESH_S:
            return
        pods = [
            pod for pod in list(tracked.pods.values()) if pod.index == task and pod.started_ms is not None
        ]
        if pods:
            self._copy(copy, f"{self._mirror.pods_path}/{pods[-1].name}/log")
        if ended:
            whole.add(path)
            copies.pop(path, None)
            with contextlib.suppress(OSError):
                path.touch()
        else:
            copies[path] = copy, time.monotonic()

    def _copy(self, copy: LogCopy, target: str) -> None:
        def ask(since: str) -> bytes:
            begin = {"sinceTime": since} if since else {}
            return self._api.text(target, container=CONTAINER, timestamps="true", **begin)

        try:
            copy.update(ask)
        except ApiError as error:
            # 404: the pod is gone, with what was not copied yet. 400: its container waits still.
            if error.status not in (400, 404):
                raise EngineUnreachableError(f"the log cannot be read: {error}") from error
        except OSError as error:
            raise EngineUnreachableError(f"the log cannot be copied: {error.strerror}") from error
