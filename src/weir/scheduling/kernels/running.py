"""Placements that hold capacity: taking them in, letting them go, laying them out anew."""

import numpy as np

from weir.scheduling.kernels.address import addressed
from weir.scheduling.kernels.compiled import bare_inner, entry
from weir.scheduling.kernels.room import (
    FREE_RECORD,
    FREE_RECORDS,
    WHOLE,
    change_device,
    hold,
    new_record,
    occupy,
    pick_device,
)
from weir.scheduling.tables import Counter

FREE_RUN, FREE_RUNS = Counter.FREE_RUN, Counter.FREE_RUNS


@bare_inner
def new_run(pools, runs, counters, job, job_class, place, end):  # type: ignore[no-untyped-def]
    """A run without records yet, first of its pool's list."""
    run = counters[FREE_RUN]
    counters[FREE_RUN] = runs[run].next
    counters[FREE_RUNS] -= 1
    runs[run].job = job
    runs[run].job_class = job_class
    runs[run].pool = place
    runs[run].end = end
    runs[run].record = -1
    link(pools, runs, run, place)
    return run


@bare_inner
def link(pools, runs, run, place):  # type: ignore[no-untyped-def]
    """Put a run among the others of its pool, which are in the order of their latest ends, then of job numbers."""
    runs[run].next = -1
    runs[run].previous = -1
    if place >= 0:
        before = pools[place].last
        end = runs[run].end
        while before >= 0 and (
            runs[before].end > end or (runs[before].end == end and runs[before].job > runs[run].job)
        ):
            before = runs[before].previous
        after = runs[before].next if before >= 0 else pools[place].running
        runs[run].previous = before
        runs[run].next = after
        if before >= 0:
            runs[before].next = run
        else:
            pools[place].running = run
        if after >= 0:
            runs[after].previous = run
        else:
            pools[place].last = run


@entry
def admit(pools, classes, free, runs, records, counters, job, job_class, place, end, node, tasks, device):  # type: ignore[no-untyped-def]
    """Take in a placement told from outside, whether or not there is room. Returns its run.

    node, tasks: columns, one row a node. device: one entry for each device of each task in a pool that shares
    devices, or empty, and then the best fitting are taken. place: -1 for a pool that is not declared.
    """
    classes = addressed(classes)
    free = addressed(free)
    return take_in(
        pools, classes, free, runs, records, counters, job, job_class, place, end,
        node, tasks, np.int64(0), np.int64(len(node)), device, np.int64(0), np.int64(len(device)),
    )  # fmt: skip


@entry
def admit_all(  # type: ignore[no-untyped-def]
    pools, classes, free, runs, records, counters, job, job_class, place, end, begins, node, tasks,
    device_begins, device, found,
):  # fmt: skip
    """Take in several, one row of the first four columns each; their runs are written to `found`.

    The nodes of each begin where `begins` says, and its devices where `device_begins` does, whose last entries say
    where all end.
    """
    classes = addressed(classes)
    free = addressed(free)
    for i in range(len(job)):
        found[i] = take_in(
            pools, classes, free, runs, records, counters, job[i], job_class[i], place[i], end[i],
            node, tasks, begins[i], begins[i + 1], device, device_begins[i], device_begins[i + 1],
        )  # fmt: skip


@bare_inner
def take_in(  # type: ignore[no-untyped-def]
    pools, classes, free, runs, records, counters, job, job_class, place, end, node, tasks, begin, stop,
    device, told, told_end,
):  # fmt: skip
    """`admit` of the placement whose nodes, and devices, lie between these rows."""
    run = new_run(pools, runs, counters, job, job_class, place, end)
    need = classes.row[job_class]
    known = told_end > told
    sharing = need.devices > 0 and ((place >= 0 and pools[place].shares != 0) or known)
    amount = min(need.devices, WHOLE)
    first = np.int64(-1)
    for i in range(begin, stop):
        if place >= 0:
            occupy(pools[place], free, need, node[i], tasks[i], sharing)
        if not sharing:
            first = new_record(records, counters, node[i], np.int64(-1), tasks[i], first)
            continue
        for _ in range(tasks[i]):
            for part in range(max(1, need.devices // WHOLE)):
                at = np.int64(0)
                if known:
                    at = device[told]
                    told += 1
                elif place >= 0:
                    at = pick_device(pools[place], free, free, False, node[i], amount)
                if place >= 0:
                    change_device(pools[place], free, node[i], at, -amount)
                first = new_record(records, counters, node[i], at, 1 if part == 0 else 0, first)
    runs[run].record = first
    return run


@bare_inner
def release(pools, classes, free, runs, records, counters, run):  # type: ignore[no-untyped-def]
    """Let a placement go: give back what it holds and free its rows."""
    place = runs[run].pool
    record = runs[run].record
    while record >= 0:
        if place >= 0:
            hold(pools[place], free, classes.row[runs[run].job_class], records[record], np.int64(1))
        after = records[record].next
        records[record].next = counters[FREE_RECORD]
        counters[FREE_RECORD] = record
        counters[FREE_RECORDS] += 1
        record = after
    before = runs[run].previous
    after = runs[run].next
    if before >= 0:
        runs[before].next = after
    elif place >= 0:
        pools[place].running = after
    if after >= 0:
        runs[after].previous = before
    elif place >= 0:
        pools[place].last = before
    runs[run].job = -1
    runs[run].next = counters[FREE_RUN]
    counters[FREE_RUN] = run
    counters[FREE_RUNS] += 1


@entry
def lay_out(pools, classes, free, runs, records):  # type: ignore[no-untyped-def]
    """Count every running placement against free nodes that are all idle, and list each with its pool."""
    classes = addressed(classes)
    free = addressed(free)
    for run in range(len(runs)):
        place = runs[run].pool
        if runs[run].job < 0:
            continue
        link(pools, runs, run, place)
        record = runs[run].record
        while record >= 0 and place >= 0:
            hold(pools[place], free, classes.row[runs[run].job_class], records[record], np.int64(-1))
            record = records[record].next


@entry
def highest_nodes(runs, records, highest):  # type: ignore[no-untyped-def]
    """The highest node index that something runs on, by pool."""
    for run in range(len(runs)):
        place = runs[run].pool
        if runs[run].job < 0 or place < 0:
            continue
        record = runs[run].record
        while record >= 0:
            highest[place] = max(highest[place], records[record].node)
            record = records[record].next


@entry
def count_records(runs, records, which):  # type: ignore[no-untyped-def]
    """How many records several placements have together."""
    count = 0
    for run in which:
        record = runs[run].record
        while record >= 0:
            count += 1
            record = records[record].next
    return count


@entry
def unroll(runs, records, which, node, tasks, device, begins, device_begins):  # type: ignore[no-untyped-def]
    """Write placements one after the other: their nodes, the tasks on each, and the devices where they are shared.

    `begins` and `device_begins` say where each begins, and where the last ends.
    """
    at = 0
    device_at = 0
    for i in range(len(which)):
        count = 0
        record = runs[which[i]].record
        while record >= 0:
            count += 1
            record = records[record].next
        in_order = np.empty(count, np.int64)
        record = runs[which[i]].record
        for j in range(count - 1, -1, -1):  # records run from the last to the first
            in_order[j] = record
            record = records[record].next
        for j in range(count):
            found = records[in_order[j]]
            if found.device >= 0:
                device[device_at] = found.device
                device_at += 1
            if at > begins[i] and node[at - 1] == found.node:
                tasks[at - 1] += found.tasks
            else:
                node[at] = found.node
                tasks[at] = found.tasks
                at += 1
        begins[i + 1] = at
        device_begins[i + 1] = device_at
