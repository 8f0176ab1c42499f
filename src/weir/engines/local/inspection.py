"""Reading what supervisors recorded; stopping them; and clearing up after one that was killed."""

import contextlib
import os
import signal
import time
from collections.abc import Callable
from typing import Any

from weir.engines.local.cgroup import TaskGroups
from weir.engines.local.control import Control, claim_name
from weir.engines.local.process import alive, boot_id, end_leftovers, signal_process
from weir.engines.local.supervisor import STOP_CANCELLED, STOP_GANG
from weir.engines.local.tracked import TaskRecord, Tracked
from weir.model.state import Cause

__all__ = ["Inspection"]

_SILENT_S = 10.0
"""So long a supervisor may take between its claim and its first record."""


class Inspection:
    """The driver's dealings with supervisors, by way of the attempts' folders and of signals."""

    def __init__(
        self,
        clock: Callable[[], int],
        end_container: Callable[[Tracked, int], bool] = lambda tracked, task: True,
    ) -> None:
        """`end_container` ends what a task's container may still run; False where that is not sure."""
        self._clock = clock
        self._end_container = end_container
        self._boot = boot_id()

    def look(self, tracked: Tracked) -> bool:
        """Read the records of an attempt's tasks into it.

        False while something is left over that must end first; then look again soon. Raises FileNotFoundError
        where its folder is gone.
        """
        tracked.looked_s = time.monotonic()
        settled = True
        with Control(os.fspath(tracked.order.folder), write=tracked.doubtful) as control:
            for task, known in enumerate(tracked.records):
                if known is None or known["state"] != "ended":
                    settled = self._look_at_task(tracked, task, control) and settled
        if settled:
            tracked.suspect = False
        return settled

    def stop(self, tracked: Tracked, reason: str) -> None:
        """Have the tasks that run stopped, and see to it that no other one ever starts."""
        tracked.stopping = tracked.stopping or reason
        # Where that fails, as on a full disk, supervisors are told by signal as soon as their record appears.
        with contextlib.suppress(OSError), Control(os.fspath(tracked.order.folder)) as control:
            control.stop(reason)
        for record in tracked.records:
            if record is not None:
                self._signal(tracked, record)

    def _signal(self, tracked: Tracked, record: TaskRecord) -> None:
        if record["state"] != "ended" and record["boot"] == self._boot:
            number = signal.SIGTERM if tracked.stopping == STOP_CANCELLED else signal.SIGUSR1
            signal_process(record["supervisor"], number)

    def _look_at_task(self, tracked: Tracked, task: int, control: Control) -> bool:
        record = control.record(task)
        if record is None:
            return not tracked.doubtful or self._look_at_silent(tracked, task, control)
        if record["state"] != "ended" and tracked.doubtful and not self._supervised(record):
            # It may have ended in good order between the two looks.
            record = control.record(task) or record
            if record["state"] != "ended":
                if not self._clear(tracked, task, record):
                    return False
                record = self._put_down_lost(tracked, task, control, record["boot"])
        if tracked.records[task] is None and tracked.stopping:
            self._signal(tracked, record)
        tracked.records[task] = record
        return True

    def _look_at_silent(self, tracked: Tracked, task: int, control: Control) -> bool:
        """A task has no record: nobody has come to it yet, or its supervisor failed before it could write
        one."""
        failure = tracked.failures.get(task)
        if failure is not None:
            # Claimed by the driver itself, so that nobody starts it later. A record needs no new space.
            with contextlib.suppress(OSError):
                control.claim(task)
            tracked.records[task] = self._put_down(tracked, task, control, Cause.NODE_FAILED, failure)
            return True
        if not control.has(claim_name(task)):
            return True
        since = tracked.silent.setdefault(task, time.monotonic())
        if time.monotonic() - since < _SILENT_S:
            return False
        # Once the word to stop is there, its supervisor never starts anything, however late it comes.
        control.stop(STOP_GANG)
        record = control.record(task)
        tracked.records[task] = record or self._put_down_lost(tracked, task, control, self._boot)
        return True

    def _supervised(self, record: TaskRecord) -> bool:
        return record["boot"] == self._boot and alive(record["supervisor"])

    def _clear(self, tracked: Tracked, task: int, record: TaskRecord) -> bool:
        """End what a dead supervisor's task left; True when nothing of it is left."""
        if record["boot"] != self._boot:
            return True
        attempt = tracked.order.attempt
        groups = TaskGroups(tracked.groups, f"{attempt}.{task}")
        marks = (f"WEIR_ATTEMPT={attempt}".encode(), f"WEIR_TASK_INDEX={task}".encode())
        empty = groups.kill()
        if not (end_leftovers(record.get("process"), marks) and empty):
            return False
        if not self._end_container(tracked, task):
            return False
        groups.remove()
        return True

    def _put_down_lost(self, tracked: Tracked, task: int, control: Control, boot: str) -> TaskRecord:
        message = "its supervisor was killed, and what it ran was ended"
        if boot != self._boot:
            message = "the machine was restarted while it ran"
        return self._put_down(tracked, task, control, Cause.LOST, message)

    def _put_down(
        self, tracked: Tracked, task: int, control: Control, cause: Cause, message: str
    ) -> dict[str, Any]:
        record = control.write(
            task,
            state="ended",
            cause=cause.value,
            code=None,
            signal=None,
            message=message,
            ended_ms=self._clock(),
        )
        if tracked.order.work.tasks > 1 and not tracked.stopping:
            self.stop(tracked, STOP_GANG)
        return record
