"""What the driver keeps of one attempt."""

from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

from weir.engines.driver import AttemptOrder, EngineEnd, EngineState
from weir.model.state import Observed

__all__ = ["Phase", "Tracked"]


class Phase(IntEnum):
    """How far an attempt has come at Slurm. Kept durably; a move to SENDING is on disk before Slurm hears of it."""

    HELD_BACK = 0
    """Accepted; Slurm has certainly not heard of it."""
    SENDING = 1
    """Slurm may have it: it is searched for by its comment until that is known."""
    SENT = 2
    """Slurm has it under a known number."""
    ENDED = 3


@dataclass(slots=True)
class Tracked:
    """One attempt, as recorded and as it was last seen."""

    attempt: str
    pool: str
    folder: Path
    user: str
    uid: int
    phase: Phase
    state: EngineState
    order: AttemptOrder | None = None
    """Needed until it is sent; None for one that was found in Slurm and is in no record."""
    batch: str = ""
    """What the job's comment names: the attempt itself, or the array that it is an element of."""
    element: int | None = None
    """Its place in that array; None where it is a job of its own."""
    job: int = 0
    """The number of the job, or of the array; 0 while it is not known."""
    own: int = 0
    """The number of its own that an element gets when it starts."""
    submitted_s: int = 0
    """When Slurm says that it was submitted: a number is given out again when a controller has lost its state."""
    sent_s: float = 0.0
    """Monotonic: when it was handed over, so that only readings begun later say anything about it;
    infinite while it is under way."""
    again: bool = False
    """It was ordered once more while nobody knew whether Slurm has it: it may be sent a second time."""
    stopping: bool = False
    withdrawing: bool = False
    """Slurm was asked to take it back should it not have started."""
    told_s: float = 0.0
    """Monotonic: when it was told to stop."""
    kill_s: float = 0.0
    """Monotonic: when Slurm is asked to end it roughly."""
    grace_s: float = 10.0
    missing_s: float | None = None
    """Monotonic: since when Slurm does not list it."""
    ended_s: float | None = None
    """Monotonic: since when Slurm lists it as ended, and its record does not say how."""
    asked_s: float = 0.0
    """Monotonic: when accounting was last asked for it."""

    @property
    def ended(self) -> bool:
        return self.phase is Phase.ENDED

    @property
    def number(self) -> str:
        """As Slurm's commands name it."""
        return str(self.job) if self.element is None else f"{self.job}_{self.element}"

    @property
    def at_slurm(self) -> bool:
        return self.phase in (Phase.SENDING, Phase.SENT)

    def waits(self, message: str) -> EngineState:
        """Its state while nothing of it runs."""
        return EngineState(self.attempt, Observed.QUEUED, message=message)

    def end_state(self, end: EngineEnd) -> EngineState:
        started_ms = end.started_ms if end.started_ms is not None else self.state.started_ms
        return EngineState(self.attempt, Observed.ENDED, started_ms, end)
