"""What the core is told: pools, classes of jobs and changes to them. Integers only; times in milliseconds."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from weir.scheduling.plan import Reservation

Int64s = NDArray[np.int64]

NO_DEADLINE = 2**62
MOST_SEATS = 32
"""So many starts does a pool promise at a time, at most, where nodes are named; see kernels/seats.py."""


@dataclass(frozen=True, slots=True)
class Window:
    """A time in which a pool is out of service: nothing runs there from `from_ms` until `until_ms`.

    With `every_ms` it comes again after each such time, and has always done so; it is then shorter than that.
    """

    from_ms: int
    until_ms: int
    every_ms: int = 0
    reason: str = ""
    """In words, for people."""


@dataclass(frozen=True, slots=True)
class Curve:
    """A figure that changes with time: each step is (from when on, value), in order of time.

    With `every_ms` the steps, all within that time after 0, come again after it; without, the first holds before it
    too, and the last for ever.
    """

    steps: tuple[tuple[int, int], ...]
    every_ms: int = 0


@dataclass(frozen=True, slots=True)
class TenantRow:
    """What a tenant may use. Values are list prices by the share book: what `PoolRow` has of it.

    A tenant that is never told has the weight 1,000, and neither quota nor ceiling.
    """

    tenant: int
    """The number by which jobs name it; ties between tenants end by it."""
    weight_milli: int = 1_000
    """A tenant of twice the weight uses twice as much before another goes ahead."""
    quota_micro_yuan_per_hour: int = 0
    """As long as it holds less it goes before all who hold more than their own; what it holds beyond it borrows."""
    ceiling_micro_yuan_per_hour: int | None = None
    """Nothing starts by which it would hold more. None: there is no such limit."""
    used: int | None = None
    """As `State.usage` told it, at the time `used_as_of_ms`; None leaves it as it is, which is nothing at first."""
    used_as_of_ms: int = 0


@dataclass(frozen=True, slots=True)
class Prices:
    """What the use of a pool costs under one version of the price book."""

    version: int
    device_hour_micro_yuan: int
    core_hour_micro_yuan: int
    memory_gb_hour_micro_yuan: int = 0
    device_hour_over_time: Curve | None = None
    """Instead of `device_hour_micro_yuan`; so is the other one."""
    core_hour_over_time: Curve | None = None


@dataclass(frozen=True, slots=True)
class PoolRow:
    """One pool as the core sees it. `key` is `centre/pool` and never changes; `index` order is by key.

    `nodes` is the lesser of declared and observed in-service nodes. A closed pool (draining, centre lost or not
    synchronised) keeps what runs and starts nothing; `closed_because` says why in words.
    """

    key: str
    centre: str
    city: str
    kind: str
    device_model: str
    stack: str
    domestic: bool
    device_memory_bytes: int
    precisions: tuple[str, ...]
    nodes: int
    devices_per_node: int
    cores_milli_per_node: int
    memory_bytes_per_node: int
    shares: bool
    speed_milli: int
    device_hour_micro_yuan: int
    core_hour_micro_yuan: int
    carbon_g_per_kwh: int
    device_power_watts: int
    memory_gb_hour_micro_yuan: int = 0
    capabilities: frozenset[str] = frozenset()
    closed_because: str = ""
    windows: tuple[Window, ...] = ()
    """When it is out of service. A job starts only where it would end by its limit before the next one."""
    device_hour_over_time: Curve | None = None
    """Instead of `device_hour_micro_yuan`; so are the other two."""
    core_hour_over_time: Curve | None = None
    carbon_over_time: Curve | None = None
    """Grams of CO2 a kilowatt-hour."""
    share_device_hour_micro_yuan: int | None = None
    """By the share book, which stays as it is while prices move; None: as `device_hour_micro_yuan`. Where neither
    devices nor cores cost anything, each hour of a device, or of a core where there are no devices, counts one yuan."""
    share_core_hour_micro_yuan: int | None = None
    expected_wait_ms: int = 0
    """How long what is sent there is expected to wait in the pool's own queue, beyond what is known of its nodes."""
    sends_ahead: bool = False
    """Whether jobs to which it is promised are sent there at once, to wait in its own queue: then no job has to wait
    before it is promised all of it, for it is not kept idle."""
    job_options: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """Of the site's own means, those that a job may choose, each with the values that it may have."""
    preempts: bool = False
    """Whether others may end what runs there, so that only restartable jobs can go there."""
    reservations: int | None = None
    """How many starts it promises at a time, up to MOST_SEATS, under a policy that promises any; None: as many as the
    policy's `depth`."""
    books: tuple[Prices, ...] = ()
    """What its use costs those jobs that are priced by a version of the price book of their own, each version once;
    all others, and those whose version is not among them, by the prices above."""

    def promises(self, depth: int) -> int:
        """How many starts it promises at a time under a policy of that depth, which promises none where that is 0."""
        return depth if not depth or self.reservations is None else self.reservations


@dataclass(frozen=True, slots=True)
class LinkRow:
    """Bandwidth and latency between two centres, the same both ways."""

    a: str
    b: str
    bits_per_second: int
    latency_ms: int


@dataclass(frozen=True, slots=True)
class JobClass:
    """What identical jobs share: shape, eligibility, data and preference. Hashable, so that fellows meet.

    `devices_milli` is per task; `variant_speeds` maps a software stack to thousandths of nominal speed and, when
    not empty, limits the job to those stacks. `data` is (centre where it lies, bytes). Weights are thousandths.
    """

    tasks: int
    devices_milli: int
    cores_milli: int
    memory_bytes: int
    models: tuple[str, ...] = ()
    device_memory_bytes: int = 0
    precision: str = ""
    stack: str = ""
    domestic: bool = False
    variant_speeds: tuple[tuple[str, int], ...] = ()
    centres: tuple[str, ...] = ()
    cities: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    data: tuple[tuple[str, int], ...] = ()
    weight_time: int = 1_000
    weight_money: int = 1_000
    weight_carbon: int = 0
    capabilities: tuple[str, ...] = ()
    """What the pool's engine must claim to be able to do."""
    net_milli: int = 1_000
    """How much of the list price its owner pays, in thousandths: his class of tenants, less what vouchers pay."""
    net_there: tuple[tuple[str, int], ...] = ()
    """(pool's key, how much he pays there instead), where vouchers pay at some pools alone or not alike."""
    home: str = ""
    """The city whose pools it prefers; empty where none is."""
    away_ms: int = 0
    """As much longer it would rather wait for a pool there than go to another city's."""
    options: tuple[tuple[str, str], ...] = ()
    """What it chooses of a site's own means: only where it may."""
    restartable: bool = False
    """Whether it may be started again from its beginning."""
    price_version: int = 0
    """The version of the price book that it is priced by, as in `PoolRow.books`; 0: by each pool's own prices."""
    preemptible: bool = False
    """Whether it may have to give way to a job of a higher priority class."""
    checkpoint_every_ms: int = 0
    """After so much work at nominal speed it saves it; 0: it never does, and all is lost where it gives way."""
    checkpoint_save_ms: int = 0
    """How long saving takes, beyond its time limit."""
    checkpoint_restore_ms: int = 0
    """How long it takes to begin again from what was saved, beyond its time limit."""

    @property
    def size(self) -> int:
        """The devices that a job takes, or its tasks where it takes none: its width, as orders count it."""
        return self.tasks * max(1, -(-self.devices_milli // 1_000))


@dataclass(frozen=True, slots=True)
class QueuedJobs:
    """Jobs that become ready, as columns of equal length. `job_class` is shared by all of them.

    `job`: number; `priority`: larger first; `submitted_ms`; `time_limit_ms`; `expected_ms`: for how long each is
    expected to run at nominal speed, never above its limit, by which it is ordered and scored; None: as long as that.
    `deadline_ms`: when each must have ended, `NO_DEADLINE` where it need not; None: none need.
    `tenant`: whose each is, as in `TenantRow`; None: all are of tenant 0.
    """

    job_class: JobClass
    job: Int64s
    priority: Int64s
    submitted_ms: Int64s
    time_limit_ms: Int64s
    expected_ms: Int64s | None = None
    deadline_ms: Int64s | None = None
    tenant: Int64s | None = None

    @property
    def expected(self) -> Int64s:
        """`expected_ms`, or else the limits."""
        return self.time_limit_ms if self.expected_ms is None else self.expected_ms

    @property
    def deadlines(self) -> Int64s:
        """`deadline_ms`, or else none."""
        if self.deadline_ms is None:
            return np.full(len(self.job), NO_DEADLINE, np.int64)
        return self.deadline_ms

    @property
    def tenants(self) -> Int64s:
        """`tenant`, or else 0."""
        return np.zeros(len(self.job), np.int64) if self.tenant is None else self.tenant


@dataclass(frozen=True, slots=True)
class RunningJob:
    """A placement that already holds capacity, told at start-up and whenever a plan has been applied."""

    job: int
    job_class: JobClass
    pool: str
    nodes: tuple[tuple[int, int], ...]
    """(node, tasks on it)"""
    placed_ms: int
    time_limit_ms: int
    devices: tuple[int, ...] = ()
    """As in the plan's start; when it is not known, the core assumes the best fitting devices."""
    tenant: int = 0


@dataclass(frozen=True, slots=True)
class Changes:
    """Everything that changed since the last step, applied in this order."""

    pools: tuple[PoolRow, ...] | None = None
    """All pools anew, or None when none changed."""
    links: tuple[LinkRow, ...] | None = None
    freed: tuple[int, ...] = ()
    """Jobs whose placement no longer holds capacity."""
    unqueued: Int64s = field(default_factory=lambda: np.empty(0, np.int64))
    """Jobs that are no longer ready (held, cancelled, placed elsewhere)."""
    queued: tuple[QueuedJobs, ...] = ()
    running: tuple[RunningJob, ...] = ()
    promised: tuple[Reservation, ...] = ()
    """Promises of an earlier plan that are to stand, in place of what the state has for those jobs and pools; a state
    keeps its own. Those of jobs that do not wait are passed over."""
    tenants: tuple[TenantRow, ...] = ()
    """Tenants that are new or others than before. Taken in first, and passed over by a policy without `by_tenant`."""
