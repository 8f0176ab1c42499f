"""The folder of a run: what is in it, that it reads back, and that it is never half-written."""

import json
from dataclasses import fields
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from tests.unit.twin.made import column, first_come, outcome, pool, random_work, workload
from weir.model.problem import ProblemError
from weir.twin.metrics import measure, summarise
from weir.twin.results import Results, check_folder, read_results, results_of, table, write_results


def written(results: Results, folder: Path) -> Path:
    write_results(results, summarise(results, measure(results)), folder)
    return folder


def test_a_row_a_job_in_whole_seconds(tmp_path: Path) -> None:
    work = workload([(0, 100, 4), (10, 5, 2), (20, 1, 9)], users=[0, 1, 0])
    rows = pl.read_parquet(written(results_of(outcome(work, [0, 100, -1])), tmp_path / "a") / "jobs.parquet")
    wanted = [
        {"job": 1, "submit": 0, "start": 0, "run": 100, "size": 4, "pool": "here/all", "tenant": "u0"},
        {"job": 2, "submit": 10, "start": 100, "run": 5, "size": 2, "pool": "here/all", "tenant": "u1"},
        {"job": 3, "submit": 20, "start": None, "run": None, "size": 9, "pool": None, "tenant": "u0"},
    ]
    assert wanted == rows.select("job", "submit", "start", "run", "size", "pool", "tenant").to_dicts()
    assert all(rows[name].dtype == pl.Int64 for name in ("submit", "start", "end", "run", "limit", "wait"))


def test_a_time_within_a_second_makes_them_doubles() -> None:
    rows = table(results_of(outcome(workload([(0, 10, 1), (1, 10, 1)]), [0.125, 2])))
    assert [0.125, 2.0] == rows["start"].to_list()
    assert [0.125, 1.0] == rows["wait"].to_list()
    assert pl.Float64 == rows["submit"].dtype


@pytest.mark.parametrize("late_s", [0, 0.123])
def test_results_read_back_as_they_were(tmp_path: Path, late_s: float) -> None:
    work = random_work(100, 2, origin_s=7, dropped=(("runs no time", 3),), has_estimates=False)
    ran = first_come(work, 4)
    starts = [*(ran.start_ms[:-1] / 1_000 + late_s), -1]
    pools = (pool("a/x"), pool("b/y", capabilities=frozenset({"gang"}), precisions=("fp16", "fp32")))
    made = results_of(
        outcome(work, starts, pools=pools, where=[0, 1] * 50), peak_rss_bytes=9, notes=("b/y is new",)
    )
    found = read_results(written(made, tmp_path / "a"))
    for each in fields(Results):
        first, second = getattr(made, each.name), getattr(found, each.name)
        if isinstance(first, np.ndarray):
            assert first.tolist() == second.tolist(), each.name
        else:
            assert first == second, each.name


def test_the_summary_says_what_was_measured(tmp_path: Path) -> None:
    results = results_of(first_come(random_work(30, 2), 4))
    said = json.loads((written(results, tmp_path / "a") / "summary.json").read_text())
    assert measure(results).mean_wait_s == said["mean_wait_s"]
    assert 30 == said["jobs"]


def test_an_earlier_run_s_results_are_replaced_and_its_report_goes(tmp_path: Path) -> None:
    folder = written(results_of(first_come(random_work(30, 2), 4)), tmp_path / "a")
    (folder / "report.html").write_text("of the earlier run")
    written(results_of(first_come(random_work(31, 2), 4)), folder)
    assert ["jobs.parquet", "summary.json"] == sorted(each.name for each in folder.iterdir())
    assert 31 == len(read_results(folder))


def test_a_folder_with_other_things_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(ProblemError, match=r"it holds 'thesis.tex'"):
        written(results_of(first_come(random_work(3, 2), 4)), tmp_path)
    assert ["thesis.tex"] == [each.name for each in tmp_path.iterdir()]


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ProblemError, match="this is a file"):
        check_folder(tmp_path / "file")


def test_what_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    results = results_of(first_come(random_work(3, 2), 4))
    with pytest.raises(TypeError):
        write_results(results, {"mean_wait_s": object()}, tmp_path / "a")
    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda folder: (folder / "summary.json").unlink(), "with jobs.parquet and summary.json"),
        (lambda folder: (folder / "jobs.parquet").unlink(), "with jobs.parquet and summary.json"),
        (lambda folder: (folder / "summary.json").write_text("{"), "cannot be read"),
        (lambda folder: (folder / "summary.json").write_text("{}"), "not of this version"),
        (lambda folder: (folder / "jobs.parquet").write_text("PAR1"), "cannot be read"),
        (
            lambda folder: pl.DataFrame({"job": [1]}).write_parquet(folder / "jobs.parquet"),
            "do not fit each other",
        ),
    ],
)
def test_a_folder_without_results_is_refused(tmp_path: Path, damage, said: str) -> None:  # type: ignore[no-untyped-def]
    folder = written(results_of(first_come(random_work(3, 2), 4)), tmp_path / "a")
    damage(folder)
    with pytest.raises(ProblemError, match=said):
        read_results(folder)


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ProblemError, match="does not exist"):
        read_results(tmp_path / "none")


def test_workload_columns_are_untouched() -> None:
    work = workload([(0, 10, 1)])
    results = results_of(outcome(work, [3]))
    assert column([3_000]).tolist() == results.start_ms.tolist()
    assert results.submit_ms is work.submit_ms
