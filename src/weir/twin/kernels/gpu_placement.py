"""One pod after another on nodes whose GPUs can be shared, none ever leaving: the loop, and the scores of each rule."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from weir.scheduling.kernels.compiled import entry, folded, inner

Int64s = NDArray[np.int64]
Floats = NDArray[np.float64]

FGD, BEST_FIT, PACKING, FORESIGHT = range(4)
WHOLE = 1_000
MOST_GPUS = 8
_NO_ROOM = -1e18


class Machines(NamedTuple):
    """Nodes as parallel columns; `model` is a number, `cores` thousandths, `memory` MiB; `alike` numbers equal ones."""

    cores: Int64s
    memory: Int64s
    gpus: Int64s
    model: Int64s
    alike: Int64s


class Shapes(NamedTuple):
    """Distinct needs as parallel columns: `gpus` GPUs of `milli` thousandths each; `models` a bit each, 0 for any."""

    cores: Int64s
    memory: Int64s
    gpus: Int64s
    milli: Int64s
    models: Int64s


class Target(NamedTuple):
    """What FGD takes for typical: parallel columns, `share` of all pods."""

    cores: Int64s
    gpus: Int64s
    milli: Int64s
    models: Int64s
    share: Floats


class Outlook(NamedTuple):
    """What the foresight score goes by: see `weir.twin.published.foresight`."""

    streams: Int64s
    """Numbers of shapes, one stream of possible pods a row."""
    patience: int
    gangs: Int64s
    """Numbers of the shapes of several GPUs."""
    gang_worth: Floats
    """For each of them, thousandths of a GPU that a node which can hold it is worth."""
    pressure: Floats
    """By model, thousandths for each thousandth of a GPU that is taken there."""
    packing: float
    """Thousandths for each thousandth of a GPU that was idle on the node."""


class _State(NamedTuple):
    """What is free, by node; `left` by GPU. `rating` holds as of `rated` placements on the node."""

    cores: Int64s
    memory: Int64s
    left: Int64s
    placed: Int64s
    rated: Int64s
    rating: Floats
    after: Int64s
    scratch: Int64s


@entry
def place(  # type: ignore[no-untyped-def]
    machines, shapes, arrivals, tie, rule, target, outlook
):
    """Place each arrival where the rule scores it best, and drop it where it fits nowhere.

    `arrivals`: the shape of each; `tie`: the order of nodes of equal score, smaller first. Returns for each arrival
    its node (-1: none) and the GPUs that it took there, a bit each.
    """
    nodes, kinds = len(machines.gpus), len(shapes.gpus)
    state = _State(
        machines.cores.copy(),
        machines.memory.copy(),
        np.zeros((nodes, MOST_GPUS), np.int64),
        np.zeros(nodes, np.int64),
        np.full(nodes, -1, np.int64),
        np.zeros(nodes),
        np.zeros(MOST_GPUS, np.int64),
        np.zeros(MOST_GPUS, np.int64),
    )
    for node in range(nodes):
        state.left[node, : machines.gpus[node]] = WHOLE
    # A score holds as long as nothing was placed on the node since; `scored` says up to which placement that is.
    scored = np.full((kinds, nodes), -1, np.int64)
    score = np.zeros((kinds, nodes))
    taken = np.zeros((kinds, nodes), np.int64)
    # Nodes alike on which nothing was placed yet score alike; what one of them scored, by shape.
    known = np.zeros((kinds, nodes), np.bool_)
    untouched = np.zeros((kinds, nodes))
    opened = np.zeros((kinds, nodes), np.int64)
    where = np.full(len(arrivals), -1, np.int64)
    devices = np.zeros(len(arrivals), np.int64)
    for arrival in range(len(arrivals)):
        shape = arrivals[arrival]
        best = -1
        highest = _NO_ROOM
        for node in range(nodes):
            if scored[shape, node] != state.placed[node]:
                scored[shape, node] = state.placed[node]
                alike = machines.alike[node]
                if state.placed[node] > 0 or not known[shape, alike]:
                    score[shape, node], taken[shape, node] = _score(
                        machines, state, node, shapes, shape, rule, target, outlook
                    )
                    if state.placed[node] == 0:
                        known[shape, alike] = True
                        untouched[shape, alike] = score[shape, node]
                        opened[shape, alike] = taken[shape, node]
                else:
                    score[shape, node] = untouched[shape, alike]
                    taken[shape, node] = opened[shape, alike]
            found = score[shape, node]
            if found > highest or (found == highest and best >= 0 and tie[node] < tie[best]):
                highest = found
                best = node
        if best >= 0:
            where[arrival] = best
            devices[arrival] = taken[shape, best]
            state.cores[best] -= shapes.cores[shape]
            state.memory[best] -= shapes.memory[shape]
            state.placed[best] += 1
            for device in range(MOST_GPUS):
                if taken[shape, best] >> device & 1:
                    state.left[best, device] -= shapes.milli[shape]
    return where, devices


@folded
def _admits(models, model):  # type: ignore[no-untyped-def]
    return models == 0 or models >> model & 1 == 1


@inner
def _has_room(machines, state, node, shapes, shape):  # type: ignore[no-untyped-def]
    if state.cores[node] < shapes.cores[shape] or state.memory[node] < shapes.memory[shape]:
        return False
    if shapes.gpus[shape] == 0:
        return True
    if not _admits(shapes.models[shape], machines.model[node]):
        return False
    return _tightest(state.left[node], machines.gpus[node], shapes.gpus[shape], shapes.milli[shape]) != 0


@inner
def _score(  # type: ignore[no-untyped-def]
    machines, state, node, shapes, shape, rule, target, outlook
):
    """(score, GPUs taken) of a shape on a node; below everything where there is no room."""
    if not _has_room(machines, state, node, shapes, shape):
        return _NO_ROOM, np.int64(0)
    count, left = machines.gpus[node], state.left[node]
    gpus, milli = shapes.gpus[shape], shapes.milli[shape]
    fitting = _tightest(left, count, gpus, milli)
    if rule == BEST_FIT:
        return _best_fit(state.cores[node], left, count, shapes, shape), fitting
    if rule == PACKING:
        return _packing(left, count, gpus, milli), fitting
    if state.rated[node] != state.placed[node]:
        state.rated[node] = state.placed[node]
        state.rating[node] = _rating(
            machines,
            node,
            state.cores[node],
            state.memory[node],
            left,
            shapes,
            rule,
            target,
            outlook,
            state.scratch,
        )
    before = state.rating[node]
    shares = gpus == 1 and milli < WHOLE
    best = _NO_ROOM
    devices = np.int64(0)
    for device in range(count if shares else 1):
        chosen = np.int64(1) << device if shares else fitting
        if shares and (left[device] < milli or _seen(left, device)):
            continue
        for each in range(MOST_GPUS):
            state.after[each] = left[each] - milli * (chosen >> each & 1)
        cores, memory = state.cores[node] - shapes.cores[shape], state.memory[node] - shapes.memory[shape]
        after = _rating(
            machines, node, cores, memory, state.after, shapes, rule, target, outlook, state.scratch
        )
        found = np.floor(100.0 / (1.0 + np.exp((after - before) / 1_000))) if rule == FGD else before - after
        if found > best:
            best = found
            devices = chosen
    if rule == FORESIGHT:
        idle = 0
        for device in range(count):
            idle += left[device]
        best -= outlook.packing * idle
        best -= outlook.pressure[machines.model[node]] * milli * gpus
    return best, devices


@folded
def _seen(left, device):  # type: ignore[no-untyped-def]
    """Whether an earlier GPU has as much left, so that it scores the same."""
    seen = False
    for other in range(device):
        seen = seen or left[other] == left[device]
    return seen


@inner
def _rating(  # type: ignore[no-untyped-def]
    machines, node, cores, memory, left, shapes, rule, target, outlook, scratch
):
    """What a node in this state is expected to lose, in thousandths of a GPU."""
    count, model = machines.gpus[node], machines.model[node]
    if rule == FGD:
        return _fragments(cores, left, count, model, target)
    lost = _left_over(cores, memory, left, count, model, shapes, outlook, scratch)
    whole = 0
    for device in range(count):
        if left[device] == WHOLE:
            whole += 1
    if whole > 1:
        for place in range(len(outlook.gangs)):
            shape = outlook.gangs[place]
            if (
                shapes.gpus[shape] <= whole
                and shapes.cores[shape] <= cores
                and shapes.memory[shape] <= memory
                and _admits(shapes.models[shape], model)
            ):
                lost -= outlook.gang_worth[place]
    return lost


@inner
def _fragments(cores, left, count, model, target):  # type: ignore[no-untyped-def]
    """FGD's measure: idle thousandths that a typical pod cannot use, weighed by its share."""
    idle = 0
    for device in range(count):
        idle += left[device]
    lost = 0.0
    for each in range(len(target.share)):
        useless = idle
        milli = target.milli[each]
        if milli > 0 and cores >= target.cores[each] and _admits(target.models[each], model):
            fitting = 0
            small = 0
            for device in range(count):
                if left[device] >= milli:
                    fitting += 1
                else:
                    small += left[device]
            if fitting >= target.gpus[each]:
                useless = small
        lost += target.share[each] * useless
    return lost


@inner
def _left_over(cores, memory, left, count, model, shapes, outlook, scratch):  # type: ignore[no-untyped-def]
    """Mean idle thousandths once each stream has offered its pods and as many as `patience` found no room."""
    idle_now = 0
    for device in range(count):
        idle_now += left[device]
    if idle_now == 0:
        return 0.0
    streams, length = outlook.streams.shape
    total = 0
    for stream in range(streams):
        idle, free_cores, free_memory = idle_now, cores, memory
        for device in range(count):
            scratch[device] = left[device]
        refused = 0
        for step in range(length):
            if refused >= outlook.patience:
                break
            shape = outlook.streams[stream, step]
            gpus = shapes.gpus[shape]
            milli = shapes.milli[shape]
            if (
                shapes.cores[shape] > free_cores
                or shapes.memory[shape] > free_memory
                or gpus * milli > idle
                or not _admits(shapes.models[shape], model)
            ):
                refused += 1
                continue
            if gpus > 0:
                devices = _tightest(scratch, count, gpus, milli)
                if devices == 0:
                    refused += 1
                    continue
                for device in range(count):
                    if devices >> device & 1:
                        scratch[device] -= milli
                idle -= gpus * milli
                if idle == 0:
                    break
            free_cores -= shapes.cores[shape]
            free_memory -= shapes.memory[shape]
        total += idle
    return total / streams


@folded
def _tightest(left, count, gpus, milli):  # type: ignore[no-untyped-def]
    """The GPUs that fit best, the first among equals, a bit each; 0 where they do not fit or none is needed."""
    chosen = np.int64(0)
    if gpus == 1:
        tightest = -1
        for device in range(count):
            if left[device] >= milli and (tightest < 0 or left[device] < left[tightest]):
                tightest = device
        if tightest >= 0:
            chosen = np.int64(1) << tightest
    elif gpus > 1:
        found = 0
        for device in range(count):
            if found < gpus and left[device] >= milli:
                chosen |= np.int64(1) << device
                found += 1
        if found < gpus:
            chosen = np.int64(0)
    return chosen


@inner
def _best_fit(cores, left, count, shapes, shape):  # type: ignore[no-untyped-def]
    """Less left over is better: half cores (of 128), half GPUs (of 8), in whole points of 100."""
    idle = 0
    for device in range(count):
        idle += left[device]
    rest = (cores - shapes.cores[shape]) / 128_000 * 0.5
    rest += (idle - shapes.gpus[shape] * shapes.milli[shape]) / 8_000 * 0.5
    return np.floor((1.0 - rest) * 100)


@inner
def _packing(left, count, gpus, milli):  # type: ignore[no-untyped-def]
    """GPUs in use before idle ones of a node in use, and these before those of a node of idle ones."""
    if gpus == 0:
        return 0.0
    idle = 0
    for device in range(count):
        if left[device] == WHOLE:
            idle += 1
    if idle == count:
        return float(max(33 - idle, idle))
    chosen = _tightest(left, count, gpus, milli)
    opened = 0
    spare = 0
    for device in range(count):
        if chosen >> device & 1:
            if left[device] == WHOLE:
                opened += 1
            spare += left[device] * 100 // WHOLE
    if opened > 0:
        return float(max(50 - opened, 33))
    return float(max(100 - spare // 10, 50))
