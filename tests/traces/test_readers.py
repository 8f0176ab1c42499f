"""The readers on the real files, in the folder that WEIR_TRACES names: known counts, and each column by other means."""

import csv
import gzip
import os
from pathlib import Path

import numpy as np
import pytest

from weir.twin.traces import read_trace
from weir.twin.traces.openb import read_nodes
from weir.twin.traces.source import located, members

TRACES = Path(os.environ["WEIR_TRACES"])

LOGS = (
    ("hpc/KTH-SP2-1996-2.1-cln.swf.gz", 100, 28_476, 28_467, 475, 214),
    ("hpc/SDSC-SP2-pyss-filtered.swf.gz", 128, 54_006, 54_006, 0, 428),
    ("hpc/HPC2N-2002-2.1-cln.swf.gz", 240, 202_876, 202_876, 14_817, 257),
    ("hpc/CTC-SP2-pyss-filtered.swf.gz", 338, 77_199, 77_199, 0, 679),
    ("hpc/SDSC-BLUE-2000-4.2-cln.swf.gz", 1_152, 243_306, 232_536, 23_434, None),
    ("hpc/RICC-2010-2.swf.gz", 8_192, 447_794, 447_784, 7_092, 176),
    ("hpc/LCG-2005-1.swf.gz", 24_515, 188_041, 187_520, 0, 216),
    ("hpc/CEA-Curie-2011-2.1-cln.swf.gz", 93_312, 312_826, 295_540, 5_416, None),
    ("hpc/wagap-2013.swf.gz", 0, 17_900, 17_898, 702, 75),
    ("synthetic/lublin_256.swf.gz", 256, 10_000, 10_000, 0, 1),
)
"""(log, processors, jobs in the file, usable, cut at the limit, users of usable jobs)."""


@pytest.mark.parametrize(("log", "machine", "jobs", "usable", "cut", "users"), LOGS)
def test_logs(log: str, machine: int, jobs: int, usable: int, cut: int, users: int | None) -> None:
    workload = read_trace(TRACES / log)
    dropped = dict(workload.dropped)
    assert (usable, machine) == (len(workload), workload.machine_size)
    assert jobs == usable + sum(count for rule, count in workload.dropped if rule != "cut at the limit")
    assert (cut, 0) == (dropped["cut at the limit"], dropped["bad line"])
    assert users in (None, len(workload.users))
    assert workload.has_estimates == ("lublin" not in log)

    # The same by Python's own means.
    expected = []
    with gzip.open(TRACES / log, "rt", encoding="ascii", errors="replace") as file:
        for line in file:
            words = line.split()
            if words and words[0][0] != ";":
                job, submit, _, run, got, _, _, asked, limit, *_ = (float(word) for word in words[:18])
                size = asked if asked > 0 else got
                if run > 0 and 0 < size <= (machine or np.inf):
                    limit = limit if limit > 0 else run
                    who = (words[11], words[12])
                    expected.append((submit, job, min(run, limit), limit, size, *who))
    expected.sort(key=lambda row: row[0])
    for place, column in enumerate(
        (workload.submit_ms, workload.job, workload.run_ms, workload.limit_ms, workload.size)
    ):
        scale = 1_000 if place in (0, 2, 3) else 1
        assert np.array_equal(np.array([row[place] for row in expected]) * scale, column)
    sizes = np.array([each.tasks for each in workload.classes])
    assert np.array_equal(sizes[workload.job_class], workload.size)
    for place, indexes, names in ((5, workload.user, workload.users), (6, workload.group, workload.groups)):
        said = [name if int(name) >= 0 else "unknown" for name in (str(row[place]) for row in expected)]
        assert said == [names[each] for each in indexes]


@pytest.mark.parametrize(
    ("oracle", "log", "first"),
    [
        ("kth", "hpc/KTH-SP2-1996-2.1-cln.swf.gz", None),
        ("kth_10k", "hpc/KTH-SP2-1996-2.1-cln.swf.gz", 10_000),
        ("sdscsp2", "hpc/SDSC-SP2-pyss-filtered.swf.gz", None),
        ("ctcsp2", "hpc/CTC-SP2-pyss-filtered.swf.gz", None),
        ("hpc2n_10k", "hpc/HPC2N-2002-2.1-cln.swf.gz", 10_000),
        ("lublin256", "synthetic/lublin_256.swf.gz", None),
    ],
)
def test_the_jobs_that_the_oracles_ran(oracle: str, log: str, first: int | None) -> None:
    with gzip.open(TRACES / f"reference/oracle-{oracle}.csv.gz", "rt") as file:
        rows = list(csv.DictReader(file))
    workload = read_trace(TRACES / log, limit=first)
    assert len(rows) == len(workload)
    # Oracles count from the first job's submission, and two of them order what was submitted at once in another way.
    first_s = workload.submit_ms[0] // 1_000
    columns = (
        workload.submit_ms // 1_000 - first_s,
        workload.run_ms // 1_000,
        workload.size,
        workload.limit_ms // 1_000,
    )
    expected = [tuple(int(row[name]) for name in ("submit", "run", "procs", "requested")) for row in rows]
    since = expected[0][0]
    assert sorted((submit - since, *more) for submit, *more in expected) == sorted(
        zip(*(column.tolist() for column in columns), strict=True)
    )


def test_philly() -> None:
    workload = read_trace(TRACES / "gpu/philly-sia.csv.gz")
    assert (82_247, 15, 128) == (len(workload), len(workload.groups), workload.size.max())
    gpu_hours = (workload.run_ms * workload.size).sum() / 3_600_000
    assert 978_078 == int(gpu_hours)
    assert 13_136 == round(workload.run_ms.mean() / 1_000)
    tasks = np.array([each.tasks * each.devices_milli for each in workload.classes])
    assert np.array_equal(tasks[workload.job_class], 1_000 * workload.size)


def test_openb() -> None:
    workload = read_trace(TRACES / "gpu/openb_pod_list_default.csv.gz")
    assert (8_151, 6_212) == (len(workload), workload.machine_size)
    assert {"run time not positive": 1} == {rule: count for rule, count in workload.dropped if count}
    nodes = read_nodes(located(TRACES / "gpu/openb_node_list_gpu_node.csv.gz"))
    assert (1_213, 6_212) == (
        sum(each.nodes for each in nodes),
        sum(each.nodes * each.devices for each in nodes),
    )
    assert 1_523 == sum(
        each.nodes for each in read_nodes(located(TRACES / "gpu/openb_node_list_all_node.csv.gz"))
    )


def test_gaia() -> None:
    workload = read_trace(TRACES / "gpu/gaia-pai_1k.csv.gz")
    assert (1_000, 4) == (len(workload), workload.size.max())
    assert workload.submit_ms.max() < 7 * 86_400_000


def test_every_workload_of_sia() -> None:
    archive = TRACES / "gpu/sia-workloads.tar.gz"
    counts = {name: len(read_trace(archive / name)) for name in members(located(archive))}
    assert 28 == len(counts)
    assert {"saturn": {160}, "philly": {160}, "newtrace": {960}} == {
        kind: {count for name, count in counts.items() if name.startswith(kind)}
        for kind in ("saturn", "philly", "newtrace")
    }


def test_every_trace_of_gavel() -> None:
    archive = TRACES / "gpu/gavel-traces.tar.gz"
    counts = {name: len(read_trace(archive / name)) for name in members(located(archive))}
    assert 23 == len(counts)
    assert 96 == counts["physical_cluster/max_min_fairness.trace"]
    assert 100 == counts["physical_cluster/minimize_makespan.trace"]
    assert 1_181 == counts["msr/seed=0/0e4a51.trace"]
