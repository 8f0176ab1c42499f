"""New histories for as long as there is time: what one process does of it."""

import time
from dataclasses import dataclass, field

from tests.simulation.history import HistoryResult, run_history
from tests.simulation.world import HistoryError
from weir import scheduling

MOST_FAILURES = 5
"""One process stops after so many."""


@dataclass(slots=True)
class Tally:
    """What one worker has lived through."""

    histories: int = 0
    steps: int = 0
    jobs: int = 0
    attempts: int = 0
    restores: int = 0
    virtual_ms: int = 0
    busy_s: float = 0.0
    failures: list[HistoryError] = field(default_factory=list)

    def add(self, result: HistoryResult) -> None:
        """Count one more."""
        self.histories += 1
        for name in ("steps", "jobs", "attempts", "restores", "virtual_ms"):
            setattr(self, name, getattr(self, name) + getattr(result, name))


def live_through(first: int, stride: int, seconds: float, steps: int) -> Tally:
    """Every `stride`th seed from `first` on, until the time is over or too much has gone wrong."""
    scheduling.warm_up()
    tally = Tally()
    began = time.monotonic()
    seed = first
    while time.monotonic() - began < seconds and len(tally.failures) < MOST_FAILURES:
        try:
            tally.add(run_history(seed, steps))
        except HistoryError as error:
            tally.histories += 1
            tally.failures.append(error)
        seed += stride
    tally.busy_s = time.monotonic() - began
    return tally


__all__ = ["Tally", "live_through"]
