"""How long a scheduler that takes over needs until its first plan: everything is read from the store's rows."""

import time
from collections.abc import Sequence

from bench.figure import Figure
from bench.loaded_store import loaded_store
from weir.scheduling import warm_up

QUEUED = 100_000


def measure(seed: int) -> Sequence[Figure]:
    """A new leader over 100,000 queued and 544 running jobs: lease, load, first plan."""
    warm_up()
    with loaded_store(QUEUED, seed) as loaded:
        control = loaded.control()
        began = time.perf_counter()
        outcome = control.step(loaded.now_ms)
        seconds = time.perf_counter() - began
        if outcome.queued < QUEUED:
            raise RuntimeError(f"only {outcome.queued} jobs are queued")
    return [
        Figure(
            "take-over", seconds, "s", f"lease, rows of {QUEUED} queued jobs, first plan; compiled code ready"
        )
    ]
