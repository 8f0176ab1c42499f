"""What the core answers: a plan, and the reasons of one job."""

from dataclasses import dataclass
from enum import Enum, StrEnum


@dataclass(frozen=True, slots=True)
class Start:
    """A job starts now on one pool; `nodes` are (node, tasks on it), in task order."""

    job: int
    pool: str
    nodes: tuple[tuple[int, int], ...]
    reason: int
    """Index into the plan's `reasons`."""
    devices: tuple[int, ...] = ()
    """In a pool that shares devices: the device index on its node of each device of each task, in task order."""


class Cause(StrEnum):
    """Why a promise is for later than it was."""

    NONE = ""
    """It is not."""
    AHEAD = "a job ahead of it in order started there"
    OVERRUN = "a job there runs past its time limit"
    CAPACITY = "nodes there are no longer in service"
    LIMITS = "what runs there has other time limits or other places"
    WINDOW = "the pool is out of service meanwhile"
    FEWER = "the pool promises fewer starts at a time than it did"


@dataclass(frozen=True, slots=True)
class Reservation:
    """A waiting job keeps these nodes of its best pool from `start_ms` on, proven by the time limits of what runs.

    Nothing behind it in order starts if that could delay it. It stands from pass to pass until the job starts, waits
    no more, or loses it to a job ahead in order whose best pool is the same, and which has no other free promise. When
    what runs ends early it is for earlier; it is for later only for a cause. A pool may promise several starts, as many
    as it says itself or the policy's `depth`: they are in the order of their jobs, and none is made at the cost of one
    before it. When that number is lowered, what goes beyond it lapses: the policy has changed.
    """

    job: int
    pool: str
    start_ms: int
    nodes: tuple[tuple[int, int], ...]
    """(node, tasks on it)"""
    first_start_ms: int
    """The start that was promised first."""
    cause: Cause = Cause.NONE
    """Why `start_ms` was last put off, while it is later than at first."""


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
    """Eligible, and without room now; or what room there is, is promised to a job ahead, as the note then says."""
    OUTSCORED = "outscored"
    """Eligible, and another pool with room scored better; whether there was room here made no difference. Of a job
    that waits: there is room here, and it waits for a better pool, as the note then says."""
    CLOSED = "closed"
    """Eligible, and it does not start there now: the pool is draining, its centre is lost, or it is out of service
    before the job would have ended by its time limit."""
    FITS = "fits"
    """Eligible, asked without regard to what runs there now (`fits_ever` alone says this)."""


@dataclass(frozen=True, slots=True)
class Terms:
    """The score's terms in their own units; `score` is their weighted sum in fixed point, lower is better."""

    run_ms: int
    data_ms: int
    money_micro_yuan: int
    carbon_mg: int
    score: int
    wait_ms: int = 0
    """Expected in the pool's own queue; the score counts it like the time of the run."""


@dataclass(frozen=True, slots=True)
class PoolReason:
    """Why one pool is, or is not, where the job goes."""

    pool: str
    verdict: Verdict
    failed: Constraint | None = None
    terms: Terms | None = None
    free_nodes: int = 0
    """Nodes on which nothing ran at the decision."""
    note: str = ""
    not_before_ms: int = 0
    """Before then too little ends there, by the time limits of what runs; 0 where that is not what keeps it waiting."""
    fits_until_ms: int = 0
    """The room there was could be used until then alone, when it is promised to a job ahead; 0 where it is not."""
    rather_at_ms: int = 0
    """Where a job could start and waits for a better pool: the start that it is promised there; else 0."""
    better_by_micro_yuan: int = 0
    """And by how much its score there, the wait until then included, is better than here."""


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
    """In the order in which they were decided, which is the global order."""
    reasons: tuple[tuple[PoolReason, ...], ...]
    """Shared by starts decided alike: same class, time limit, chosen pool and verdicts. The chosen pool comes first,
    then the others by score, then those that fail a constraint; free nodes are as the first such start found them."""
    digest: str
    considered: int
    """Jobs started or proven unable to start in this step."""
    reservations: tuple[Reservation, ...] = ()
    """By pool."""
