"""The job specification: everything that a tenant can say about one thing to run.

The whole contract is declared here; `job_rules` refuses what nothing honours yet.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from weir.model.task_range import ONE_TASK, TaskRange
from weir.units import Bytes, DurationMs, MicroYuan, MilliCores

_STRICT = {"extra": "forbid", "alias_generator": lambda name: name.rstrip("_"), "validate_by_name": True}


class Preference(Enum):
    """What matters most in choosing a pool."""

    BALANCED = "balanced"
    CHEAP = "cheap"
    FAST = "fast"
    GREEN = "green"


class Priority(Enum):
    """Priority class. `reserved` is the coordinator's to give, and is never preempted."""

    RESERVED = "reserved"
    URGENT = "urgent"
    NORMAL = "normal"
    LOW = "low"


@dataclass(frozen=True, slots=True)
class PreferenceWeights:
    """Weights of the score's terms, in thousandths each; a larger weight matters more."""

    __pydantic_config__ = _STRICT
    time: int = 1_000
    money: int = 1_000
    carbon: int = 0


@dataclass(frozen=True, slots=True)
class Input:
    """A file that must lie in the job's folder before it starts: an uploaded one, one behind a URL, or another
    job's output.

    Either `file` (with the `digest` under which its content was uploaded), or `file` and `url`, or `from` and
    `path`: every output of that job whose path matches the pattern; of an array, every element's, below a folder
    named by its index.
    """

    __pydantic_config__ = _STRICT
    file: str = ""
    """Where it lies in the job's folder: a relative path."""
    digest: str = ""
    """SHA-256 of the content, in hexadecimal; with a URL it may be left out."""
    url: str = ""
    """Fetched at the centre where the job runs, by that centre's own rules: https://, http://, s3:// or file://."""
    size: Bytes | None = None
    """What a URL's content must measure, where it is known."""
    from_: str = ""
    """The job whose outputs are wanted, which implies `after`."""
    path: str = ""
    """Pattern over that job's output paths, such as `model/*.json`."""
    to: str = ""
    """Folder in the job's own folder below which the outputs are laid; by default its root."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """Files that the centre itself writes to a URL when the job ends, by its own rules, not through the platform.

    Each goes to the URL followed by its path in the job's folder, an array's by way of a folder named by its element.
    """

    __pydantic_config__ = _STRICT
    path: str
    """Pattern over the paths in the job's folder, such as `model/*.bin`."""
    url: str
    """Where to: https://, http://, s3:// or file://, with a slash at its end."""


@dataclass(frozen=True, slots=True)
class DeviceNeed:
    """The accelerators that one task needs. Without `models`, `memory`, `precision` or `stack`, any will do."""

    __pydantic_config__ = _STRICT
    count: int = 1
    """Whole devices a task."""
    share: int | None = None
    """Instead of whole devices: a share of one in thousandths, where the pool allows sharing."""
    models: tuple[str, ...] = ()
    """Any of these device models (ids of the catalogue)."""
    memory: Bytes | None = None
    """At least so much memory a device."""
    precision: str = ""
    """The device must have a stated peak rate in this precision, such as fp64, fp16 or int8."""
    stack: str = ""
    """Software stack, such as cuda or cann."""
    domestic: bool = False
    """Only devices of a Chinese vendor."""


@dataclass(frozen=True, slots=True)
class Variant:
    """How to run the job on one software stack; pools of a stack without a variant are then not eligible."""

    __pydantic_config__ = _STRICT
    stack: str
    """Software stack, such as cuda or cann."""
    command: tuple[str, ...] = ()
    """Instead of the job's own command."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Added to the job's own environment."""
    image: str = ""
    """Instead of the job's own image."""
    speed: int = 1_000
    """Relative speed there, in thousandths of the job's nominal speed."""


@dataclass(frozen=True, slots=True)
class DataNeed:
    """Data that the job reads: where it lies decides what moving it costs."""

    __pydantic_config__ = _STRICT
    size: Bytes
    """How much of it is read."""
    at: str
    """The centre where it lies."""
    name: str = ""
    """For people."""
    url: str = ""
    """Where the job itself finds it."""


@dataclass(frozen=True, slots=True)
class Constraints:
    """Where and until when the job may run; empty means anywhere."""

    __pydantic_config__ = _STRICT
    centres: tuple[str, ...] = ()
    """Any of these centres."""
    cities: tuple[str, ...] = ()
    """Any of these cities."""
    kinds: tuple[str, ...] = ()
    """Any of these kinds of centre: intelligent, supercomputing, general, edge or quantum."""
    deadline: str = ""
    """ISO 8601 instant, with its offset, by which it should have ended: it goes where it is expected to end by then, if
    there is such a pool, and ahead in time for it in the queue. Later it runs all the same."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """How often the job saves its progress by itself, and what saving and restoring take."""

    __pydantic_config__ = _STRICT
    every: DurationMs
    """It saves at least so often: an interruption loses no more work than that. Its tasks are told it as
    WEIR_CHECKPOINT_EVERY_MS."""
    save: DurationMs | None = None
    """How long saving takes: when it is stopped it has at least so long between `stop_signal` and the end."""
    restore: DurationMs | None = None
    """How long going on from what was saved takes, within the time limit of the attempt that does."""


@dataclass(frozen=True, slots=True)
class JobSpecification:
    """One thing to run: a gang of tasks or a single one, or an array of such.

    Quantities are integers in the unit that their type names; people write them with a unit (`16GiB`, `2h`).
    """

    __pydantic_config__ = _STRICT
    command: tuple[str, ...] = ()
    """Program and arguments, run without a shell."""
    name: str = ""
    """For people; need not be unique."""
    project: str = ""
    """Who pays; by default the only project of the token's organisation."""
    kind: str = "batch"
    """`batch`; `session` and `service` are not supported yet."""
    image: str = ""
    """Container image to run in, where a pool's centre takes such images; without one the pool's own way."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables for every task, beside those that Weir sets; none of them begins with WEIR_."""
    inputs: tuple[Input, ...] = ()
    """What must lie in the job's folder before it starts."""
    outputs: tuple[str, ...] = ()
    """Path patterns in the job's folder; what matches when it ends is kept by the platform."""
    deliver: tuple[Delivery, ...] = ()
    """What is written to a URL when it ends; the platform keeps its digest and where it lies."""
    tasks: TaskRange = ONE_TASK
    """How many tasks start together: a number, or `min..max` of an elastic job, which starts with as many as have room
    where it goes. Each attempt may have another number, and its tasks are told it as WEIR_TASK_COUNT; money is set
    aside for `max`."""
    devices: DeviceNeed | None = None
    """Per task; without it the job uses no accelerator."""
    cores: MilliCores = 1_000
    """Per task."""
    memory: Bytes = 1 << 30
    """Per task."""
    variants: tuple[Variant, ...] = ()
    """How to run it on one software stack or another; a pool of none of these stacks is then not eligible."""
    time_limit: DurationMs | None = None
    """The job is ended after this long; required unless the project has a default."""
    array: int | None = None
    """So many jobs that share this specification, told apart by WEIR_ARRAY_INDEX from 0."""
    after: tuple[str, ...] = ()
    """Jobs that must have succeeded before; of an array, all its elements."""
    data: tuple[DataNeed, ...] = ()
    """Data that it reads and that lies at a centre."""
    prefer: Preference | PreferenceWeights = Preference.BALANCED
    """What matters most in choosing a pool: a word, or weights."""
    constraints: Constraints = Constraints()
    """Where it may run."""
    options: Mapping[str, str] = field(default_factory=dict)
    """What the job chooses of a site's own means: `account`, `qos`, `partition`, `constraint` or `licenses` of Slurm.
    Only pools whose entry lets jobs choose these values are then eligible (`job_options` in the province file)."""
    priority: Priority = Priority.NORMAL
    """Its class: a higher one starts first, and of one class the older job."""
    purpose: str = ""
    """What the work is for, such as `training`; some schemes ask."""
    budget: str = ""
    """The budget that pays; by default the only one of the organisation. For work that is priced."""
    max_price: MicroYuan | None = None
    """What each job may cost at most: refused where a pool that it may use could cost more. For work that is priced."""
    restartable: bool = False
    """Whether it may be started again from the beginning after a loss that is not its own."""
    max_attempts: int | None = None
    """Default 3 for a restartable job, else 1."""
    checkpoint: Checkpoint | None = None
    """How it saves its progress; only with `restartable`, for what was saved serves the next attempt."""
    stop_signal: str = "TERM"
    """What its processes get first when it is stopped: TERM, INT, HUP, QUIT, USR1 or USR2."""
    stop_grace: DurationMs = 10_000
    """How long after `stop_signal` the rest of its processes are killed."""
    secrets: tuple[str, ...] = ()
    """Names of secrets given to the job as environment variables. Not supported yet."""
    notify: tuple[str, ...] = ()
    """Addresses that are told when the job ends. Not supported yet."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """The tenant's own, for finding jobs again."""

    @property
    def attempts_allowed(self) -> int:
        return self.max_attempts or (3 if self.restartable else 1)

    @property
    def grace_ms(self) -> int:
        """How long its processes have from `stop_signal` on: `stop_grace`, or longer where saving takes longer."""
        saving = self.checkpoint.save if self.checkpoint else None
        return max(self.stop_grace, saving or 0)

    @property
    def size(self) -> int:
        """How many jobs this makes."""
        return 1 if self.array is None else self.array


def preference_weights(prefer: Preference | PreferenceWeights) -> PreferenceWeights:
    """The weights behind a named preference."""
    return prefer if isinstance(prefer, PreferenceWeights) else _WEIGHTS[prefer]


_WEIGHTS = {
    Preference.BALANCED: PreferenceWeights(time=1_000, money=1_000, carbon=0),
    Preference.CHEAP: PreferenceWeights(time=100, money=4_000, carbon=0),
    Preference.FAST: PreferenceWeights(time=4_000, money=100, carbon=0),
    Preference.GREEN: PreferenceWeights(time=500, money=500, carbon=4_000),
}
