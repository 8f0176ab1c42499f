"""Many trials: the grid, one bad trial among good ones, a cluster in place of processes, and the table."""

import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest

from weir.model.problem import ProblemError
from weir.twin.sweep import check_file, grid, perform_all, row_of, table, write_sweep
from weir.twin.trial import Source, Trial

SMALL = Source(generator="lublin", limit=60)


def trials(*policies: str, sources: Sequence[Source] = (SMALL,)) -> list[Trial]:
    return grid(
        sources,
        policies=policies,
        estimates=["user"],
        tenants=["none"],
        passes="second",
        processors=16,
        province=None,
    )


class Cluster(SimpleNamespace):
    """What Weir uses of Ray, done on the spot."""

    def __init__(self) -> None:
        super().__init__(addresses=[], stopped=0)

    def init(self, address: str) -> None:
        if address == "nobody":
            raise ConnectionError("no answer")
        self.addresses.append(address)

    def shutdown(self) -> None:
        self.stopped += 1

    def remote(self, function: Any) -> Any:
        return SimpleNamespace(remote=lambda trial: Sent(function, trial))

    def wait(self, left: list[Any], num_returns: int) -> tuple[list[Any], list[Any]]:
        return left[-num_returns:], left[:-num_returns]

    def get(self, each: Any) -> Any:
        return each.function(each.trial)


class Sent:
    def __init__(self, function: Any, trial: Trial) -> None:
        self.function, self.trial = function, trial


def test_the_grid_has_every_combination_and_keeps_those_of_a_source_together() -> None:
    sources = [Source(generator="lublin", seed=seed) for seed in (1, 2)]
    found = grid(
        sources,
        policies=["fcfs", "easy"],
        estimates=["user", "exact"],
        tenants=["none", "user"],
        passes="event",
        processors=8,
        province=None,
    )
    assert 16 == len(found) == len(set(found))
    assert [1] * 8 + [2] * 8 == [each.source.seed for each in found]


def test_a_trial_that_is_refused_says_why_and_the_others_go_on() -> None:
    good, bad = trials("easy")[0], Trial(Source(log=Path("none.swf")), "easy", processors=4)
    rows = [row_of(each) for each in (good, bad)]
    assert rows[0]["error"] is None
    assert 60 == rows[0]["jobs"]
    assert "none.swf" in rows[1]["error"]
    assert [60, None] == table(rows)["jobs"].to_list()


def test_on_a_cluster_rows_come_back_in_the_order_of_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster()
    monkeypatch.setitem(sys.modules, "ray", cluster)
    told: list[tuple[int, int]] = []
    rows = perform_all(
        trials("fcfs", "easy", "sjf"), ray="auto", done=lambda ended, of: told.append((ended, of))
    )
    assert ["fcfs", "easy", "sjf"] == [row["policy"] for row in rows]
    assert [(1, 3), (2, 3), (3, 3)] == told
    assert (["auto"], 1) == (cluster.addresses, cluster.stopped)


def test_a_cluster_that_does_not_answer_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", Cluster())
    with pytest.raises(ProblemError, match="a cluster that answers"):
        perform_all(trials("easy"), ray="nobody")


def test_without_ray_a_cluster_is_refused_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ProblemError, match=r"pip install ray"):
        perform_all(trials("easy"), ray="head:6379")


def test_no_trials_are_no_rows() -> None:
    assert [] == perform_all([])


def test_the_table_is_written_whole_and_may_be_replaced(tmp_path: Path) -> None:
    rows = [row_of(each) for each in trials("fcfs", "easy")]
    for _ in range(2):
        write_sweep(rows, tmp_path / "sweep.parquet")
    found = pl.read_parquet(tmp_path / "sweep.parquet")
    assert ["source", "load", "seed", "policy", "estimates", "tenants", "passes"] == found.columns[:7]
    assert [row["mean_wait_s"] for row in rows] == found["mean_wait_s"].to_list()
    assert ["sweep.parquet"] == [each.name for each in tmp_path.iterdir()]


def test_another_s_file_is_left_alone(tmp_path: Path) -> None:
    pl.DataFrame({"mine": [1]}).write_parquet(tmp_path / "mine.parquet")
    with pytest.raises(ProblemError, match="not of an earlier sweep"):
        check_file(tmp_path / "mine.parquet")


def test_an_address_where_nobody_listens_is_refused_before_ray_tries_for_minutes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Cluster:
        def init(self, address: str) -> None:
            raise AssertionError("Ray was asked")

    monkeypatch.setitem(sys.modules, "ray", Cluster())
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    for address in (f"127.0.0.1:{port}", f"ray://127.0.0.1:{port}"):
        with pytest.raises(ProblemError, match="a cluster that answers"):
            perform_all(trials("easy"), ray=address)
