"""First come, first served; each job keeps its devices to its end."""

from weir.scheduling.compilation import kernel_of
from weir.twin.rounds.case import Case, Int64s
from weir.twin.rounds.policies.shared_time import rigid_options
from weir.twin.rounds.simulation import State


class Fifo:
    """In order of submission, each on the kind where it is fastest of those with room; none overtakes.

    The first that finds no room waits, and all behind it. Nothing is preempted.
    """

    name = "fifo"

    def __init__(self, case: Case) -> None:
        self._case = case
        self._rate, self._option, self._devices = rigid_options(case)

    def decide(self, state: State) -> Int64s:
        """The option of each active job."""
        chosen: Int64s = kernel_of("twin", "rounds").first_come(
            state.active, state.option, self._rate, self._option, self._devices, self._case.capacity,
            self._case.option_kind,
        )  # fmt: skip
        return chosen


__all__ = ["Fifo"]
