"""Weir's own table of jobs: what is written under the schema is read as it was."""

import io
from dataclasses import fields
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.twin.traces.written import dropped, named, read, refusal, shapes
from weir.scheduling.inputs import JobClass
from weir.twin.traces import read_trace, schema
from weir.twin.workload import Workload, processors

DOCUMENT = Path(__file__).parents[4] / "docs/reference/traces.md"


def test_every_column_is_documented() -> None:
    text = DOCUMENT.read_text()
    for column in (*schema.COLUMNS, *schema.OPTIONAL, *schema.HAPPENED):
        assert f"| `{column.name}` | {column.dtype} |" in text
    for names in schema.SECONDS.values():
        assert all(f"`{name}`" in text for name in names)


def test_the_schema_holds_all_that_a_class_of_jobs_has() -> None:
    assert {each.name for each in fields(JobClass)} == set(schema.SHAPE) | schema.LIVE_ALONE
    names = [each.name for each in (*schema.COLUMNS, *schema.OPTIONAL, *schema.HAPPENED)]
    assert len(set(names)) == len(names)


words = st.text(
    st.characters(codec="utf-8", exclude_characters="|=\0\r", exclude_categories=["Cs", "Z"]), min_size=1
).filter(lambda word: word.lower() not in ("nan", "none", "null", "na", "unknown") and word == word.strip())
names = st.lists(words, unique=True, max_size=3).map(tuple)
pairs = st.lists(st.tuples(words, st.integers(0, 10**12)), max_size=3).map(tuple)
counts = st.integers(0, 10**12)
classes = st.one_of(
    st.builds(
        JobClass,
        tasks=st.integers(1, 1_000),
        devices_milli=st.integers(0, 8_000),
        cores_milli=counts,
        memory_bytes=counts,
        models=names,
        device_memory_bytes=counts,
        precision=st.one_of(st.just(""), words),
        stack=st.one_of(st.just(""), words),
        domestic=st.booleans(),
        variant_speeds=pairs,
        centres=names,
        cities=names,
        kinds=names,
        data=pairs,
        weight_time=counts,
        weight_money=counts,
        weight_carbon=counts,
        capabilities=names,
    ),
    st.integers(1, 1_000).map(processors),
)


@st.composite
def workloads(draw: st.DrawFn) -> Workload:
    jobs = draw(st.integers(1, 6))

    def column(values: st.SearchStrategy[int]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        return np.array(draw(st.lists(values, min_size=jobs, max_size=jobs)), np.int64)

    has_estimates = draw(st.booleans())
    run_ms = column(st.integers(1, 10**12))
    return Workload(
        name="jobs",
        job=column(st.integers(0, 10**15)),
        submit_ms=np.sort(column(st.integers(0, 10**12))),
        run_ms=run_ms,
        limit_ms=run_ms + column(st.integers(0, 10**6)) if has_estimates else run_ms,
        size=column(st.integers(0, 10**6)),
        job_class=np.arange(jobs),
        user=np.arange(jobs),
        group=np.arange(jobs),
        priority=column(st.integers(-5, 5)),
        classes=tuple(draw(st.lists(classes, min_size=jobs, max_size=jobs))),
        users=tuple(draw(st.lists(words, min_size=jobs, max_size=jobs, unique=True))),
        groups=tuple(draw(st.lists(words, min_size=jobs, max_size=jobs, unique=True))),
        machine_size=draw(st.sampled_from([0, 10**6])),
        origin_s=draw(st.integers(0, 2**33)),
        has_estimates=has_estimates,
    )


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    deadline=None,
    max_examples=50,
)
@given(workloads(), st.booleans())
def test_what_is_written_is_read(tmp_path: Path, workload: Workload, parquet: bool) -> None:
    table, about = schema.frame(workload), schema.metadata(workload)
    assert {each.name: each.dtype for each in schema.COLUMNS} == dict(table.schema)
    path = tmp_path / ("jobs.parquet" if parquet else "jobs.csv")
    if parquet:
        table.write_parquet(path, metadata=about)
    else:
        path.write_text("".join(f"# {key}: {value}\n" for key, value in about.items()) + table.write_csv())
    again = read_trace(path)
    for name in ("job", "submit_ms", "run_ms", "limit_ms", "size", "priority"):
        assert getattr(workload, name).tolist() == getattr(again, name).tolist()
    assert list(workload.classes) == [again.classes[each] for each in again.job_class]
    assert list(workload.users) == named(again.user, again.users)
    assert list(workload.groups) == named(again.group, again.groups)
    for name in ("name", "machine_size", "origin_s", "has_estimates"):
        assert getattr(workload, name) == getattr(again, name)
    assert {} == dropped(again)


def test_the_least_that_will_do(tmp_path: Path) -> None:
    workload = read(tmp_path, "t.csv", "submit_s,run_s,size\n0.5,10,4\n")
    assert ([500], [10_000], [4]) == (
        workload.submit_ms.tolist(),
        workload.run_ms.tolist(),
        workload.size.tolist(),
    )
    assert (processors(4),) == workload.classes
    assert ([1], False) == (workload.job.tolist(), workload.has_estimates)
    for missing in ("run_s,size\n1,2\n", "submit_s,size\n1,2\n", "submit_s,run_s\n1,2\n"):
        assert "a table with a column" in refusal(tmp_path, "t.csv", missing, format="csv")


def test_without_tasks_the_size_alone_makes_a_class(tmp_path: Path) -> None:
    workload = read(
        tmp_path, "t.csv", "submit,run,size,cores_milli,models\n0,5,2,2000,A\n1,5,2,7,B\n2,5,3,1,A\n"
    )
    assert (processors(2), processors(3)) == workload.classes
    assert [0, 0, 1] == workload.job_class.tolist()


def test_tasks_without_a_size(tmp_path: Path) -> None:
    text = (
        "submit,run,limit,tasks,devices_milli,cores_milli,tenant\n" + "0,5,9,2,1500,4000,a\n1,5,0,3,0,500,b\n"
    )
    workload = read(tmp_path, "t.csv", text)
    assert [4, 0] == workload.size.tolist()  # accelerators are what is counted
    assert [(2, 1_500, 4_000, 0), (3, 0, 500, 0)] == shapes(workload)
    assert [9_000, 5_000] == workload.limit_ms.tolist()
    assert ["a", "b"] == named(workload.user, workload.users)
    workload = read(tmp_path, "t.csv", "submit,run,tasks,cores_milli\n0,5,2,1500\n")
    assert [4] == workload.size.tolist()


def test_dates(tmp_path: Path) -> None:
    text = "submit,run,size\n2020-06-09 18:41:01,5,1\n2020-06-09T18:41:00.250Z,5,1\n"
    workload = read(tmp_path, "t.csv", text)
    assert ([250, 1_000], 1_591_728_060) == (workload.submit_ms.tolist(), workload.origin_s)
    frame = pl.read_csv(text.encode(), try_parse_dates=False).with_columns(
        pl.col("submit").str.slice(0, 19).str.replace("T", " ").str.to_datetime(time_zone="UTC"),
        pl.lit(1.5).alias("run"),
    )
    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    workload = read(tmp_path, "t.parquet", buffer.getvalue())
    assert ([0, 1_000], [1_500, 1_500]) == (workload.submit_ms.tolist(), workload.run_ms.tolist())


def test_what_is_wrong_is_told_by_row(tmp_path: Path) -> None:
    text = "submit,run,size,tasks,data\n0,5,1,1,north=x\n1,5,1,1,north=5\n2,5,1,1,north\n"
    assert "line 2: invalid literal" in refusal(tmp_path, "t.csv", text)
    workload = read(tmp_path, "t.csv", text, skip_bad=True)
    assert [(("north", 5),)] == [each.data for each in workload.classes]
    buffer = io.BytesIO()
    pl.read_csv(text.encode()).write_parquet(buffer)
    assert "t.parquet row 1: invalid literal" in refusal(tmp_path, "t.parquet", buffer.getvalue())
    assert "Parquet" in refusal(tmp_path, "t.parquet", buffer.getvalue()[:-20])
    huge = "submit,run,tasks,cores_milli\n0,5,1000000000,1000000000000\n"
    assert "line 2: its tasks together need more than" in refusal(tmp_path, "t.csv", huge)
    about = "# machine_size: many\nsubmit,run,size\n"
    assert "machine_size: 'many'" in refusal(tmp_path, "t.csv", about)


@pytest.mark.parametrize("run", [0, -3])
def test_cleaned_like_any_other(tmp_path: Path, run: int) -> None:
    workload = read(tmp_path, "t.csv", f"submit,run,size\n0,{run},1\n-7,1,-2\n-6,1,0\n-8,1,1\n-6,1,-1\n")
    assert {"run time not positive": 1, "size not positive": 3} == dropped(workload)
    assert [0] == workload.submit_ms.tolist()
    workload = read(
        tmp_path, "t.csv", "submit,run,tasks,cores_milli,devices_milli\n0,1,1,500,0\n0,1,0,500,9\n"
    )
    assert [0] == workload.size.tolist(), "it needs no accelerator, and is meant"
