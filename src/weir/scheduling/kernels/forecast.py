"""Futures: the present run to its end by the clock of a counted pool, with drawn run times and drawn arrivals.

Every draw is a hash of (seed, future, what is drawn), so that none depends on how many others were made before it.
All is integers; logarithms and their steps are those of kernels/prediction.py.
"""

import numpy as np

from weir.scheduling.kernels.address import addressed
from weir.scheduling.kernels.clock import ENDS, NEXT, begin, go_on, wait
from weir.scheduling.kernels.compiled import entry, folded, inner
from weir.scheduling.kernels.counted import COMMITTED, EXTRA, FREE, PROMISED, RUNNING, SHADOW, take
from weir.scheduling.kernels.prediction import exponential, likeness, logarithm, moved
from weir.scheduling.kernels.priority import key_of
from weir.scheduling.kernels.turn import DEPTH, ONLY, go_over
from weir.scheduling.prediction import BUCKETS, OCTAVE

MEMORY = 32
"""Jobs that ended, remembered of each user and of each bucket of time limits. A power of two."""
CANDIDATES = 2 * MEMORY + 2
DAY_MS = 86_400_000
_ENOUGH = 16
"""Arrivals that are drawn ahead, and events that happen between two looks at who has started."""
_RECENCY = 7
"""Each earlier job of a user weighs so many eighths of the one after it."""
_OTHERS = 1 << 14
"""What all jobs of others weigh, against 2**19 for the last job of the user if it was exactly alike."""
_UNKNOWN = 1 << 10
"""What weighs that it may run for anything from now to its limit."""
_AT_LIMIT = 8
"""So near to its limit, as logarithms, a run was ended by it."""
_WHETHER_TOGETHER, _TOGETHER, _ALONE, _NOISE, _WHICH_DAY = 1, 2, 3, 4, 5
"""What is drawn. One half of a user's jobs share their luck in a future, the others each have their own."""

SOON_MS = 60_000
FARTHEST = 6 * OCTAVE
"""No quantile is moved by more than this."""
LONGEST = 52 * OCTAVE
_SLOWEST = 6
"""After the square of so many forecasts the offsets move no slower: by a twelfth of an octave."""

_M1 = np.uint64(0xBF58476D1CE4E5B9)
_M2 = np.uint64(0x94D049BB133111EB)
_STEP = np.uint64(0x9E3779B97F4A7C15)
_S30, _S27, _S31, _S32 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(32)


@folded
def mixed(value):  # type: ignore[no-untyped-def]
    """The finaliser of SplitMix64: Steele, Lea and Flood, OOPSLA 2014."""
    value = (value ^ (value >> _S30)) * _M1
    value = (value ^ (value >> _S27)) * _M2
    return value ^ (value >> _S31)


@folded
def chance(seed, one, other, third):  # type: ignore[no-untyped-def]
    """A number from 0 to 2**32 - 1 that these four say."""
    value = mixed(np.uint64(seed) + _STEP * np.uint64(one + 1))
    value = mixed(value + _STEP * np.uint64(other + 1))
    value = mixed(value + _STEP * np.uint64(third + 1))
    return np.int64(value >> _S32)


@entry
def remember(past, user, need, limit_ms, run_ms):  # type: ignore[no-untyped-def]
    """Jobs have ended, in this order, after so long."""
    for i in range(len(user)):
        limit = logarithm(limit_ms[i])
        size = logarithm(need[i])
        ran = logarithm(run_ms[i])
        row = past.ended[user[i]] & (MEMORY - 1)
        past.by_user[user[i], row, 0] = limit
        past.by_user[user[i], row, 1] = size
        past.by_user[user[i], row, 2] = ran
        past.ended[user[i]] += 1
        bucket = min(limit >> 15, BUCKETS - 1)
        row = past.seen[bucket] & (MEMORY - 1)
        past.by_limit[bucket, row, 0] = limit
        past.by_limit[bucket, row, 1] = ran
        past.seen[bucket] += 1


@inner
def note(values, weights, count, value, weight):  # type: ignore[no-untyped-def]
    """One more way in which it may go; they stay in order of how long it then runs."""
    at = count
    while at > 0 and values[at - 1] > value:
        values[at] = values[at - 1]
        weights[at] = weights[at - 1]
        at -= 1
    values[at] = value
    weights[at] = weight
    return count + 1


@folded
def as_it_was(limit, other_limit, other_run):  # type: ignore[no-untyped-def]
    """The logarithm of a run under another limit; what ran up to its limit does so again."""
    if other_run >= other_limit - _AT_LIMIT:
        return limit
    return min(limit, moved(other_run, limit, other_limit))


@inner
def ways(past, values, weights, user, need, limit_ms, elapsed_ms):  # type: ignore[no-untyped-def]
    """In how many ways a job may go that has run for so long; their run times (logarithms) and weights are written."""
    limit = logarithm(limit_ms)
    size = logarithm(need)
    least = logarithm(elapsed_ms + 1)
    count = 0
    ended = past.ended[user]
    recency = np.int64(256)
    for back in range(min(ended, MEMORY)):
        row = (ended - 1 - back) & (MEMORY - 1)
        other = np.int64(past.by_user[user, row, 0])
        value = as_it_was(limit, other, np.int64(past.by_user[user, row, 2]))
        if value > least:
            weight = (recency * likeness(limit, size, other, np.int64(past.by_user[user, row, 1]))) >> 8
            count = note(values, weights, count, value, max(np.int64(1), weight))
        recency = max(np.int64(4), (recency * _RECENCY) >> 3)
    bucket = min(limit >> 15, BUCKETS - 1)
    known = min(past.seen[bucket], MEMORY)
    for row in range(known):
        other = np.int64(past.by_limit[bucket, row, 0])
        value = as_it_was(limit, other, np.int64(past.by_limit[bucket, row, 1]))
        if value > least:
            count = note(values, weights, count, value, np.int64(_OTHERS) // known)
    count = note(values, weights, count, (least + limit) >> 1, np.int64(_UNKNOWN))
    return note(values, weights, count, limit, np.int64(_UNKNOWN))


@entry
def draw(past, seed, first, user, need, limit_ms, elapsed_ms, luck, run_ms):  # type: ignore[no-untyped-def]
    """Write how long each job runs altogether into run_ms[future, job], the futures from `first` on.

    luck: the job's own number in draws. What has run for some time runs for longer than that, up to its limit.
    """
    past = addressed(past)
    values = np.empty(CANDIDATES, np.int64)
    weights = np.empty(CANDIDATES, np.int64)
    for i in range(len(user)):
        count = ways(past, values, weights, user[i], need[i], limit_ms[i], elapsed_ms[i])
        limit = logarithm(limit_ms[i])
        total = np.int64(0)
        for at in range(count):
            total += weights[at]
            weights[at] = total
        for row in range(len(run_ms)):
            future = first + row
            if chance(seed, future, luck[i], _WHETHER_TOGETHER) & 1 == 0:
                number = chance(seed, future, user[i], _TOGETHER)
            else:
                number = chance(seed, future, luck[i], _ALONE)
            wanted = (number * total) >> 32
            at = 0
            while weights[at] <= wanted:
                at += 1
            ran = limit_ms[i]
            if values[at] < limit:
                # A quarter octave to and fro, so that what is remembered of few jobs is not taken at its word.
                value = values[at] + (chance(seed, future, luck[i], _NOISE) >> 17) - (OCTAVE >> 2)
                ran = exponential(max(np.int64(0), value))
            run_ms[row, i] = max(elapsed_ms[i] + 1, min(ran, limit_ms[i]))


@inner
def arrive(rates, second_rates, slots, trace, arrivals, run_ms, day_of, filled, day, seed, future):  # type: ignore[no-untyped-def]
    """Let one of the past days happen again, so many days from now; how many slots are then in use, or -1."""
    days = len(day_of) - 1
    past = 1 + (chance(seed, future, day, _WHICH_DAY) * days >> 32)
    low = day_of[past]
    high = day_of[past - 1]
    if filled + high - low > len(slots):
        return -1
    for at in range(low, high):
        submitted = arrivals.submitted[at] + (past + day) * DAY_MS
        need = arrivals.need[at]
        slots[filled].job = np.int64(1) << 48 | filled
        slots[filled].submitted = submitted
        slots[filled].limit = arrivals.limit[at]
        slots[filled].expected = arrivals.expected[at]
        slots[filled].need = need
        slots[filled].key = key_of(rates, submitted, arrivals.expected[at], need, submitted)
        slots[filled].second = key_of(second_rates, submitted, arrivals.expected[at], need, submitted)
        trace.run[filled] = run_ms[at]
        trace.start[filled] = -1
        filled += 1
    return filled


@inner
def lay_out(  # type: ignore[no-untyped-def]
    rule, slots, order, lines, second, second_lines, count, profile, history, trace, clock, nodes, placed, waiting
):  # fmt: skip
    """The present: jobs from `waiting` on run since they were placed, those before them wait."""
    for table in (order, second):
        for block in range(len(table.block)):
            table.block[block].next = block + 1
        table.block[len(table.block) - 1].next = -1
        table.free[0] = 0
    for line in (lines, second_lines):
        line[ONLY].head = -1
        line[ONLY].tail = -1
        line[ONLY].waiting = 0
    count.state[FREE] = nodes
    count.state[RUNNING] = 0
    count.state[PROMISED] = -1
    count.state[COMMITTED] = -1
    count.state[SHADOW] = 0
    count.state[EXTRA] = 0
    if rule[DEPTH] > 1:
        profile.state[0] = 0
        for slot in range(len(profile.promised)):
            profile.promised[slot] = -1
    clock[NEXT] = waiting + len(placed)
    clock[ENDS] = 0
    for slot in range(waiting):
        trace.start[slot] = -1
        wait(rule, slots, order, lines, second, second_lines, trace, slot)
    for i in range(len(placed)):
        slot = waiting + i
        take(count, slot, placed[i] + slots[slot].limit, np.int64(slots[slot].need))
        begin(rule, slots, history, trace, clock, slot, placed[i])


@entry
def live(  # type: ignore[no-untyped-def]
    rule, rates, second_rates, slots, order, lines, second, second_lines, count, profile, scratch, history, trace,
    clock, started, nodes, placed, run_ms, arrivals, arrival_run_ms, day_of, horizon, seed, first, now, asked, answer,
):  # fmt: skip
    """Live through one future for each row of run_ms, until all that are asked for have started.

    slots: those that wait, those that run, and room for arrivals. answer[job asked for, future]: when it starts, or -1
    if nothing more happens and it does not.
    """
    order = addressed(order)
    second = addressed(second)
    count = addressed(count)
    profile = addressed(profile)
    history = addressed(history)
    trace = addressed(trace)
    arrivals = addressed(arrivals)
    present = run_ms.shape[1]
    waiting = present - len(placed)
    for future in range(len(run_ms)):
        for slot in range(present):
            trace.run[slot] = run_ms[future, slot]
        lay_out(
            rule, slots, order, lines, second, second_lines, count, profile, history, trace, clock, nodes, placed,
            waiting,
        )  # fmt: skip
        starts = 0
        if waiting > 0:
            starts = go_over(
                rule, rates, slots, order, lines, second, second_lines, count, profile, scratch, started, now
            )
        for i in range(starts):
            begin(rule, slots, history, trace, clock, started[i], now)
        filled = present
        day = 0
        left = 0
        over = False
        while True:
            while left < len(asked) and trace.start[asked[left]] >= 0:
                left += 1
            if left == len(asked) or over:
                break
            # With more than so many arrivals ahead none of these is missed.
            while day < horizon and filled - clock[NEXT] <= _ENOUGH:
                more = arrive(
                    rates, second_rates, slots, trace, arrivals, arrival_run_ms, day_of, filled, day, seed,
                    first + future,
                )  # fmt: skip
                if more < 0:
                    day = horizon
                    break
                filled = more
                day += 1
            over = go_on(
                rule, rates, second_rates, slots[:filled], order, lines, second, second_lines, count, profile,
                scratch, history, trace, clock, started, False, _ENOUGH,
            )  # fmt: skip
        for i in range(len(asked)):
            answer[i, future] = trace.start[asked[i]]


@folded
def as_logarithm(time_ms):  # type: ignore[no-untyped-def]
    """As offsets are counted: a minute more or less never makes an octave."""
    return logarithm(max(np.int64(0), time_ms) + SOON_MS)


@entry
def lean(raw_ms, reserved_ms, eighths):  # type: ignore[no-untyped-def]
    """Move each quantile, as logarithms, so many eighths of the way to what is reserved on limits."""
    for i in range(len(reserved_ms)):
        towards = as_logarithm(reserved_ms[i]) * eighths
        for level in range(raw_ms.shape[1]):
            value = (as_logarithm(raw_ms[i, level]) * (8 - eighths) + towards) >> 3
            raw_ms[i, level] = max(np.int64(0), exponential(value) - SOON_MS)


@entry
def shift(offset, stratum, raw_ms, shifted_ms):  # type: ignore[no-untyped-def]
    """Move each quantile by its stratum's offset, and put those that crossed back in order."""
    levels = raw_ms.shape[1]
    for i in range(len(stratum)):
        for level in range(levels):
            value = as_logarithm(raw_ms[i, level]) + offset[stratum[i], level]
            time = max(np.int64(0), exponential(min(max(np.int64(0), value), LONGEST)) - SOON_MS)
            at = level
            while at > 0 and shifted_ms[i, at - 1] > time:
                shifted_ms[i, at] = shifted_ms[i, at - 1]
                at -= 1
            shifted_ms[i, at] = time


@entry
def correct(offset, told, levels_milli, stratum, raw_ms, waited_ms):  # type: ignore[no-untyped-def]
    """Each forecast moves its stratum's offsets: up where they would put the start too early now, else down."""
    for i in range(len(stratum)):
        row = stratum[i]
        told[row] += 1
        root = 1
        while root < _SLOWEST and (root + 1) * (root + 1) <= told[row]:
            root += 1
        step = OCTAVE // (2 * root)
        waited = as_logarithm(waited_ms[i])
        for level in range(len(levels_milli)):
            held = 1_000 if waited <= as_logarithm(raw_ms[i, level]) + offset[row, level] else 0
            moved_to = offset[row, level] + step * (levels_milli[level] - held) // 1_000
            offset[row, level] = max(-FARTHEST, min(FARTHEST, moved_to))


@entry
def keys_now(rates, slots, now):  # type: ignore[no-untyped-def]
    """Give jobs that wait the keys that they have now."""
    for slot in range(len(slots)):
        need = np.int64(slots[slot].need)
        slots[slot].key = key_of(rates, slots[slot].submitted, slots[slot].expected, need, now)
