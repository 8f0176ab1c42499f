"""The wait-cost curve pairs seeds, and its page says what was run."""

from pathlib import Path

import pytest

from bench import quality_curve
from bench.quality_curve import OTHERS, WORTHS_YUAN, Run, interval, points, runs_of, table, write
from weir.scheduling.policies import NAMED


def run(seed: int, policy: str, wait: float, cost: int) -> Run:
    return Run(seed, policy, wait, wait, cost)


def test_points_are_ratios_to_weir_as_it_is_on_the_same_seeds() -> None:
    default = quality_curve.weighed(10)
    rows = [
        run(1, default, 100, 50), run(1, "race", 200, 25),
        run(2, default, 10, 80), run(2, "race", 80, 40),
    ]  # fmt: skip
    ours, race = points(rows)
    assert (1.0, 1.0, 1.0) == ours.wait == ours.cost
    assert race.wait[0] == pytest.approx(4)
    assert race.wait[1] < 4 < race.wait[2]
    assert race.cost == pytest.approx((0.5, 0.5, 0.5))


def test_an_interval_is_students_on_logarithms() -> None:
    middle, low, high = interval([1.0, 2.0, 4.0])
    assert middle == pytest.approx(2)
    # t of 2 degrees of freedom at 97.5 % is 4.303; the logarithms' deviation is log 2.
    assert high / middle == pytest.approx(2 ** (4.303 / 3**0.5), rel=1e-3)
    assert low * high == pytest.approx(middle**2)


def test_a_small_province_is_run_under_every_policy_and_leaves_no_policy_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = dict(NAMED)
    runs = list(runs_of(5, 400))
    assert before == NAMED
    assert len(WORTHS_YUAN) + 1 + len(OTHERS) == len(runs)
    monkeypatch.setattr(quality_curve, "RESULTS", tmp_path)
    found = points(runs)
    write(found, runs, range(5, 6))
    page = (tmp_path / "quality-curve.md").read_text(encoding="utf-8")
    assert table(found) in page
    assert (tmp_path / "quality-curve.svg").read_text(encoding="utf-8").count("<svg") == 1
