"""Let's Wait Awhile's avoided emissions (Wiesner et al., Middleware 2021), under that paper's rule.

The rule, as the simulation states it (dos-group/lets-wait-awhile, commit 6f58b9e of the paper; the figures are the
outputs in evaluation.ipynb):

- Carbon intensity of 2020 and the first days of 2021 in slots of 30 min (of a finer series, the values on the hour
  and half hour). A job of whole slots draws constant power; emissions are the sum of intensity over its slots.
- The scenario "ML project": 3,387 jobs, spread over the 262 workdays of 2020 by one multinomial draw, each submitted
  at a half hour between 9:00 and 16:30, of 4 h to 89.5 h in half hours, all drawn evenly from NumPy's default generator
  with seed 0. The order of the draws is part of the scenario.
- A job that would end outside working hours when started at once may end as late as 9:00 on the next workday
  ("next workday"), any job as late as 9:00 on the next Monday or Thursday ("semi-weekly"). Within that window an
  interruptible job takes the slots of least forecast, another the start of least mean; the first among equals.
- The window is inclusive of its end: it holds one slot more than run time plus slack. That holds for the baseline as
  well, which has no slack and a perfect forecast: it starts a job at once or one slot later, whichever emits less.
- The forecast is the truth plus normal noise of a share (5 %) of the year's mean intensity, drawn anew for each of
  ten repetitions (seeds 0 to 9); emissions are counted on the truth, and averaged over the repetitions.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from weir.model.problem import refused

Int64s = NDArray[np.int64]
Floats = NDArray[np.float64]

SLOT_MINUTES = 30
DEADLINES = ("next-workday", "semi-weekly")

WAIT_AWHILE_PUBLISHED: dict[tuple[str, str, float, bool], float] = {
    ("Germany", "next-workday", 0.05, False): 5.91,
    ("Germany", "next-workday", 0.05, True): 7.93,
    ("Great Britain", "next-workday", 0.05, False): 6.56,
    ("Great Britain", "next-workday", 0.05, True): 9.03,
}
"""Avoided emissions in per cent, by country, deadline, forecast error and whether jobs may be interrupted."""

_YEAR = datetime(2020, 1, 1)  # noqa: DTZ001  # the series names no zone, and neither does the paper
_OPENS, _CLOSES = 9 * 60, 17 * 60
_DAY = 24 * 60


@dataclass(frozen=True, slots=True)
class Intensity:
    """Grams of CO2 per kWh in slots of 30 min from the first of January 2020 on."""

    country: str
    grams: Floats


@dataclass(frozen=True, slots=True)
class ShiftableJobs:
    """Jobs that may be put off; columns are parallel, in slots of 30 min from the first of January 2020."""

    submitted: Int64s
    duration: Int64s

    def __len__(self) -> int:
        return len(self.submitted)


@dataclass(frozen=True, slots=True)
class CarbonRow:
    """One cell of the table; `avoided_percent` is relative to the paper's baseline."""

    country: str
    deadline: str
    error: float
    interruptible: bool
    avoided_percent: float


def read_intensity(path: Path, country: str) -> Intensity:
    """Read a CSV with the columns `Time` and `Carbon Intensity`, plain or packed.

    Raises ProblemError when the columns are others, or the series leaves a half hour out or begins too late.
    """
    import polars as pl

    try:
        table = pl.read_csv(path, columns=["Time", "Carbon Intensity"])
        time = table["Time"].str.to_datetime("%Y-%m-%d %H:%M:%S")
        grams = table["Carbon Intensity"].cast(pl.Float64)
    except pl.exceptions.PolarsError as error:
        raise refused(
            path.name, str(error), "columns Time (2020-01-01 00:30:00) and Carbon Intensity"
        ) from error
    kept = ((time >= _YEAR) & (time.dt.minute() % SLOT_MINUTES == 0)).to_numpy()
    minutes = ((time - _YEAR).dt.total_minutes().to_numpy())[kept]
    values = grams.to_numpy()[kept]
    wanted = np.arange(len(minutes)) * SLOT_MINUTES
    if not len(minutes) or not np.array_equal(wanted, minutes) or not np.isfinite(values).all():
        raise refused(
            path.name, f"{len(minutes)} half hours from 2020 on", "one value for each, none left out"
        )
    return Intensity(country, values)


def ml_project(jobs: int = 3_387, seed: int = 0) -> ShiftableJobs:
    """The paper's scenario of machine learning jobs (its seed is 0)."""
    draw = np.random.default_rng(seed)
    days = np.arange(366)
    workdays = days[(_YEAR.weekday() + days) % 7 < 5]
    a_day = draw.multinomial(jobs, np.full(len(workdays), 1 / len(workdays)))
    halves = np.arange(_OPENS, _CLOSES, SLOT_MINUTES)
    submitted = [
        day * _DAY + np.sort(draw.choice(halves, size=count))
        for day, count in zip(workdays, a_day, strict=True)
    ]
    duration = draw.choice(np.arange(4 * 60, 90 * 60, SLOT_MINUTES), size=jobs)
    return ShiftableJobs(np.concatenate(submitted) // SLOT_MINUTES, duration // SLOT_MINUTES)


def avoided_percent(
    intensity: Intensity,
    jobs: ShiftableJobs,
    *,
    deadline: str,
    error: float,
    interruptible: bool,
    repetitions: int = 10,
) -> float:
    """Share of the emissions that waiting avoids, in per cent of the paper's baseline.

    `error` is the forecast's noise as a share of the mean intensity; 0 is a perfect forecast (one repetition).
    Raises ProblemError for another deadline, a negative error, or a job beyond the series' end.
    """
    if deadline not in DEADLINES:
        raise refused("deadline", deadline, f"one of {', '.join(DEADLINES)}")
    if error < 0 or repetitions < 1:
        raise refused("error, repetitions", f"{error:g}, {repetitions}", "at least 0, and at least 1")
    grams = intensity.grams
    ends = jobs.submitted + jobs.duration
    if len(jobs) and int(ends.max()) > len(grams):
        raise refused(
            "jobs", f"an end at slot {ends.max()}", f"ends within the {len(grams)} slots of the series"
        )
    if error:
        noise = [
            np.random.default_rng(seed).normal(0, error * grams.mean(), len(grams))
            for seed in range(repetitions)
        ]
        forecasts = grams + np.array(noise)
    else:
        forecasts = grams[None, :]
    summed = np.concatenate(([0.0], np.cumsum(grams)))
    at_once = summed[ends] - summed[jobs.submitted]
    later = np.minimum(ends + 1, len(grams))
    baseline = float(np.minimum(at_once, summed[later] - summed[later - jobs.duration]).sum())
    shifted = 0.0
    for first, length in zip(jobs.submitted.tolist(), jobs.duration.tolist(), strict=True):
        last = first + length + _slack(first + length, deadline) + 1
        window = forecasts[:, first:last]
        if interruptible:
            dearest = np.partition(window, length - 1, axis=1)[:, length - 1 : length]
            shifted += float(((window <= dearest) * grams[first:last]).sum())
        else:
            sums = np.cumsum(window, axis=1)
            sums[:, length:] -= sums[:, :-length].copy()
            begins = first + np.argmin(sums[:, length - 1 :], axis=1)
            shifted += float((summed[begins + length] - summed[begins]).sum())
    return (1 - shifted / len(forecasts) / baseline) * 100


def carbon_table(
    series: Sequence[Intensity],
    jobs: ShiftableJobs,
    *,
    deadlines: Sequence[str] = DEADLINES,
    errors: Sequence[float] = (0.0, 0.05),
) -> list[CarbonRow]:
    """All cells: country by deadline by error, not interruptible before interruptible."""
    return [
        CarbonRow(
            each.country,
            deadline,
            error,
            interruptible,
            avoided_percent(each, jobs, deadline=deadline, error=error, interruptible=interruptible),
        )
        for each in series
        for deadline in deadlines
        for error in errors
        for interruptible in (False, True)
    ]


def _slack(end: int, deadline: str) -> int:
    """By how many slots a job that would end at this slot may end later."""
    at = _YEAR + timedelta(minutes=end * SLOT_MINUTES)
    day, minute = at.weekday(), at.hour * 60 + at.minute
    if deadline == "next-workday":
        if day == 5:
            ahead = 2
        elif day == 6 or minute > _CLOSES:
            # Friday evening gives Saturday at 9:00: that is the paper's rule.
            ahead = 1
        elif minute < _OPENS:
            ahead = 0
        else:
            return 0
    else:
        to_thursday = (day == 0 and minute > _OPENS) or day in (1, 2) or (day == 3 and minute <= _OPENS)
        ahead = (3 - day) % 7 if to_thursday else -day % 7
    return (ahead * _DAY + _OPENS - minute) // SLOT_MINUTES
