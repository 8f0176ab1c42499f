"""What the driver asks of a cluster, however it is reached: by slurmrestd or by Slurm's own commands."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from weir.engines.driver import EngineUnreachableError

__all__ = [
    "JOB_NAME",
    "Cluster",
    "ClusterFacts",
    "JobRequest",
    "JobRow",
    "NodeRow",
    "NotDeliveredError",
    "NotNowError",
    "RejectedError",
    "exit_status",
]


JOB_NAME = "weir"
"""The name of every job that Weir hands over."""


class RejectedError(Exception):
    """Slurm refuses the job for good; the message says why. No job came of it that could ever run."""


class NotNowError(Exception):
    """Slurm takes no such job at present, for instance because a limit on waiting jobs is reached."""


class NotDeliveredError(EngineUnreachableError):
    """Slurm was not reached, and has certainly not heard what it was to be told."""


@dataclass(frozen=True, slots=True)
class JobRequest:
    """One Slurm job, or one array of equal elements. Sizes are those of one element."""

    name: str
    comment: str
    script: str
    folder: str
    """Where the batch script starts."""
    user: str
    """Empty for the agent's own."""
    partition: str
    time_limit_minutes: int
    nodes: int
    tasks: int
    tasks_per_node: int
    """0 where the nodes hold unequal numbers of tasks."""
    cpus_per_task: int
    memory_mb_per_node: int
    """0 where `memory_mb_per_cpu` is given instead: nodes that hold unequal numbers of tasks."""
    memory_mb_per_cpu: int
    gres: str
    """Such as `gpu:ascend910b:2`, a node; empty for none."""
    requeue: bool
    elements: int
    """0 for a job that is no array."""
    account: str = ""
    qos: str = ""
    constraint: str = ""
    licenses: str = ""
    reservation: str = ""
    group: int = 0
    """The number of the user's own group; counts where `user` is given."""


@dataclass(frozen=True, slots=True)
class JobRow:
    """What Slurm says of one job, of one element of an array, or of all elements that still wait (`indexes`)."""

    job: int
    """The job's own number; an element that has started has another one than its array."""
    array: int
    """The array's number; that of the job where it is none."""
    indexes: tuple[int, ...]
    """Which elements; empty where it is no array."""
    state: str
    """Slurm's word, such as RUNNING or OUT_OF_MEMORY."""
    reason: str
    user: str
    partition: str
    comment: str
    submit_s: int
    start_s: int | None
    """Where it waits, Slurm's own estimate."""
    end_s: int | None
    """Where it runs, when its time limit ends it."""
    nodes: int = 0
    cpus: int = 0
    gres: str = ""
    """What it has on each node."""
    exit_code: int | None = None
    """None where it is not told, or where a signal ended it."""
    signal: int | None = None
    restarts: int = 0
    host: str = ""
    """The node that its script was given to; empty where it never had one."""


@dataclass(frozen=True, slots=True)
class NodeRow:
    """A compute node: what it has, what is given out, and whether it takes work."""

    name: str
    partitions: tuple[str, ...]
    usable: bool
    drained: bool
    cpus: int
    cpus_used: int
    memory_mb: int
    memory_mb_used: int
    gres: str
    gres_used: str


@dataclass(frozen=True, slots=True)
class ClusterFacts:
    """What the driver must know of the cluster's configuration; None or empty where it cannot be asked."""

    version: str
    kills_all: bool | None = None
    """Whether Slurm ends whatever a job has started (proctrack/cgroup)."""
    limits_memory: bool | None = None
    limit_of_array: int = 1_001
    """MaxArraySize: an index must be smaller."""


def exit_status(status: int) -> tuple[int | None, int | None]:
    """Exit code and signal, one of which is None, from a raw wait status."""
    number = status & 0x7F
    return (None, number) if number else (status >> 8, None)


class Cluster(Protocol):
    """A way to a cluster. Methods may block; calls come from one thread at a time.

    All raise EngineUnreachableError where there is no answer.
    """

    @property
    def name(self) -> str:
        """Says in a few words how the cluster is reached."""
        ...

    def facts(self) -> ClusterFacts:
        """Reach it, and ask what it is. Raises ProblemError for a way that a person has to put right."""
        ...

    def submit(self, request: JobRequest) -> int:
        """Hand over a job; its number.

        Raises RejectedError or NotNowError where no job came of it, NotDeliveredError where it was not heard;
        after another EngineUnreachableError the job may exist or come to exist a while later.
        """
        ...

    def jobs(self, users: Sequence[str]) -> list[JobRow]:
        """Every job of these users that the controller remembers, ended ones too."""
        ...

    def queue(self, partitions: Sequence[str]) -> list[JobRow]:
        """Everybody's jobs in these partitions that wait or run."""
        ...

    def ended(self, jobs: Sequence[int]) -> list[JobRow]:
        """What accounting knows of jobs, by their own numbers, that the controller has forgotten; may be nothing."""
        ...

    def exit_codes(self, jobs: Sequence[int]) -> dict[int, int | None]:
        """Exit codes of ended jobs that the controller remembers, where its rows do not tell them."""
        ...

    def nodes(self) -> list[NodeRow]:
        """Every compute node."""
        ...

    def cancel(self, jobs: Sequence[str], *, waiting_only: bool) -> None:
        """End jobs (`17`) and elements (`17_3`): with `waiting_only` none that runs, where that can be told."""
        ...

    def withdraw(self, jobs: Sequence[str]) -> None:
        """Cancel those of these jobs and elements that wait; what runs goes on."""
        ...

    def tell(self, jobs: Sequence[str]) -> None:
        """Have batch scripts that run look at once whether they were told to stop, where that can be done."""
        ...

    def close(self) -> None: ...
