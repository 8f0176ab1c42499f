"""What the driver must do between its calls: make ends certain, seal them, and give up what cannot start."""

import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from weir.engines.driver import EngineUnreachableError
from weir.engines.kubernetes.api import Api, ApiError
from weir.engines.kubernetes.manifest import ATTEMPT, stop_patch
from weir.engines.kubernetes.mirror import Mirror
from weir.engines.kubernetes.parsing import Stop
from weir.engines.kubernetes.settings import Settings
from weir.engines.kubernetes.state import CANNOT_START, waiting_reason
from weir.engines.kubernetes.tracked import EndNotes, Tracked
from weir.model.state import Cause, Observed

__all__ = ["STOP_FILE", "Chores"]

STOP_FILE = "stop"
"""In an attempt's shared folder: a task that has not started never shall."""

_log = logging.getLogger(__name__)
_LOOK_S = 1.0
_AGAIN_S = 0.5
_DOUBT_S = 0.05
_CHANGED = 409
"""What was to be deleted has changed since it was read."""
_NO_POD_S = 10.0
"""A Job controller makes pods within a second or two; what takes longer is held by a quota or a webhook."""


class Chores:
    """A thread beside the watches, and the stopping of attempts."""

    def __init__(
        self, api: Api, mirror: Mirror, notes: EndNotes, settings: Settings, clock: Callable[[], int]
    ) -> None:
        self._api = api
        self._mirror = mirror
        self._notes = notes
        self._settings = settings
        self._clock = clock
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="kubernetes chores")
        self._thread.start()

    def close(self) -> None:
        self._closed.set()
        with self._mirror.changed_state:
            self._mirror.changed_state.notify_all()
        self._thread.join(5.0)

    def stop(self, attempt: str, cause: Cause, message: str) -> None:
        """Have an attempt ended, for a cause that is kept with its Job. An unknown or ended one is left alone.

        Raises EngineUnreachableError.
        """
        tracked = self._mirror.get(attempt)
        if tracked is None or tracked.ended or (tracked.job.stop is not None and not tracked.job.queue):
            return
        job, stop = tracked.job, Stop(cause.value, message, self._clock(), tracked.state.started_ms)
        if self._settings.shared and job.folder:
            # Also for the moment in which the cluster makes a pod though it was told not to. The folder may be
            # gone, by an operator's hand; then so is the claim that every task needs.
            with contextlib.suppress(OSError):
                _mark(Path(job.folder) / STOP_FILE)
        try:
            if tracked.vanished:
                self._delete_pods(tracked)
                return
            path = f"{self._mirror.jobs_path}/{job.name}"
            self._api.patch(path, stop_patch(asdict(stop), suspend=not job.queue))
            if job.queue:
                self._mirror.stop_told(attempt, stop)
                self._api.delete(path, "Foreground")
        except ApiError as error:
            if error.status != 404:
                raise EngineUnreachableError(f"the Job cannot be stopped: {error}") from error
            self._mirror.job_vanished(attempt)
            self._delete_pods(tracked)
            return
        self._mirror.stop_told(attempt, stop)

    def take_back(self, attempt: str) -> None:
        """End an attempt whose queue has not admitted it, and leave any other one alone.

        Its Job makes no pod while it is suspended. It is deleted only as it was read, suspended, so that one that is
        admitted in between goes on. Raises EngineUnreachableError.
        """
        tracked = self._mirror.get(attempt)
        waits = tracked is not None and tracked.state.observed is Observed.QUEUED and not tracked.vanished
        if tracked is None or not waits or tracked.job.stop is not None or not tracked.job.queue:
            return
        path = f"{self._mirror.jobs_path}/{tracked.job.name}"
        try:
            found = self._api.find(path)
            pods, _ = self._api.list(self._mirror.pods_path, labelSelector=f"{ATTEMPT}={attempt}")
            if found is None or not found["spec"].get("suspend") or pods:
                return
            self._mirror.taking_back(attempt, Stop(Cause.CANCELLED.value, "", self._clock(), None))
            self._api.delete(path, "Background", unchanged=found)
        except ApiError as error:
            self._mirror.taking_back(attempt, None)
            if error.status != _CHANGED:
                raise EngineUnreachableError(f"the Job cannot be taken back: {error}") from error
            return
        self._mirror.job_vanished(attempt)

    def _run(self) -> None:
        looked_s = 0.0
        while not self._closed.is_set():
            mirror = self._mirror
            with mirror.changed_state:
                if not mirror.doubts and not mirror.unsealed:
                    mirror.changed_state.wait(_LOOK_S)
                if mirror.doubts and not mirror.unsealed and not self._closed.is_set():
                    # The pods' watch tells most of it a moment after that of the Jobs.
                    mirror.changed_state.wait_for(self._closed.is_set, _DOUBT_S)
                doubts, unsealed = list(mirror.doubts), list(mirror.unsealed)
                mirror.doubts.clear()
                mirror.unsealed.clear()
            if self._closed.is_set():
                break
            failed = self._try_each(self._make_certain, doubts, mirror.doubts)
            failed |= self._try_each(self._seal, unsealed, mirror.unsealed)
            if time.monotonic() - looked_s >= _LOOK_S:
                looked_s = time.monotonic()
                failed |= self._try_each(lambda _: self._look_at_waiting(), ["waiting attempts"], {})
            if failed:
                self._closed.wait(_AGAIN_S)

    def _try_each(self, do: Callable[[str], None], given: list[str], kept: dict[str, None]) -> bool:
        """Do it for each; put what is still to be done into `kept`, and say whether there is any.

        One that cannot be done keeps none of the others from it, and never ends the thread: without it no
        attempt would end.
        """
        left: list[str] = []
        for place, one in enumerate(given):
            try:
                do(one)
            except (EngineUnreachableError, ApiError):
                # The server is away, which the watches tell.
                left += given[place:]
                break
            except Exception:  # noqa: BLE001 (a thread that died would end no attempt)
                _log.exception("Kubernetes: looking after %s failed; it is tried again", one)
                left.append(one)
        with self._mirror.changed_state:
            kept.update(dict.fromkeys(left))
        return bool(left)

    def _make_certain(self, attempt: str) -> None:
        tracked = self._mirror.get(attempt)
        if tracked is not None and tracked.ended:
            return  # the watch has told meanwhile
        pods, _ = self._api.list(self._mirror.pods_path, labelSelector=f"{ATTEMPT}={attempt}")
        self._mirror.pods_certain(attempt, pods)

    def _seal(self, attempt: str) -> None:
        tracked = self._mirror.get(attempt)
        if tracked is not None and not tracked.ended:
            self._api.delete(f"{self._mirror.jobs_path}/{tracked.job.name}", "Background")
            self._mirror.seal(attempt)

    def _look_at_waiting(self) -> None:
        """Give up what has been unable to start for longer than the site allows."""
        now_s = time.monotonic()
        for tracked in self._mirror.waiting():
            reason, message = waiting_reason(tracked.job, list(tracked.pods.values()))
            kind = "image" if reason in CANNOT_START else reason.lower()
            if tracked.held_by[0] != kind:
                tracked.held_by = (kind, now_s)
            held_s = now_s - tracked.held_by[1]
            if kind == "nopod" and held_s >= _NO_POD_S:
                self._mirror.explain(tracked.attempt, message)
            if kind == "image" and held_s >= self._settings.image_deadline_s:
                self.stop(tracked.attempt, Cause.START, f"given up after {held_s:.0f} s: {message}")
            elif kind in ("unschedulable", "nopod") and 0 < self._settings.unschedulable_deadline_s <= held_s:
                self.stop(tracked.attempt, Cause.REJECTED, f"given up after {held_s:.0f} s: {message}")

    def _delete_pods(self, tracked: Tracked) -> None:
        """End what outlived its Job."""
        for pod in list(tracked.pods.values()):
            if not pod.ended:
                self._api.delete(f"{self._mirror.pods_path}/{pod.name}", "Background")


def _mark(path: Path) -> None:
    """Make an empty file in a folder that the task's user can write: through no link, and waiting for nobody
    where there is a FIFO. Raises OSError."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    os.close(os.open(path, flags, 0o644))
