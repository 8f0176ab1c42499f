"""The control cycle with a deep queue: 100 changes in, a plan applied and committed."""

import time
from collections.abc import Sequence

from bench.figure import Figure, median, percentile
from bench.loaded_store import ACTOR, loaded_store, small_jobs
from weir.control import orders
from weir.scheduling import warm_up

QUEUED = 100_000
CYCLES = 15
CHANGES = 100


def measure(seed: int) -> Sequence[Figure]:
    """Each cycle takes in 50 new jobs and 50 cancelled ones; the queue stays as deep as it was."""
    warm_up()
    took = []
    with loaded_store(QUEUED, seed) as loaded:
        control = loaded.control()
        while control.step(loaded.now_ms).again:
            pass
        for cycle in range(CYCLES + 2):
            made = loaded.submit(small_jobs(CHANGES, loaded.generator))
            control.step(loaded.now_ms)
            gone = made[: CHANGES // 2]
            loaded.submit(small_jobs(CHANGES // 2, loaded.generator))
            for job in gone:
                loaded.store.write(lambda tx, job=job: orders.cancel(tx, ACTOR, job, loaded.now_ms))  # type: ignore[misc]
            began = time.perf_counter()
            outcome = control.step(loaded.now_ms)
            if cycle >= 2:
                took.append((time.perf_counter() - began) * 1_000)
            if outcome.queued < QUEUED:
                raise RuntimeError(f"only {outcome.queued} jobs are queued")
    how = f"{CHANGES} changes on {QUEUED} queued jobs, 34 full pools, read to committed; {CYCLES} cycles"
    return [
        Figure("control cycle, median", median(took), "ms", how),
        Figure("control cycle, p90", percentile(took, 0.9), "ms", how),
    ]
