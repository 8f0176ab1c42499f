"""Tenants: whose turn it is, and what each has lately used.

Each tenant's jobs of one priority class wait in a line of their own, in the order of the policy. Between lines the
order is: the higher priority class; whoever holds less than his quota before those who borrow; whoever has used less
for his weight. What he used is the list price, at one frozen share book, of what he held and holds, and of what is
kept idle for him by a promise. It fades by half every half-life: it is kept as usage x 2**(time / half-life), so that
fading moves nobody. What runs counts to its limit, and what of that it did not use is given back at its end.
"""

import numpy as np

from weir.scheduling.kernels.address import addressed
from weir.scheduling.kernels.compiled import bare_folded as folded
from weir.scheduling.kernels.compiled import bare_inner as inner
from weir.scheduling.kernels.compiled import entry
from weir.scheduling.kernels.line import BLOCK
from weir.scheduling.kernels.prediction import exponential
from weir.scheduling.kernels.score import HOUR_MS, LARGEST_RATE, scaled
from weir.scheduling.kernels.turn import ahead
from weir.scheduling.lanes import NO_CEILING

EPOCH, NOW, ROUND, HEAPED, HALF_LIFE, QUOTAS, LEAST_DEVICE, LEAST_CORE, SHARING = range(9)
"""Of `tenants.clock`: since when usage is scaled; the time; the round that a pass is in; how many lines it has still to
go over; whether anybody has a quota; what an hour of a device, and of a core, takes at least of a share; and whether
there are several lines at all: where there are not, nothing else of this is looked at."""
AHEAD = 8
"""Half-lives after which all usage is scaled down together."""
OCTAVE = 1 << 16
PLACES = 16
"""The least weight of a use is 2**PLACES, so that what is small is not rounded away."""
NEVER = 2**62
LARGEST_USE = 2**48
"""Micro-yuan: what one job uses at most, as it is counted."""
_FINEST = 14
_SMALL = 2**34


@folded
def ahead_of(world, slots, one, other):  # type: ignore[no-untyped-def]
    """Whether one waiting job comes before another."""
    if world.tenants.clock[SHARING] == 0:
        return ahead(slots, one, other)
    line = np.int64(slots[one].line)
    other_line = np.int64(slots[other].line)
    if line == other_line:
        return ahead(slots, one, other)
    return before(world.tenants, line, other_line)


@folded
def before(tenants, one, other):  # type: ignore[no-untyped-def]
    """Whether one line comes before another."""
    if tenants.band[one] != tenants.band[other]:
        return tenants.band[one] < tenants.band[other]
    first = tenants.of[one]
    second = tenants.of[other]
    borrows = tenants.holds[first] >= tenants.quota[first]
    other_borrows = tenants.holds[second] >= tenants.quota[second]
    if borrows != other_borrows:
        return other_borrows
    if tenants.level[first] != tenants.level[second]:
        return tenants.level[first] < tenants.level[second]
    return tenants.number[first] < tenants.number[second]


@inner
def gather(order, lines, tenants):  # type: ignore[no-untyped-def]
    """Begin a round: all lines with jobs, each from its first."""
    tenants.clock[ROUND] += 1
    count = 0
    for line in range(len(lines)):
        block = np.int64(lines[line].head)
        if block >= 0:
            tenants.cursor[line] = block * BLOCK + order.block[block].first
            tenants.heap[count] = line
            count += 1
    tenants.clock[HEAPED] = count
    heap_anew(tenants)


@inner
def heap_anew(tenants):  # type: ignore[no-untyped-def]
    """Put all lines of the heap in order, however they lie."""
    for at in range(tenants.clock[HEAPED] // 2 - 1, -1, -1):
        sink(tenants, at)


@inner
def sink(tenants, at):  # type: ignore[no-untyped-def]
    """Put a line of the heap behind those that come before it."""
    heap = tenants.heap
    count = tenants.clock[HEAPED]
    line = heap[at]
    while 2 * at + 1 < count:
        least = 2 * at + 1
        if least + 1 < count and before(tenants, heap[least + 1], heap[least]):
            least += 1
        if not before(tenants, heap[least], line):
            break
        heap[at] = heap[least]
        at = least
    heap[at] = line


@folded
def leads(tenants):  # type: ignore[no-untyped-def]
    """Whether the first line of the heap still is the first."""
    count = tenants.clock[HEAPED]
    heap = tenants.heap
    if count > 1 and before(tenants, heap[1], heap[0]):
        return False
    return not (count > 2 and before(tenants, heap[2], heap[0]))


@folded
def done_with(tenants):  # type: ignore[no-untyped-def]
    """The first line of the heap has been gone over."""
    band = tenants.band[tenants.heap[0]]
    count = tenants.clock[HEAPED] - 1
    tenants.clock[HEAPED] = count
    if count == 0:
        return
    tenants.heap[0] = tenants.heap[count]
    sink(tenants, np.int64(0))
    if tenants.band[tenants.heap[0]] != band:
        # Whoever started jobs of that priority class has used more, so his lines of the lower ones lie too high.
        heap_anew(tenants)


@folded
def rate_of(world, place, job_class):  # type: ignore[no-untyped-def]
    """What a job of a class takes of a share in a pool, in micro-yuan an hour."""
    row = world.classes.row[job_class]
    rate = world.tenants.rate
    devices = scaled(rate[place, 0], row.all_devices, 1_000, LARGEST_RATE)
    return devices + scaled(rate[place, 1], row.all_cores, 1_000, LARGEST_RATE)


@folded
def is_beyond(world, slots, slot, place):  # type: ignore[no-untyped-def]
    """Whether a job would take its tenant beyond its ceiling if it started in a pool."""
    if world.tenants.clock[SHARING] == 0:
        return False
    tenants = world.tenants
    tenant = tenants.of[slots[slot].line]
    if tenants.ceiling[tenant] == NO_CEILING:
        return False
    return tenants.holds[tenant] + rate_of(world, place, np.int64(slots[slot].need)) > tenants.ceiling[tenant]


@folded
def is_beyond_anywhere(world, tenant, job_class):  # type: ignore[no-untyped-def]
    """Whether a tenant's ceiling keeps jobs of a class from every pool there is."""
    tenants = world.tenants
    if tenants.ceiling[tenant] == NO_CEILING:
        return False
    row = world.classes.row[job_class]
    least = scaled(tenants.clock[LEAST_DEVICE], row.all_devices, 1_000, LARGEST_RATE)
    least += scaled(tenants.clock[LEAST_CORE], row.all_cores, 1_000, LARGEST_RATE)
    return tenants.holds[tenant] + least > tenants.ceiling[tenant]


@inner
def used_of(tenants, rate, time, since):  # type: ignore[no-untyped-def]
    """What using that much an hour for so long counts, as from an instant."""
    amount = scaled(rate, max(0, time), HOUR_MS, LARGEST_USE)
    if amount == 0:
        return np.int64(0)
    power = ((since - tenants.clock[EPOCH]) << 16) // tenants.clock[HALF_LIFE] + PLACES * OCTAVE
    weight = exponential(min(max(power, 0), (AHEAD + PLACES) * OCTAVE))
    if amount < _SMALL:
        return max(np.int64(1), (amount * weight) >> _FINEST)
    return (amount >> _FINEST) * weight


@folded
def weigh(tenants, tenant):  # type: ignore[no-untyped-def]
    """What a tenant used has changed."""
    tenants.level[tenant] = (tenants.past[tenant] + tenants.running[tenant]) // tenants.weight[tenant]


@inner
def hold(world, run, tenant, placed):  # type: ignore[no-untyped-def]
    """A placement holds what is a tenant's, since an instant."""
    place = np.int64(world.runs[run].pool)
    world.runs[run].tenant = tenant
    world.runs[run].placed = placed
    world.runs[run].rate = rate_of(world, place, world.runs[run].job_class) if place >= 0 else np.int64(0)
    count(world, run, np.int64(1))


@inner
def count(world, run, sign):  # type: ignore[no-untyped-def]
    """Count what runs to its limit (sign 1), or no more."""
    tenants = world.tenants
    row = world.runs[run]
    tenants.holds[row.tenant] += sign * row.rate
    tenants.running[row.tenant] += sign * used_of(tenants, row.rate, row.end - row.placed, row.placed)
    weigh(tenants, row.tenant)


@inner
def let_go(world, run):  # type: ignore[no-untyped-def]
    """A placement ends now: what it has used is past."""
    tenants = world.tenants
    row = world.runs[run]
    count(world, run, np.int64(-1))
    tenants.past[row.tenant] += used_of(tenants, row.rate, tenants.clock[NOW] - row.placed, row.placed)
    weigh(tenants, row.tenant)


@inner
def note_kept(slots, world):  # type: ignore[no-untyped-def]
    """After a pass: which idle nodes promises keep, and for whom."""
    tenants = world.tenants
    for row in range(len(world.promise)):
        tenants.kept[row] = 0
        slot = np.int64(world.promise[row].slot)
        if slot < 0 or world.promise[row].start == NEVER:
            continue
        place = row % len(world.pools)
        first = world.pools[place].first_node
        before = row // len(world.pools) * len(world.free.node)
        tasks = 0
        for i in range(before + first, before + first + world.promise[row].used):
            node = world.proven[i].node
            if world.free.node[first + node].tasks == 0 and not is_kept_before(world, row, node):
                tasks += world.proven[i].tasks
        job_class = np.int64(slots[slot].need)
        tenants.kept[row] = rate_of(world, place, job_class) // world.classes.row[job_class].tasks * tasks
        tenants.kept_for[row] = tenants.of[slots[slot].line]


@inner
def is_kept_before(world, row, node):  # type: ignore[no-untyped-def]
    """Whether a node of a promise is one of another in the same pool, too, whose holder comes before."""
    place = row % len(world.pools)
    for other in range(place, row, len(world.pools)):
        first = other // len(world.pools) * len(world.free.node) + world.pools[place].first_node
        if world.promise[other].slot >= 0 and world.promise[other].start != NEVER:
            for i in range(first, first + world.promise[other].used):
                if world.proven[i].node == node:
                    return True
    return False


@inner
def tell_time(world, now):  # type: ignore[no-untyped-def]
    """It is that time from now on: what was kept idle until now is used. Every AHEAD half-lives all is scaled down."""
    tenants = world.tenants
    passed = now - tenants.clock[NOW]
    for row in range(len(tenants.kept)):
        if tenants.kept[row] > 0:
            tenant = tenants.kept_for[row]
            tenants.past[tenant] += used_of(tenants, tenants.kept[row], passed, tenants.clock[NOW])
            weigh(tenants, tenant)
    tenants.clock[NOW] = now
    length = AHEAD * tenants.clock[HALF_LIFE]
    epochs = (now - tenants.clock[EPOCH]) // length
    if epochs <= 0:
        return
    tenants.clock[EPOCH] += epochs * length
    for tenant in range(len(tenants.past)):
        tenants.past[tenant] = tenants.past[tenant] >> (AHEAD * epochs) if epochs < 8 else np.int64(0)
        tenants.running[tenant] = 0
        tenants.holds[tenant] = 0
    recount(world)


@inner
def recount(world):  # type: ignore[no-untyped-def]
    """Count all that runs, where nothing of it is counted."""
    for run in range(len(world.runs)):
        if world.runs[run].job >= 0:
            count(world, run, np.int64(1))
    for tenant in range(len(world.tenants.past)):
        weigh(world.tenants, tenant)


@entry
def tell(world, now):  # type: ignore[no-untyped-def]
    """`tell_time`, from Python."""
    world = addressed(world)
    tell_time(world, now)


@entry
def noted(slots, world):  # type: ignore[no-untyped-def]
    """`note_kept`, from Python."""
    world = addressed(world)
    note_kept(slots, world)


@entry
def taken_in(world, run, tenant, placed):  # type: ignore[no-untyped-def]
    """`hold`, from Python."""
    world = addressed(world)
    hold(world, run, tenant, placed)


@entry
def rated_anew(world):  # type: ignore[no-untyped-def]
    """Pools, weights or prices are others: count all anew."""
    world = addressed(world)
    for tenant in range(len(world.tenants.past)):
        world.tenants.running[tenant] = 0
        world.tenants.holds[tenant] = 0
    for run in range(len(world.runs)):
        if world.runs[run].job >= 0:
            place = np.int64(world.runs[run].pool)
            rate = rate_of(world, place, world.runs[run].job_class) if place >= 0 else np.int64(0)
            world.runs[run].rate = rate
    recount(world)
