"""The least time in which all present jobs can be done, in the manner of Gavel's makespan policy."""

from weir.scheduling.compilation import kernel_of
from weir.twin.rounds.case import Case, Floats, Int64s
from weir.twin.rounds.policies.shared_time import SharedTime


def min_makespan(case: Case) -> SharedTime:
    """Every job gets the same multiple of its remaining work: all would end together, as early as possible."""
    return SharedTime(case, "min-makespan", _shares)


def _shares(rate: Floats, remaining: Floats, devices: Int64s, capacity: Int64s, equal: Floats) -> Floats:
    del equal
    _, shares = kernel_of("twin", "shares").max_min_shares(rate, remaining, devices, capacity)
    found: Floats = shares
    return found


__all__ = ["min_makespan"]
