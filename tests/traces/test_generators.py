"""The generators beside real files, in the folder that WEIR_TRACES names."""

import os
from pathlib import Path

import numpy as np
import pytest

from weir.twin.generators.lublin import lublin, offered_load
from weir.twin.generators.offered import province_load
from weir.twin.generators.people import Floats
from weir.twin.generators.province import province_case
from weir.twin.generators.province_parameters import ProvinceParameters
from weir.twin.generators.resample import resample
from weir.twin.traces import read_trace

TRACES = Path(os.environ["WEIR_TRACES"])


@pytest.mark.parametrize("seed", range(5))
def test_the_model_has_the_distributions_of_jobs_that_its_authors_program_made(seed: int) -> None:
    theirs, ours = read_trace(TRACES / "synthetic/lublin_256.swf.gz"), lublin(seed, 10_000, 256)
    # Two samples of 10,000 from one distribution differ by more than 0.027 once in a thousand times.
    assert _distance(theirs.size, ours.size) < 0.027
    assert _distance(theirs.run_ms // 1_000, ours.run_ms // 1_000) < 0.027
    assert _distance(np.diff(theirs.submit_ms // 1_000), np.diff(ours.submit_ms // 1_000)) < 0.03
    wide = [each.run_ms[each.size >= 64].mean() for each in (theirs, ours)]
    assert wide[0] == pytest.approx(wide[1], rel=0.15)


@pytest.mark.parametrize("log", ["KTH-SP2-1996-2.1-cln", "SDSC-SP2-pyss-filtered"])
def test_real_logs_are_resampled_to_another_load_and_machine(log: str) -> None:
    source = read_trace(TRACES / f"hpc/{log}.swf.gz")
    made = resample(source, 1, load=0.9, machine_size=4 * source.machine_size)
    assert 0.9 == pytest.approx(offered_load(made), rel=0.02)
    assert len(made) > 3 * len(source)


def test_a_real_log_fills_a_province() -> None:
    source = read_trace(TRACES / "hpc/KTH-SP2-1996-2.1-cln.swf.gz")
    workload, pools, links = province_case(
        1, 0.85, ProvinceParameters(jobs=20_000, devices=8_000, cpu_nodes=200), source=source
    )
    found = province_load(workload, pools, links)
    assert 0.85 == pytest.approx(found.load, rel=0.02)
    assert 0 == found.nowhere


def _distance(a: np.ndarray, b: np.ndarray) -> float:
    """Kolmogorov and Smirnov's: the largest difference of the two distribution functions."""
    values = np.unique(np.concatenate((a, b)))
    parts: list[Floats] = [np.searchsorted(np.sort(x), values, side="right") / len(x) for x in (a, b)]
    return float(np.abs(parts[0] - parts[1]).max())
