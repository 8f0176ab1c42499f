"""Placements as columns: many at once, as cycles are kept and a state is made of what was kept."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain as chained

import numpy as np

from weir.scheduling import layout
from weir.scheduling.bounds import LARGEST_NUMBER, MOST_DEVICES_A_NODE, MOST_NODES, MOST_TASKS
from weir.scheduling.compilation import kernel
from weir.scheduling.inputs import Int64s, RunningJob
from weir.scheduling.plan import Start
from weir.scheduling.state import State
from weir.scheduling.tables import NOTHING, Counter, column


@dataclass(frozen=True, slots=True)
class Placements:
    """Jobs and the nodes that each has, as columns."""

    pools: tuple[str, ...]
    """Keys, which `pool` counts from 0."""
    job: Int64s
    pool: Int64s
    nodes: Int64s
    """How many rows each has in the next two columns, one placement after the other."""
    node: Int64s
    tasks: Int64s
    devices: Int64s
    """How many rows each has in the next column: none where devices are not shared."""
    device: Int64s

    def __len__(self) -> int:
        return len(self.job)

    def __iter__(self) -> Iterator[Start]:
        """Each as it was started, without its reason."""
        node, tasks, device = (each.tolist() for each in (self.node, self.tasks, self.device))
        at = of_devices = 0
        columns = (each.tolist() for each in (self.job, self.pool, self.nodes, self.devices))
        for job, pool, nodes, devices in zip(*columns, strict=True):
            yield Start(
                job,
                self.pools[pool],
                tuple(zip(node[at : at + nodes], tasks[at : at + nodes], strict=True)),
                0,
                tuple(device[of_devices : of_devices + devices]),
            )
            at += nodes
            of_devices += devices

    def only(self, rows: Int64s) -> "Placements":
        """These of them, in this order."""
        node, device = _rows_of(self.nodes, rows), _rows_of(self.devices, rows)
        return Placements(
            self.pools,
            self.job[rows],
            self.pool[rows],
            self.nodes[rows],
            self.node[node],
            self.tasks[node],
            self.devices[rows],
            self.device[device],
        )


def placements_of(placed: Iterable[Start | RunningJob]) -> Placements:
    """The same as columns."""
    placed = tuple(placed)
    pools: dict[str, int] = {}
    pool = column(pools.setdefault(each.pool, len(pools)) for each in placed)
    nodes = list(chained.from_iterable(each.nodes for each in placed))
    return Placements(
        tuple(pools),
        column(each.job for each in placed),
        pool,
        column(len(each.nodes) for each in placed),
        column(node for node, _ in nodes),
        column(tasks for _, tasks in nodes),
        column(len(each.devices) for each in placed),
        column(chained.from_iterable(each.devices for each in placed)),
    )


def joined(parts: Sequence[Placements]) -> Placements:
    """One after the other."""
    pools: dict[str, int] = {}
    renamed = [
        np.array([pools.setdefault(key, len(pools)) for key in part.pools], np.int64)[part.pool]
        for part in parts
    ]
    columns = (
        np.concatenate([np.zeros(0, np.int64), *(getattr(part, name) for part in parts)])
        for name in ("job", "nodes", "node", "tasks", "devices", "device")
    )
    job, nodes, node, tasks, devices, device = columns
    pool = np.concatenate([np.zeros(0, np.int64), *renamed])
    return Placements(tuple(pools), job, pool, nodes, node, tasks, devices, device)


def standing(state: State) -> Placements:
    """All that holds capacity, as `State.run_details` lists it."""
    runs = list(state.run_details.items())
    which = np.array([run for _, (run, _, _) in runs], np.int64)
    placed = layout.placements(state.runs, state.records, which)
    starts = (
        Start(job, pool, nodes, 0, devices)
        for (job, (_, pool, _)), (nodes, devices) in zip(runs, placed, strict=True)
    )
    return placements_of(starts)


def admit_all(
    state: State, placed: Placements, job_class: Int64s, placed_ms: Int64s, limit_ms: Int64s, tenant: Int64s
) -> None:
    """Let these hold capacity, and wait no more. They hold none yet, and it is known which devices each has.

    job_class: the rows of their classes. The same as `State.admit` of them one by one. Raises ValueError where a
    placement cannot be.
    """
    if not len(placed):
        return
    jobs = placed.job.tolist()
    if len(set(jobs)) != len(jobs) or not state.run_details.keys().isdisjoint(jobs):
        raise ValueError("a job that holds capacity was started")
    _check(state, placed, job_class)
    place = np.array([state.pool_places.get(key, NOTHING) for key in placed.pools], np.int64)[placed.pool]
    begins = np.append(0, np.cumsum(placed.nodes))
    rooms = state.pools["end_node"] - state.pools["first_node"]
    beyond = np.maximum.reduceat(placed.node, begins[:-1]) >= np.append(rooms, MOST_NODES)[place]
    if bool(beyond.any()):
        # They run beyond the nodes that are in service, for which room has to be made first.
        _one_by_one(state, placed, job_class, placed_ms, limit_ms, tenant)
        return
    state.dequeue(placed.job)
    if state.counters[Counter.FREE_RUNS] < len(placed):
        state.make_runs(max(len(placed), len(state.runs)))
    wanted = int(np.maximum(placed.nodes, _parts(state, placed, job_class, begins)).sum())
    if state.counters[Counter.FREE_RECORDS] < wanted:
        state.make_records(max(wanted, len(state.records)))
    runs = np.empty(len(placed), np.int64)
    kernel("running").admit_all(
        state.pools, state.known.table, state.free, state.runs, state.records, state.counters,
        placed.job, job_class, place, placed_ms + limit_ms, begins, placed.node, placed.tasks,
        np.append(0, np.cumsum(placed.devices)), placed.device, runs,
    )  # fmt: skip
    state.tenants.take_in_all(lambda: state.world, runs, tenant, placed_ms)
    keys = [placed.pools[pool] for pool in placed.pool.tolist()]
    state.run_details.update(
        zip(jobs, zip(runs.tolist(), keys, placed_ms.tolist(), strict=True), strict=True)
    )


def start_all(state: State, starts: Placements, now_ms: int) -> None:
    """Let what waits start, as it was started at that time."""
    slots = state.queue.slots[rows_of(state, starts.job)]
    admit_all(
        state,
        starts,
        slots["need"].astype(np.int64),
        np.full(len(starts), now_ms, np.int64),
        slots["limit"],
        state.tenants.numbers_of(slots["line"]),
    )


def rows_of(state: State, jobs: Int64s) -> Int64s:
    """The rows in which jobs wait. Raises ValueError for one that does not."""
    found = np.empty(len(jobs), np.int64)
    kernel("waiting").find_all(state.queue.index, state.queue.slots, jobs, found)
    if len(found) and int(found.min()) < 0:
        raise ValueError(f"job {int(jobs[found.argmin()])} was started and did not wait")
    return found


def _rows_of(each: Int64s, rows: Int64s) -> Int64s:
    """Of a column in which placements have so many rows each: those of some placements."""
    first = (np.cumsum(each) - each)[rows]
    count = each[rows]
    found: Int64s = np.repeat(first - (np.cumsum(count) - count), count) + np.arange(int(count.sum()))
    return found


def _parts(state: State, placed: Placements, job_class: Int64s, begins: Int64s) -> Int64s:
    """How many devices or shares of devices, at least one a task, each has."""
    tasks = np.add.reduceat(placed.tasks, begins[:-1])
    found: Int64s = tasks * np.maximum(1, state.known.table.row["devices"][job_class] // 1_000)
    return found


def _check(state: State, placed: Placements, job_class: Int64s) -> None:
    """Raise ValueError for a placement that cannot be, as `bounds.check_running` does."""
    for name, values, least, most in (
        ("job", placed.job, 0, LARGEST_NUMBER),
        ("nodes", placed.nodes, 1, MOST_NODES),
        ("node", placed.node, 0, MOST_NODES - 1),
        ("tasks on a node", placed.tasks, 1, MOST_TASKS),
        ("devices", placed.devices, 0, MOST_TASKS * MOST_DEVICES_A_NODE),
        ("device", placed.device, 0, MOST_DEVICES_A_NODE - 1),
    ):
        if len(values) and not least <= int(values.min()) <= int(values.max()) <= most:
            raise ValueError(f"placements: {name} is not between {least} and {most}")
    whole = int(placed.nodes.sum()) == len(placed.node) and int(placed.devices.sum()) == len(placed.device)
    if not whole:
        raise ValueError("placements: what belongs to each does not add up")
    begins = np.append(0, np.cumsum(placed.nodes))
    need = state.known.table.row[job_class]
    if bool((np.add.reduceat(placed.tasks, begins[:-1]) != need["tasks"]).any()):
        raise ValueError("placements: nodes do not hold all tasks of a job")
    wanted = np.where(need["devices"] > 0, _parts(state, placed, job_class, begins), 0)
    if bool(((placed.devices > 0) & (placed.devices != wanted)).any()):
        raise ValueError("placements: more or fewer devices are named than a job's tasks use")


def _one_by_one(
    state: State, placed: Placements, job_class: Int64s, placed_ms: Int64s, limit_ms: Int64s, tenant: Int64s
) -> None:
    columns = (each.tolist() for each in (job_class, placed_ms, limit_ms, tenant))
    found = []
    for start, number, at_ms, limit, owner in zip(placed, *columns, strict=True):
        described = state.known.described[number]
        assert described is not None
        found.append(
            RunningJob(start.job, described, start.pool, start.nodes, at_ms, limit, start.devices, owner)
        )
    state.admit(found)


__all__ = ["Placements", "admit_all", "joined", "placements_of", "rows_of", "standing", "start_all"]
