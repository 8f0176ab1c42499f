"""What the driver keeps of an attempt that Ray is to run, and what Ray's word about it means."""

import contextlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from weir.engines.driver import EngineEnd, EngineState
from weir.engines.local.control import Control, claim_name
from weir.engines.local.supervisor import STOP_CANCELLED, STOP_GANG
from weir.engines.local.tracked import Tracked
from weir.engines.ray.forms import START_TIMEOUT, RayJob, short, submission_id
from weir.model.state import Cause, Observed

__all__ = ["RayTracked", "conclude", "put_down", "unstarted"]

_LATE_S = 5.0
"""A record may come so long after Ray has seen the end: it is written before, and a network file system shows
it a little later."""


@dataclass(slots=True)
class RayTracked(Tracked):
    """One attempt, its record as last read, and what Ray knows of it."""

    needs: Mapping[str, float] = field(default_factory=dict)
    """What it asks of a node, by Ray's names."""
    number: int = 1
    """Which of its submissions is meant now."""
    posted_s: float | None = None
    """When Ray had the present submission for certain, by the monotonic clock; None: it is still to be made."""
    unsure_s: float | None = None
    """Since when Ray says that it ended, and there is no record of it."""
    moved_s: float = 0.0
    """When its state last changed, by the monotonic clock."""
    waiting: str = "is given to Ray"
    """Why it waits, in Ray's words."""

    @property
    def identity(self) -> str:
        return submission_id(self.order.attempt, self.number)

    def fail(self, message: str, now_ms: int) -> None:
        """End it where not even its folder is left to say so."""
        end = EngineEnd(Cause.NODE_FAILED, None, None, message, self.state.started_ms, now_ms)
        self.state = EngineState(self.order.attempt, Observed.ENDED, self.state.started_ms, end)


def unstarted(tracked: RayTracked) -> bool:
    """Claim its task, so that whatever Ray still starts of it ends at once; False where it was started."""
    with contextlib.suppress(OSError), Control(os.fspath(tracked.order.folder), write=True) as control:
        return control.claim(0)
    return False


def put_down(tracked: RayTracked, cause: Cause, message: str, now_ms: int) -> None:
    """Put its end into its record, for this driver and those after it."""
    started_ms = tracked.state.started_ms
    with contextlib.suppress(OSError), Control(os.fspath(tracked.order.folder), write=True) as control:
        control.write(
            0,
            state="ended",
            cause=cause.value,
            code=None,
            signal=None,
            message=message,
            ended_ms=max(now_ms, started_ms or 0),
        )


def conclude(tracked: RayTracked, job: RayJob | None, asked_s: float, now_s: float, now_ms: int) -> None:
    """Take in what Ray says of an attempt: `job`, or that it knows none, in an answer asked for at `asked_s`.

    Its record comes first. Without one: what Ray has not started and given up is submitted anew, or put down;
    what was started and has ended in Ray's eyes gets its time to say how.
    """
    if tracked.ended or tracked.posted_s is None or tracked.posted_s > asked_s:
        return
    try:
        with Control(os.fspath(tracked.order.folder), write=True) as control:
            record = control.record(0)
            if record is not None and record["state"] == "ended":
                return
            if job is not None and not job.terminal:
                tracked.unsure_s = None
                pending = job.status == "PENDING"
                tracked.waiting = short(job.message) if pending else "is being started"
                if record is None and pending and tracked.stopping:
                    put_down(tracked, Cause.CANCELLED, "cancelled before its start", now_ms)
                return
            if not control.has(claim_name(0)):
                _unclaimed(tracked, job, control, now_ms)
                return
            tracked.unsure_s = now_s if tracked.unsure_s is None else tracked.unsure_s
            if now_s - tracked.unsure_s >= _LATE_S + tracked.order.work.stop_grace_ms / 1_000:
                control.stop(STOP_GANG)  # should a part of it live on where Ray does not see it
                put_down(tracked, *_end_without_record(tracked, job), now_ms)
    except OSError:
        return  # its folder is gone; looking at it says so


def _unclaimed(tracked: RayTracked, job: RayJob | None, control: Control, now_ms: int) -> None:
    if tracked.stopping:
        if control.claim(0):
            put_down(tracked, Cause.CANCELLED, "cancelled before its start", now_ms)
    elif job is None:
        tracked.posted_s = None
    elif job.error_type == START_TIMEOUT:
        # It asked for no more than there is, and waited a quarter of an hour: so it goes on waiting.
        tracked.number += 1
        tracked.posted_s = None
    elif control.claim(0):
        where = f"the attempts' folder {tracked.order.folder.parent}"
        text = f"Ray did not start it ({job.status}): {short(job.message) or 'no message'}"
        if job.error_type == "JOB_ENTRYPOINT_COMMAND_ERROR":
            text = (
                f"its runner failed on Ray's node (are Python 3.10 and {where} there?): {short(job.message)}"
            )
        put_down(tracked, Cause.NODE_FAILED, text, now_ms)


def _end_without_record(tracked: RayTracked, job: RayJob | None) -> tuple[Cause, str]:
    if tracked.stopping == STOP_CANCELLED:
        return Cause.CANCELLED, "it was cancelled, and ended without a record"
    if job is None:
        return Cause.LOST, "Ray no longer knows of it"
    return Cause.NODE_FAILED, f"Ray ended it ({job.status}): {short(job.message) or 'no message'}"
