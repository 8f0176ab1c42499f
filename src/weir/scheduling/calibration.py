"""What forecasts are worth, learnt from how earlier ones turned out: online conformal calibration.

Of each stratum and level it keeps an offset, in octaves of the time still to wait. A job that starts tells of the
forecasts that were issued for it: where the quantile of level p, moved by the offset as it is now, would have been too
early, the offset rises by p steps, else it falls by 1 - p. So in the long run the share of jobs that start before it
is p, whatever the futures lack: I. Gibbs and E. Candès, Adaptive conformal inference under distribution shift,
NeurIPS 2021, as quantile tracking (A. Angelopoulos, E. Candès and R. Tibshirani, Conformal PID control for time series
prediction, NeurIPS 2023). News comes late and in bursts, as all jobs of one backlog start; judging it by the present
offset, rather than by what was issued, keeps a thousand late answers from moving an offset a thousand times too far.
"""

from typing import NamedTuple

import numpy as np

from weir.scheduling.compilation import kernel_of
from weir.scheduling.inputs import Int64s

LEVELS_MILLI = (25, 100, 250, 500, 750, 900, 975)
"""The quantiles of a forecast, in thousandths: the ends of the ranges at 95, 80 and 50 %, and the middle."""
STRATA = 3
"""By how long it has waited already: not yet, less than twice the raw middle of what is left, or longer. No finer: each
learns anew when a backlog changes everything, and few answers come while it lasts (docs/discussion/forecast.md)."""


class Calibration(NamedTuple):
    """An explicit value: equal calibrations give equal ranges on any CPU. Nothing here changes it in place."""

    offset: Int64s
    """[stratum, level] in 1/65536 octave."""
    told: Int64s
    """[stratum] how many forecasts it has learnt from."""


def uncalibrated() -> Calibration:
    """Nothing learnt: the ranges are those of the futures themselves."""
    return Calibration(np.zeros((STRATA, len(LEVELS_MILLI)), np.int64), np.zeros(STRATA, np.int64))


def strata_of(raw_ms: Int64s, waited_ms: Int64s) -> Int64s:
    """The stratum of each forecast; raw_ms: [job, level] time still to wait, waited_ms: [job] since submission."""
    middle = raw_ms[:, LEVELS_MILLI.index(500)]
    return np.where(waited_ms <= 0, 0, np.where(waited_ms < 2 * middle, 1, 2)).astype(np.int64)


def calibrated(calibration: Calibration, stratum: Int64s, raw_ms: Int64s) -> Int64s:
    """[job, level] the time still to wait, from the raw one; rising with the level, and never below 0."""
    shifted_ms = np.empty(raw_ms.shape, np.int64)
    kernel_of("scheduling", "forecast").shift(
        calibration.offset, stratum, np.ascontiguousarray(raw_ms), shifted_ms
    )
    return shifted_ms


def learnt(calibration: Calibration, stratum: Int64s, raw_ms: Int64s, waited_ms: Int64s) -> Calibration:
    """The calibration after jobs have started, told in a stated order (say by start, then job).

    stratum, raw_ms: [forecast], [forecast, level] as the forecast was issued with; waited_ms: [forecast] how long it
    then was until the start. Tell of each job the forecasts that were issued at submission and at about half and nine
    tenths of its wait, known once it starts: then those that have waited long are calibrated too.
    """
    offset, told = calibration.offset.copy(), calibration.told.copy()
    levels = np.array(LEVELS_MILLI, np.int64)
    kernel_of("scheduling", "forecast").correct(
        offset, told, levels, stratum, np.ascontiguousarray(raw_ms), waited_ms
    )
    return Calibration(offset, told)


__all__ = [
    "LEVELS_MILLI",
    "STRATA",
    "Calibration",
    "calibrated",
    "learnt",
    "strata_of",
    "uncalibrated",
]
