"""What must be true of any simulated workload, checked slowly and by other means than the core's: plain Python.

Nothing here knows how the core works; it reads submissions, limits, sizes, starts and ends.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from tests.unit.scheduling.workloads import sizes_of
from weir.scheduling import Simulated, SimulatedJobs
from weir.scheduling.inputs import JobClass, PoolRow


@dataclass(frozen=True, slots=True)
class Seen:
    """One pool of whole nodes at one instant, once everything has happened that happens then."""

    now: int
    waiting: list[int]
    """In order of submission."""
    free: int
    promised: int
    """When the first that waits can start by the limits of what runs."""
    extra: int
    """How many nodes it leaves free then."""


def check_one_pool(workload: SimulatedJobs, found: Simulated, nodes: int) -> None:
    """Every job that fits starts, not before it is submitted, and runs to its end; no node is used twice."""
    sizes = sizes_of(workload)
    changes = list[tuple[int, int]]()
    columns = zip(*_columns(workload, found), sizes, strict=True)
    for job, (submitted, run, _, start, end, size) in enumerate(columns):
        if size > nodes:
            assert (-1, -1, -1) == (start, end, found.pool[job])
            continue
        assert 0 <= submitted <= start
        assert start + run == end
        assert 0 == found.pool[job]
        changes += [(start, size), (end, -size)]
    used = 0
    for _, change in sorted(changes):  # at one instant, what ends is taken off first
        used += change
        assert 0 <= used <= nodes


def check_province(workload: SimulatedJobs, found: Simulated, pools: Sequence[PoolRow]) -> None:
    """As above, over many pools: devices, cores and memory of each, all nodes together; runs by the pool's speed."""
    changes: list[list[tuple[int, tuple[int, int, int]]]] = [[] for _ in pools]
    for job, (submitted, run, _, start, end) in enumerate(zip(*_columns(workload, found), strict=True)):
        place = int(found.pool[job])
        if place < 0:
            assert (-1, -1) == (start, end)
            continue
        assert submitted <= start
        assert -(-run * 1_000 // pools[place].speed_milli) == end - start
        need = workload.classes[int(workload.job_class[job])]
        held = tuple(need.tasks * each for each in (need.devices_milli, need.cores_milli, need.memory_bytes))
        changes[place] += [(start, held), (end, tuple(-each for each in held))]  # type: ignore[list-item]
    for row, events in zip(pools, changes, strict=True):
        has = (1_000 * row.devices_per_node, row.cores_milli_per_node, row.memory_bytes_per_node)
        used = [0, 0, 0]
        for _, change in sorted(events):
            used = [one + other for one, other in zip(used, change, strict=True)]
            assert all(0 <= each <= row.nodes * most for each, most in zip(used, has, strict=True))


def fits(row: PoolRow, need: JobClass) -> bool:
    """Whether a pool's empty nodes hold all tasks of a class that only asks for devices, cores and memory."""
    if need.devices_milli % 1_000 and not row.shares:
        return False
    most = [need.tasks]
    if need.devices_milli:
        a_device = 1_000 // need.devices_milli
        most.append(
            a_device * row.devices_per_node
            if a_device
            else 1_000 * row.devices_per_node // need.devices_milli
        )
    most.append(row.cores_milli_per_node // need.cores_milli)
    most.append(row.memory_bytes_per_node // need.memory_bytes)
    return row.nodes * min(most) >= need.tasks


def instants(workload: SimulatedJobs, found: Simulated, nodes: int) -> list[Seen]:
    """What a pool of whole nodes looked like whenever something had happened and somebody waited."""
    sizes = sizes_of(workload)
    submitted, _, limit, start, end = _columns(workload, found)
    fits = [job for job, size in enumerate(sizes) if size <= nodes]
    seen = list[Seen]()
    for now in sorted({submitted[job] for job in fits} | {end[job] for job in fits}):
        waiting = [job for job in fits if submitted[job] <= now < start[job]]
        if not waiting:
            continue
        running = [job for job in fits if start[job] <= now < end[job]]
        free = nodes - sum(sizes[job] for job in running)
        ends = sorted({start[job] + limit[job] for job in running} | {now})
        for time in ends:
            then = free + sum(sizes[job] for job in running if start[job] + limit[job] <= time)
            if then >= sizes[waiting[0]]:
                seen.append(Seen(now, waiting, free, time, then - sizes[waiting[0]]))
                break
    return seen


def conservative(workload: SimulatedJobs, nodes: int) -> tuple[list[int], list[int]]:
    """(start of each job, what it was promised when it came) under conservative backfilling, in milliseconds.

    After whatever happens at an instant, all that wait are gone over in order of submission; each starts if that
    delays no promise, or else is promised the earliest start that does not, and none later than its last.
    """
    sizes = sizes_of(workload)
    submitted, run, limit = (
        column.tolist() for column in (workload.submitted_ms, workload.run_ms, workload.limit_ms)
    )
    start, first = [-1] * len(sizes), [-1] * len(sizes)
    promise = dict[int, int]()
    coming = [job for job, size in enumerate(sizes) if size <= nodes]
    waiting, running = list[int](), list[int]()
    while coming or running:
        now = min([submitted[job] for job in coming[:1]] + [start[job] + run[job] for job in running])
        running = [job for job in running if start[job] + run[job] > now]
        while coming and submitted[coming[0]] == now:
            waiting.append(coming.pop(0))
        for job in list(waiting):
            blocks = [(start[other], start[other] + limit[other], sizes[other]) for other in running]
            blocks += [
                (promise[other], promise[other] + limit[other], sizes[other])
                for other in waiting
                if other != job and other in promise
            ]
            begin = _earliest(blocks, nodes, now, sizes[job], limit[job])
            first[job] = begin if first[job] < 0 else first[job]
            promise[job] = begin
            if begin == now:
                start[job] = now
                del promise[job]
                waiting.remove(job)
                running.append(job)
    return start, first


def _earliest(blocks: list[tuple[int, int, int]], nodes: int, now: int, size: int, limit: int) -> int:
    for begin in sorted({now} | {end for _, end, _ in blocks if end > now}):
        moments = [begin] + [time for time, _, _ in blocks if begin < time < begin + limit]
        if all(
            size + sum(held for one, other, held in blocks if one <= moment < other) <= nodes
            for moment in moments
        ):
            return begin
    raise AssertionError("a job that fits starts once everything has ended")


def _columns(workload: SimulatedJobs, found: Simulated) -> list[list[int]]:
    columns = (workload.submitted_ms, workload.run_ms, workload.limit_ms, found.start_ms, found.end_ms)
    return [column.tolist() for column in columns]
