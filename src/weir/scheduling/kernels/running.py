"""Placements that hold capacity: taking them in, letting them go, laying them out anew."""

import numpy as np

from weir.scheduling.kernels.room import (
    FREE_RECORD,
    FREE_RECORDS,
    WHOLE,
    change_device,
    give_back,
    new_record,
    occupy,
    pick_device,
)
from weir.scheduling.kernels.score import compiled
from weir.scheduling.tables import Counter

FREE_RUN, FREE_RUNS = Counter.FREE_RUN, Counter.FREE_RUNS


@compiled
def new_run(pools, runs, counters, job, job_class, pool, end):  # type: ignore[no-untyped-def]
    """A run without records yet, first of its pool's list."""
    run = counters[FREE_RUN]
    counters[FREE_RUN] = runs.next[run]
    counters[FREE_RUNS] -= 1
    runs.job[run] = job
    runs.job_class[run] = job_class
    runs.pool[run] = pool
    runs.end[run] = end
    runs.record[run] = -1
    link(pools, runs, run, pool)
    return run


@compiled
def link(pools, runs, run, pool):  # type: ignore[no-untyped-def]
    """Put a run before the others of its pool."""
    runs.next[run] = -1
    runs.previous[run] = -1
    if pool >= 0:
        after = pools.running[pool]
        runs.next[run] = after
        if after >= 0:
            runs.previous[after] = run
        pools.running[pool] = run


@compiled
def admit(pools, classes, free, runs, records, counters, job, job_class, pool, end, node, tasks, device):  # type: ignore[no-untyped-def]
    """Take in a placement told from outside, whether or not there is room. Returns its run.

    node, tasks: columns, one row a node. device: one entry for each device of each task in a pool that shares
    devices, or empty, and then the best fitting are taken. An undeclared pool is -1.
    """
    run = new_run(pools, runs, counters, job, job_class, pool, end)
    devices = classes.devices[job_class]
    sharing = devices > 0 and ((pool >= 0 and pools.shares[pool] != 0) or len(device) > 0)
    parts = max(1, devices // WHOLE)
    first = -1
    told = 0
    for i in range(len(node)):
        if pool >= 0:
            occupy(pools, classes, free, pool, job_class, node[i], tasks[i], sharing)
        if not sharing:
            first = new_record(records, counters, node[i], -1, tasks[i], first)
            continue
        for _ in range(tasks[i]):
            for part in range(parts):
                if len(device) > 0:
                    at = device[told]
                    told += 1
                else:
                    at = pick_device(pools, free, free, False, pool, node[i], min(devices, WHOLE))
                if pool >= 0:
                    change_device(pools, free, pool, node[i], at, -min(devices, WHOLE))
                first = new_record(records, counters, node[i], at, 1 if part == 0 else 0, first)
    runs.record[run] = first
    return run


@compiled
def release(pools, classes, free, runs, records, counters, run):  # type: ignore[no-untyped-def]
    """Let a placement go: give back what it holds and free its rows."""
    pool = runs.pool[run]
    job_class = runs.job_class[run]
    record = runs.record[run]
    while record >= 0:
        if pool >= 0:
            give_back(pools, classes, free, records, pool, job_class, record, True, 1)
        after = records.next[record]
        records.next[record] = counters[FREE_RECORD]
        counters[FREE_RECORD] = record
        counters[FREE_RECORDS] += 1
        record = after
    before = runs.previous[run]
    after = runs.next[run]
    if before >= 0:
        runs.next[before] = after
    elif pool >= 0:
        pools.running[pool] = after
    if after >= 0:
        runs.previous[after] = before
    runs.job[run] = -1
    runs.next[run] = counters[FREE_RUN]
    counters[FREE_RUN] = run
    counters[FREE_RUNS] += 1


@compiled
def release_all(pools, classes, free, runs, records, counters, which):  # type: ignore[no-untyped-def]
    """Let several placements go; in their pools every class may fit again."""
    freed = np.zeros(len(pools.open), np.uint8)
    for run in which:
        if runs.pool[run] >= 0:
            freed[runs.pool[run]] = 1
        release(pools, classes, free, runs, records, counters, run)
    for pool in range(len(freed)):
        if freed[pool] != 0:
            classes.blocked[:, pool] = 0


@compiled
def lay_out(pools, classes, free, runs, records):  # type: ignore[no-untyped-def]
    """Count every running placement against free nodes that are all idle, and list each with its pool."""
    for run in range(len(runs.job)):
        pool = runs.pool[run]
        if runs.job[run] < 0:
            continue
        link(pools, runs, run, pool)
        if pool < 0:
            continue
        record = runs.record[run]
        while record >= 0:
            give_back(pools, classes, free, records, pool, runs.job_class[run], record, True, -1)
            record = records.next[record]


@compiled
def highest_nodes(runs, records, highest):  # type: ignore[no-untyped-def]
    """The highest node index that something runs on, by pool."""
    for run in range(len(runs.job)):
        pool = runs.pool[run]
        if runs.job[run] < 0 or pool < 0:
            continue
        record = runs.record[run]
        while record >= 0:
            highest[pool] = max(highest[pool], records.node[record])
            record = records.next[record]


@compiled
def unroll(runs, records, run, node, tasks, device):  # type: ignore[no-untyped-def]
    """Write a placement's nodes, their tasks and the devices of its tasks into columns.

    Returns (how many nodes, how many devices); the columns are long enough for all of them.
    """
    count = 0
    record = runs.record[run]
    while record >= 0:
        count += 1
        record = records.next[record]
    at = count
    record = runs.record[run]
    while record >= 0:  # from the last to the first
        at -= 1
        device[at] = records.device[record]
        node[at] = records.node[record]
        tasks[at] = records.tasks[record]
        record = records.next[record]
    nodes = 0
    devices = 0
    for i in range(count):
        if device[i] >= 0:
            device[devices] = device[i]
            devices += 1
        if nodes > 0 and node[nodes - 1] == node[i]:
            tasks[nodes - 1] += tasks[i]
        else:
            node[nodes] = node[i]
            tasks[nodes] = tasks[i]
            nodes += 1
    return nodes, devices


@compiled
def records_of(runs, records, run):  # type: ignore[no-untyped-def]
    """How many records a placement has."""
    count = 0
    record = runs.record[run]
    while record >= 0:
        count += 1
        record = records.next[record]
    return count


@compiled
def records_of_all(runs, records, which):  # type: ignore[no-untyped-def]
    """How many records several placements have together."""
    count = 0
    for run in which:
        count += records_of(runs, records, run)
    return count


@compiled
def unroll_all(runs, records, which, node, tasks, device, begins, device_begins):  # type: ignore[no-untyped-def]
    """`unroll` for several placements, one after the other; `begins` and `device_begins` say where each begins."""
    at = 0
    device_at = 0
    for i in range(len(which)):
        count = records_of(runs, records, which[i])
        own = np.empty(count, np.int64)
        nodes, devices = unroll(runs, records, which[i], node[at:], tasks[at:], own)
        device[device_at : device_at + devices] = own[:devices]
        at += nodes
        device_at += devices
        begins[i + 1] = at
        device_begins[i + 1] = device_at
