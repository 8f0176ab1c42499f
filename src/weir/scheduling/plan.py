"""What the core answers: a plan, and the reasons of one job."""

from dataclasses import dataclass
from enum import Enum


@dataclass(frozen=True, slots=True)
class Start:
    """A job starts now on one pool; `nodes` are (node, tasks on it), in task order."""

    job: int
    pool: str
    nodes: tuple[tuple[int, int], ...]
    reason: int
    """Index into the plan's `reasons`."""


@dataclass(frozen=True, slots=True)
class Constraint:
    """A hard constraint that a pool fails, with the two values that were compared, in words with units."""

    name: str
    needed: str
    found: str


class Verdict(Enum):
    """What the core found about one pool for one job."""

    CHOSEN = "chosen"
    FAILS = "fails"
    """A hard constraint does not hold there."""
    FULL = "full"
    """Eligible, and without room now."""
    OUTSCORED = "outscored"
    """Eligible with room now, and another pool scored better."""
    CLOSED = "closed"
    """Eligible, and starting nothing now (draining, or its centre is lost)."""


@dataclass(frozen=True, slots=True)
class Terms:
    """The score's terms in their own units; `score` is their weighted sum in fixed point, lower is better."""

    run_ms: int
    data_ms: int
    money_micro_yuan: int
    carbon_mg: int
    score: int


@dataclass(frozen=True, slots=True)
class PoolReason:
    """Why one pool is, or is not, where the job goes."""

    pool: str
    verdict: Verdict
    failed: Constraint | None = None
    terms: Terms | None = None
    free_nodes: int = 0
    note: str = ""


@dataclass(frozen=True, slots=True)
class Explanation:
    """All reasons of one job at one cycle. `position` counts from 1 in the global order; 0 when it started."""

    pools: tuple[PoolReason, ...]
    position: int
    ahead_of_same_class: int
    queued: int


@dataclass(frozen=True, slots=True)
class Plan:
    """The answer of one step. `digest` is a SHA-256 over everything in it but the reasons."""

    starts: tuple[Start, ...]
    reasons: tuple[tuple[PoolReason, ...], ...]
    digest: str
    considered: int
    """Jobs started or proven unable to start in this step."""
