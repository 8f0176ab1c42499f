"""Gavel's jobs and traces, on throughputs made up here."""

import gzip
import json
from pathlib import Path

import pytest

from weir.model.problem import ProblemError
from weir.twin.rounds import POLICIES, Case, simulate
from weir.twin.rounds.gavel import KINDS, MODELS, Rates, generated, read_rates, read_trace

SIZES = (1, 2, 4, 8)


@pytest.fixture
def document() -> dict[str, dict[str, dict[str, float]]]:
    speed = {"v100": 4.0, "p100": 2.0, "k80": 1.0}
    return {
        kind: {str((model, size)): {"null": speed[kind] * size} for model in MODELS for size in SIZES}
        for kind in KINDS
    }


@pytest.fixture
def rates(document: dict[str, object], tmp_path: Path) -> Rates:
    path = tmp_path / "throughputs.json"
    path.write_text(json.dumps(document))
    return read_rates(path)


def test_throughputs_are_read_plain_and_packed(
    document: dict[str, object], rates: Rates, tmp_path: Path
) -> None:
    packed = tmp_path / "throughputs.json.gz"
    packed.write_bytes(gzip.compress(json.dumps(document).encode()))
    assert rates == read_rates(packed)
    assert (8.0, 4.0, 2.0) == rates["A3C", 2]


def test_throughputs_without_a_kind_are_refused(document: dict[str, object], tmp_path: Path) -> None:
    del document["k80"]
    path = tmp_path / "throughputs.json"
    path.write_text(json.dumps(document))
    with pytest.raises(ProblemError, match="without k80"):
        read_rates(path)


JOBS_OF_SEED_0 = [
    ("ResNet-18 (batch size 64) x8", 18.9845),
    ("Transformer (batch size 16) x1", 8.6157),
    ("Recommendation (batch size 2048) x1", 0.5963),
]


def test_jobs_of_a_seed_are_the_peers_own(rates: Rates) -> None:
    # As its generator draws them with seed 0: model, devices, and hours on V100 (by its simulator, run beside this).
    case = generated(rates, 3, 0)
    seen = [
        (case.profiles[profile], round(float(case.fastest[job]) / 3_600, 4))
        for job, profile in enumerate(case.profile)
    ]
    assert JOBS_OF_SEED_0 == seen
    assert [0.0, 0.0, 0.0] == case.submit_s.tolist()


def test_jobs_may_come_one_after_the_other(rates: Rates) -> None:
    apart = generated(rates, 2_000, 1, gap_s=100.0, gangs=False)
    assert 200_000 == pytest.approx(apart.submit_s[-1], rel=0.1)
    assert {1} == {int(name.rpartition("x")[2]) for name in apart.profiles}
    sizes = [int(apart_name.rpartition("x")[2]) for apart_name in _models(generated(rates, 2_000, 1))]
    shares = [sizes.count(size) / 2_000 for size in SIZES]
    assert [0.70, 0.10, 0.15, 0.05] == pytest.approx(shares, abs=0.03)


def _models(case: Case) -> list[str]:
    return [case.profiles[profile] for profile in case.profile]


LINE = "A3C\tpython3 main.py\trl\t--max-steps\t1\t{steps}\t{devices}\t1\t-1.000000\t{at}"
MSR = "A3C\tcd rl && python3 main.py\t--max-steps\t1\t{steps}\t{at}\t{devices}"


@pytest.mark.parametrize("line", [LINE, MSR], ids=["ten columns", "seven columns"])
def test_traces_of_both_shapes_are_read(line: str, rates: Rates, tmp_path: Path) -> None:
    path = tmp_path / "two.trace"
    rows = [line.format(steps=400, devices=1, at=9.5), line.format(steps=800, devices=2, at=0)]
    path.write_text("\n".join(rows) + "\n")
    case = read_trace(path, rates, (2, 2, 2))
    assert [0.0, 9.5] == case.submit_s.tolist()
    assert [800.0, 400.0] == case.work.tolist()
    # Both on V100, 800 steps at 8 a second and 400 at 4; the second is seen when the first round has ended.
    assert [100.0, 190.5] == simulate(case, POLICIES["fifo"], validate=True).completion_s.tolist()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("A3C\t1\t2", "3 columns"),
        (LINE.format(steps="many", devices=1, at=0), "many"),
        (LINE.format(steps=1, devices=3, at=0), "no throughput of A3C on 3 devices"),
    ],
)
def test_a_bad_line_is_named(line: str, words: str, rates: Rates, tmp_path: Path) -> None:
    path = tmp_path / "bad.trace"
    path.write_text(LINE.format(steps=1, devices=1, at=0) + "\n" + line + "\n")
    with pytest.raises(ProblemError, match=f"line 2.*{words}"):
        read_trace(path, rates)
