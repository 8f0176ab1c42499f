"""What can happen to an agent: the inputs of its step."""

from dataclasses import dataclass

from weir.agents.record import Order
from weir.engines.driver import EngineState, SubmitOutcome
from weir.model.agent import LogChunk, OutputFile, PoolObservation, PullAnswer, ReportAnswer


@dataclass(frozen=True, slots=True)
class Started:
    """The agent's process has started: always the first input of a machine."""


@dataclass(frozen=True, slots=True)
class Tick:
    """Nothing but time has passed."""


@dataclass(frozen=True, slots=True)
class PullAnswered:
    """The answer to the `SendPull` of this number; one to an older pull is dropped."""

    number: int
    answer: PullAnswer


@dataclass(frozen=True, slots=True)
class PullFailed:
    """No answer came to this pull. `lasting`: trying again soon will not help (a refused token, say)."""

    number: int
    message: str
    lasting: bool = False


@dataclass(frozen=True, slots=True)
class ReportAnswered:
    """The answer to the report of this number."""

    number: int
    answer: ReportAnswer


@dataclass(frozen=True, slots=True)
class ReportFailed:
    """No answer came to this report; the server may have taken it in nevertheless."""

    number: int
    message: str
    lasting: bool = False


@dataclass(frozen=True, slots=True)
class EngineStates:
    """What the engine answered. `number` is that of the `Observe` asked for, 0 for what nobody asked for.

    That the engine has no such attempt is believed only where the question came after the doubt.
    """

    states: tuple[EngineState, ...]
    number: int = 0


@dataclass(frozen=True, slots=True)
class SubmitAnswered:
    """The engine's definite answers to a `Submit`."""

    outcomes: tuple[SubmitOutcome, ...]


@dataclass(frozen=True, slots=True)
class SubmitUnknown:
    """The engine gave no answer to a `Submit`: any of these may or may not have arrived."""

    attempts: tuple[str, ...]
    message: str = ""


@dataclass(frozen=True, slots=True)
class EngineUnreachable:
    """The engine gave no answer to an `Observe`, `Cancel`, `Withdraw`, `Describe` or `Forget`."""

    message: str


@dataclass(frozen=True, slots=True)
class Described:
    """What the engine says of its pools, and every attempt of Weir's that lives in it."""

    pools: tuple[PoolObservation, ...]
    live: frozenset[str]


@dataclass(frozen=True, slots=True)
class Fetched:
    """Fetching inputs came to an end: all there (`problem` empty), failed for good, or worth another try."""

    attempt: str
    problem: str = ""
    again: bool = False


@dataclass(frozen=True, slots=True)
class Collected:
    """Logs and outputs are taken over (`problem` empty), cannot be for good, or should be tried again."""

    attempt: str
    outputs: tuple[OutputFile, ...] = ()
    chunks: tuple[LogChunk, ...] = ()
    dropped_log_bytes: int = 0
    problem: str = ""
    again: bool = False
    resumed_ms: int | None = None


@dataclass(frozen=True, slots=True)
class LogsSent:
    """A followed log was sent up to `offset`. `failed`: nothing arrived this time."""

    attempt: str
    task: int
    stream: str
    offset: int
    failed: bool = False


@dataclass(frozen=True, slots=True)
class Forgotten:
    """Nothing is left of these at the engine and in the folder."""

    attempts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LocalOrder:
    """The centre's operator orders something on the spot; `number` is its place in the record."""

    order: Order
    number: int


Input = (
    Started
    | Tick
    | PullAnswered
    | PullFailed
    | ReportAnswered
    | ReportFailed
    | EngineStates
    | SubmitAnswered
    | SubmitUnknown
    | EngineUnreachable
    | Described
    | Fetched
    | Collected
    | LogsSent
    | Forgotten
    | LocalOrder
)

__all__ = [
    "Collected",
    "Described",
    "EngineStates",
    "EngineUnreachable",
    "Fetched",
    "Forgotten",
    "Input",
    "LocalOrder",
    "LogsSent",
    "PullAnswered",
    "PullFailed",
    "ReportAnswered",
    "ReportFailed",
    "Started",
    "SubmitAnswered",
    "SubmitUnknown",
    "Tick",
]
