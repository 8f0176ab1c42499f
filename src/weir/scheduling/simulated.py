"""What a simulation is told and what it answers."""

from dataclasses import dataclass
from enum import Enum

import numpy as np

from weir.scheduling.inputs import Int64s, JobClass, TenantRow
from weir.scheduling.policy import Order, Policy
from weir.scheduling.tables import Table

NEVER = -1
CHANGING = (Order.WFP3, Order.UNICEF)
"""Orders in which the keys of jobs change as they wait."""


class Expected(Enum):
    """What is expected of a job's run, by which it is ordered and scored. Promises are made on estimates alone."""

    ESTIMATE = "user"
    """The user's estimate."""
    PREDICTION = "predicted"
    """A prediction from what the user's and the group's earlier jobs turned out to run."""


@dataclass(frozen=True, slots=True)
class SimulatedJobs:
    """Jobs as columns of equal length, in order of submission; job numbers are the rows. Times in milliseconds.

    `run_ms` is how long each runs at nominal speed and `limit_ms` when it is ended at the latest; neither is below 1,
    and the run is not above the limit.
    """

    submitted_ms: Int64s
    run_ms: Int64s
    limit_ms: Int64s
    job_class: Int64s
    """Index into `classes`."""
    classes: tuple[JobClass, ...]
    tenant: Int64s
    user: Int64s
    group: Int64s
    priority: Int64s
    deadline_ms: Int64s | None = None
    """When each is to have ended; 2**62 for one that has no deadline. None where none has."""
    expected_ms: Int64s | None = None
    """For how long each is expected to run, where that is not the user's estimate; up to its limit."""
    tenants: tuple[TenantRow, ...] = ()
    """What tenants may use, for a policy that goes by tenants; `used` is not looked at."""


@dataclass(frozen=True, slots=True)
class PoolChange:
    """From an instant on, a pool starts nothing for the reason given, or is open again where there is none."""

    at_ms: int
    pool: str
    """Its key."""
    closed_because: str = ""
    lost: bool = False
    """What runs there at that instant is lost, and waits anew from its beginning."""


@dataclass(frozen=True, slots=True)
class Simulated:
    """When and where each job started; -1 both where it never did. `elapsed_s`: wall time, compiled code warm."""

    start_ms: Int64s
    end_ms: Int64s
    pool: Int64s
    elapsed_s: float
    given_up: Table | None = None
    """Attempts that gave way to others, rows of lanes.GIVEN_UP with `pool` as above; None where none did."""


def shared_out(jobs: SimulatedJobs) -> bool:
    """Whether there is more than one tenant, or one whose share is told."""
    return bool(jobs.tenant.any()) or bool(jobs.tenants)


def rates_of(policy: Policy, order: Order, whole: int) -> Int64s:
    """The parameters of an order where the largest pool has so many nodes, as kernels/priority.py reads them."""
    return np.array(
        [
            order,
            max(1, policy.patience_ms),
            policy.run_power_milli,
            policy.size_power_milli,
            max(1, policy.least_run_ms),
            max(1, whole),
            policy.gate_ms,
            policy.gate_power,
        ],
        np.int64,
    )


def rule_of(policy: Policy, predicts: bool, fair: bool = False) -> Int64s:
    """What kernels/turn.py and kernels/clock.py are to do: its places are named there."""
    return np.array(
        [
            policy.depth,
            policy.blocking,
            policy.committed,
            policy.order is Order.SUBMITTED,
            policy.backfill_order is not None,
            policy.order in CHANGING,
            predicts,
            fair,
        ],
        np.int64,
    )


__all__ = [
    "CHANGING",
    "NEVER",
    "Expected",
    "PoolChange",
    "Simulated",
    "SimulatedJobs",
    "rates_of",
    "rule_of",
    "shared_out",
]
