"""How much faster the twin is than simulators that anybody can install from PyPI, on the same jobs in the same run.

`python -m bench peers`. The peers are AccaSim 1.1.3 (MIT; FIFO and EASY; its last release is of 2021) and SimPy 4.1.2
(MIT, maintained), whose first-come-first-served `Container` is a machine under `fcfs`. They run in an environment of
their own, made in a temporary folder, or in the one whose Python WEIR_PEERS names; Weir never imports them.

The jobs are Lublin and Feitelson's at a load that leaves queues short, which favours the peers. Everybody reads the
same SWF file, and the time to read it counts for everybody. Beside each ratio stands how many jobs start at the same
second as under Weir's policy of that name: ratios to a program that does something else would say little. AccaSim's
EASY keeps no nodes for the first that waits, so what it backfills may delay it.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from bench.figure import Figure, median
from bench.logs import generated
from weir.scheduling import warm_up
from weir.twin.province import single_pool
from weir.twin.run import run
from weir.twin.traces import read_trace
from weir.twin.workload import Workload

PINNED = ("accasim==1.1.3", "simpy==4.1.2")
JOBS, PROCESSORS, LOAD = 4_000, 256, 0.7
ROUNDS = 5
PEERS = (
    ("AccaSim's FIFO", "accasim-fifo", "fcfs"),
    ("AccaSim's EASY", "accasim-easy", "easy"),
    ("SimPy's FCFS", "simpy", "fcfs"),
)
"""In words, as bench/peers_child.py knows it, and Weir's policy of that kind."""
_CHILD = Path(__file__).parent / "peers_child.py"


def measure(seed: int) -> Sequence[Figure]:
    """Every peer once, Weir's run as the median of some."""
    warm_up()
    work = generated(seed, JOBS, PROCESSORS, LOAD).work
    with tempfile.TemporaryDirectory(prefix="weir-peers-") as name, peers_python(Path(name)) as python:
        log = Path(name) / "jobs.swf"
        log.write_text(as_swf(work), encoding="ascii")
        return [
            figure
            for words, peer, policy in PEERS
            for figure in _compared(words, asked(python, peer, log), log, policy)
        ]


@contextmanager
def peers_python(folder: Path) -> Iterator[Path]:
    """A Python that has the peers. Raises RuntimeError when they cannot be installed."""
    own = os.environ.get("WEIR_PEERS")
    if own:
        yield Path(own)
        return
    place = folder / "environment"
    python = place / "bin" / "python"
    for command in (
        [sys.executable, "-m", "venv", str(place)],
        [str(python), "-m", "pip", "install", "--quiet", *PINNED],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            said = (done.stderr.strip().splitlines() or ["no reason"])[-1]
            raise RuntimeError(
                f"peers could not be installed ({said}); WEIR_PEERS may name a Python that has them"
            )
    yield python


def asked(python: Path, peer: str, log: Path) -> tuple[float, np.ndarray]:
    """(seconds, start of each job in seconds by its number from 1) of a peer. Raises RuntimeError when it fails."""
    done = subprocess.run(
        [str(python), str(_CHILD), peer, str(log), str(PROCESSORS)],
        capture_output=True, text=True, check=False, cwd=log.parent,
    )  # fmt: skip
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["no reason"])[-1]
        raise RuntimeError(f"{peer} ended with {done.returncode}: {said}")
    answer = json.loads(done.stdout.splitlines()[-1])
    return float(answer["seconds"]), np.array(answer["starts"], np.int64)


def as_swf(work: Workload) -> str:
    """The jobs in whole seconds; each runs as long as it may, since not every peer tells the two apart."""
    lines = [f"; MaxProcs: {PROCESSORS}", "; UnixStartTime: 0"]
    columns = (work.submit_ms // 1_000, -(-work.run_ms // 1_000), work.size)
    for number, (submit, seconds, size) in enumerate(
        zip(*(each.tolist() for each in columns), strict=True), 1
    ):
        lines.append(f"{number} {submit} -1 {seconds} {size} -1 -1 {size} {seconds} -1 1 1 1 1 1 1 -1 -1")
    return "\n".join(lines) + "\n"


def _compared(words: str, theirs: tuple[float, np.ndarray], log: Path, policy: str) -> Iterator[Figure]:
    seconds, starts = theirs
    pool = [single_pool(PROCESSORS)]
    walls = []
    ours = np.empty(0, np.int64)
    for _ in range(ROUNDS):
        began = time.perf_counter()
        outcome = run(read_trace(log), pool, policy=policy)
        walls.append(time.perf_counter() - began)
        ours = outcome.start_ms // 1_000
    own = median(walls)
    same = 100 * float((ours == starts).mean())
    how = (
        f"{JOBS:,} jobs on {PROCESSORS} processors at {LOAD}, reading included: {JOBS / own:,.0f} against "
        f"{JOBS / seconds:,.0f} jobs/s"
    )
    yield Figure(f"peers: times {words}", seconds / own, "times", how)
    yield Figure(f"peers: same starts as {words}", same, "%", f"to the second, under {policy}")


__all__ = ["JOBS", "PEERS", "as_swf", "asked", "measure", "peers_python"]
