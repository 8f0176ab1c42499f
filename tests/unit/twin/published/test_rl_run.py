"""A twin's run under RLScheduler's rule."""

from dataclasses import replace
from itertools import count

import numpy as np
import pytest

from weir.model.problem import ProblemError
from weir.twin.province import single_pool
from weir.twin.published.rl_run import RL_RUNS, rl_run
from weir.twin.workload import Workload, processors


def workload(*jobs: tuple[int, int, int, int]) -> Workload:
    """Jobs of (submit, run, limit in seconds, processors) rows."""
    submit, run, limit, size = np.array(jobs, np.int64).T
    sizes = sorted(set(size.tolist()))
    nothing = np.zeros(len(jobs), np.int64)
    return Workload(
        name="made",
        job=np.arange(1, len(jobs) + 1),
        submit_ms=submit * 1_000,
        run_ms=run * 1_000,
        limit_ms=limit * 1_000,
        size=size,
        job_class=np.array([sizes.index(each) for each in size]),
        user=nothing,
        group=nothing,
        priority=nothing,
        classes=tuple(processors(each) for each in sizes),
        users=("unknown",),
        groups=("unknown",),
    )


def starts(made: Workload, policy: str, processors: int = 4, estimates: str = "user") -> list[int]:
    looks = count()
    done = rl_run(
        made, [single_pool(processors)], policy=policy, estimates=estimates, clock=lambda: float(next(looks))
    )
    assert 1.0 == done.simulated_s
    ran = done.start_ms >= 0
    assert ((done.end_ms - done.start_ms)[ran] == made.run_ms[ran]).all()
    assert (ran == (done.pool == 0)).all()
    return [each // 1_000 for each in done.start_ms.tolist()]


def test_without_and_with_its_backfill() -> None:
    made = workload((0, 100, 100, 3), (1, 5, 5, 4), (2, 10, 20, 1))
    assert [0, 100, 105] == starts(made, "rl-fcfs")
    assert [0, 100, 2] == starts(made, "rl-fcfs-backfill")


def test_exact_estimates_are_run_times() -> None:
    made = workload((0, 100, 100, 3), (1, 5, 5, 4), (2, 90, 200, 1))
    assert [0, 100, 105] == starts(made, "rl-fcfs-backfill")
    assert [0, 100, 2] == starts(made, "rl-fcfs-backfill", estimates="exact")


def test_a_job_wider_than_the_machine_never_starts() -> None:
    made = workload((0, 5, 5, 1), (0, 5, 5, 5), (1, 5, 5, 4))
    ran = rl_run(made, [single_pool(4)], policy="rl-sjf", clock=lambda: 0.0)
    assert [0, -1, 5_000] == ran.start_ms.tolist()
    assert [0, -1, 0] == ran.pool.tolist()
    assert 1 == ran.unstarted
    none = made.rows(slice(1, 2))
    assert [-1] == rl_run(none, [single_pool(4)], policy="rl-sjf", clock=lambda: 0.0).end_ms.tolist()


def test_parts_of_a_second_are_rounded_up() -> None:
    made = workload((0, 5, 5, 4), (1, 5, 5, 4))
    made = replace(made, run_ms=made.run_ms - 999)
    assert [0, 5] == starts(made, "rl-f1")


@pytest.mark.parametrize("policy", RL_RUNS)
def test_every_policy_starts_every_job(policy: str) -> None:
    draw = np.random.default_rng(5)
    rows = [
        (int(i * 7), int(r), int(r * 2), int(n))
        for i, (r, n) in enumerate(draw.integers(1, 5, (60, 2)) * [20, 1])
    ]
    made = workload(*rows)
    found = starts(made, policy)
    assert all(start >= row[0] for start, row in zip(found, rows, strict=True))
    for moment in found:
        busy = sum(n for s, (_, r, _, n) in zip(found, rows, strict=True) if s <= moment < s + r)
        assert busy <= 4


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"policy": "rl"}, "rl-fcfs-backfill"),
        ({"estimates": "predicted"}, "user or exact"),
        ({"pools": []}, "one pool"),
    ],
)
def test_what_cannot_be_run_is_refused(change: dict[str, object], said: str) -> None:
    asked: dict[str, object] = {"pools": [single_pool(4)], "policy": "rl-sjf", "estimates": "user", **change}
    pools = asked.pop("pools")
    with pytest.raises(ProblemError, match=said):
        rl_run(workload((0, 1, 1, 1)), pools, clock=lambda: 0.0, **asked)  # type: ignore[arg-type]
