"""The agent protocol's messages, version 1. Desired and observed are levels; absence never means stop.

An agent keeps two conversations, both started by itself: it *pulls* what is desired (a long poll, answered at
once when there is news) and it *reports* what it observes. Everything may be lost, repeated or late.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from weir.model.codec import to_plain
from weir.model.job import Delivery
from weir.model.state import Cause, Desired, Observed

PROTOCOL_VERSION = 1
LONG_POLL_MS = 25_000


@dataclass(frozen=True, slots=True)
class InputFile:
    """One file to lay into the work folder before the start; content is fetched by its SHA-256, or from a URL."""

    path: str
    digest: str
    """With a URL it may be empty: then nobody said what the content must be."""
    size_bytes: int
    """With a URL 0 where nobody said."""
    url: str = ""
    """Fetched at the centre, by the agent's own rules and credentials; empty for what the server has."""


@dataclass(frozen=True, slots=True)
class Work:
    """What the attempts of one submission on one pool have in common."""

    job_submission: str
    pool: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    tasks: int
    cores_milli: int
    """Per task, thousandths of a core."""
    memory_bytes: int
    """Per task."""
    devices_milli: int
    """Per task, thousandths of a device; a multiple of 1000 unless one device is shared."""
    device_model: str
    visible_devices_variable: str
    """The stack's own variable, such as CUDA_VISIBLE_DEVICES; empty for none."""
    time_limit_ms: int
    stop_signal: str
    stop_grace_ms: int
    restartable: bool
    outputs: tuple[str, ...]
    """Patterns of what to hand over at the end."""
    output_limit_bytes: int
    log_limit_bytes: int
    """Per task and stream; what goes past it is counted, and not taken over."""
    options: Mapping[str, str] = field(default_factory=dict)
    """What the job chose of the site's own means, in place of the pool's options of these names."""
    account: str = ""
    """Whose work it is: an opaque name, by which a centre may choose the local user that it runs as."""
    image: str = ""
    """The container image that the job asks for; empty for whatever the pool runs work in."""
    deliver: tuple[Delivery, ...] = ()
    """What the agent itself writes to a URL at the end, where its centre lets it."""

    @property
    def results(self) -> tuple[str, ...]:
        """Patterns of all that must lie in the work folder at the end: to be handed over or delivered."""
        return (*self.outputs, *(delivery.path for delivery in self.deliver))


@dataclass(frozen=True, slots=True)
class NodeShare:
    """So many tasks of the gang on one node of the pool. Task indexes run on through the shares in order."""

    node: int
    tasks: int


@dataclass(frozen=True, slots=True)
class DesiredAttempt:
    """What is wanted of one attempt. `work` names one of the answer's `works`; empty unless it should run."""

    attempt: str
    desired: Desired
    revision: int
    work: str = ""
    array_index: int | None = None
    nodes: tuple[NodeShare, ...] = ()
    inputs: tuple[InputFile, ...] = ()
    withdrawn: bool = False
    """It should run only if it has started already; else it is taken back, so that it never does."""


@dataclass(frozen=True, slots=True)
class Follow:
    """Somebody reads this log now: send what comes from `offset` on, until the time given."""

    attempt: str
    task: int
    stream: str
    offset: int
    until_ms: int


@dataclass(frozen=True, slots=True)
class Pull:
    """An agent asks for everything desired that changed after `revision` (0: everything)."""

    incarnation: int
    revision: int = 0
    store_incarnation: str = ""
    protocol: int = PROTOCOL_VERSION


@dataclass(frozen=True, slots=True)
class PullAnswer:
    """What changed. With `full`, everything not yet kept is listed; still, what is missing is never stopped.

    `followed` is the whole present list of followed logs. `draining`: start nothing new.
    """

    store_incarnation: str
    revision: int
    full: bool = False
    works: Mapping[str, Work] = field(default_factory=dict)
    attempts: tuple[DesiredAttempt, ...] = ()
    followed: tuple[Follow, ...] = ()
    draining: bool = False
    entry_revision: str = ""
    """`entry_revision` of the centre's present entry; an agent that has another one fetches it again."""


@dataclass(frozen=True, slots=True)
class OutputFile:
    """A file that the attempt made and whose content the server already holds, or lies at `url` instead."""

    task: int
    path: str
    size_bytes: int
    digest: str
    url: str = ""


@dataclass(frozen=True, slots=True)
class End:
    """How an attempt ended. `cause` None is success; then `exit_code` is 0. Times are the centre's clock."""

    cause: Cause | None
    exit_code: int | None
    signal: int | None
    message: str
    started_ms: int | None
    ended_ms: int
    outputs: tuple[OutputFile, ...] = ()
    dropped_log_bytes: int = 0
    resumed_ms: int | None = None
    """When the checkpoint of an earlier attempt was written from which it says that it went on."""


@dataclass(frozen=True, slots=True)
class LogChunk:
    """A piece of a log, at its offset in bytes; `data` is base64. Sending it again changes nothing."""

    attempt: str
    task: int
    stream: str
    offset: int
    data: str


@dataclass(frozen=True, slots=True)
class Observation:
    """What the agent knows of one attempt: a level, so that repeating it changes nothing."""

    attempt: str
    observed: Observed
    started_ms: int | None = None
    message: str = ""
    """Why it waits in the engine, where the engine says so."""
    end: End | None = None
    pool: str = ""
    nodes: tuple[NodeShare, ...] = ()
    """Pool and nodes are given in full reports, so that a restored server can take the attempt back."""


@dataclass(frozen=True, slots=True)
class NodeGroup:
    """So many nodes of a pool that have the same free vector."""

    nodes: int
    devices_milli: int
    cores_milli: int
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class ForeignWork:
    """Capacity used by the centre's own users until an expected time."""

    nodes: int
    until_ms: int
    spare_milli: int = 0
    """So much of the last of these nodes is nobody's, in thousandths; 0 also where the engine does not tell it."""


@dataclass(frozen=True, slots=True)
class PoolObservation:
    """What the engine says of one pool: what exists, what is out of service, and who else uses it."""

    pool: str
    read_ms: int
    present: tuple[NodeGroup, ...]
    """Nodes in service by what each has in all (not what is free of Weir's own attempts)."""
    drained_nodes: int = 0
    foreign: tuple[ForeignWork, ...] = ()
    queued_foreign: int = 0
    capabilities: tuple[str, ...] = ()
    free: tuple[NodeGroup, ...] = ()
    """Nodes in service by what nobody uses now, where the engine tells it."""
    expected_wait_ms: int | None = None
    """How long the engine itself expects new work to wait; None where it has no estimate."""
    runs_as: Mapping[str, str] = field(default_factory=dict)
    """Account → local user of the centre, `*` for every account; empty where the engine knows no users."""


@dataclass(frozen=True, slots=True)
class Report:
    """What an agent observes. `number` rises with every report of an incarnation; an older one is dropped.

    Without `full` it holds what changed since the last acknowledged report. `unclaimed` names what runs here
    and is in no record of the agent.
    """

    incarnation: int
    number: int
    store_incarnation: str
    agent_time_ms: int
    full: bool = False
    observations: tuple[Observation, ...] = ()
    chunks: tuple[LogChunk, ...] = ()
    pools: tuple[PoolObservation, ...] | None = None
    unclaimed: tuple[str, ...] = ()
    draining: bool = False
    protocol: int = PROTOCOL_VERSION


@dataclass(frozen=True, slots=True)
class ReportAnswer:
    """`kept`: ended attempts whose end the server durably holds; the agent may forget them and clean up.

    With `want_full` the next report must be full.
    """

    store_incarnation: str
    acknowledged: int
    want_full: bool = False
    kept: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PoolEntry:
    """A pool as the agent must know it, to be able to run things there."""

    id: str
    nodes: int
    devices_per_node: int
    cores_milli_per_node: int
    memory_bytes_per_node: int
    device_model: str
    shares: bool
    options: Mapping[str, str] = field(default_factory=dict)
    kubernetes_resource: str = ""
    """What the device plugin of its model calls a device, by the catalogue; told to Kubernetes alone."""


@dataclass(frozen=True, slots=True)
class CentreEntry:
    """What the server tells an agent about its own centre: the engine's driver and the pools."""

    centre: str
    driver: str
    options: Mapping[str, str]
    pools: tuple[PoolEntry, ...]
    store_incarnation: str
    protocol: int = PROTOCOL_VERSION


def entry_revision(entry: CentreEntry) -> str:
    """A short text that differs between entries that differ in anything but the store's incarnation."""
    plain = to_plain(replace(entry, store_incarnation=""))
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:16]
