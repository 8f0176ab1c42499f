"""Predicted run times on real logs, as they would have been under EASY's own schedule (the oracles' waits)."""

import csv
import gzip
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from weir.scheduling.prediction import Event, empty, replay

TRACES = Path(os.environ["WEIR_TRACES"])


def log(oracle: str, trace: str) -> dict[str, NDArray[np.int64]]:
    """Jobs of the log with the oracle's EASY waits; user and group from the log, by what else the row says."""
    with gzip.open(TRACES / "reference" / oracle, "rt", encoding="ascii") as file:
        rows = list(csv.DictReader(file))
    with gzip.open(TRACES / "hpc" / trace, "rt", encoding="ascii", errors="replace") as file:
        fields = [[int(float(word)) for word in line.split()] for line in file if line[:1] not in ";\n"]
    kept = sorted((f for f in fields if f[3] > 0 and max(f[4], f[7]) > 0), key=lambda f: f[1])
    jobs: dict[str, Any] = {
        name: np.array([int(row[name]) for row in rows])
        for name in ("submit", "run", "procs", "requested", "wait_easy_requested")
    }
    assert len(kept) == len(rows)
    jobs["user"] = np.unique([f[11] for f in kept], return_inverse=True)[1]
    jobs["group"] = np.unique([f[12] for f in kept], return_inverse=True)[1]
    return jobs


@pytest.mark.parametrize(
    ("oracle", "trace", "errors", "longer"),
    [
        ("oracle-kth.csv.gz", "KTH-SP2-1996-2.1-cln.swf.gz", (2.32, 1.87, 1.67), 0.58),
        ("oracle-sdscsp2.csv.gz", "SDSC-SP2-pyss-filtered.swf.gz", (3.03, 1.57, 1.37), 0.52),
        ("oracle-ctcsp2.csv.gz", "CTC-SP2-pyss-filtered.swf.gz", (2.53, 1.66, 1.51), 0.53),
    ],
)
def test_nearer_than_the_limit_and_than_the_last_two(
    oracle: str, trace: str, errors: tuple[float, float, float], longer: float
) -> None:
    jobs = log(oracle, trace)
    count = len(jobs["run"])
    start = jobs["submit"] + jobs["wait_easy_requested"]
    at = np.concatenate([start + jobs["run"], jobs["submit"], start])
    order = np.lexsort((np.repeat([0, 1, 2], count), at))
    job = np.tile(np.arange(count), 3)[order]
    kind = np.repeat([Event.END, Event.SUBMIT, Event.START], count)[order]
    state = empty(int(jobs["user"].max()) + 1, int(jobs["group"].max()) + 1)
    user, group, size = (jobs[name][job] for name in ("user", "group", "procs"))
    limit, run = jobs["requested"][job] * 1_000, jobs["run"][job] * 1_000
    predicted = replay(state, kind, at[order] * 1_000, user, group, size, limit, run)

    asked = kind == Event.SUBMIT
    last: dict[int, list[int]] = {}
    guess = limit.copy()
    for i, who in enumerate(user.tolist()):
        known = last.setdefault(who, [])
        if kind[i] == Event.END:
            known.append(int(run[i]))
        elif len(known) > 1:
            guess[i] = min(int(limit[i]), sum(known[-2:]) // 2)

    def error(of: NDArray[np.int64]) -> float:
        return round(float(np.abs(np.log2(of[asked] / run[asked])).mean()), 2)

    assert errors == (error(limit), error(guess), error(predicted))
    assert longer == round(float((predicted[asked] < run[asked]).mean()), 2)
    assert 0 == state.running_count.sum()


@pytest.mark.parametrize(
    ("oracle", "trace", "error"),
    [
        ("oracle-kth.csv.gz", "KTH-SP2-1996-2.1-cln.swf.gz", 1.50),
        ("oracle-ctcsp2.csv.gz", "CTC-SP2-pyss-filtered.swf.gz", 1.25),
        ("oracle-sdscsp2.csv.gz", "SDSC-SP2-pyss-filtered.swf.gz", 1.15),
    ],
)
def test_most_of_the_error_is_learning_late(oracle: str, trace: str, error: float) -> None:
    # Each job is learnt as soon as it is submitted: the bound that docs/discussion/prediction.md speaks of.
    jobs = log(oracle, trace)
    count = len(jobs["run"])
    state = empty(int(jobs["user"].max()) + 1, int(jobs["group"].max()) + 1)
    twice = {name: np.repeat(column, 2) for name, column in jobs.items()}
    kind = np.tile([Event.SUBMIT, Event.END], count)
    limit, run = twice["requested"] * 1_000, twice["run"] * 1_000
    at = twice["submit"] * 1_000
    predicted = replay(state, kind, at, twice["user"], twice["group"], twice["procs"], limit, run)[::2]
    assert error == round(float(np.abs(np.log2(predicted / run[::2])).mean()), 2)
