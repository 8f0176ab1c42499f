"""Checking a whole state against what must always hold. Slow and independent of the code that it checks."""

from collections import defaultdict

import numpy as np

from weir.scheduling.compilation import kernel
from weir.scheduling.eligibility import PoolFacts, failed_constraints
from weir.scheduling.state import State
from weir.scheduling.tables import NOTHING, Counter


class InvalidStateError(AssertionError):
    """The state contradicts itself; the message says where. It cannot come from any input, only from a fault."""


def validate(state: State) -> None:
    """Raise InvalidStateError unless the state holds together.

    What runs and what is free add up to what each node has; no node is above its capacity unless what runs there
    was told from outside; the queues are in order and hold each job once; what runs does not wait.
    """
    _check_nodes(state)
    _check_queues(state)
    _check_classes(state)


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
        job_class = state.job_classes[int(state.runs["job_class"][run])]
        if job_class is None:
            raise InvalidStateError(f"job {job} runs without a class")
        [(nodes, parts)] = state.placements(np.array([run]))
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


def _check_queues(state: State) -> None:
    seen: set[int] = set()
    for (number, priority), queue in state.queue_numbers.items():
        _require(int(state.queues["job_class"][queue]) == number, f"queue {queue}: class")
        _require(int(state.queues["priority"][queue]) == priority, f"queue {queue}: priority")
        count, before, last = 0, NOTHING, (-1, -1)
        slot = int(state.queues["head"][queue])
        while slot != NOTHING:
            job = int(state.slots["job"][slot])
            order = (int(state.slots["submitted"][slot]), job)
            _require(last < order, f"job {job} is out of order")
            _require(int(state.slots["queue"][slot]) == queue, f"job {job} is in another queue")
            _require(int(state.slots["previous"][slot]) == before, f"job {job}: list")
            _require(state.waits(job), f"job {job} is not found by its number")
            _require(job not in seen, f"job {job} waits twice")
            _require(job not in state.run_details, f"job {job} runs and waits")
            least = int(state.queues["least_limit"][queue])
            _require(
                least <= int(state.slots["limit"][slot]), f"job {job} has a shorter limit than its queue"
            )
            seen.add(job)
            before, last, count = slot, order, count + 1
            slot = int(state.slots["next"][slot])
        _require(int(state.queues["tail"][queue]) == before, f"queue {queue}: tail")
        _require(int(state.queues["waiting"][queue]) == count, f"queue {queue}: count")
    _require(state.queued == len(seen), f"{len(seen)} jobs wait, and {state.queued} are counted")
    _require(int(np.count_nonzero(state.slots["queue"] >= 0)) == len(seen), "slots outside queues")


def _check_classes(state: State) -> None:
    facts = PoolFacts.of(state.rows)
    room = kernel("room")
    for number, job_class in enumerate(state.job_classes):
        if job_class is None:
            continue
        due = failed_constraints(facts, state.links, job_class)
        _require(bool((state.classes.failed[number] == due).all()), f"class {number}: constraints")
        for place in np.flatnonzero(state.classes.blocked[number]).tolist():
            found = room.room_for(state.pools, state.classes, state.free, state.later, False, place, number)
            _require(found < job_class.tasks, f"class {number} is marked as blocked where it has room")
    _require(len(state.run_details) + int(state.counters[Counter.FREE_RUNS]) == len(state.runs), "runs")
