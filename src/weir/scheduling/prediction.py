"""Run-time prediction: what is remembered of the jobs that ran, and calls for whole columns of events.

A prediction orders and scores jobs; promises are made on time limits. It never peeks: it is made of jobs that have
ended and of how long others have run so far. The compiled functions that a loop calls job by job (`predict`, `began`,
`learn`, `left`, `corrected`) are in `kernels/prediction.py`; how they weigh the past, and why, is told in
docs/discussion/prediction.md.
"""

from collections.abc import Sequence
from enum import IntEnum
from math import isqrt
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from weir.scheduling.compilation import kernel

Int64s = NDArray[np.int64]
Int32s = NDArray[np.int32]

DEPTH = 16
"""How many jobs of each user are remembered: the last that ended, and likewise of those that run. A power of two."""
BUCKETS = 112
"""Time limits by half octaves of milliseconds, up to 2**56."""
OCTAVE = 1 << 16
"""Logarithms are to base 2, in this fraction."""
LONGEST_LIMIT_MS = 1 << 52


class PredictionState(NamedTuple):
    """All that prediction remembers. Users and groups are rows; logarithms are of ms or of sizes, in 1/65536 octave.

    The kernels change the arrays in place. Equal states give equal predictions, on any CPU.
    """

    history: Int32s
    """[user, DEPTH, (limit, size, run)] as logarithms: the last jobs that ended, row `ended % DEPTH` is the next."""
    ended: Int64s
    """[user] how many have ended so far. A waiting job's prediction is as of this number."""
    running: Int64s
    """[user, DEPTH, (limit, size, started)]: jobs that run, limit and size as logarithms, started in ms."""
    running_count: Int64s
    """[user] how many rows of `running` are in use: the first ones."""
    by_group: Int32s
    """[group, BUCKETS, (jobs, run)]: how many jobs the mean stands for at most 32, and the mean logarithm of runs."""
    by_limit: Int32s
    """[BUCKETS, (jobs, run)] of all jobs, for at most 256."""


class Event(IntEnum):
    """What happens to a job, in the order of things that happen at once."""

    SUBMIT = 0
    START = 1
    END = 2
    LEAVE = 3
    """It stops for a reason that says nothing of its run time: cancelled, preempted or lost. Timed by its start."""


def empty(users: int, groups: int) -> PredictionState:
    """No history yet, with room for users 0..users-1 and groups 0..groups-1. ValueError if a number is negative."""
    if users < 0 or groups < 0:
        raise ValueError(f"users and groups: {users} and {groups} are not both 0 or more")
    return PredictionState(
        history=np.zeros((users, DEPTH, 3), np.int32),
        ended=np.zeros(users, np.int64),
        running=np.zeros((users, DEPTH, 3), np.int64),
        running_count=np.zeros(users, np.int64),
        by_group=np.zeros((groups, BUCKETS, 2), np.int32),
        by_limit=np.zeros((BUCKETS, 2), np.int32),
    )


def grown(state: PredictionState, users: int, groups: int) -> PredictionState:
    """The same history with room for at least so many users and groups; at least doubled where it must grow."""

    def longer(array: NDArray[Any], rows: int) -> NDArray[Any]:
        if rows <= len(array):
            return array
        wider = np.zeros((max(rows, 2 * len(array)), *array.shape[1:]), array.dtype)
        wider[: len(array)] = array
        return wider

    return PredictionState(
        history=longer(state.history, users),
        ended=longer(state.ended, users),
        running=longer(state.running, users),
        running_count=longer(state.running_count, users),
        by_group=longer(state.by_group, groups),
        by_limit=state.by_limit,
    )


def copied(state: PredictionState) -> PredictionState:
    """The same history in arrays of its own, for a future that must not change it."""
    return PredictionState._make(array.copy() for array in state)


def replay(
    state: PredictionState,
    kind: Int64s,
    at_ms: Int64s,
    user: Int64s,
    group: Int64s,
    size: Int64s,
    limit_ms: Int64s,
    run_ms: Int64s,
) -> Int64s:
    """Let events happen, given as columns in their order; the predictions made at each SUBMIT (elsewhere 0), in ms.

    kind is an `Event`; run_ms is how long a job ran at nominal speed, and looked at for END alone. START and END of
    one job agree when its end minus its run is its start. ValueError names the first column that is out of range.
    """
    columns = [
        np.ascontiguousarray(column, np.int64)
        for column in (kind, at_ms, user, group, size, limit_ms, run_ms)
    ]
    kind, at_ms, user, group, size, limit_ms, run_ms = columns
    if len({len(column) for column in columns}) > 1:
        raise ValueError(f"columns: their lengths {[len(column) for column in columns]} are not equal")
    bounds = (
        ("kind", kind, 0, max(Event)),
        ("user", user, 0, len(state.ended) - 1),
        ("group", group, 0, len(state.by_group) - 1),
        ("size", size, 1, LONGEST_LIMIT_MS),
        ("limit_ms", limit_ms, 1, LONGEST_LIMIT_MS),
        ("run_ms", run_ms[kind == Event.END], 1, LONGEST_LIMIT_MS),
    )
    for name, column, least, most in bounds:
        wrong = column[(column < least) | (column > most)]
        if len(wrong):
            raise ValueError(f"{name}: {wrong[0]} is not from {least} to {most}")
    predicted_ms = np.zeros(len(kind), np.int64)
    kernel("prediction").replay(state, kind, at_ms, user, group, size, limit_ms, run_ms, predicted_ms)
    return predicted_ms


def corrected(predicted_ms: Int64s, elapsed_ms: Int64s, limit_ms: Int64s) -> Int64s:
    """How long each running job is expected to run altogether, in ms, now that it has run for elapsed_ms.

    That is its prediction while it has not outlived it, then the prediction plus the least of `CORRECTIONS_MS` that
    is still ahead, and at last its limit: never more than the limit, and never falling as it runs. The steps follow
    Tsafrir, Etsion and Feitelson, "Backfilling using system-generated predictions" (TPDS 18(6), 2007).
    """
    answer = np.empty(len(predicted_ms), np.int64)
    columns = (np.ascontiguousarray(column, np.int64) for column in (predicted_ms, elapsed_ms, limit_ms))
    kernel("prediction").correct(*columns, answer)
    return answer


def _logarithms() -> Int32s:
    """log2(1 + i/256) for i = 0..256, by squaring in whole numbers: sixteen bits, rounded down."""
    table = []
    for i in range(256):
        mantissa = (256 + i) << 192
        value = 0
        for _ in range(16):
            mantissa = mantissa * mantissa >> 200
            bit = mantissa >> 201
            value = 2 * value + bit
            mantissa >>= bit
        table.append(value)
    return np.array([*table, OCTAVE], np.int32)


def _exponentials() -> Int64s:
    """2**(i/256) for i = 0..256 in 1/2**30, by square roots of whole numbers, rounded down."""
    one = 1 << 200
    roots = [2 * one]
    for _ in range(8):
        roots.append(isqrt(roots[-1] * one))
    table = []
    for i in range(256):
        value = one
        for bit in range(8):
            if i >> bit & 1:
                value = value * roots[8 - bit] // one
        table.append(value >> 170)
    return np.array([*table, 2 << 30], np.int64)


def _falling(first: int, numerator: int, denominator: int, count: int) -> Int64s:
    values = [first]
    while len(values) < count:
        values.append(values[-1] * numerator // denominator)
    return np.array(values, np.int64)


def _likeness(same: int, half_at: int) -> Int64s:
    """Of two values that lie i eighths of an octave apart: `same` if equal, else 256 / (1 + (i / half_at)**2)."""
    others = [256 * half_at**2 // (half_at**2 + i**2) for i in range(1, 64)]
    return np.array([same, *others], np.int64)


LOGARITHMS = _logarithms()
EXPONENTIALS = _exponentials()
RECENT = _falling(4_096, 3, 4, DEPTH)
"""What the last job of a user weighs, the one before it, and so on."""
LIKE_LIMITS = _likeness(1_024, 8)
LIKE_SIZES = _likeness(512, 8)
CORRECTIONS_MS = tuple(
    minutes * 60_000 for minutes in (1, 5, 15, 30, 60, 120, 300, 600, 1_200, 3_000, 6_000, 12_000)
)

__all__: Sequence[str] = [
    "BUCKETS",
    "CORRECTIONS_MS",
    "DEPTH",
    "LONGEST_LIMIT_MS",
    "OCTAVE",
    "Event",
    "PredictionState",
    "copied",
    "corrected",
    "empty",
    "grown",
    "replay",
]
