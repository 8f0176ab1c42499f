"""Small workloads for one pool of whole nodes and for provinces, made by hand or drawn by Hypothesis."""

from collections.abc import Sequence

import numpy as np
from hypothesis import strategies as st

from tests.unit.scheduling.provinces import pool
from weir.scheduling import SimulatedJobs
from weir.scheduling.inputs import JobClass, PoolRow
from weir.scheduling.simulated import Expected

Row = tuple[int, int, int, int, int]
"""Submitted, run, limit: seconds; nodes, or the index of a class; user."""


def machine(nodes: int, key: str = "hefei/a") -> PoolRow:
    """A pool of so many nodes with one core each."""
    return pool(key, nodes=nodes, devices_per_node=0, cores_milli_per_node=1_000, memory_bytes_per_node=0)


def whole_nodes(tasks: int) -> JobClass:
    """A class that takes so many nodes of a `machine`."""
    return JobClass(tasks=tasks, devices_milli=0, cores_milli=1_000, memory_bytes=0)


def jobs(rows: Sequence[Row], classes: Sequence[JobClass] | None = None) -> SimulatedJobs:
    """The rows in order of submission. Without classes, each says how many nodes of a machine it takes."""
    ordered = sorted(rows, key=lambda row: row[0])
    table = np.array(ordered, np.int64).reshape(len(ordered), 5)
    submitted, run, limit, need, user = (np.ascontiguousarray(column) for column in table.T)
    if classes is None:
        sizes, need = np.unique(need, return_inverse=True)
        classes = [whole_nodes(int(size)) for size in sizes]
    nobody = np.zeros(len(ordered), np.int64)
    return SimulatedJobs(
        submitted_ms=submitted * 1_000,
        run_ms=run * 1_000,
        limit_ms=limit * 1_000,
        job_class=need.astype(np.int64),
        classes=tuple(classes),
        tenant=nobody,
        user=user,
        group=nobody,
        priority=nobody,
    )


def sizes_of(workload: SimulatedJobs) -> list[int]:
    """How many nodes of a machine each job takes."""
    return [workload.classes[each].tasks for each in workload.job_class.tolist()]


@st.composite
def rows(draw: st.DrawFn, widest: int, most: int = 40) -> list[Row]:
    """Jobs that often come together, of few different run times, so that much happens at the same second."""
    scale = draw(st.sampled_from((1, 1, 600, 7_200)))
    times = st.one_of(st.sampled_from((1, 2, 5)), st.integers(1, 40))
    drawn = draw(
        st.lists(
            st.tuples(
                st.one_of(st.just(0), st.integers(0, 12)),
                times,
                st.one_of(st.just(0), times),
                st.one_of(st.just(1), st.integers(1, widest)),
                st.integers(0, 3),
            ),
            max_size=most,
        )
    )
    now, made = 0, list[Row]()
    for gap, run, slack, need, user in drawn:
        now += gap * scale
        made.append((now, run * scale, (run + slack) * scale, need, user))
    return made


def crowd(seed: int, count: int, widest: int) -> list[Row]:
    """Many jobs that come faster than they run, so that the queue is long; most are small."""
    random = np.random.default_rng(seed)
    submitted = np.cumsum(random.integers(0, 4, count))
    run = random.integers(1, 60, count)
    limit = run + random.integers(0, 2, count) * random.integers(1, 200, count)
    need = np.maximum(1, widest // random.integers(1, 4 * widest, count))
    user = random.integers(0, 6, count)
    return list(zip(*(column.tolist() for column in (submitted, run, limit, need, user)), strict=True))


EXPECTED = (Expected.ESTIMATE, Expected.PREDICTION)
