"""What the API shows: the answers' shapes, shared by the server and the Python client.

Names of states and verdicts are their lower-case words; times are milliseconds since the epoch.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from weir.model.change import ChangeKind


@dataclass(frozen=True, slots=True)
class SubmittedView:
    """One submission that was accepted: a job, or an array of `size` jobs."""

    id: str
    size: int
    is_array: bool
    state: str
    notices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class OrderView:
    """What came of a cancel, hold, release, update or give-up; `said` tells it in words, after the job's id."""

    id: str
    said: str
    jobs: int
    """How many jobs it changed."""


@dataclass(frozen=True, slots=True)
class SubmittedViews:
    """All that one call has submitted, in the order given."""

    submissions: tuple[SubmittedView, ...]


@dataclass(frozen=True, slots=True)
class AttemptView:
    """One placement of a job."""

    id: str
    epoch: int
    centre: str
    pool: str
    device_model: str
    nodes: int
    desired: str
    observed: str
    placed_ms: int
    started_ms: int | None = None
    ended_ms: int | None = None
    cause: str | None = None
    exit_code: int | None = None
    signal: int | None = None
    message: str = ""
    device_seconds: float = 0.0
    core_seconds: float = 0.0
    dropped_log_bytes: int = 0
    """What its tasks printed beyond the limit, which was not kept."""
    tasks: int = 1
    """How many it has; of an elastic job each attempt its own number."""


@dataclass(frozen=True, slots=True)
class StartForecastView:
    """When a waiting job will start, as foretold at `as_of_ms`; or in words why nothing is."""

    as_of_ms: int = 0
    futures: int = 0
    """So many simulated futures say so; 0 where it is told by how fast jobs like it go ahead, from its place."""
    start_ms: tuple[int, ...] = ()
    """At 2.5, 10, 25, 50, 75, 90 and 97.5 %: the ends of the ranges at 95, 80 and 50 %, and the middle."""
    none: str = ""
    basis: str = ""
    """What it follows from, in words, and what it knows nothing of."""


@dataclass(frozen=True, slots=True)
class JobView:
    """One job as its owner sees it. `waiting_ms` runs until the start, `running_ms` until the end."""

    id: str
    name: str
    organisation: str
    project: str
    owner: str
    state: str
    priority: str
    submitted_ms: int
    time_limit_ms: int
    epoch: int = 0
    array_index: int | None = None
    cause: str | None = None
    message: str = ""
    """In plain words why it ended so, or what it waits for."""
    exit_code: int | None = None
    centre: str = ""
    pool: str = ""
    queued_ms: int | None = None
    started_ms: int | None = None
    ended_ms: int | None = None
    waiting_ms: int = 0
    running_ms: int = 0
    device_seconds: float = 0.0
    attempts: tuple[AttemptView, ...] = ()
    """Only where one job is asked for."""
    specification: Mapping[str, Any] = field(default_factory=dict)
    """Only where one job is asked for; quantities in base units."""
    labels: Mapping[str, str] = field(default_factory=dict)
    start: StartForecastView | None = None
    """Only while it is queued."""


@dataclass(frozen=True, slots=True)
class SubmissionView:
    """A submission: its state is the job's own, or for an array a summary by state in `states`."""

    id: str
    name: str
    organisation: str
    project: str
    owner: str
    submitted_ms: int
    size: int
    is_array: bool
    states: Mapping[str, int]
    ended: bool
    job: JobView | None = None
    """The job itself, where it is a single one."""


@dataclass(frozen=True, slots=True)
class SubmissionPage:
    """A page of submissions, newest first; `next` is the cursor of the following page, empty at the end."""

    submissions: tuple[SubmissionView, ...]
    next: str = ""


@dataclass(frozen=True, slots=True)
class JobPage:
    """A page of an array's elements in order of their index."""

    jobs: tuple[JobView, ...]
    next: str = ""


@dataclass(frozen=True, slots=True)
class OutputView:
    """A file that a job handed over."""

    job: str
    path: str
    size_bytes: int
    digest: str
    url: str = ""
    """Where it lies, where the platform does not keep it."""


@dataclass(frozen=True, slots=True)
class OutputPage:
    """A page of outputs by job and path."""

    outputs: tuple[OutputView, ...]
    next: str = ""


@dataclass(frozen=True, slots=True)
class TermsView:
    """The terms of a pool's score, each in its own unit; the lower score is better."""

    run_ms: int
    data_ms: int
    money_micro_yuan: int
    carbon_mg: int
    score: int
    wait_ms: int = 0
    """Expected in the pool's own queue, where it is shared with the centre's own users."""


@dataclass(frozen=True, slots=True)
class PoolReasonView:
    """Why one pool is, or is not, where the job goes."""

    pool: str
    verdict: str
    constraint: str = ""
    needed: str = ""
    found: str = ""
    terms: TermsView | None = None
    free_nodes: int | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class ExplanationView:
    """Where a job stands and why, as of a position of the change log."""

    job: str
    state: str
    summary: str
    as_of_position: int
    as_of_ms: int
    position: int = 0
    """In the queue, from 1; 0 when it does not wait in it."""
    queued: int = 0
    waits_for: tuple[str, ...] = ()
    pools: tuple[PoolReasonView, ...] = ()
    attempt: str = ""
    """The attempt whose placement is explained; empty while the job waits."""
    start: StartForecastView | None = None
    """Only of a queued job, as it stands now."""


@dataclass(frozen=True, slots=True)
class CentreView:
    """A centre, declared and seen."""

    id: str
    name: str
    name_zh: str
    kind: str
    city: str
    operator: str
    driver: str
    reachable: bool
    draining: bool
    removed: bool
    heartbeat_ms: int | None
    pools: int
    running: int
    unclaimed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PoolView:
    """A pool, declared and seen; `used_nodes_limit` is the lesser of both, `drift` says a difference in words."""

    centre: str
    id: str
    device: str
    declared_nodes: int
    observed_nodes: int | None
    used_nodes_limit: int
    devices_per_node: int
    cores_milli_per_node: int
    memory_bytes_per_node: int
    shared: bool
    device_hour_micro_yuan: int | None
    core_hour_micro_yuan: int | None
    capabilities: tuple[str, ...] = ()
    drift: str = ""
    draining: bool = False
    removed: bool = False
    free_devices_milli: int | None = None
    free_cores_milli: int | None = None
    running: int = 0
    speed_milli: int = 1_000
    """Thousandths of nominal speed."""
    reservations: int | None = None
    """To how many waiting jobs at a time it promises a start, where its declaration says so; else the policy does."""
    runs_as: Mapping[str, str] = field(default_factory=dict)
    """Account → local user of the centre, `*` for every account, as its agent last told: all of it to the centre and
    the coordinator, to a tenant that of its own organisation. Empty where the engine knows no users."""


@dataclass(frozen=True, slots=True)
class CentresView:
    """Every centre, by id."""

    centres: tuple[CentreView, ...]


@dataclass(frozen=True, slots=True)
class PoolsView:
    """Every pool, by centre and id."""

    pools: tuple[PoolView, ...]


@dataclass(frozen=True, slots=True)
class TokenView:
    """A token without its secret."""

    id: int
    name: str
    role: str
    organisation: str
    project: str
    centre: str
    created_ms: int
    expires_ms: int | None = None
    revoked_ms: int | None = None


@dataclass(frozen=True, slots=True)
class TokensView:
    """Tokens, by id."""

    tokens: tuple[TokenView, ...]


@dataclass(frozen=True, slots=True)
class TokenMadeView:
    """A new token with its secret; shown once."""

    token: TokenView
    secret: str


@dataclass(frozen=True, slots=True)
class AuditView:
    """One audit entry: who did what to what, from where."""

    id: int
    at_ms: int
    actor: str
    address: str
    action: str
    target: str
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AuditPage:
    """A page of the audit log, newest first."""

    entries: tuple[AuditView, ...]
    next: str = ""


@dataclass(frozen=True, slots=True)
class InviteView:
    """A one-time code with which an agent joins; shown once."""

    centre: str
    code: str
    expires_ms: int


@dataclass(frozen=True, slots=True)
class InvitesView:
    """One-time codes, in the order asked for."""

    invites: tuple[InviteView, ...]


@dataclass(frozen=True, slots=True)
class DifferenceView:
    """What applying a province file would change, or has changed: one line each, ready to be read."""

    lines: tuple[str, ...]
    changed: bool
    digest: str
    """Of the state that the difference was taken against; applying with it refuses when that moved on."""


@dataclass(frozen=True, slots=True)
class WhoView:
    """Whom the token that was sent stands for."""

    name: str
    role: str
    organisation: str
    project: str
    centre: str
    version: str


@dataclass(frozen=True, slots=True)
class EventView:
    """One change as the events stream tells it; jobs are named by submission and index, never by number.

    `kind` and its body: `submitted` {submission, size}; `moved` {moves: [[submission, first index, count, state]]};
    `edited` {jobs: [[submission, first index, count]]}; `province` {centres}; `centre` {centre}; `cycle`, which
    coordinators and auditors are shown, as in the log.
    """

    position: int
    at_ms: int
    kind: ChangeKind
    body: Mapping[str, Any]
