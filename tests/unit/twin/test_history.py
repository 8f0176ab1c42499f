"""Weir's own jobs as a table: written, they are read again as the workload that they were."""

from pathlib import Path

import pytest

from weir.model.problem import ProblemError
from weir.scheduling.inputs import JobClass
from weir.twin.history import PastJob, expected_ms, nominal_ms, write_history
from weir.twin.traces import read_trace

NOW = 1_800_000_000_500
GANG = JobClass(
    4, 2_000, 8_000, 1 << 33, variant_speeds=(("cann", 800), ("cuda", 1_000)), data=(("north", 7),),
    weight_time=4_000, capabilities=("gang",),
)  # fmt: skip
SHARE = JobClass(1, 250, 500, 1 << 30, centres=("north",))


def past(**changes: object) -> PastJob:
    values: dict[str, object] = {
        "submitted_ms": NOW, "run_ms": 60_000, "limit_ms": 120_000, "user": "uni/Li Hua", "group": "uni/vision",
        "priority": 10, "job_class": GANG, "state": "succeeded", "started_ms": NOW + 5, "ended_ms": NOW + 60_005,
        "pool": "north/a",
    }  # fmt: skip
    return PastJob(**{**values, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_what_is_written_is_read_as_the_same_jobs(tmp_path: Path, suffix: str) -> None:
    jobs = [
        past(submitted_ms=NOW + 9_000, job_class=SHARE, user="co/Wang Fang", priority=20, run_ms=200_000),
        past(),
        past(run_ms=0, started_ms=None, ended_ms=None, pool="", state="cancelled"),
    ]
    file = tmp_path / f"history{suffix}"
    assert 3 == write_history(jobs, file)
    assert [file] == list(tmp_path.iterdir())
    found = read_trace(file)
    # What never ran is no work; the rest is in order of submission.
    assert [GANG, SHARE] == [found.classes[place] for place in found.job_class]
    assert [0, 9_000] == (found.submit_ms - found.submit_ms[0]).tolist()
    assert NOW == found.origin_s * 1_000 + int(found.submit_ms[0])
    assert [60_000, 200_000] == found.run_ms.tolist()
    # On a fast pool it did within its limit what takes longer at nominal speed.
    assert [120_000, 200_000] == found.limit_ms.tolist()
    assert [8, 1] == found.size.tolist()
    assert [10, 20] == found.priority.tolist()
    assert ["uni/Li Hua", "co/Wang Fang"] == [found.users[user] for user in found.user]


def test_run_times_are_told_at_nominal_speed() -> None:
    assert 160_000 == nominal_ms(100_000, 2_000, "cann", GANG)
    assert 100_000 == nominal_ms(100_000, 1_000, "rocm", SHARE)


def test_a_job_is_expected_to_run_as_its_users_jobs_did() -> None:
    ended = [past(run_ms=30_000), past(run_ms=60_000), past(run_ms=90_000), past(user="co/x", run_ms=12_000)]
    new = past(limit_ms=1_000_000)
    assert 500_000 == expected_ms(new, ended, 0)
    assert 100_000 == expected_ms(past(limit_ms=1_000_000, user="co/x"), ended, 0)
    assert 375_000 == expected_ms(past(limit_ms=1_000_000, user="nobody"), ended, 0)
    assert 1_000_000 == expected_ms(new, [], 0)
    assert 700_001 == expected_ms(new, ended, 700_000)


@pytest.mark.parametrize("name", ["history.txt", "history", "folder.csv"])
def test_a_name_that_says_no_form_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(ProblemError, match=r"ends in \.parquet or \.csv"):
        write_history([past()], tmp_path / name)
