"""Checking a whole state against what must always hold. Slow and independent of the code that it checks."""

from collections import defaultdict

import numpy as np

from weir.scheduling import layout
from weir.scheduling.compilation import kernel
from weir.scheduling.eligibility import PoolFacts, failed_constraints
from weir.scheduling.state import State
from weir.scheduling.tables import BLOCKED, Counter

NEVER_PROMISED = 2**62
"""The start of a promise that is still to be given."""


class InvalidStateError(AssertionError):
    """The state contradicts itself; the message says where. It cannot come from any input, only from a fault."""


def validate(state: State) -> None:
    """Raise InvalidStateError unless the state holds together.

    What runs and what is free add up to what each node has; no node is above its capacity unless what runs there
    was told from outside; the line is in order and holds each job once; what runs does not wait; promises are
    whole, one a job and one a pool.
    """
    _check_nodes(state)
    _check_line(state)
    _check_promises(state)
    _check_classes(state)
    _check_tenants(state)


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise InvalidStateError(message)


def _check_nodes(state: State) -> None:
    cores: defaultdict[tuple[str, int], int] = defaultdict(int)
    memory: defaultdict[tuple[str, int], int] = defaultdict(int)
    devices: defaultdict[tuple[str, int], int] = defaultdict(int)
    tasks_on: defaultdict[tuple[str, int], int] = defaultdict(int)
    device: defaultdict[tuple[str, int, int], int] = defaultdict(int)
    for job, (run, key, _) in state.run_details.items():
        _require(int(state.runs["job"][run]) == job, f"job {job} is not in its row")
        job_class = state.known.described[int(state.runs["job_class"][run])]
        if job_class is None:
            raise InvalidStateError(f"job {job} runs without a class")
        [(nodes, parts)] = layout.placements(state.runs, state.records, np.array([run]))
        _require(sum(tasks for _, tasks in nodes) == job_class.tasks, f"job {job} is not whole")
        each = iter(parts)
        for node, tasks in nodes:
            tasks_on[key, node] += tasks
            cores[key, node] += tasks * job_class.cores_milli
            memory[key, node] += tasks * job_class.memory_bytes
            if not parts:
                devices[key, node] += tasks * job_class.devices_milli
                continue
            for _ in range(tasks * max(1, job_class.devices_milli // 1_000)):
                device[key, node, next(each)] += min(1_000, job_class.devices_milli)
    for (key, node, _), used in device.items():
        devices[key, node] += used
    for place, row in enumerate(state.rows):
        first = int(state.pools["first_node"][place])
        idle = 0
        for node in range(int(state.pools["end_node"][place]) - first):
            found = list(state.free.node[first + node].tolist())
            at = (row.key, node)
            due = [
                row.devices_per_node * 1_000 - devices[at],
                row.cores_milli_per_node - cores[at],
                row.memory_bytes_per_node - memory[at],
                tasks_on[at],
            ]
            _require(found == due, f"{row.key} node {node}: {found} is free, and {due} is due")
            idle += node < row.nodes and tasks_on[at] == 0
            if row.shares:
                begin = int(state.pools["first_device"][place]) + node * row.devices_per_node
                for number in range(row.devices_per_node):
                    left = 1_000 - device[row.key, node, number]
                    _require(
                        int(state.free.device[begin + number]) == left,
                        f"{row.key} node {node} device {number}",
                    )
        _require(int(state.pools["idle"][place]) == idle, f"{row.key}: {idle} nodes are idle")


def _check_line(state: State) -> None:
    rows = state.queue.rows_in_order()
    last = (-1, -1, -1)
    for slot in rows.tolist():
        job = int(state.queue.slots["job"][slot])
        order = (int(state.queue.slots["line"][slot]), int(state.queue.slots["key"][slot]), job)
        _require(last < order, f"job {job} is out of order")
        _require(state.queue.find(job) == slot, f"job {job} is not found by its number")
        _require(job not in state.run_details, f"job {job} runs and waits")
        last = order
    _require(len(set(rows.tolist())) == len(rows), "a job waits twice")
    _require(int(np.count_nonzero(state.queue.slots["job"] >= 0)) == len(rows), "rows outside the line")


def _check_promises(state: State) -> None:
    held: set[int] = set()
    for row, (slot, start, used, *_) in enumerate(state.seats.promise.tolist()):
        if slot < 0:
            continue
        seat, place = divmod(row, len(state.rows))
        _require(seat < int(state.pools["seats"][place]), f"pool {state.rows[place].key} has no such seat")
        job = int(state.queue.slots["job"][slot])
        _require(job >= 0, f"pool {state.rows[place].key} is promised to nobody")
        _require(
            int(state.queue.slots["promised"][slot]) == place, f"job {job} does not know what it is promised"
        )
        _require(slot not in held, f"job {job} is promised two pools")
        held.add(slot)
        job_class = state.known.described[int(state.queue.slots["need"][slot])]
        if start >= NEVER_PROMISED:
            continue
        first = seat * len(state.free.node) + int(state.pools["first_node"][place])
        tasks = int(state.seats.proven["tasks"][first : first + used].sum())
        _require(job_class is not None and tasks == job_class.tasks, f"job {job} is not promised whole")
    knowing = set(
        np.flatnonzero((state.queue.slots["job"] >= 0) & (state.queue.slots["promised"] >= 0)).tolist()
    )
    _require(knowing == held, "jobs believe in promises that are not theirs")


def _check_classes(state: State) -> None:
    facts = PoolFacts.of(state.rows)
    room = kernel("room")
    for number, job_class in enumerate(state.known.described):
        waiting = int(
            np.count_nonzero((state.queue.slots["job"] >= 0) & (state.queue.slots["need"] == number))
        )
        row = int(state.known.waiting_at[number])
        counted = int(state.known.waiting["jobs"][row]) if row >= 0 else 0
        _require(waiting == counted, f"class {number}: {waiting} wait, and {counted} are counted")
        if job_class is None:
            continue
        due = failed_constraints(facts, state.links, job_class)
        _require(bool((state.known.failed(number) == due).all()), f"class {number}: constraints")
        blocked = state.known.table.barred[number] == BLOCKED
        for place in np.flatnonzero(blocked).tolist() if waiting else ():
            found = room.room_for(
                state.pools, state.known.table, state.free, state.later, False, place, number
            )
            _require(found < job_class.tasks, f"class {number} is marked as blocked where it has room")
    table = state.known.table
    again = layout.with_bits(table)
    _require(bool((again.vacant == table.vacant).all()), "bits of where there may be room")
    _require(bool((again.eligible == table.eligible).all()), "bits of where no constraint fails")
    _require(len(state.run_details) + int(state.counters[Counter.FREE_RUNS]) == len(state.runs), "runs")


def _check_tenants(state: State) -> None:
    """What tenants hold is what their placements hold, and nothing waits in another's line."""
    if not state.policy.by_tenant:
        return
    table = state.tenants.table
    holds = np.zeros(len(table.holds), np.int64)
    for run, _, _ in state.run_details.values():
        holds[state.runs["tenant"][run]] += state.runs["rate"][run]
    _require(bool((holds == table.holds).all()), "what tenants hold is not what their jobs hold")
    _require(
        bool((table.level == (table.past + table.running) // table.weight).all()),
        "a tenant's level is not up to date",
    )
    _require(bool((table.running >= 0).all() and (table.past >= 0).all()), "a tenant used less than nothing")
    for (band, row), line in state.tenants.lines.items():
        _require(
            (int(table.band[line]), int(table.of[line])) == (band, row), f"line {line} is another tenant's"
        )
