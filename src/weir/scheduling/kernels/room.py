"""Room on nodes: what fits where, which nodes a gang gets, and taking and giving back what it holds.

`free` is what is free now, `later` what will be free when the pool's reservation starts, besides what that needs.
With `both`, only what is free in both counts: that is for jobs which may outlast the start of the reservation.
"""

import numpy as np

from weir.scheduling.kernels.address import addressed
from weir.scheduling.kernels.compiled import bare as entry
from weir.scheduling.kernels.compiled import bare_folded as folded
from weir.scheduling.kernels.compiled import bare_inner as inner
from weir.scheduling.tables import Counter

FREE_RECORD, FREE_RECORDS = Counter.FREE_RECORD, Counter.FREE_RECORDS
WHOLE = 1_000
NODE_BITS, TASK_BITS = 20, 20
_CORE_BITS, _DEVICE_BITS = 21, 20
NODE_MASK, TASK_MASK = 2**NODE_BITS - 1, 2**TASK_BITS - 1
_CORE_MOST, _DEVICE_MOST = 2**_CORE_BITS - 1, 2**_DEVICE_BITS - 1


@folded
def fitting(pool, free, later, both, node, need, most):  # type: ignore[no-untyped-def]
    """(how many tasks of a class fit on the node, at most `most`; a key that sorts nodes by how well they fit).

    The key rises with: opening a whole device for a share, free devices, free cores, and last the node's index,
    which is in its lowest bits.
    """
    row = pool.first_node + node
    devices = free.node[row].devices
    cores = free.node[row].cores
    memory = free.node[row].memory
    if both:
        devices = min(devices, later.node[row].devices)
        cores = min(cores, later.node[row].cores)
        memory = min(memory, later.node[row].memory)
    if cores < need.cores or memory < need.memory or devices < need.devices:
        return 0, 0
    opens = 0
    fits = most
    if need.devices > 0 and pool.shares != 0:
        found, opens = fitting_devices(pool, free, later, both, node, need.devices)
        fits = min(fits, found)
        if fits * need.devices > devices:  # what runs holds devices that the pool has no more
            fits = devices // need.devices
    # Divisions are the slowest thing here by far, so only what is short is divided.
    elif most > 1 and devices < most * need.devices:
        fits = devices // need.devices
    if fits > 1 and cores < fits * need.cores:
        fits = cores // need.cores
    if fits > 1 and memory < fits * need.memory:
        fits = memory // need.memory
    key = (opens << _DEVICE_BITS) | min(_DEVICE_MOST, max(0, devices))
    key = (key << _CORE_BITS) | min(_CORE_MOST, max(0, cores))
    return fits, (key << NODE_BITS) | node


@inner
def fitting_devices(pool, free, later, both, node, devices):  # type: ignore[no-untyped-def]
    """(how many tasks find devices on a node that shares them, whether the first would open a whole one)."""
    first = pool.first_device + node * pool.devices_per_node
    found = 0
    opens = 1
    for device in range(first, first + pool.devices_per_node):
        left = free.device[device]
        if both:
            left = min(left, later.device[device])
        if devices < WHOLE:
            if left >= devices:
                found += 1 if left < 2 * devices else left // devices
                if left < WHOLE:
                    opens = 0
        elif left == WHOLE:
            found += 1
    if devices >= WHOLE:
        return found // (devices // WHOLE), 0
    return found, opens


@inner
def sort_first(values, count):  # type: ignore[no-untyped-def]
    """Sort the first of some numbers, in place: Shell's sort with Ciura's gaps, which needs no room beside them."""
    for gap in (1750, 701, 301, 132, 57, 23, 10, 4, 1):
        for first in range(gap, count):
            at = first
            value = values[at]
            while at >= gap and values[at - gap] > value:
                values[at] = values[at - gap]
                at -= gap
            values[at] = value


@folded
def may_fit(pool, need):  # type: ignore[no-untyped-def]
    """Whether the pool has as much free, all nodes together, as a gang needs."""
    return need.tasks * need.cores <= pool.free_cores and (
        pool.shares != 0 or need.tasks * need.devices <= pool.free_devices
    )


@inner
def choose(pools, classes, free, later, both, work, place, job_class):  # type: ignore[no-untyped-def]
    """Nodes for a whole gang, into `work.choice` in order of node; returns how many nodes, 0 if it does not fit."""
    pool = pools[place]
    need = classes.row[job_class]
    wanted = need.tasks
    if wanted == 1:
        best = np.int64(2**62)
        for node in range(pool.nodes):
            fits, key = fitting(pool, free, later, both, node, need, np.int64(1))
            if fits > 0 and key < best:
                best = key
        if best == 2**62:
            return 0
        work.choice[0] = ((best & NODE_MASK) << TASK_BITS) | 1
        return 1
    count = 0
    total = 0
    for node in range(pool.nodes):
        fits, key = fitting(pool, free, later, both, node, need, wanted)
        if fits > 0:
            work.key[count] = key
            count += 1
            total += fits
    if total < wanted:
        return 0
    sort_first(work.key, count)
    used = 0
    while wanted > 0:
        node = work.key[used] & NODE_MASK
        fits, _ = fitting(pool, free, later, both, node, need, wanted)
        work.choice[used] = (node << TASK_BITS) | fits
        wanted -= fits
        used += 1
    sort_first(work.choice, used)
    return used


@inner
def choose_later(pools, classes, free, later, work, place, job_class):  # type: ignore[no-untyped-def]
    """`choose` of what will be free later: nodes without room now come first, for those that have it may serve others
    until then, and beyond then if they are not among the proven ones."""
    pool = pools[place]
    need = classes.row[job_class]
    wanted = need.tasks
    count = 0
    for node in range(pool.nodes):
        fits, key = fitting(pool, later, later, False, node, need, wanted)
        if fits > 0:
            now = fitting(pool, free, free, False, node, need, np.int64(1))[0]
            work.key[count] = key | (now << 62)
            count += 1
    sort_first(work.key, count)
    used = 0
    while wanted > 0:
        node = work.key[used] & NODE_MASK
        fits, _ = fitting(pool, later, later, False, node, need, wanted)
        work.choice[used] = (node << TASK_BITS) | fits
        wanted -= fits
        used += 1
    sort_first(work.choice, used)
    return used


@entry
def room_for(pools, classes, free, later, both, place, job_class):  # type: ignore[no-untyped-def]
    """How many tasks of the class have room in the pool, at most as many as it has."""
    classes = addressed(classes)
    free = addressed(free)
    later = addressed(later)
    pool = pools[place]
    need = classes.row[job_class]
    total = 0
    for node in range(pool.nodes):
        fits, _ = fitting(pool, free, later, both, node, need, need.tasks - total)
        total += fits
        if total == need.tasks:
            break
    return total


@inner
def pick_device(pool, free, later, both, node, amount):  # type: ignore[no-untyped-def]
    """The device of a sharing pool's node that fits best: least free that is enough, then lowest index.

    Where none has enough (a placement told from outside, on a pool since made smaller), the one with most free.
    """
    first = pool.first_device + node * pool.devices_per_node
    best = -1
    least = np.int64(2**62)
    widest = 0
    most = np.int64(-(2**62))
    for device in range(pool.devices_per_node):
        left = free.device[first + device]
        if both:
            left = min(left, later.device[first + device])
        if amount <= left and left < least:
            best = device
            least = left
        if left > most:
            widest = device
            most = left
    return best if best >= 0 else widest


@inner
def change_device(pool, table, node, device, amount):  # type: ignore[no-untyped-def]
    """Add to what is free of one device; one that the pool has no more counts in the node's sum alone."""
    table.node[pool.first_node + node].devices += amount
    if device < pool.devices_per_node:
        table.device[pool.first_device + node * pool.devices_per_node + device] += amount


@inner
def change_node(pool, table, need, node, tasks, sharing):  # type: ignore[no-untyped-def]
    """Take from a node what so many tasks need (negative: give it back), but for devices that are shared."""
    row = table.node[pool.first_node + node]
    row.cores -= tasks * need.cores
    row.memory -= tasks * need.memory
    if not sharing:
        row.devices -= tasks * need.devices
    row.tasks += tasks


@inner
def occupy(pool, free, need, node, tasks, sharing):  # type: ignore[no-untyped-def]
    """`change_node` for what is free now, keeping the pool's count of idle nodes."""
    row = free.node[pool.first_node + node]
    before = row.tasks
    cores = max(0, row.cores)
    devices = max(0, row.devices)
    change_node(pool, free, need, node, tasks, sharing)
    if node < pool.nodes:
        pool.free_cores += max(0, row.cores) - cores
        pool.free_devices += max(0, row.devices) - devices
        if before == 0 and tasks > 0:
            pool.idle -= 1
        elif before > 0 and before + tasks == 0:
            pool.idle += 1


@inner
def new_record(records, counters, node, device, tasks, after):  # type: ignore[no-untyped-def]
    """A placement record that leads on to another."""
    record = counters[FREE_RECORD]
    counters[FREE_RECORD] = records[record].next
    counters[FREE_RECORDS] -= 1
    records[record].node = node
    records[record].device = device
    records[record].tasks = tasks
    records[record].next = after
    return record


@inner
def records_wanted(pools, classes, place, job_class, nodes):  # type: ignore[no-untyped-def]
    """How many records a placement on so many nodes takes."""
    need = classes.row[job_class]
    if pools[place].shares == 0 or need.devices == 0:
        return nodes
    return need.tasks * max(1, need.devices // WHOLE)


@inner
def take(pools, classes, free, later, both, records, counters, work, place, job_class, nodes):  # type: ignore[no-untyped-def]
    """Take what the gang needs on the chosen nodes (with `both`, of what will be free later too).

    Returns the first of its records, which run from the last node to the first.
    """
    pool = pools[place]
    need = classes.row[job_class]
    sharing = pool.shares != 0 and need.devices > 0
    amount = min(need.devices, WHOLE)
    first = np.int64(-1)
    for i in range(nodes):
        node = work.choice[i] >> TASK_BITS
        tasks = work.choice[i] & TASK_MASK
        occupy(pool, free, need, node, tasks, sharing)
        if both:
            change_node(pool, later, need, node, tasks, sharing)
        if not sharing:
            first = new_record(records, counters, node, np.int64(-1), tasks, first)
            continue
        for _ in range(tasks):
            for part in range(max(1, need.devices // WHOLE)):
                device = pick_device(pool, free, later, both, node, amount)
                change_device(pool, free, node, device, -amount)
                if both:
                    change_device(pool, later, node, device, -amount)
                first = new_record(records, counters, node, device, 1 if part == 0 else 0, first)
    return first


@inner
def withhold(pools, classes, later, work, place, job_class, nodes):  # type: ignore[no-untyped-def]
    """Take what a reservation needs from what will be free then."""
    pool = pools[place]
    need = classes.row[job_class]
    sharing = pool.shares != 0 and need.devices > 0
    amount = min(need.devices, WHOLE)
    for i in range(nodes):
        node = work.choice[i] >> TASK_BITS
        tasks = work.choice[i] & TASK_MASK
        change_node(pool, later, need, node, tasks, sharing)
        if sharing:
            for _ in range(tasks * max(1, need.devices // WHOLE)):
                device = pick_device(pool, later, later, False, node, amount)
                change_device(pool, later, node, device, -amount)


@inner
def give_back(pool, table, need, record, sign):  # type: ignore[no-untyped-def]
    """Add what one record holds to what is free (sign 1), or take it (sign -1); not for what is free now."""
    sharing = record.device >= 0
    change_node(pool, table, need, record.node, -sign * record.tasks, sharing)
    if sharing:
        change_device(pool, table, record.node, record.device, sign * min(need.devices, WHOLE))


@inner
def hold(pool, free, need, record, sign):  # type: ignore[no-untyped-def]
    """`give_back` for what is free now, keeping the pool's count of idle nodes."""
    sharing = record.device >= 0
    occupy(pool, free, need, record.node, -sign * record.tasks, sharing)
    if sharing:
        change_device(pool, free, record.node, record.device, sign * min(need.devices, WHOLE))
