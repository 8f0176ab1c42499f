"""Let's Wait Awhile's rule on series small enough to follow by hand."""

import gzip
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from weir.model.problem import ProblemError
from weir.twin.published.wait_awhile import (
    Intensity,
    ShiftableJobs,
    avoided_percent,
    carbon_table,
    ml_project,
    read_intensity,
)

DAY = 48
NINE = 18


def flat(days: int = 14) -> np.ndarray:
    return np.full(days * DAY, 100.0)


def avoided(
    grams: np.ndarray, first: int, length: int, deadline: str = "next-workday", *, interruptible: bool = False
) -> float:
    jobs = ShiftableJobs(np.array([first]), np.array([length]))
    series = Intensity("made", grams)
    return avoided_percent(series, jobs, deadline=deadline, error=0, interruptible=interruptible)


def dip(first: int, last: int) -> np.ndarray:
    """100 everywhere but 50 in these slots."""
    grams = flat()
    grams[first:last] = 50
    return grams


def test_a_job_that_ends_in_working_hours_waits_one_slot_at_most() -> None:
    # The first of January 2020 is a Wednesday. From 10:00 for two slots, ending at 11:00.
    assert pytest.approx(0) == avoided(dip(24, 26), 20, 2)
    # The inclusive end is in the baseline as well, so that slot wins nothing either.
    assert pytest.approx(0) == avoided(dip(22, 23), 20, 2)


@pytest.mark.parametrize(
    ("first", "length", "last"),
    [
        (30, 5, DAY + NINE),  # ends on Wednesday at 17:30: until Thursday at 9:00
        (30, 20, DAY + NINE),  # ends on Thursday at 1:00: until 9:00 of that day
        (2 * DAY + 30, 5, 3 * DAY + NINE),  # ends on Friday at 17:30: until Saturday at 9:00
        (2 * DAY + 30, 30, 5 * DAY + NINE),  # ends on Saturday at 6:00: until Monday at 9:00
        (2 * DAY + 30, 78, 5 * DAY + NINE),  # ends on Sunday at 6:00: until Monday at 9:00
    ],
)
def test_until_the_next_workday_at_nine_inclusive(first: int, length: int, last: int) -> None:
    assert 0 < avoided(dip(last, last + 1), first, length)
    assert pytest.approx(0) == avoided(dip(last + 1, last + 2), first, length)


@pytest.mark.parametrize(
    ("first", "last"),
    [
        (20, DAY + NINE),  # Wednesday: until Thursday
        (DAY + 20, 5 * DAY + NINE),  # Thursday at 11:00: until Monday
        (5 * DAY + NINE - 2, 5 * DAY + NINE),  # Monday at 9:00: no later
        (5 * DAY + NINE - 1, 8 * DAY + NINE),  # Monday at 9:30: until Thursday
    ],
)
def test_until_the_next_monday_or_thursday_at_nine_inclusive(first: int, last: int) -> None:
    assert pytest.approx(0) == avoided(dip(last + 1, last + 2), first, 2, "semi-weekly")
    expected = 0 if last == first + 2 else 25  # one slot of two at half; or as the baseline does
    assert pytest.approx(expected) == avoided(dip(last, last + 1), first, 2, "semi-weekly")


def test_an_interruptible_job_takes_the_least_slots_wherever_they_are() -> None:
    grams = flat()
    grams[[40, 50]] = 10
    assert pytest.approx(90) == avoided(grams, 33, 2, interruptible=True)
    assert pytest.approx(45) == avoided(grams, 33, 2)


def test_noise_misleads_the_forecast_and_not_the_account() -> None:
    series = Intensity("made", 200 + 50 * np.sin(np.arange(400 * DAY) * 2 * np.pi / DAY))
    jobs = ml_project(200)
    told = [
        avoided_percent(series, jobs, deadline="semi-weekly", error=error, interruptible=True)
        for error in (0, 0.05, 0.5)
    ]
    assert told == sorted(told, reverse=True)
    assert told[0] > told[1] > 0


def test_the_scenario_is_submitted_on_workdays_in_working_hours() -> None:
    jobs = ml_project()
    assert 3_387 == len(jobs)
    begun = [
        datetime(2020, 1, 1, tzinfo=UTC) + timedelta(minutes=30 * slot) for slot in jobs.submitted.tolist()
    ]
    assert {0, 1, 2, 3, 4} == {each.weekday() for each in begun}
    assert {9, 10, 11, 12, 13, 14, 15, 16} == {each.hour for each in begun}
    assert begun == sorted(begun)
    assert (8, 179) == (jobs.duration.min(), jobs.duration.max())
    assert not np.array_equal(jobs.duration, ml_project(seed=1).duration)


def test_the_table_has_every_cell_once() -> None:
    series = [Intensity(name, 200 + 50 * np.cos(np.arange(400 * DAY) / 7.6)) for name in ("a", "b")]
    rows = carbon_table(series, ml_project(20))
    cells = [(row.country, row.deadline, row.error, row.interruptible) for row in rows]
    assert 16 == len(set(cells)) == len(cells)


def csv(times: list[str]) -> str:
    return "Time,Carbon Intensity\n" + "".join(f"{time},{100 + i}\n" for i, time in enumerate(times))


@pytest.mark.parametrize("packed", [False, True])
def test_a_series_is_read_on_its_half_hours_from_2020_on(tmp_path: Path, packed: bool) -> None:
    text = csv(
        [f"2019-12-31 23:{m}:00" for m in (30, 45)] + [f"2020-01-01 00:{m}:00" for m in ("00", 15, 30)]
    )
    path = tmp_path / ("ci.csv.gz" if packed else "ci.csv")
    path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    assert [102, 104] == read_intensity(path, "made").grams.tolist()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a,b\n1,2\n", "columns Time"),
        (csv(["yesterday"]), "columns Time"),
        (csv(["2020-01-01 00:00:00", "2020-01-01 01:00:00"]), "none left out"),
        (csv(["2020-01-01 00:30:00"]), "none left out"),
        (csv(["2019-01-01 00:30:00"]), "none left out"),
        ("Time,Carbon Intensity\n2020-01-01 00:00:00,much\n", "columns Time"),
        ("Time,Carbon Intensity\n2020-01-01 00:00:00,\n", "none left out"),
    ],
)
def test_a_series_that_cannot_be_used_is_refused(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "ci.csv"
    path.write_text(text)
    with pytest.raises(ProblemError, match=said):
        read_intensity(path, "made")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"deadline": "tomorrow"}, "next-workday"),
        ({"error": -1}, "at least 0"),
        ({"repetitions": 0}, "at least 1"),
    ],
)
def test_what_cannot_be_counted_is_refused(change: dict[str, object], said: str) -> None:
    asked: dict[str, object] = {"deadline": "semi-weekly", "error": 0.05, "interruptible": False, **change}
    jobs = ShiftableJobs(np.array([0]), np.array([2]))
    with pytest.raises(ProblemError, match=said):
        avoided_percent(Intensity("made", flat()), jobs, **asked)  # type: ignore[arg-type]


def test_a_job_beyond_the_series_is_refused() -> None:
    jobs = ShiftableJobs(np.array([14 * DAY - 1]), np.array([2]))
    with pytest.raises(ProblemError, match="672 slots"):
        avoided_percent(Intensity("made", flat()), jobs, deadline="semi-weekly", error=0, interruptible=False)
    assert 0 == avoided(flat(), 14 * DAY - 2, 2)
