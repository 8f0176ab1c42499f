"""How long a job will run, from how long its user's last jobs ran: the compiled part.

Times are compared as logarithms: to base 2, in 1/65536 (one `OCTAVE` is a factor of two), taken from integers by
tables, so that the same history gives the same answer on any CPU. What is remembered and why it is weighed so is told
in docs/discussion/prediction.md; the arrays are those of `weir.scheduling.prediction.PredictionState`.
"""

import numpy as np

from weir.scheduling.kernels.address import addressed
from weir.scheduling.kernels.compiled import bare as entry
from weir.scheduling.kernels.compiled import bare_folded as folded
from weir.scheduling.kernels.compiled import bare_inner as inner
from weir.scheduling.prediction import (
    BUCKETS,
    CORRECTIONS_MS,
    DEPTH,
    EXPONENTIALS,
    LIKE_LIMITS,
    LIKE_SIZES,
    LOGARITHMS,
    OCTAVE,
    RECENT,
)

_GROUP_MEMORY = 32
"""So many ended jobs of one group and limit at most outweigh the next one."""
_ALL_MEMORY = 256
_GROUP_DOUBT = 4
"""A group's mean counts like its jobs against so many of the province's mean."""
_ALL_DOUBT = 2
_FALLBACK = RECENT[0] * LIKE_LIMITS[1] * LIKE_SIZES[1] * 3 // 10
"""What a job that is no job of the user weighs, against 1 for his last job if that was only somewhat alike."""
_RUNNING = RECENT[0] * 3 // 10
"""What a job that still runs weighs, in place of its recency."""


@folded
def logarithm(value):  # type: ignore[no-untyped-def]
    """log2 of a positive integer, rounded down in the tables' steps: never more than 2**-15 octaves off."""
    whole = np.int64(0)
    rest = value
    if rest >= 1 << 32:
        rest >>= 32
        whole += 32
    if rest >= 1 << 16:
        rest >>= 16
        whole += 16
    if rest >= 1 << 8:
        rest >>= 8
        whole += 8
    if rest >= 1 << 4:
        rest >>= 4
        whole += 4
    if rest >= 1 << 2:
        rest >>= 2
        whole += 2
    whole += rest >> 1
    mantissa = (value >> (whole - 16) if whole > 16 else value << (16 - whole)) - OCTAVE
    step = mantissa >> 8
    low = LOGARITHMS[step]
    return (whole << 16) + low + (((LOGARITHMS[step + 1] - low) * (mantissa & 255)) >> 8)


@folded
def exponential(power):  # type: ignore[no-untyped-def]
    """2 to that power, rounded down; powers from 0 to 62 octaves."""
    whole = power >> 16
    step = (power & 65535) >> 8
    low = EXPONENTIALS[step]
    mantissa = low + (((EXPONENTIALS[step + 1] - low) * (power & 255)) >> 8)
    return mantissa >> (30 - whole) if whole <= 30 else mantissa << (whole - 30)


@folded
def likeness(limit, size, other_limit, other_size):  # type: ignore[no-untyped-def]
    """How much a job of one limit and size says about another; all four are logarithms."""
    by_limit = min(abs(limit - other_limit) + 8191 >> 13, 63)
    by_size = min(abs(size - other_size) + 8191 >> 13, 63)
    return LIKE_LIMITS[by_limit] * LIKE_SIZES[by_size]


@folded
def moved(value, limit, other_limit):  # type: ignore[no-untyped-def]
    """The logarithm of a run under one limit, as it would be under another: half of the way along."""
    return max(np.int64(0), value + ((limit - other_limit) >> 1))


@inner
def predict(state, user, group, size, limit_ms, now_ms):  # type: ignore[no-untyped-def]
    """The predicted run time of a job submitted or waiting now, in ms, from 1 to limit_ms.

    size >= 1, limit_ms from 1 to 2**52. It reads what has been learnt, and nothing else; so for a job that waits it
    may be asked again whenever `ended[user]` has changed.
    """
    limit = logarithm(limit_ms)
    width = logarithm(size)
    bucket = min(limit >> 15, BUCKETS - 1)
    value = max(np.int64(0), limit - OCTAVE)
    count = np.int64(state.by_limit[bucket, 0])
    value = (value * _ALL_DOUBT + count * state.by_limit[bucket, 1]) // (count + _ALL_DOUBT)
    count = np.int64(state.by_group[group, bucket, 0])
    value = (value * _GROUP_DOUBT + count * state.by_group[group, bucket, 1]) // (count + _GROUP_DOUBT)
    weight = np.int64(_FALLBACK)
    total = weight * value
    ended = state.ended[user]
    history = state.history[user]
    for back in range(min(ended, DEPTH)):
        row = (ended - 1 - back) & (DEPTH - 1)
        w = RECENT[back] * likeness(limit, width, history[row, 0], history[row, 1])
        weight += w
        total += w * moved(history[row, 2], limit, history[row, 0])
    value = total // weight
    # A job that has run for longer than that already is one more that runs for at least twice as long as it has.
    if state.running_count[user] > 0:
        running = state.running[user]
        longer = exponential(max(value - OCTAVE, np.int64(0)))
        for row in range(state.running_count[user]):
            elapsed = now_ms - running[row, 2]
            if elapsed > longer:
                w = _RUNNING * likeness(limit, width, running[row, 0], running[row, 1])
                weight += w
                total += w * min(logarithm(elapsed) + OCTAVE, running[row, 0])
        value = total // weight
    return max(np.int64(1), min(limit_ms, exponential(min(value, limit))))


@inner
def began(state, user, size, limit_ms, started_ms):  # type: ignore[no-untyped-def]
    """A job has started. Beyond DEPTH jobs of one user at once, the one that began first is no longer looked at."""
    count = state.running_count[user]
    row = count
    if count == DEPTH:
        row = 0
        for other in range(1, DEPTH):
            if state.running[user, other, 2] < state.running[user, row, 2]:
                row = other
    else:
        state.running_count[user] = count + 1
    state.running[user, row, 0] = logarithm(limit_ms)
    state.running[user, row, 1] = logarithm(size)
    state.running[user, row, 2] = started_ms


@inner
def left(state, user, size, limit_ms, started_ms):  # type: ignore[no-untyped-def]
    """A job that began at that time no longer runs; nothing is learnt from it. True if it was still looked at."""
    limit = logarithm(limit_ms)
    width = logarithm(size)
    last = state.running_count[user] - 1
    running = state.running[user]
    for row in range(last + 1):
        if running[row, 2] == started_ms and running[row, 0] == limit and running[row, 1] == width:
            for column in range(3):
                running[row, column] = running[last, column]
            state.running_count[user] = last
            return True
    return False


@inner
def learn(state, user, group, size, limit_ms, run_ms, started_ms):  # type: ignore[no-untyped-def]
    """A job that began at that time has ended by itself or at its limit, after run_ms (1 or more)."""
    left(state, user, size, limit_ms, started_ms)
    limit = logarithm(limit_ms)
    run = logarithm(run_ms)
    row = state.ended[user] & (DEPTH - 1)
    state.history[user, row, 0] = limit
    state.history[user, row, 1] = logarithm(size)
    state.history[user, row, 2] = run
    state.ended[user] += 1
    bucket = min(limit >> 15, BUCKETS - 1)
    count = np.int64(state.by_limit[bucket, 0])
    state.by_limit[bucket, 1] = (count * state.by_limit[bucket, 1] + run) // (count + 1)
    state.by_limit[bucket, 0] = min(count + 1, _ALL_MEMORY)
    count = np.int64(state.by_group[group, bucket, 0])
    state.by_group[group, bucket, 1] = (count * state.by_group[group, bucket, 1] + run) // (count + 1)
    state.by_group[group, bucket, 0] = min(count + 1, _GROUP_MEMORY)


@inner
def corrected(predicted_ms, elapsed_ms, limit_ms):  # type: ignore[no-untyped-def]
    """What to expect of a job that has run for elapsed_ms: its prediction, or a step more once it has outlived it."""
    if elapsed_ms < predicted_ms:
        return min(predicted_ms, limit_ms)
    for step in CORRECTIONS_MS:
        if predicted_ms + step > elapsed_ms:
            return min(predicted_ms + step, limit_ms)
    return limit_ms


@entry
def replay(state, kind, at_ms, user, group, size, limit_ms, run_ms, predicted_ms):  # type: ignore[no-untyped-def]
    """Many events in their order, as columns; predicted_ms is written where the kind says so (see `prediction`)."""
    state = addressed(state)
    for i in range(len(kind)):
        if kind[i] == 0:
            predicted_ms[i] = predict(state, user[i], group[i], size[i], limit_ms[i], at_ms[i])
        elif kind[i] == 1:
            began(state, user[i], size[i], limit_ms[i], at_ms[i])
        elif kind[i] == 2:
            learn(state, user[i], group[i], size[i], limit_ms[i], run_ms[i], at_ms[i] - run_ms[i])
        elif kind[i] == 3:
            left(state, user[i], size[i], limit_ms[i], at_ms[i])


@entry
def correct(predicted_ms, elapsed_ms, limit_ms, corrected_ms):  # type: ignore[no-untyped-def]
    """`corrected` for columns."""
    for i in range(len(predicted_ms)):
        corrected_ms[i] = corrected(predicted_ms[i], elapsed_ms[i], limit_ms[i])
