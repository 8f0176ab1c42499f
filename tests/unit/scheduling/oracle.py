"""A slow simulator of one pool of whole nodes under EASY, for tiny cases: plain Python, minute by minute where need be.

It is told of maintenance windows as a function of time, and knows nothing of how the core works.
"""

from collections.abc import Sequence

from tests.unit.scheduling.workloads import sizes_of
from weir.scheduling import SimulatedJobs
from weir.scheduling.inputs import Window

NEVER = -1
_FAR = 2**62


def begins_next(windows: Sequence[Window], now: int) -> int:
    """When the pool is next out of service, from `now` on; not after it where it is so already."""
    found = _FAR
    for each in windows:
        start, length = each.from_ms, each.until_ms - each.from_ms
        if each.every_ms:
            start += (now - start) // each.every_ms * each.every_ms
            start += 0 if now < start + length else each.every_ms
        elif now >= start + length:
            continue
        found = min(found, start)
    return found


def ends_next(windows: Sequence[Window], now: int) -> int:
    """The first end of a window after `now`."""
    found = _FAR
    for each in windows:
        end, every = each.until_ms, each.every_ms
        if every:
            end += ((now - end) // every + 1) * every
        if end > now:
            found = min(found, end)
    return found


def first_opening(windows: Sequence[Window], now: int, length: int) -> int:
    """The first instant from `now` on from which the pool stays in service for so long."""
    for _ in range(100):
        if now + length <= begins_next(windows, now):
            return now
        now = ends_next(windows, now)
    return _FAR


def easy(workload: SimulatedJobs, nodes: int, windows: Sequence[Window]) -> list[int]:
    """When each job starts, -1 where it never does."""
    sizes = sizes_of(workload)
    submitted, run, limit = (
        column.tolist() for column in (workload.submitted_ms, workload.run_ms, workload.limit_ms)
    )
    start = [NEVER] * len(sizes)
    coming = [job for job in range(len(sizes)) if sizes[job] <= nodes]
    waiting, running = list[int](), list[int]()
    now, idle = -1, 0
    while coming or running or waiting:
        moments = [submitted[job] for job in coming[:1]] + [start[job] + run[job] for job in running]
        idle = 0 if moments else idle + 1
        now = min([*moments, ends_next(windows, now)])
        if now == _FAR or idle > 40:
            break
        running = [job for job in running if start[job] + run[job] > now]
        while coming and submitted[coming[0]] == now:
            waiting.append(coming.pop(0))
        _one_pass(now, nodes, windows, sizes, limit, start, waiting, running)
    return start


def _one_pass(
    now: int,
    nodes: int,
    windows: Sequence[Window],
    sizes: Sequence[int],
    limit: Sequence[int],
    start: list[int],
    waiting: list[int],
    running: list[int],
) -> None:
    promised, extra = _FAR, 0
    has_promise = False
    for job in list(waiting):
        free = nodes - sum(sizes[other] for other in running)
        opens = now + limit[job] <= begins_next(windows, now)
        beside = not has_promise or now + limit[job] <= promised or sizes[job] <= extra
        if sizes[job] <= free and opens and beside:
            if has_promise and now + limit[job] > promised:
                extra -= sizes[job]
            start[job] = now
            waiting.remove(job)
            running.append(job)
        elif not has_promise:
            ends = sorted({now} | {start[other] + limit[other] for other in running})
            then = [
                nodes - sum(sizes[other] for other in running if start[other] + limit[other] > at)
                for at in ends
            ]
            fits = next(at for at, room in zip(ends, then, strict=True) if room >= sizes[job])
            promised = first_opening(windows, fits, limit[job])
            has_promise = promised < _FAR
            extra = [room for at, room in zip(ends, then, strict=True) if at <= promised][-1] - sizes[job]
