"""The yardstick of speed does the same work as the core: it starts every job at the same time."""

import numpy as np
import pytest

from bench.logs import generated
from bench.reference_kernel import easy
from weir.scheduling import SimulatedJobs, simulate
from weir.scheduling.policies import NAMED
from weir.twin.province import single_pool


@pytest.mark.parametrize(("seed", "size", "load"), [(1, 64, 0.7), (2, 256, 0.95), (3, 128, 1.3)])
def test_starts_every_job_when_the_core_does(seed: int, size: int, load: float) -> None:
    work = generated(seed, 2_000, size, load).work
    need = np.array([job_class.tasks for job_class in work.classes])[work.job_class]
    nobody = np.zeros(len(work), np.int64)
    jobs = SimulatedJobs(
        work.submit_ms, work.run_ms, work.limit_ms, work.job_class, work.classes, nobody, nobody, nobody, nobody
    )  # fmt: skip
    start = easy(work.submit_ms, work.run_ms, work.limit_ms, need, size)
    assert (start >= work.submit_ms).all()
    assert (start > work.submit_ms).any()
    assert np.array_equal(start, simulate([single_pool(size)], (), jobs, NAMED["easy"]).start_ms)


def test_promises_hold_and_spare_nodes_are_used() -> None:
    # Six of eight nodes run until 100; the first in line takes all of them at 100; what ends by then goes ahead, and
    # what does not waits.
    submit = np.array([0, 1, 2, 3])
    run = np.array([100, 50, 90, 200])
    need = np.array([6, 8, 2, 1])
    assert easy(submit, run, run, need, 8).tolist() == [0, 100, 2, 150]
    # Where the first in line leaves two to spare, one of these is taken for as long as it likes.
    assert easy(submit, run, run, np.array([6, 6, 2, 1]), 8).tolist() == [0, 100, 2, 92]
    assert easy(submit, run, run, np.array([6, 6, 1, 1]), 8).tolist() == [0, 100, 2, 3]
