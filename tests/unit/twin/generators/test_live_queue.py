"""The deep queue of the bench: what the issue asks of it, at a size that a test can make."""

import numpy as np
import pytest

from bench.live_queue import LiveQueue, live_queue, some_changes
from weir.scheduling import fits_ever
from weir.scheduling.bounds import check_batches, check_class, check_running
from weir.scheduling.plan import Verdict


@pytest.fixture(scope="module")
def queue() -> LiveQueue:
    return live_queue(20_000, seed=1, classes=400)


def test_it_is_as_wide_as_asked(queue: LiveQueue) -> None:
    assert 20_000 == len(queue)
    assert 400 == len(set(queue.classes)) == len(np.unique(queue.job_class))
    assert 500 == len(np.unique(queue.tenant))
    assert 10_000 == int(np.count_nonzero(queue.array))
    assert len(np.unique(queue.limit_ms)) > 0.99 * len(queue)
    assert len(np.unique(queue.predicted_ms)) > 0.98 * len(queue)
    assert np.all((queue.predicted_ms >= 1_000) & (queue.predicted_ms <= queue.limit_ms))
    assert np.all(queue.submitted_ms <= queue.now_ms)
    centres = {pool.centre for pool in queue.pools}
    assert 34 + 2_000 == len(centres)
    assert sum(centre.startswith("edge-") for centre in centres) == 2_000


def test_elements_of_an_array_are_fellows(queue: LiveQueue) -> None:
    for number in range(1, int(queue.array.max()) + 1):
        elements = np.flatnonzero(queue.array == number)
        assert len(elements)
        for column in (queue.job_class, queue.tenant, queue.priority, queue.submitted_ms):
            assert 1 == len(np.unique(column[elements]))


def test_the_core_takes_all_of_it(queue: LiveQueue) -> None:
    for job_class in queue.classes:
        check_class(job_class)
    check_batches(queue.batches())
    for job in queue.running:
        check_running(job)
    assert 20_000 == sum(len(batch.job) for batch in queue.batches())
    numbers = {job.job for job in queue.running} | set(queue.job.tolist())
    assert len(numbers) == len(queue.running) + len(queue)


def test_nearly_all_nodes_are_taken_once(queue: LiveQueue) -> None:
    nodes = {pool.key: pool.nodes for pool in queue.pools}
    taken = [(job.pool, node) for job in queue.running for node, _ in job.nodes]
    assert len(taken) == len(set(taken))
    assert all(node < nodes[pool] for pool, node in taken)
    assert 0.95 < len(taken) / sum(nodes.values()) < 1.0
    assert all(job.placed_ms + job.time_limit_ms > queue.now_ms for job in queue.running)


def test_most_classes_fit_somewhere(queue: LiveQueue) -> None:
    fits = [
        any(reason.verdict is Verdict.FITS for reason in fits_ever(queue.pools, queue.links, job_class))
        for job_class in queue.classes[:60]
    ]
    assert sum(fits) > 45


def test_each_job_can_have_a_class_of_its_own() -> None:
    queue = live_queue(3_000, seed=2, classes=3_000, edge_pools=50)
    assert 3_000 == len(set(queue.classes)) == len(np.unique(queue.job_class))


def test_it_is_made_again_from_its_seed() -> None:
    first, again, other = (live_queue(1_000, seed=seed, classes=100, edge_pools=20) for seed in (3, 3, 4))
    assert first.pools == again.pools
    assert first.classes == again.classes
    assert first.running == again.running
    assert np.array_equal(first.limit_ms, again.limit_ms)
    assert first.classes != other.classes


def test_some_changes_are_ends_and_new_jobs(queue: LiveQueue) -> None:
    changes = some_changes(queue, 1)
    running = {job.job for job in queue.running}
    fresh = np.concatenate([batch.job for batch in changes.queued])
    assert (50, 50) == (len(changes.freed), len(fresh))
    assert set(changes.freed) <= running
    assert not set(fresh.tolist()) & (running | set(queue.job.tolist()))
    assert changes.freed != some_changes(queue, 2).freed
