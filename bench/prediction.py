"""Predicting run times: calls a second of the compiled functions, on a made-up history of users with habits."""

import time
from collections.abc import Sequence

import numpy as np

from bench.figure import Figure, median
from weir.scheduling.prediction import Event, corrected, empty, replay

JOBS = 500_000
USERS = 500
GROUPS = 100
ROUNDS = 7
_HOUR_MS = 3_600_000


def measure(seed: int) -> Sequence[Figure]:
    """Every job is predicted at its submission, begins and is learnt at its end, in the order of those events."""
    draw = np.random.default_rng(seed)
    user = draw.integers(0, USERS, JOBS)
    limit = _HOUR_MS * draw.integers(1, 25, JOBS)
    run = np.clip((limit * draw.uniform(0.01, 1, USERS)[user]).astype(np.int64), 1, limit)
    size = 1 << draw.integers(0, 8, JOBS)
    submit = np.cumsum(draw.integers(0, 60_000, JOBS))
    start = submit + draw.integers(0, _HOUR_MS, JOBS)
    at = np.concatenate([start + run, submit, start])
    order = np.lexsort((np.repeat([0, 1, 2], JOBS), at))
    job = np.tile(np.arange(JOBS), 3)[order]
    kind = np.repeat([Event.END, Event.SUBMIT, Event.START], JOBS)[order]
    columns = (kind, at[order], user[job], user[job] % GROUPS, size[job], limit[job], run[job])

    replay(empty(USERS, GROUPS), *(column[:1_000] for column in columns))
    walls = []
    predicted = np.empty(0, np.int64)
    for _ in range(ROUNDS):
        state = empty(USERS, GROUPS)
        began = time.perf_counter()
        predicted = replay(state, *columns)
        walls.append(time.perf_counter() - began)
    calls = len(kind) / median(walls)

    expected = predicted[kind == Event.SUBMIT]
    elapsed = expected + draw.integers(-_HOUR_MS, _HOUR_MS, JOBS)
    corrected(expected[:1], elapsed[:1], limit[:1])
    began = time.perf_counter()
    corrected(expected, elapsed, limit)
    corrections = JOBS / (time.perf_counter() - began)
    return [
        Figure(
            "prediction: calls", calls, "calls/s", "submit, start and end of 500,000 jobs, one core, median"
        ),
        Figure("prediction: corrections", corrections, "calls/s", "of 500,000 running jobs, one core"),
    ]
