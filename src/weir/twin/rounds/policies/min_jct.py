"""Least mean completion time of shares held for good, in the manner of Gavel's and Sia's min-JCT."""

from weir.scheduling.compilation import kernel_of
from weir.twin.rounds.case import Case, Floats, Int64s
from weir.twin.rounds.policies.shared_time import SharedTime


def min_jct(case: Case) -> SharedTime:
    """The sum over jobs of remaining work by speed is least, as if the shares were never changed again."""
    return SharedTime(case, "min-jct", _shares)


def _shares(rate: Floats, remaining: Floats, devices: Int64s, capacity: Int64s, equal: Floats) -> Floats:
    del equal
    found: Floats = kernel_of("twin", "shares").least_completion_shares(rate, remaining, devices, capacity)
    return found


__all__ = ["min_jct"]
