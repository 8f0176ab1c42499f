"""`weir history export`: jobs that really ran as a table for the twin, and the present as its beginning."""

import json

import polars as pl

from tests.system.conftest import PROVINCE, RealProvince


def test_what_ran_is_run_again_by_the_twin(tenant: RealProvince) -> None:
    single = tenant.submit("sleep", "0.1", name="history-single")
    array = tenant.submit("sleep", "0.1", name="history-array", array=3, prefer="cheap")
    tenant.ended(single)
    tenant.client.wait_submission(array, timeout_s=60)
    said = tenant.weir("history", "export", "history.parquet").good()
    rows = pl.read_parquet(tenant.folder / "history.parquet")
    assert said == f"history.parquet: {rows.height} jobs"
    assert rows.height >= 4
    mine = rows.filter(pl.col("weight_money") == 4_000, pl.col("cores_milli") == 100)
    assert 3 <= mine.height
    ran = rows.filter(pl.col("state") == "succeeded")
    assert (ran["start_ms"] >= ran["submit_ms"]).all()
    # `true` may begin and end within one millisecond.
    assert (ran["end_ms"] >= ran["start_ms"]).all()
    # A start is noted once it has been made: on a busy machine some milliseconds after it.
    assert (mine["end_ms"] - mine["start_ms"] >= 50).all()
    assert ran["pool"].str.contains("/").all()

    (tenant.folder / "here.yaml").write_text(PROVINCE, encoding="utf-8")
    done = json.loads(
        tenant.weir(
            "twin", "run", "history.parquet", "--province", "here.yaml", "--json", timeout_s=300
        ).good()
    )
    assert (rows["run_ms"] > 0).sum() == done["jobs"]
    assert 0 == done["unstarted"]


def test_the_present_is_where_a_run_can_begin(tenant: RealProvince) -> None:
    wide = {"cores": 8, "memory": "4GiB", "constraints": {"centres": ["south"]}, "time_limit": "10m"}
    running = tenant.submit("sleep", "600", name="history-runs", tasks=2, **wide)
    tenant.reaches(running, "running")
    waiting = [tenant.submit("true", name=f"history-waits-{each}", tasks=2, **wide) for each in range(2)]
    try:
        tenant.weir("history", "export", "--state", "state.csv").good()
        text = (tenant.folder / "state.csv").read_text(encoding="utf-8")
        assert "# now_ms: " in text
        rows = pl.read_csv(tenant.folder / "state.csv", comment_prefix="#")
        assert 1 == rows.filter(pl.col("state") == "running", pl.col("tasks") == 2).height
        assert 2 == rows.filter(pl.col("state") == "waiting", pl.col("tasks") == 2).height

        (tenant.folder / "here.yaml").write_text(PROVINCE, encoding="utf-8")
        done = json.loads(
            tenant.weir(
                "twin", "run", "--start", "state.csv", "--province", "here.yaml", "--json", timeout_s=300
            ).good()
        )
        assert rows.filter(pl.col("state") == "waiting").height == done["jobs"]
        assert done["max_wait_s"] > 0
        live = tenant.weir("twin", "run", "--from-live", "--province", "here.yaml", "--json", timeout_s=300)
        assert json.loads(live.good())["jobs"] >= 2
        assert "jobs that run or wait" in live.err
    finally:
        for one in (*waiting, running):
            tenant.client.cancel(one)


def test_what_cannot_be_written_is_refused_in_one_line(tenant: RealProvince) -> None:
    assert ".parquet or .csv" in tenant.weir("history", "export", "history.txt").refused()
    assert "--since" in tenant.weir("history", "export", "h.csv", "--since", "3").refused()
    both = tenant.weir("history", "export", "h.csv", "--state", "--since", "1d").refused()
    assert "leave it out" in both
