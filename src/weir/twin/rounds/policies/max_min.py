"""Heterogeneity-aware max-min fairness in the manner of Gavel."""

from weir.scheduling.compilation import kernel_of
from weir.twin.rounds.case import Case, Floats, Int64s
from weir.twin.rounds.policies.shared_time import SharedTime


def max_min(case: Case) -> SharedTime:
    """The job that does least, per device and as measured by an equal share of all devices, does as much as it can."""
    return SharedTime(case, "max-min", _shares)


def _shares(rate: Floats, remaining: Floats, devices: Int64s, capacity: Int64s, equal: Floats) -> Floats:
    del remaining
    _, shares = kernel_of("twin", "shares").max_min_shares(rate, equal / devices, devices, capacity)
    found: Floats = shares
    return found


__all__ = ["max_min"]
