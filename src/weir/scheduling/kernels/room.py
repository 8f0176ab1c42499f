"""Room on nodes: what fits where, which nodes a gang gets, and taking and giving back what it holds.

`free` is what is free now, `later` what will be free when the pool's reservation starts, besides what that needs.
With `both`, only what is free in both counts: that is for jobs which may outlast the start of the reservation.
"""

import numpy as np

from weir.scheduling.kernels.score import compiled
from weir.scheduling.tables import Counter

FREE_RECORD, FREE_RECORDS = Counter.FREE_RECORD, Counter.FREE_RECORDS
WHOLE = 1_000
MANY = 2**31
_NODE_BITS, _CORE_BITS, _DEVICE_BITS = 20, 21, 20
_NODE_MASK, _CORE_MOST, _DEVICE_MOST = 2**_NODE_BITS - 1, 2**_CORE_BITS - 1, 2**_DEVICE_BITS - 1


@compiled
def lesser(free, later, both, at):  # type: ignore[no-untyped-def]
    """One amount, or the lesser of the two."""
    return min(free[at], later[at]) if both else free[at]


@compiled
def fitting(pools, free, later, both, pool, node, devices, cores, memory):  # type: ignore[no-untyped-def]
    """(how many tasks of this shape fit on the node, whether one of them fits without opening a whole device)."""
    row = pools.first_node[pool] + node
    fits = MANY
    opens = 0
    if cores > 0:
        fits = max(0, lesser(free.cores, later.cores, both, row)) // cores
    if memory > 0 and fits > 0:
        fits = min(fits, max(0, lesser(free.memory, later.memory, both, row)) // memory)
    if devices == 0 or fits == 0:
        return fits, opens
    if pools.shares[pool] == 0:
        return min(fits, max(0, lesser(free.devices, later.devices, both, row)) // devices), opens
    first = pools.first_device[pool] + node * pools.devices_per_node[pool]
    found = 0
    opens = 1
    for device in range(first, first + pools.devices_per_node[pool]):
        left = lesser(free.device, later.device, both, device)
        if devices < WHOLE:
            if left >= devices:
                found += left // devices
                if left < WHOLE:
                    opens = 0
        elif left == WHOLE:
            found += 1
    if devices >= WHOLE:
        return min(fits, found * WHOLE // devices), 0
    return min(fits, found), opens


@compiled
def preference(pools, free, later, both, pool, node, opens):  # type: ignore[no-untyped-def]
    """Sorts nodes: fewest free devices first, then fewest free cores, then lowest index. Holds the index."""
    row = pools.first_node[pool] + node
    devices = min(_DEVICE_MOST, max(0, lesser(free.devices, later.devices, both, row)))
    cores = min(_CORE_MOST, max(0, lesser(free.cores, later.cores, both, row)))
    return ((((opens << _DEVICE_BITS) | devices) << _CORE_BITS | cores) << _NODE_BITS) | node


@compiled
def choose(pools, classes, free, later, both, work, pool, job_class):  # type: ignore[no-untyped-def]
    """Nodes for a whole gang, into `work.chosen_*` in order of node; returns how many nodes, 0 if it does not fit."""
    wanted = classes.tasks[job_class]
    devices = classes.devices[job_class]
    cores = classes.cores[job_class]
    memory = classes.memory[job_class]
    best = np.int64(2**62)
    count = 0
    total = 0
    for node in range(pools.nodes[pool]):
        fits, opens = fitting(pools, free, later, both, pool, node, devices, cores, memory)
        if fits > 0:
            key = preference(pools, free, later, both, pool, node, opens)
            if wanted == 1:
                best = min(best, key)
            else:
                work.key[count] = key
            count += 1
            total += fits
    if total < wanted:
        return 0
    if wanted == 1:
        work.chosen_node[0] = best & _NODE_MASK
        work.chosen_tasks[0] = 1
        return 1
    work.key[:count].sort()
    used = 0
    while wanted > 0:
        node = work.key[used] & _NODE_MASK
        fits, _ = fitting(pools, free, later, both, pool, node, devices, cores, memory)
        work.chosen_tasks[node] = min(fits, wanted)
        wanted -= min(fits, wanted)
        work.chosen_node[used] = node
        used += 1
    work.chosen_node[:used].sort()
    for i in range(used):  # nodes rise, so a place is read before or when it is overwritten
        work.chosen_tasks[i] = work.chosen_tasks[work.chosen_node[i]]
    return used


@compiled
def room_for(pools, classes, free, later, both, pool, job_class):  # type: ignore[no-untyped-def]
    """How many tasks of the class have room in the pool, at most as many as it has."""
    total = 0
    for node in range(pools.nodes[pool]):
        fits, _ = fitting(
            pools, free, later, both, pool, node,
            classes.devices[job_class], classes.cores[job_class], classes.memory[job_class],
        )  # fmt: skip
        total += fits
        if total >= classes.tasks[job_class]:
            return classes.tasks[job_class]
    return total


@compiled
def pick_device(pools, free, later, both, pool, node, amount):  # type: ignore[no-untyped-def]
    """The device of a sharing pool's node that fits best: least free that is enough, then lowest index.

    Where none has enough (a placement told from outside, on a pool since made smaller), the one with most free.
    """
    first = pools.first_device[pool] + node * pools.devices_per_node[pool]
    best = -1
    least = np.int64(2**62)
    widest = 0
    most = np.int64(-(2**62))
    for device in range(pools.devices_per_node[pool]):
        left = lesser(free.device, later.device, both, first + device)
        if amount <= left < least:
            best = device
            least = left
        if left > most:
            widest = device
            most = left
    return best if best >= 0 else widest


@compiled
def change_device(pools, table, pool, node, device, amount):  # type: ignore[no-untyped-def]
    """Add to what is free of one device; what lies outside the pool as it is now does not count."""
    if node < pools.first_node[pool + 1] - pools.first_node[pool] and device < pools.devices_per_node[pool]:
        table.device[pools.first_device[pool] + node * pools.devices_per_node[pool] + device] += amount
        table.devices[pools.first_node[pool] + node] += amount


@compiled
def change_node(pools, classes, table, pool, job_class, node, tasks, sharing):  # type: ignore[no-untyped-def]
    """Add what so many tasks need (negative: take it) to what is free on a node; devices only unless shared."""
    row = pools.first_node[pool] + node
    table.cores[row] += tasks * classes.cores[job_class]
    table.memory[row] += tasks * classes.memory[job_class]
    if not sharing:
        table.devices[row] += tasks * classes.devices[job_class]
    before = table.tasks[row]
    table.tasks[row] = before - tasks
    return before


@compiled
def occupy(pools, classes, table, pool, job_class, node, tasks, sharing):  # type: ignore[no-untyped-def]
    """Change what is free now on a node (negative tasks give back), keeping the pool's count of idle nodes."""
    before = change_node(pools, classes, table, pool, job_class, node, -tasks, sharing)
    if node < pools.nodes[pool]:
        if before == 0 and tasks > 0:
            pools.idle[pool] -= 1
        elif before > 0 and before + tasks == 0:
            pools.idle[pool] += 1


@compiled
def new_record(records, counters, node, device, tasks, after):  # type: ignore[no-untyped-def]
    """A placement record that leads on to another."""
    record = counters[FREE_RECORD]
    counters[FREE_RECORD] = records.next[record]
    counters[FREE_RECORDS] -= 1
    records.node[record] = node
    records.device[record] = device
    records.tasks[record] = tasks
    records.next[record] = after
    return record


@compiled
def records_wanted(pools, classes, pool, job_class, nodes):  # type: ignore[no-untyped-def]
    """How many records a placement on so many nodes takes."""
    if pools.shares[pool] == 0 or classes.devices[job_class] == 0:
        return nodes
    return classes.tasks[job_class] * max(1, classes.devices[job_class] // WHOLE)


@compiled
def take(pools, classes, free, later, both, records, counters, work, pool, job_class, nodes):  # type: ignore[no-untyped-def]
    """Take what the gang needs on the chosen nodes (with `both`, of what will be free later too).

    Returns the first of its records, which run from the last node to the first.
    """
    devices = classes.devices[job_class]
    sharing = pools.shares[pool] != 0 and devices > 0
    amount = min(devices, WHOLE)
    first = -1
    for i in range(nodes):
        node = work.chosen_node[i]
        tasks = work.chosen_tasks[i]
        occupy(pools, classes, free, pool, job_class, node, tasks, sharing)
        if both:
            change_node(pools, classes, later, pool, job_class, node, -tasks, sharing)
        if not sharing:
            first = new_record(records, counters, node, -1, tasks, first)
            continue
        for _ in range(tasks):
            for part in range(max(1, devices // WHOLE)):
                device = pick_device(pools, free, later, both, pool, node, amount)
                change_device(pools, free, pool, node, device, -amount)
                if both:
                    change_device(pools, later, pool, node, device, -amount)
                first = new_record(records, counters, node, device, 1 if part == 0 else 0, first)
    return first


@compiled
def withhold(pools, classes, later, work, pool, job_class, nodes):  # type: ignore[no-untyped-def]
    """Take what a reservation needs from what will be free then."""
    devices = classes.devices[job_class]
    sharing = pools.shares[pool] != 0 and devices > 0
    amount = min(devices, WHOLE)
    for i in range(nodes):
        node = work.chosen_node[i]
        tasks = work.chosen_tasks[i]
        change_node(pools, classes, later, pool, job_class, node, -tasks, sharing)
        if sharing:
            for _ in range(tasks * max(1, devices // WHOLE)):
                device = pick_device(pools, later, later, False, pool, node, amount)
                change_device(pools, later, pool, node, device, -amount)


@compiled
def give_back(pools, classes, table, records, pool, job_class, record, is_now, sign):  # type: ignore[no-untyped-def]
    """Add what one record holds to what is free (sign 1), or take it (sign -1); `is_now` keeps the idle count."""
    node = records.node[record]
    tasks = records.tasks[record]
    device = records.device[record]
    sharing = device >= 0
    if is_now:
        occupy(pools, classes, table, pool, job_class, node, -sign * tasks, sharing)
    else:
        change_node(pools, classes, table, pool, job_class, node, sign * tasks, sharing)
    if sharing:
        change_device(pools, table, pool, node, device, sign * min(classes.devices[job_class], WHOLE))
