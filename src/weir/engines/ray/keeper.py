"""The thread that deals with Ray while nobody waits for it: submits what is kept, asks how things stand, and
drops what is no longer wanted."""

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from weir.engines.driver import EngineUnreachableError
from weir.engines.ray.api import RayApi
from weir.engines.ray.forms import RayJob
from weir.engines.ray.tracked import RayTracked, conclude, put_down, unstarted
from weir.model.state import Cause

__all__ = ["Keeper"]

_log = logging.getLogger("weir.engines.ray")
_SHARE = 20
"""Asking takes at most one part in so many of the time."""
_IDLE_S = 60.0


class Keeper:
    """One for each attachment. `tracked` is the driver's own, guarded by `lock`."""

    def __init__(
        self,
        api: RayApi,
        poll_s: float,
        tag: str,
        tracked: dict[str, RayTracked],
        lock: Any,
        body_of: Callable[[RayTracked], dict[str, Any]],
        tell: Callable[[RayTracked], None],
        clock: Callable[[], int],
    ) -> None:
        """`tag` is the agent's among those who use Ray; `body_of` makes the request that submits an attempt;
        `tell` is called when something was learned of one."""
        self._api = api
        self._poll_s = poll_s
        self._tag = tag
        self._tracked = tracked
        self._lock = lock
        self._body_of = body_of
        self._tell = tell
        self._clock = clock
        self._news = threading.Event()
        self._closed = threading.Event()
        self._unclean = True
        self._stopped: set[str] = set()
        self._thread = threading.Thread(target=self._run, name="weir-ray", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._closed.set()
        self._news.set()
        self._thread.join()

    def clean(self) -> None:
        """Something was forgotten that Ray still has."""
        self._unclean = True
        self._news.set()

    def post(self, tracked: RayTracked) -> str:
        """See to it that Ray has it; why Ray never takes it, or empty. Raises EngineUnreachableError."""
        refusal = self._api.submit(self._body_of(tracked))
        if not refusal:
            tracked.posted_s = time.monotonic()
        self._news.set()
        return refusal

    def _run(self) -> None:
        busy, next_s = True, time.monotonic()
        while not self._closed.is_set():
            self._news.wait(max(0.0, next_s - time.monotonic()) if busy else _IDLE_S)
            self._news.clear()
            # News makes it begin, and never more often than it may.
            if self._closed.wait(max(0.0, next_s - time.monotonic())):
                return
            began = time.monotonic()
            busy = True
            try:
                busy = self._round()
            except EngineUnreachableError:
                pass  # the next round asks again
            except Exception:  # noqa: BLE001 (logged; the thread is all that gives Ray anything)
                # Without this thread nothing would ever be given to Ray again, and nobody would hear of it.
                self._unclean = True
                _log.exception("a round of dealing with Ray broke off; the next one begins anew")
            now = time.monotonic()
            next_s = now + max(self._poll_s, (now - began) * _SHARE)

    def _round(self) -> bool:
        """Deal with everything once; whether there is anything left to deal with."""
        with self._lock:
            live = [tracked for tracked in self._tracked.values() if not tracked.ended]
        if not live and not self._unclean:
            return False
        self._unclean = False
        asked_s = time.monotonic()
        jobs = [job for job in self._api.jobs() if job.agent == self._tag]
        by_id = {job.id: job for job in jobs}
        with self._lock:
            self._adopt(jobs, asked_s)
        for tracked in live:
            if tracked.posted_s is None and not tracked.ended:
                self._post_again(tracked)
            with self._lock:
                conclude(tracked, by_id.get(tracked.identity), asked_s, time.monotonic(), self._clock())
            self._tell(tracked)
        for job in jobs:
            self._drop(job)
        return bool(live) or self._unclean

    def _adopt(self, jobs: list[RayJob], asked_s: float) -> None:
        """Find in Ray what an earlier driver had submitted."""
        for job in jobs:
            tracked = self._tracked.get(job.attempt)
            if tracked is not None and tracked.posted_s is None:
                number = job.id.partition("~")[2]
                if number.isdigit() and int(number) > tracked.number:
                    tracked.number = int(number)
                if tracked.identity == job.id and not (job.terminal and tracked.stopping):
                    tracked.posted_s = asked_s

    def _post_again(self, tracked: RayTracked) -> None:
        if tracked.stopping:
            with self._lock:
                if unstarted(tracked):
                    put_down(tracked, Cause.CANCELLED, "cancelled before its start", self._clock())
            return
        refusal = self.post(tracked)
        if refusal:
            with self._lock:
                if unstarted(tracked):
                    put_down(tracked, Cause.REJECTED, refusal, self._clock())

    def _drop(self, job: RayJob) -> None:
        """Remove from Ray what belongs to nothing that is tracked."""
        with self._lock:
            tracked = self._tracked.get(job.attempt)
            wanted = tracked is not None and tracked.identity == job.id
            ended = tracked is None or tracked.ended
        if job.terminal:
            if not wanted and not self._api.delete(job.id):
                self._unclean = True
            return
        if not wanted or ended:
            self._unclean = True
            # It waits for room, and ends at once when it gets it; this only spares it its start.
            if job.id not in self._stopped:
                self._stopped.add(job.id)
                self._api.stop(job.id)
