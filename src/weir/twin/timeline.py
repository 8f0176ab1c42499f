"""How many are there over time: of intervals with amounts, the mean amount within each bin, exactly integrated."""

import numpy as np
from numpy.typing import NDArray

from weir.twin.workload import Int64s

Float64s = NDArray[np.float64]


def edges(first_ms: int, last_ms: int, bins: int) -> Int64s:
    """Edges of at most that many bins over [first, last], a whole number of milliseconds each."""
    return np.unique(np.linspace(first_ms, max(last_ms, first_ms + 1), bins + 1).astype(np.int64))


def mean_amount(from_ms: Int64s, until_ms: Int64s, amount: Int64s, edges_ms: Int64s) -> Float64s:
    """The time-weighted mean of what is there in each bin; an interval [from, until) counts with its amount.

    The integral of a step function is linear between its steps, so interpolating it at the edges is exact.
    """
    if len(from_ms) == 0:
        return np.zeros(len(edges_ms) - 1)
    steps, height = _steps(from_ms, until_ms, amount)
    origin = int(steps[0])
    at = (steps - origin).astype(np.float64)
    area = np.concatenate([[0.0], np.cumsum(np.diff(at) * height[:-1])])
    whole = np.interp((edges_ms - origin).astype(np.float64), at, area)
    mean: Float64s = np.diff(whole) / np.diff(edges_ms)
    return mean


def most_at_once(from_ms: Int64s, until_ms: Int64s, amount: Int64s) -> tuple[int, int]:
    """(when first, how much): the largest amount at one instant; (0, 0) without any interval."""
    if len(from_ms) == 0:
        return 0, 0
    steps, height = _steps(from_ms, until_ms, amount)
    at = int(height.argmax())
    return int(steps[at]), int(height[at])


def _steps(from_ms: Int64s, until_ms: Int64s, amount: Int64s) -> tuple[Int64s, Int64s]:
    """The instants at which the amount changes, in order, and the amount from each on."""
    instants = np.concatenate([from_ms, until_ms])
    changes = np.concatenate([amount, -amount])
    order = np.argsort(instants, kind="stable")
    instants, height = instants[order], np.cumsum(changes[order])
    last = np.append(instants[1:] != instants[:-1], True)
    return instants[last], height[last]
