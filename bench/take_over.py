"""How long a scheduler that takes over needs until its first plan: everything is read from the store's rows."""

import time
from collections.abc import Sequence

from bench.figure import Figure
from bench.loaded_store import loaded_store
from weir.scheduling import warm_up

QUEUED, MILLION = 100_000, 1_000_000


def measure(seed: int) -> Sequence[Figure]:
    """A new leader over 100,000 queued and 544 running jobs: lease, load, first plan."""
    return _measured(seed, QUEUED, "take-over")


def measure_million(seed: int) -> Sequence[Figure]:
    """The same over 1,000,000 queued jobs; storing those first takes minutes."""
    return _measured(seed, MILLION, "take-over: 1,000,000 queued")


def _measured(seed: int, queued: int, name: str) -> Sequence[Figure]:
    warm_up()
    with loaded_store(queued, seed) as loaded:
        control = loaded.control()
        began = time.perf_counter()
        outcome = control.step(loaded.now_ms)
        seconds = time.perf_counter() - began
        if outcome.queued < queued:
            raise RuntimeError(f"only {outcome.queued} jobs are queued")
    return [
        Figure(name, seconds, "s", f"lease, rows of {queued:,} queued jobs, first plan; compiled code ready")
    ]
