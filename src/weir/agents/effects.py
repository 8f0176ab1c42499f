"""What an agent's step asks for. The record is committed before any effect is given out.

An effect may be lost (a crash right after the commit); the machine asks again after its start.
"""

from dataclasses import dataclass

from weir.agents.record import RecordedAttempt
from weir.engines.driver import AttemptOrder
from weir.model.agent import InputFile, Pull, Report


@dataclass(frozen=True, slots=True)
class SendPull:
    """Ask what is desired; answered by PullAnswered or PullFailed of this number."""

    number: int
    pull: Pull


@dataclass(frozen=True, slots=True)
class SendReport:
    """Tell what is observed; answered by ReportAnswered or ReportFailed of this number."""

    number: int
    report: Report


@dataclass(frozen=True, slots=True)
class Fetch:
    """Lay the inputs into `folder/work`, made for it; answered by Fetched."""

    attempt: str
    folder: str
    inputs: tuple[InputFile, ...]
    account: str = ""
    """Whose work it is: a centre may fetch from some places for some accounts alone."""


@dataclass(frozen=True, slots=True)
class Submit:
    """Hand over to the engine, each with its `folder/work` made if it is missing; answered by SubmitAnswered
    or SubmitUnknown. Every attempt comes here once."""

    orders: tuple[AttemptOrder, ...]


@dataclass(frozen=True, slots=True)
class Observe:
    """Ask the engine for these; answered by EngineStates of this number, or EngineUnreachable."""

    attempts: tuple[str, ...]
    number: int


@dataclass(frozen=True, slots=True)
class Cancel:
    """Tell the engine to end these; asked again until they have ended."""

    attempts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Withdraw:
    """Have the engine take back those of these that have not started; asked again until they have, or have ended."""

    attempts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Collect:
    """Take over the logs and matching outputs of one that ended; answered by Collected."""

    attempt: RecordedAttempt
    tries: int = 0
    """How many tries came to nothing before."""


@dataclass(frozen=True, slots=True)
class SendLogs:
    """Send what a log has from `offset` on, once; answered by LogsSent."""

    attempt: str
    task: int
    stream: str
    offset: int
    limit: int
    """Only so many bytes from the log's beginning are ever sent."""


@dataclass(frozen=True, slots=True)
class Forget:
    """Remove what the engine and the folders keep of these; answered by Forgotten."""

    attempts: tuple[tuple[str, str], ...]
    """Each with its folder; "" where it never had one."""


@dataclass(frozen=True, slots=True)
class Describe:
    """Ask the engine for its pools and what lives there; answered by Described or EngineUnreachable."""


Effect = (
    SendPull
    | SendReport
    | Fetch
    | Submit
    | Observe
    | Cancel
    | Withdraw
    | Collect
    | SendLogs
    | Forget
    | Describe
)

__all__ = [
    "Cancel",
    "Collect",
    "Describe",
    "Effect",
    "Fetch",
    "Forget",
    "Observe",
    "SendLogs",
    "SendPull",
    "SendReport",
    "Submit",
    "Withdraw",
]
