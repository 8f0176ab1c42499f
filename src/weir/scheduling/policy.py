"""A policy: in which order jobs go, what is promised to those that must wait, and what makes a pool the better one."""

from dataclasses import dataclass
from enum import IntEnum

LARGEST_PRICE = 2**40
"""Micro-yuan: no constant may be larger, so that no score can overflow 64 bits (see kernels/score.py)."""
ALL = 2**31
"""A depth beyond any queue: every waiting job is promised a start."""
LONGEST_MS = 2**35


class Order(IntEnum):
    """By what jobs of one priority class go, the least first; equal ones by job number."""

    SUBMITTED = 0
    """First come, first served."""
    SHORTEST = 1
    """Expected run time."""
    SMALLEST_AREA = 2
    """Expected run time times nodes."""
    F1 = 3
    """log10(expected run in s) x nodes + 870 log10(submitted in s): Carastan-Santos and de Camargo, SC'17."""
    WFP3 = 4
    """(wait / expected run)^3 x nodes, the largest first: Tang et al., CLUSTER 2009."""
    UNICEF = 5
    """wait / (log2(nodes) x expected run), the largest first: as in Zhang et al., SC'20."""
    PATIENCE = 6
    """When its patience ends: submission + patience x (expected run / 1 h)^a x (share of the pool)^b, so that short
    and small jobs go ahead, and nobody is overtaken by jobs that came later than his own patience allows."""


class Placement(IntEnum):
    """Where a job may go of the pools that it fits."""

    SCORE = 0
    """The best scored, now or later."""
    EARLIEST = 1
    """Fixed at submission: where it would start first, by the time limits of what runs and waits there."""
    CHEAPEST = 2
    """Fixed at submission: where it costs least."""
    NEAREST = 3
    """Fixed at submission: where its data lie, or the least time away from them."""
    RACE = 4
    """It waits everywhere at once, and the first pool with room has it."""


@dataclass(frozen=True, slots=True)
class Policy:
    """By default "weir-1", by which the live loop goes: by priority class, submission and number, EASY in each pool.

    All integers; equal policies give equal plans. Raises ValueError when a constant is out of range.

    What is expected of a run is the user's estimate unless the twin is told otherwise; promises are made on estimates
    alone.
    """

    name: str = "weir-1"
    version: str = "1"
    time_micro_yuan_per_hour: int = 10_000_000
    """What one hour until the job's end is worth, at weight 1000."""
    carbon_micro_yuan_per_kg: int = 100_000
    """What one kilogram of CO2 is worth, at weight 1000."""
    order: Order = Order.SUBMITTED
    patience_ms: int = 180_000_000
    """PATIENCE: of a job that is expected to run an hour on a whole pool."""
    run_power_milli: int = 200
    """PATIENCE: the power of the expected run, in thousandths."""
    size_power_milli: int = 100
    """PATIENCE: the power of the share of the pool that it takes, in thousandths."""
    least_run_ms: int = 10_000
    """PATIENCE: what is expected to run shorter counts as this."""
    gate_ms: int = 0
    """So long a job that would take the whole pool waits before it is promised a start: draining a pool is dear."""
    gate_power: int = 4
    """For smaller jobs, that times the share of the pool to this power."""
    fair: bool = False
    """Tenants who lately used more than the average stand back, the more they used."""
    by_tenant: bool = False
    """Two levels: within a priority class it is the turn of the tenant who has used least for its weight, and `order`
    holds among its own jobs. Each start is counted at once, so that another's turn may come within the same pass."""
    backfill_order: Order | None = None
    """In which order jobs are backfilled, where it is not that of promises."""
    depth: int = 1
    """How many waiting jobs of a pool are promised a start: 0 none, 1 is EASY, ALL is conservative backfilling.

    A pool's own `reservations` go before it, unless it is 0. Where there are many pools, or shared nodes, more than 32
    count as 32 (see kernels/seats.py); a pool whose single devices are shared out promises one start at a time."""
    blocking: bool = False
    """Nothing starts before the first in order."""
    most_preemptions: int = 3
    """So often at most a job whose class allows it gives way to jobs of a higher priority class."""
    least_run_ms_preempted: int = 600_000
    """And not before it has run so long."""
    committed: bool = False
    """Once it is the first in order a job stays the first, whoever comes."""
    placement: Placement = Placement.SCORE
    later: bool = False
    """SCORE: a job that could start now waits for a better pool if it is promised a start there and scores better from
    then on, its wait included; it takes a start now once that promise slips so far that it does not."""

    def __post_init__(self) -> None:
        for name, most in (
            ("time_micro_yuan_per_hour", LARGEST_PRICE),
            ("carbon_micro_yuan_per_kg", LARGEST_PRICE),
            ("patience_ms", LONGEST_MS),
            ("run_power_milli", 2_000),
            ("size_power_milli", 2_000),
            ("least_run_ms", LONGEST_MS),
            ("gate_ms", LONGEST_MS),
            ("gate_power", 16),
            ("most_preemptions", 1_000),
            ("least_run_ms_preempted", LONGEST_MS),
            ("depth", ALL),
        ):
            value = getattr(self, name)
            if not 0 <= value <= most:
                raise ValueError(f"{name}: {value} is not between 0 and {most}")
        if self.blocking and self.depth:
            raise ValueError("blocking: a policy that blocks promises nothing, so its depth is 0")
        if self.by_tenant and (self.fair or self.placement is not Placement.SCORE):
            raise ValueError(
                "by_tenant: tenants take turns or stand back, not both, and their jobs are bound to no pool"
            )
        if self.later and (not self.depth or self.placement is not Placement.SCORE):
            raise ValueError(
                "later: a job can only wait for a better pool by score, and if it is promised a start"
            )
        if self.committed and not self.blocking:
            raise ValueError("committed: only a policy that blocks can commit itself to the first job")


__all__ = ["ALL", "LARGEST_PRICE", "Order", "Placement", "Policy"]
