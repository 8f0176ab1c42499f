"""Rounds against Gavel and Sia: mean completion times under each peer's own rule, job by job.

`rounds_peers.csv.gz` beside this file holds when each job was done in the peers' own simulators (Gavel at c4fa40097339
with ECOS, `simulate` with every job at time 0, one device a server; Sia at aaf7a0de7b6c as its run_experiment.sh says,
with HiGHS in place of CBC): peer, policy, case, job, completion_s; empty where Gavel gave a job up. WEIR_TRACES names
the folder of traces. WEIR_SIA_SPEEDS names `sia-simulator/traces` of Sia's artifact; without it Sia is left out, as the
measured speeds of its applications are not among the traces.
"""

import csv
import gzip
import os
import tarfile
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from bench.figure import Figure
from weir.twin.comparison import mean_with_interval
from weir.twin.rounds import POLICIES, Case, simulate
from weir.twin.rounds import sia as sia_experiments
from weir.twin.rounds.gavel import generated, read_rates

PEERS = Path(__file__).parent / "rounds_peers.csv.gz"
COUNTS = (100, 200, 300, 400, 500, 600, 700)
SEEDS = (0, 1, 2)
PUBLISHED_MAKESPAN_H = (161.164, 161.164, 161.164, 161.291, 169.422, 194.994, 244.231)
"""Gavel's makespan policy on 36:36:36 by COUNTS, the mean of its seeds (its makespan.ipynb)."""

SIA_PAIRS = (("sia", "weir", True), ("sia-oracle", "weir", True), ("gavel", "weir-given", False))
"""Their policy, ours, and whether jobs are elastic. `sia-oracle` knows all measured speeds from the start; Gavel's
policy there reads each job's remaining steps, so ours may too."""


def measure(seed: int) -> Sequence[Figure]:
    """Reproduction, comparison and speed; `seed` is the bootstrap's alone, the cases are the peers' own."""
    random = np.random.default_rng(seed)
    peers = _peers()
    return [*_gavel(peers, random), *_sia(peers, random)]


def _gavel(peers: dict[tuple[str, str], dict[str, float]], random: np.random.Generator) -> Iterator[Figure]:
    rates = read_rates(_traces() / "gpu" / "gavel-simulation_throughputs.json.gz")
    cases = {(count, seed): generated(rates, count, seed) for count in COUNTS for seed in SEEDS}
    simulate(cases[100, 0], POLICIES["weir-given"], validate=True)

    ratios = []
    for count, published in zip(COUNTS, PUBLISHED_MAKESPAN_H, strict=True):
        ours = [simulate(cases[count, seed], POLICIES["min-makespan"]).makespan_s for seed in SEEDS]
        ratios.append(float(np.mean(ours)) / 3_600 / published)
    yield Figure(
        "rounds: Gavel's makespans",
        max(ratios),
        "of published",
        "min-makespan, 100 to 700 jobs on 36:36:36, mean of seeds 0 to 2; by size "
        + ", ".join(f"{ratio:.3f}" for ratio in ratios),
    )
    began = time.perf_counter()
    done = {key: simulate(case, POLICIES["weir-given"]).completion_s for key, case in cases.items()}
    seconds = time.perf_counter() - began
    yield Figure(
        "rounds: Gavel's jobs simulated",
        sum(len(case) for case in cases.values()) / seconds,
        "jobs/s",
        f"weir-given, {len(cases)} cases of up to 240 days in {seconds:.1f} s",
    )
    for policy in ("max-min", "min-makespan"):
        pairs = {}
        for key, case in cases.items():
            theirs = peers.get((policy, case.name))
            if theirs is not None:
                pairs[key] = (done[key], np.array([theirs.get(job, np.nan) for job in case.jobs]))
        yield _paired(f"rounds: mean JCT over Gavel's {policy}", list(pairs.values()), random)


def _sia(peers: dict[tuple[str, str], dict[str, float]], random: np.random.Generator) -> Iterator[Figure]:
    speeds = os.environ.get("WEIR_SIA_SPEEDS")
    if not speeds:
        return
    with tempfile.TemporaryDirectory() as name:
        with tarfile.open(_traces() / "gpu" / "sia-workloads.tar.gz") as archive:
            archive.extractall(name, filter="data")
        files = sorted(Path(name).glob("saturn/workload-*.csv"))
        for policy, ours, elastic in SIA_PAIRS:
            pairs = []
            for file in files:
                case: Case = sia_experiments.read_case(file, Path(speeds), elastic=elastic)
                theirs = peers.get((policy, case.name))
                if theirs is not None:
                    done = simulate(case, POLICIES[ours], validate=True).completion_s
                    pairs.append((done, np.array([theirs[job] for job in case.jobs])))
            yield _paired(f"rounds: mean JCT over {policy} in Sia's simulator", pairs, random)


def _paired(name: str, pairs: list[tuple[np.ndarray, np.ndarray]], random: np.random.Generator) -> Figure:
    ours = np.concatenate([pair[0] for pair in pairs])
    theirs = np.concatenate([pair[1] for pair in pairs])
    both = ~np.isnan(theirs)
    mean, low, high = mean_with_interval(ours[both] - theirs[both], random)
    return Figure(
        name,
        float(ours[both].mean() / theirs[both].mean()),
        "of theirs",
        f"{ours[both].mean():.0f} s against {theirs[both].mean():.0f} s over {int(both.sum())} jobs of {len(pairs)} "
        f"cases; difference {mean:.0f} s [{low:.0f}, {high:.0f}]",
    )


def _peers() -> dict[tuple[str, str], dict[str, float]]:
    """(policy, case) -> job -> seconds."""
    found: dict[tuple[str, str], dict[str, float]] = {}
    with gzip.open(PEERS, "rt", newline="") as file:
        for row in csv.DictReader(file):
            if row["completion_s"]:
                found.setdefault((row["policy"], row["case"]), {})[row["job"]] = float(row["completion_s"])
    return found


def _traces() -> Path:
    folder = os.environ.get("WEIR_TRACES")
    if not folder:
        raise RuntimeError("WEIR_TRACES names no folder of traces")
    return Path(folder)


if __name__ == "__main__":
    for figure in measure(1):
        print(f"{figure.name}: {figure.value:.3f} {figure.unit} ({figure.how})")
