"""Gavel's and Sia's experiments on the real inputs, in the folder that WEIR_TRACES names."""

import os
import tarfile
from pathlib import Path

import numpy as np
import pytest

from tests.unit.twin.rounds.cases import made_up_speeds
from weir.twin.rounds import POLICIES, simulate
from weir.twin.rounds.gavel import Rates, generated, read_rates, read_trace
from weir.twin.rounds.sia import EPOCHS, read_case

GPU = Path(os.environ["WEIR_TRACES"]) / "gpu"


@pytest.fixture(scope="module")
def rates() -> Rates:
    return read_rates(GPU / "gavel-simulation_throughputs.json.gz")


@pytest.mark.parametrize(("count", "published_h"), [(100, 161.164), (300, 161.164), (500, 169.422)])
def test_gavels_published_makespans(count: int, published_h: float, rates: Rates) -> None:
    ours = [simulate(generated(rates, count, seed), POLICIES["min-makespan"]).makespan_s for seed in range(3)]
    assert published_h == pytest.approx(np.mean(ours) / 3_600, rel=0.02)


@pytest.mark.parametrize(("seed", "measured_h"), [(0, 24.12), (1, 28.80), (2, 29.69)])
def test_gavels_max_min_and_weir_below_it(seed: int, measured_h: float, rates: Rates) -> None:
    # Measured: max_min_fairness_perf in the peer's own simulator, 300 jobs at time 0.
    case = generated(rates, 300, seed)
    fair = simulate(case, POLICIES["max-min"], validate=True).completion_s.mean() / 3_600
    assert measured_h == pytest.approx(fair, rel=0.06)
    ours = simulate(case, POLICIES["weir-given"], validate=True)
    assert ours.completion_s.mean() / 3_600 < 0.95 * min(measured_h, fair)
    assert ours.moves.mean() < 15


@pytest.mark.parametrize(
    "trace", ["physical_cluster/small_test", "physical_cluster/max_min_fairness", "msr/seed=0/795a4c"]
)
def test_gavels_traces_run_to_their_end(trace: str, rates: Rates, tmp_path: Path) -> None:
    with tarfile.open(GPU / "gavel-traces.tar.gz") as archive:
        archive.extract(f"{trace}.trace", tmp_path, filter="data")
    case = read_trace(tmp_path / f"{trace}.trace", rates)
    outcome = simulate(case, POLICIES["weir"], validate=True)
    assert (outcome.completion_s >= case.fastest - 1).all()


@pytest.mark.parametrize("folder", ["saturn", "philly", "newtrace"])
def test_sias_workloads_run_to_their_end(folder: str, tmp_path: Path) -> None:
    # The measured speeds are not among the traces, so these are made up; the jobs are the real ones.
    with tarfile.open(GPU / "sia-workloads.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    files = sorted((tmp_path / folder).glob("*.csv"))
    assert len(files) == (8 if folder == "philly" else 10)
    speeds = made_up_speeds(tmp_path / "speeds", EPOCHS)
    case = read_case(files[0], speeds)
    outcome = simulate(case, POLICIES["weir"], validate=True)
    assert len(case) == (960 if folder == "newtrace" else 160)
    assert (outcome.end_s > case.submit_s).all()
