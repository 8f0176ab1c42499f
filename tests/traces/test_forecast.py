"""Forecasts on real logs, scored as they would have been issued: they hold as often as they say, and say more."""

import os
from pathlib import Path

import pytest

from bench.forecast import coverage, interval_score_h, issue
from weir.scheduling.calibration import LEVELS_MILLI
from weir.twin.province import single_pool
from weir.twin.run import run
from weir.twin.traces import read_trace

HPC = Path(os.environ["WEIR_TRACES"]) / "hpc"
JOBS, FUTURES = 600, 64
CHANCE = 0.06
"""About 600 forecasts for 200 jobs are scored, and those of one backlog go wrong together: two standard errors."""


@pytest.mark.parametrize(
    ("log", "procs"), [("KTH-SP2-1996-2.1-cln.swf.gz", 100), ("SDSC-SP2-pyss-filtered.swf.gz", 128)]
)
@pytest.mark.parametrize("policy", ["easy", "weir"])
def test_ranges_hold_and_are_sharper_than_what_limits_say(log: str, procs: int, policy: str) -> None:
    outcome = run(read_trace(HPC / log), [single_pool(procs)], policy=policy)
    issued = issue(outcome, JOBS, FUTURES, seed=1)
    rows = issued.last_third
    for percent, share in coverage(issued, rows).items():
        assert abs(share - percent) < 100 * CHANCE
    low, high = (issued.range_ms[rows, LEVELS_MILLI.index(level)] for level in (100, 900))
    ours = interval_score_h(low, high, issued.left_ms[rows])
    limits = interval_score_h(0 * low, issued.widened_ms[rows], issued.left_ms[rows])
    assert ours < 0.9 * limits


def test_what_is_issued_follows_from_what_came_before() -> None:
    # Every forecast lies ahead of the calibration that it will teach: the first ones are as the futures said.
    log = read_trace(HPC / "KTH-SP2-1996-2.1-cln.swf.gz").rows(slice(0, 3_000))
    outcome = run(log, [single_pool(100)], policy="easy")
    whole = issue(outcome, 60, 16, seed=1)
    assert issue(outcome, 60, 16, seed=1).range_ms.tolist() == whole.range_ms.tolist()
    assert whole.range_ms[0].tolist() == pytest.approx(whole.raw_ms[0].tolist(), rel=0.001, abs=60)
