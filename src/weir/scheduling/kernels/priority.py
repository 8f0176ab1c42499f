"""The orders in which jobs go: one integer key a job, the least first; ties go to the lower job number.

Keys that change while a job waits are computed anew at each pass. All is done with integers, or with products and
quotients of floats, which every CPU rounds alike; logarithms are by repeated squaring.
"""

import numpy as np

from weir.scheduling.kernels.compiled import bare_inner as inner
from weir.scheduling.kernels.prediction import exponential, logarithm

SUBMITTED, SHORTEST, SMALLEST_AREA, F1, WFP3, UNICEF, PATIENCE = 0, 1, 2, 3, 4, 5, 6
KIND, PATIENCE_MS, RUN_POWER, SIZE_POWER, LEAST, WHOLE, GATE_MS, GATE_POWER = 0, 1, 2, 3, 4, 5, 6, 7
LARGEST = 2**62
LONGEST_POWER = 45 << 16
LOG_HOUR = 1_427_345
"""Of an hour in milliseconds, as `logarithm` gives it."""
_FRACTION = 24


@inner
def log2(value):  # type: ignore[no-untyped-def]
    """The logarithm of a whole number from 1 on, in 2**-24ths, rounded down."""
    whole = 0
    while value >> (whole + 1) > 0:
        whole += 1
    # In [1, 2) as 31 bits, so that a square fits 63.
    mantissa = (value << (30 - whole)) if whole <= 30 else (value >> (whole - 30))
    found = whole
    for _ in range(_FRACTION):
        mantissa = (mantissa * mantissa) >> 30
        found <<= 1
        if mantissa >= 2**31:
            mantissa >>= 1
            found += 1
    return found


@inner
def key_of(rates, submitted, expected, need, now):  # type: ignore[no-untyped-def]
    """The key of a job that is expected to run so many milliseconds on so many nodes."""
    kind = rates[KIND]
    if kind == SUBMITTED:
        return submitted
    if kind == SHORTEST:
        return expected
    if kind == SMALLEST_AREA:
        return expected * need
    if (
        kind == F1
    ):  # log10(run in s) * nodes + 870 log10(submitted in s), Carastan-Santos and de Camargo, SC'17
        run = log2(max(1, expected // 1_000)) * need
        return run + 870 * log2(max(1, submitted // 1_000))
    wait = np.float64(max(0, now - submitted))
    if kind == WFP3:  # (wait / run)**3 * nodes, the largest first: Tang et al., CLUSTER 2009
        ratio = wait / np.float64(max(1, expected))
        return -np.int64(min(4e18, ratio * ratio * ratio * np.float64(need) * 1e6))
    if kind == UNICEF:  # wait / (log2(nodes) * run), the largest first
        if need == 1:
            return -LARGEST
        scale = np.float64(log2(need)) * np.float64(max(1, expected))
        return -np.int64(min(4e18, wait / scale * 1e15))
    # Its patience: longer for jobs that run longer than an hour, and shorter for those that take little of a pool.
    power = logarithm(rates[PATIENCE_MS])
    power += rates[RUN_POWER] * (logarithm(max(rates[LEAST], expected)) - LOG_HOUR) // 1_000
    power += rates[SIZE_POWER] * (logarithm(need) - logarithm(rates[WHOLE])) // 1_000
    return submitted + exponential(min(max(power, 0), LONGEST_POWER))


@inner
def gate(rates, size, whole):  # type: ignore[no-untyped-def]
    """How long a job waits before it is promised a start: (its share of the pool) ** GATE_POWER of GATE_MS."""
    left = np.int64(rates[GATE_MS])
    for _ in range(rates[GATE_POWER]):
        left = left * min(size, whole) // whole
    return left
