"""How fast the deterministic simulation lives through random histories, with every check that it makes."""

import time
from collections.abc import Sequence

from bench.figure import Figure
from tests.simulation.history import run_history
from weir.scheduling import warm_up

HISTORIES = 20


def measure(seed: int) -> Sequence[Figure]:
    """Histories of usual length, one after another on one core."""
    warm_up()
    steps = 0
    began = time.perf_counter()
    for number in range(HISTORIES):
        steps += run_history(seed * 1_000 + number).steps
    seconds = time.perf_counter() - began
    return [
        Figure(
            "simulation: steps", steps / seconds, "steps/s", f"{HISTORIES} histories with faults, one core"
        )
    ]
