"""The Lublin-Feitelson model: its published distributions, load, users, limits, and that seeds repeat."""

import numpy as np
import pytest

from weir.model.problem import ProblemError
from weir.twin.generators.estimates import Estimates
from weir.twin.generators.lublin import BATCH, INTERACTIVE, lublin, offered_load
from weir.twin.generators.people import Habits
from weir.twin.workload import Workload


def test_sizes_are_as_the_model_says() -> None:
    size = lublin(1, 40_000, 256).size
    assert 0.244 == pytest.approx(np.mean(size == 1), abs=0.01)
    # Powers of two: the serial ones, those that are meant to be, and what rounding makes of small sizes.
    assert 0.86 == pytest.approx(np.mean(np.isin(size, 2 ** np.arange(9))), abs=0.01)
    assert (1, 256) == (size.min(), size.max())
    # 14 % of the parallel jobs lie above the turning point, 2**5.5.
    assert 0.756 * 0.14 == pytest.approx(np.mean(size > 2**5.5), abs=0.01)


def test_run_times_are_two_gammas_whose_mixture_depends_on_size() -> None:
    workload = lublin(2, 60_000, 128)
    log_run = np.log(workload.run_ms / 1_000 + 0.5)
    assert workload.run_ms.max() <= np.exp(12.0) * 1_000
    serial, wide = log_run[workload.size == 1], log_run[workload.size >= 64]
    # The long component has mean 9.36; a run above exp(7.5) is nearly always of it.
    assert 1 - 0.7746 == pytest.approx(np.mean(serial > 7.5) - 0.7746 * 0.065, abs=0.02)
    assert np.mean(wide > 7.5) > np.mean(serial > 7.5) + 0.25


def test_the_day_has_its_rush_hours() -> None:
    workload = lublin(3, 50_000, 128, load=0.8)
    by_half_hour = np.bincount(workload.submit_ms // 1_800_000 % 48, minlength=48)
    assert 22 <= int(by_half_hour.argmax()) <= 32
    assert by_half_hour.max() > 5 * by_half_hour.min()


def test_load_is_as_asked_and_keeps_jobs_and_day() -> None:
    for load in (0.4, 0.8, 1.2):
        scaled = lublin(4, 5_000, 256, load=load)
        assert load == pytest.approx(offered_load(scaled), rel=1e-3)
        assert np.array_equal(lublin(4, 5_000, 256).size, scaled.size)
        night = np.mean(scaled.submit_ms // 3_600_000 % 24 < 5)
        assert night < 0.12


def test_equal_arguments_give_equal_workloads_and_seeds_differ() -> None:
    def columns(seed: int) -> tuple[bytes, ...]:
        made = lublin(seed, 3_000, 128, habits=Habits(), estimates=Estimates())
        return made.submit_ms.tobytes(), made.run_ms.tobytes(), made.limit_ms.tobytes(), made.user.tobytes()

    assert columns(7) == columns(7)
    assert all(a != b for a, b in zip(columns(7), columns(8), strict=True))


def test_users_change_nothing_but_who_submits_what_when() -> None:
    plain, peopled = lublin(5, 20_000, 128), lublin(5, 20_000, 128, habits=Habits())
    assert np.array_equal(plain.submit_ms, peopled.submit_ms)
    assert _pairs(plain) == _pairs(peopled)
    activity = np.sort(np.bincount(peopled.user))[::-1]
    assert len(peopled.users) > 100
    assert activity[0] > 10 * activity[len(activity) // 2]
    # A user's next job resembles the last one, a stranger's does not.
    log_run = np.log(peopled.run_ms + 1_000.0)
    order = np.lexsort((np.arange(len(peopled)), peopled.user))
    same = np.flatnonzero(peopled.user[order][1:] == peopled.user[order][:-1])
    alike = np.corrcoef(log_run[order][same], log_run[order][same + 1])[0, 1]
    assert alike > 0.5
    assert abs(np.corrcoef(log_run[:-1], log_run[1:])[0, 1]) < 0.3


def test_batch_and_interactive_arrive_side_by_side() -> None:
    workload = lublin(6, 20_000, 128, kinds=(BATCH, INTERACTIVE))
    batch, interactive = (workload.rows(workload.group == kind) for kind in (0, 1))
    assert np.all(np.diff(workload.submit_ms) >= 0)
    assert 0.2927 == pytest.approx(np.mean(batch.size == 1), abs=0.02)
    assert 0.1541 == pytest.approx(np.mean(interactive.size == 1), abs=0.02)
    assert batch.size.max() > 64
    assert interactive.size.max() <= 46
    assert np.median(interactive.run_ms) < np.median(batch.run_ms)


def test_limits_hold_every_run_unless_asked_otherwise() -> None:
    plain = lublin(7, 5_000, 128)
    limited = lublin(7, 5_000, 128, habits=Habits(), estimates=Estimates())
    careless = lublin(7, 5_000, 128, habits=Habits(), estimates=Estimates(cut=0.5, attention=0.9))
    assert (False, True) == (plain.has_estimates, limited.has_estimates)
    assert np.array_equal(plain.limit_ms, plain.run_ms)
    assert np.all(limited.limit_ms >= limited.run_ms)
    assert np.array_equal(np.sort(plain.run_ms), np.sort(limited.run_ms))
    assert np.all(careless.limit_ms >= careless.run_ms)
    assert careless.run_ms.sum() < plain.run_ms.sum()


@pytest.mark.parametrize(
    ("jobs", "machine", "load", "named"),
    [(0, 128, None, "jobs"), (10, 4, None, "machine_size"), (10, 128, 0.0, "load"), (10, 128, -1.0, "load")],
)
def test_impossible_numbers_are_named(jobs: int, machine: int, load: float | None, named: str) -> None:
    with pytest.raises(ProblemError, match=named):
        lublin(1, jobs, machine, load=load)


def _pairs(workload: Workload) -> list[tuple[int, int]]:
    return sorted(zip(workload.size.tolist(), workload.run_ms.tolist(), strict=True))
