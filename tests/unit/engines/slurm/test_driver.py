"""The driver against a cluster that only says what a test wants: what is sent when, found again, and given up."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from weir.engines.driver import AttemptOrder, EngineUnreachableError
from weir.engines.slurm import driver as driver_module
from weir.engines.slurm import watch
from weir.engines.slurm.driver import SlurmDriver
from weir.engines.slurm.port import (
    ClusterFacts,
    JobRequest,
    JobRow,
    NodeRow,
    NotDeliveredError,
    NotNowError,
    RejectedError,
)
from weir.model.agent import NodeShare, PoolEntry, Work
from weir.model.state import Cause, Observed

POOL = PoolEntry("p", 2, 0, 64_000, 1 << 40, "cpu", False)
OPTIONS = {"users": "one", "least_poll_ms": "50", "most_poll_ms": "50"}
WORK = Work(
    "aaaaaaaaaaaa",
    "p",
    ("true",),
    {},
    1,
    1_000,
    1 << 20,
    0,
    "cpu",
    "",
    60_000,
    "TERM",
    1_000,
    False,
    (),
    0,
    0,
)


@dataclass
class Spoken:
    """A cluster that takes every job and runs none."""

    requests: list[JobRequest] = field(default_factory=list)
    rows: list[JobRow] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)
    trouble: Exception | None = None
    deaf: bool = False
    name = "a test's"

    def facts(self) -> ClusterFacts:
        return ClusterFacts("test")

    def submit(self, request: JobRequest) -> int:
        if self.trouble is not None:
            raise self.trouble
        self.requests.append(request)
        number = len(self.requests)
        indexes = tuple(range(request.elements))
        self.rows.append(
            JobRow(number, number, indexes, "PENDING", "Priority", "me", "p", request.comment, 1, None, None)
        )
        if self.deaf:
            raise EngineUnreachableError("Socket timed out")
        return number

    def jobs(self, users: Sequence[str]) -> list[JobRow]:
        if isinstance(self.trouble, EngineUnreachableError):
            raise self.trouble
        return list(self.rows)

    def queue(self, partitions: Sequence[str]) -> list[JobRow]:
        return list(self.rows)

    def ended(self, jobs: Sequence[int]) -> list[JobRow]:
        return []

    def exit_codes(self, jobs: Sequence[int]) -> dict[int, int | None]:
        return {}

    def nodes(self) -> list[NodeRow]:
        return []

    def cancel(self, jobs: Sequence[str], *, waiting_only: bool) -> None:
        self.cancelled += jobs

    def withdraw(self, jobs: Sequence[str]) -> None:
        self.cancelled += jobs

    def tell(self, jobs: Sequence[str]) -> None:
        self.cancelled += jobs

    def close(self) -> None:
        """Nothing."""


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Spoken:
    made = Spoken()
    monkeypatch.setattr(driver_module, "CommandCluster", lambda settings: made)
    for name, value in (("_SETTLE_S", 0.2), ("_SETTLE_AGAIN_S", 0.1), ("_MISSING_S", 0.2), ("_LAG_S", 0.0)):
        monkeypatch.setattr(watch, name, value)
    return made


def attached(folder: Path, **options: str) -> SlurmDriver:
    driver = SlurmDriver(folder)
    driver.attach((POOL,), {**OPTIONS, **options})
    return driver


def order(folder: Path, number: int, index: int | None = None) -> AttemptOrder:
    job = f"aaaaaaaaaa{number:02d}" if index is None else f"aaaaaaaaaa{number:02d}.{index}"
    place = folder / "attempts" / f"{job}-1"
    (place / "work").mkdir(parents=True)
    return AttemptOrder(f"{job}-1", job, 1, index, WORK, (NodeShare(0, 1),), place)


def until(driver: SlurmDriver, attempt: str, observed: Observed) -> Cause | None:
    deadline = time.monotonic() + 20
    while (state := driver.observe([attempt])[0]).observed < observed:
        assert time.monotonic() < deadline, state
        driver.wait(0.05)
    return state.end.cause if state.end else None


def test_what_slurm_holds_since_a_node_could_not_start_it_is_taken_back(
    tmp_path: Path, cluster: Spoken
) -> None:
    driver = attached(tmp_path)
    once, again = order(tmp_path, 1), order(tmp_path, 2)
    again = replace(again, work=replace(again.work, restartable=True))
    driver.submit([once, again], 0)
    cluster.rows = [replace(row, reason="JobHeldUser") for row in cluster.rows]
    assert Cause.NODE_FAILED is until(driver, again.attempt, Observed.ENDED)
    assert ["2"] == cluster.cancelled
    assert Observed.QUEUED is driver.observe([once.attempt])[0].observed, "somebody there has it held"


def test_elements_are_handed_over_as_one_array_and_told_apart(tmp_path: Path, cluster: Spoken) -> None:
    driver = attached(tmp_path)
    orders = [order(tmp_path, 1, index) for index in range(5)]
    assert all(outcome.accepted for outcome in driver.submit(orders, 0))
    [request] = cluster.requests
    assert (5, "weir:aaaaaaaaaa01.0-1~5") == (request.elements, request.comment)
    driver.cancel([orders[3].attempt])
    assert ["1_3"] == cluster.cancelled
    cluster.rows[0] = replace(cluster.rows[0], indexes=(0, 1, 2, 4))
    assert Cause.CANCELLED is until(driver, orders[3].attempt, Observed.ENDED), "it leaves without a trace"
    assert Observed.QUEUED is driver.observe([orders[2].attempt])[0].observed


def test_an_element_taken_back_leaves_without_a_trace(tmp_path: Path, cluster: Spoken) -> None:
    driver = attached(tmp_path)
    orders = [order(tmp_path, 1, index) for index in range(3)]
    driver.submit(orders, 0)
    driver.withdraw([orders[1].attempt])
    assert ["1_1"] == cluster.cancelled
    cluster.rows[0] = replace(cluster.rows[0], indexes=(0, 2))
    assert Cause.CANCELLED is until(driver, orders[1].attempt, Observed.ENDED)
    assert Observed.QUEUED is driver.observe([orders[2].attempt])[0].observed


def test_no_more_wait_in_the_partition_than_the_centre_allows(tmp_path: Path, cluster: Spoken) -> None:
    driver = attached(tmp_path, waiting="2")
    orders = [order(tmp_path, number) for number in range(4)]
    driver.submit(orders, 0)
    assert 2 == len(cluster.requests)
    state = driver.observe([orders[3].attempt])[0]
    assert (Observed.QUEUED, "held back: 2 of Weir's wait in the partition") == (
        state.observed,
        state.message,
    )
    driver.cancel([orders[2].attempt])
    assert Cause.CANCELLED is until(driver, orders[2].attempt, Observed.ENDED)
    cluster.rows[0] = replace(cluster.rows[0], state="CANCELLED")
    until(driver, orders[0].attempt, Observed.ENDED)
    deadline = time.monotonic() + 20
    while len(cluster.requests) < 3 and time.monotonic() < deadline:
        driver.wait(0.05)
    assert ["weir:aaaaaaaaaa00-1", "weir:aaaaaaaaaa01-1", "weir:aaaaaaaaaa03-1"] == [
        request.comment for request in cluster.requests
    ]


def test_whoever_is_held_back_goes_as_soon_as_another_starts(
    tmp_path: Path, cluster: Spoken, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver_module, "_SEND_AGAIN_S", 1e9)
    driver = attached(tmp_path, waiting="2")
    orders = [order(tmp_path, number) for number in range(7)]
    driver.submit(orders, 0)
    driver.wait(0)
    for sent in (2, 4, 6):
        assert sent == len(cluster.requests)
        for started in orders[sent - 2 : sent]:
            record = {"state": "running", "started_ms": 1, "slurm_job": "1", "restart": 0}
            (started.folder / "run/record.json").write_text(json.dumps(record))
            (tmp_path / "attempts/.slurm/news" / started.attempt).touch()
            until(driver, started.attempt, Observed.RUNNING)
        driver.wait(0)
        driver.wait(0)
    assert 7 == len(cluster.requests)


def test_a_lost_answer_is_searched_by_comment_over_a_restart(tmp_path: Path, cluster: Spoken) -> None:
    driver = attached(tmp_path)
    one = order(tmp_path, 1)
    cluster.deaf = True
    with pytest.raises(EngineUnreachableError):
        driver.submit([one], 0)
    driver.close()
    cluster.deaf = False
    driver = attached(tmp_path)
    assert [one.attempt] == driver.live()
    driver.cancel([one.attempt])
    assert ["1"] == cluster.cancelled, "its number is known again"
    assert 1 == len(cluster.requests)


def test_what_was_intended_and_is_not_found_is_lost_and_never_starts(tmp_path: Path, cluster: Spoken) -> None:
    driver = attached(tmp_path)
    one = order(tmp_path, 1)
    cluster.deaf = True
    with pytest.raises(EngineUnreachableError):
        driver.submit([one], 0)
    kept, cluster.rows = cluster.rows, []
    assert Cause.LOST is until(driver, one.attempt, Observed.ENDED)
    assert "cancelled\n" == (tmp_path / "attempts/.slurm/stops" / one.attempt).read_text()
    cluster.rows = kept
    deadline = time.monotonic() + 20
    while not cluster.cancelled and time.monotonic() < deadline:
        driver._watch.read()
    assert "1" in cluster.cancelled, "should it come to light after all, it is taken back"


def test_what_never_arrived_is_sent_when_slurm_answers_again(tmp_path: Path, cluster: Spoken) -> None:
    driver = attached(tmp_path)
    one = order(tmp_path, 1)
    cluster.trouble = NotDeliveredError("nobody there")
    with pytest.raises(EngineUnreachableError):
        driver.submit([one], 0)
    assert Observed.QUEUED is driver.observe([one.attempt])[0].observed
    with pytest.raises(EngineUnreachableError):
        driver.live()
    cluster.trouble = None
    deadline = time.monotonic() + 20
    while not cluster.requests and time.monotonic() < deadline:
        driver.wait(0.05)
    assert 1 == len(cluster.requests)


def test_a_reading_during_a_submission_gives_nothing_up(
    tmp_path: Path, cluster: Spoken, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = attached(tmp_path)
    one = order(tmp_path, 1)
    submit = cluster.submit

    def slowly(request: JobRequest) -> int:
        driver._watch.read()
        return submit(request)

    monkeypatch.setattr(cluster, "submit", slowly)
    assert driver.submit([one], 0)[0].accepted
    assert (Observed.QUEUED, "handed to Slurm as job 1") == (
        driver.observe([one.attempt])[0].observed,
        driver.observe([one.attempt])[0].message,
    )


def test_a_refusal_is_final_and_nothing_is_kept_of_it(tmp_path: Path, cluster: Spoken) -> None:
    driver = attached(tmp_path)
    cluster.trouble = RejectedError("Invalid partition name specified")
    one = order(tmp_path, 1)
    [outcome] = driver.submit([one], 0)
    assert (False, "Invalid partition name specified") == (outcome.accepted, outcome.message)
    assert Observed.NOTHING is driver.observe([one.attempt])[0].observed


def test_a_limit_of_slurms_own_is_waited_for(tmp_path: Path, cluster: Spoken) -> None:
    driver = attached(tmp_path)
    cluster.trouble = NotNowError("QOSMaxSubmitJobPerUserLimit")
    one = order(tmp_path, 1)
    assert driver.submit([one], 0)[0].accepted
    state = driver.observe([one.attempt])[0]
    assert Observed.QUEUED is state.observed
    assert "QOSMaxSubmitJobPerUserLimit" in state.message


def test_a_number_that_now_is_another_jobs_says_nothing(tmp_path: Path, cluster: Spoken) -> None:
    driver = attached(tmp_path)
    one = order(tmp_path, 1)
    driver.submit([one], 0)
    cluster.rows = [replace(cluster.rows[0], comment="weir:other-1", state="COMPLETED", start_s=5)]
    assert Cause.LOST is until(driver, one.attempt, Observed.ENDED)


def test_what_is_forgotten_is_not_found_again_though_slurm_remembers(tmp_path: Path, cluster: Spoken) -> None:
    driver = attached(tmp_path)
    one = order(tmp_path, 1)
    driver.submit([one], 0)
    cluster.rows = [replace(cluster.rows[0], state="NODE_FAIL", start_s=5, end_s=6)]
    assert Cause.NODE_FAILED is until(driver, one.attempt, Observed.ENDED)
    driver.forget([one.attempt])
    driver._watch.read()
    assert Observed.NOTHING is driver.observe([one.attempt])[0].observed
    assert not one.folder.exists()


def test_what_slurm_calls_lost_with_its_node_is_told_to_stop_should_it_still_run(
    tmp_path: Path, cluster: Spoken
) -> None:
    driver = attached(tmp_path)
    one, other = order(tmp_path, 1), order(tmp_path, 2)
    driver.submit([one, other], 0)
    cluster.rows[0] = replace(cluster.rows[0], state="NODE_FAIL", start_s=5, end_s=6)
    assert Cause.NODE_FAILED is until(driver, one.attempt, Observed.ENDED)
    stops = tmp_path / "attempts/.slurm/stops"
    assert ["cancelled\n", ""] == [(stops / each.attempt).read_text() for each in (one, other)]


def test_a_driver_without_its_record_takes_up_what_slurm_has(tmp_path: Path, cluster: Spoken) -> None:
    driver = attached(tmp_path)
    one = order(tmp_path, 1)
    driver.submit([one], 0)
    driver.close()
    for file in tmp_path.glob("slurm.db*"):
        file.unlink()
    driver = attached(tmp_path)
    assert [one.attempt] == driver.live()
    assert Observed.QUEUED is driver.observe([one.attempt])[0].observed
    driver.cancel([one.attempt])
    assert ["1"] == cluster.cancelled
    assert 1 == len(cluster.requests)
