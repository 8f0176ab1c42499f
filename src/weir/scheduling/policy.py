"""The policy: by what constants the core turns unlike terms into one score."""

from dataclasses import dataclass

LARGEST_PRICE = 2**40
"""Micro-yuan: no constant may be larger, so that no score can overflow 64 bits (see kernels/score.py)."""


@dataclass(frozen=True, slots=True)
class Policy:
    """How jobs are ordered and placed. All integers; equal policies give equal plans.

    "weir-1" orders by priority class, then submit time, then job number, gives each job the best scored of its
    pools that has room now, and lets the first waiting job of each class hold one reservation (EASY, k = 1 a pool).
    Raises ValueError when a constant is out of range.
    """

    name: str = "weir-1"
    version: str = "1"
    time_micro_yuan_per_hour: int = 10_000_000
    """What one hour until the job's end is worth, at weight 1000."""
    carbon_micro_yuan_per_kg: int = 100_000
    """What one kilogram of CO2 is worth, at weight 1000."""

    def __post_init__(self) -> None:
        for name in ("time_micro_yuan_per_hour", "carbon_micro_yuan_per_kg"):
            value = getattr(self, name)
            if not 0 <= value <= LARGEST_PRICE:
                raise ValueError(f"{name}: {value} is not between 0 and {LARGEST_PRICE}")
