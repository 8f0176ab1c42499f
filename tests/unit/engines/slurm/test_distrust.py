"""What users of the cluster can write, or a centre can change, moves the driver to nothing that is not theirs."""

import json
import os
import pwd
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.unit.engines.slurm.test_driver import Spoken, attached, cluster, order, until
from weir.engines.driver import EngineUnreachableError
from weir.engines.slurm import command_form, watch
from weir.engines.slurm import driver as driver_module
from weir.engines.slurm import folder as folder_module
from weir.engines.slurm.folder import SharedFolder
from weir.engines.slurm.node.run import DUPLICATE
from weir.engines.slurm.port import NotDeliveredError, NotNowError, RejectedError
from weir.engines.slurm.rest import RestCluster
from weir.engines.slurm.settings import Settings
from weir.engines.slurm.users import LocalUser, Users
from weir.model.state import Cause, Observed

__all__ = ["cluster"]

ME = pwd.getpwuid(os.geteuid()).pw_name
NOBODY = pwd.getpwnam("nobody")
ENDED = {
    "state": "ended",
    "slurm_job": "1",
    "cause": None,
    "code": 0,
    "signal": None,
    "message": "",
    "started_ms": 1_000,
    "ended_ms": 2_000,
}


def recorded(place: Path, **changes: Any) -> None:
    (place / "run").mkdir(parents=True, exist_ok=True)
    (place / "run" / "record.json").write_text(json.dumps({**ENDED, **changes}))


def test_work_held_back_runs_as_nobody_once_its_mapping_is_gone(
    tmp_path: Path, cluster: Spoken, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = LocalUser(ME, os.geteuid(), os.getegid())
    other = LocalUser("nobody", NOBODY.pw_uid, NOBODY.pw_gid)
    for name in ("lchown", "chown"):
        monkeypatch.setattr(os, name, lambda *given: None)
    monkeypatch.setattr(SharedFolder, "unreachable_for", lambda *given: "")
    users = Users(own, {"": other})
    monkeypatch.setattr(driver_module, "read_users", lambda option: users)
    driver = attached(tmp_path)
    account = order(tmp_path, 2).work.account
    users = Users(own, {account: other})
    driver.attach((driver._pools["p"],), {"users": "one", "least_poll_ms": "50", "most_poll_ms": "50"})
    cluster.trouble = NotNowError("later")
    one = order(tmp_path, 1)
    assert driver.submit([one], 0)[0].accepted
    cluster.trouble = None
    users = Users(own, {"somebody else": own})
    driver.attach((driver._pools["p"],), {"users": "one", "least_poll_ms": "50", "most_poll_ms": "50"})
    assert "nobody" in driver._watch._user_names(), "its job would else count as lost"
    driver._send(set())
    state = driver.observe([one.attempt])[0]
    assert state.end is not None
    assert (Cause.REJECTED, []) == (state.end.cause, cluster.requests)
    assert "no longer runs work as nobody" in state.end.message


def test_news_may_be_anything(tmp_path: Path) -> None:
    shared = SharedFolder(tmp_path)
    (shared.news_folder / "folder" / "full").mkdir(parents=True)
    (shared.news_folder / "name").touch()
    assert {"folder", "name"} == set(shared.news())


@pytest.mark.parametrize(
    "content",
    [
        json.dumps({**ENDED, "cause": "unheard of"}),
        json.dumps({**ENDED, "cause": ["exit"]}),
        json.dumps({**ENDED, "started_ms": float("inf")}),
        json.dumps({**ENDED, "ended_ms": 10**30}),
        json.dumps({**ENDED, "ended_ms": -1}),
        json.dumps({**ENDED, "code": 3}),
        json.dumps({**ENDED, "message": ["x"]}),
        json.dumps({**ENDED, "state": "running", "started_ms": float("inf")}),
        "[" * 60_000,
        "[]",
        "7",
    ],
)
def test_a_record_of_a_users_own_making_is_none(tmp_path: Path, content: str) -> None:
    shared = SharedFolder(tmp_path)
    place = tmp_path / "a"
    recorded(place)
    assert shared.record(place, os.geteuid()) is not None
    (place / "run" / "record.json").write_text(content)
    assert shared.record(place, os.geteuid()) is None


def test_a_batch_is_read_only_from_its_own_plain_file(tmp_path: Path) -> None:
    shared = SharedFolder(tmp_path / "root")
    name = "aaaaaaaaaaaa.0-1~2"
    elsewhere = tmp_path / "elsewhere.json"
    elsewhere.write_text(json.dumps({"attempts": [["aaaaaaaaaaaa.0-1"], ["aaaaaaaaaaaa.1-1"]]}))
    path = shared.write_batch(name, json.loads(elsewhere.read_text()), os.geteuid(), 0)
    assert ["aaaaaaaaaaaa.0-1", "aaaaaaaaaaaa.1-1"] == shared.batch_attempts(name)
    forged = str(elsewhere.with_suffix(""))
    assert [forged] == shared.batch_attempts(forged)
    for content in ("{}", "[" * 60_000, '{"attempts": [["../x"]]}', '{"attempts": [7]}'):
        path.write_text(content)
        assert [name] == shared.batch_attempts(name)
    path.unlink()
    os.mkfifo(path)
    assert [name] == shared.batch_attempts(name)


def test_a_tree_that_is_the_users_already_is_not_walked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = SharedFolder(tmp_path)
    place = tmp_path / "a-1"
    (place / "work" / "inner").mkdir(parents=True)
    given: list[Path] = []
    monkeypatch.setattr(folder_module, "_give", lambda folder, uid, gid: given.append(folder))
    shared.prepare("a-1", place, NOBODY.pw_uid, NOBODY.pw_gid)
    assert [place / "run", place / "work"] == given
    theirs = os.stat_result((0o40700, 1, 1, 2, NOBODY.pw_uid, 0, 0, 0, 0, 0))
    monkeypatch.setattr(Path, "lstat", lambda path: theirs)
    shared.prepare("a-1", place, NOBODY.pw_uid, NOBODY.pw_gid)
    assert 2 == len(given)


@pytest.mark.parametrize("claimed", ["x y", "99", "-1", "1_2_3", "²"])
def test_a_claim_of_a_users_own_making_is_not_followed(tmp_path: Path, cluster: Spoken, claimed: str) -> None:
    driver = attached(tmp_path)
    one = order(tmp_path, 1)
    driver.submit([one], 0)
    (one.folder / "run" / "claim").write_text(claimed)
    other = replace(cluster.rows[0], job=99, array=99, state="RUNNING", comment="weir:bbbbbbbbbbbb-1")
    ended = replace(cluster.rows[0], state="FAILED", exit_code=DUPLICATE, start_s=5, end_s=6)
    cluster.rows = [ended, other]
    assert until(driver, one.attempt, Observed.ENDED) is not None
    assert 1 == driver._roll.attempts[one.attempt].job


def test_a_claim_by_another_job_of_the_attempt_is_followed(tmp_path: Path, cluster: Spoken) -> None:
    driver = attached(tmp_path)
    one = order(tmp_path, 1)
    driver.submit([one], 0)
    (one.folder / "run" / "claim").write_text("99 0")
    other = replace(cluster.rows[0], job=99, array=99, state="RUNNING", user=ME)
    ended = replace(cluster.rows[0], state="FAILED", exit_code=DUPLICATE, start_s=5, end_s=6)
    cluster.rows = [other, ended]
    driver._watch.read()
    assert 99 == driver._roll.attempts[one.attempt].job


def test_over_rest_only_jobs_of_weirs_name_are_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    rest = RestCluster(Settings.read((), {"users": "one", "rest": "http://x:1", "token_file": "/t"}))
    names, asked = {"1": "weir", "2": "another's"}, []

    def exchange(method: str, path: str, *more: object) -> tuple[int, str]:
        asked.append((method, path))
        return 200, json.dumps(
            {"jobs": [{"name": names[path.rpartition("/")[2]]}] if method == "GET" else []}
        )

    monkeypatch.setattr(rest, "_exchange", exchange)
    rest.cancel(["1_3", "1_4", "2"], waiting_only=False)
    assert ["/job/1_3", "/job/1_4"] == [path for method, path in asked if method == "DELETE"]


@pytest.mark.parametrize(
    ("code", "remote", "text", "wanted"),
    [
        (1, False, "", RejectedError),
        (-9, False, "", EngineUnreachableError),
        (-9, False, "Invalid partition name specified", EngineUnreachableError),
        (255, True, "", EngineUnreachableError),
        (143, True, "", EngineUnreachableError),
        (1, True, "", RejectedError),
        (255, True, "ssh: Could not resolve hostname x", NotDeliveredError),
    ],
)
def test_a_command_that_was_cut_off_refuses_nothing(
    code: int, remote: bool, text: str, wanted: type[Exception]
) -> None:
    assert wanted is type(command_form.failure("sbatch", text, code, remote=remote))


def test_what_is_found_in_slurm_is_read_where_its_user_wrote(tmp_path: Path, cluster: Spoken) -> None:
    agent, shared = tmp_path / "agent", tmp_path / "shared"
    agent.mkdir()
    (agent / "agent.json").write_text(json.dumps({"url": "x", "work_root": str(shared)}))
    shared.mkdir()
    driver = attached(agent)
    one = order(agent, 1)
    driver.submit([one], 0)
    driver.close()
    for file in agent.glob("slurm.db*"):
        file.unlink()
    cluster.rows = [replace(cluster.rows[0], user="nobody")]
    driver = attached(agent)
    assert [one.attempt] == driver.live()
    driver.observe([one.attempt])
    adopted = driver._roll.attempts[one.attempt]
    assert (shared / one.attempt, NOBODY.pw_uid) == (adopted.folder, adopted.uid)


def test_a_job_that_outlives_its_attempts_end_is_cancelled(
    tmp_path: Path, cluster: Spoken, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "_OUTLIVES_S", 0.3)
    driver = attached(tmp_path)
    one = order(tmp_path, 1)
    driver.submit([one], 0)
    recorded(one.folder)
    cluster.rows = [replace(cluster.rows[0], state="RUNNING", start_s=5)]
    assert until(driver, one.attempt, Observed.ENDED) is None
    assert [] == cluster.cancelled
    driver.forget([one.attempt])
    deadline = time.monotonic() + 20
    while not cluster.cancelled and time.monotonic() < deadline:
        driver.wait(0.05)
    assert "1" in cluster.cancelled
    assert [] == driver.live(), "it is no stray either"


def restd(
    monkeypatch: pytest.MonkeyPatch, states: list[tuple[str, int]]
) -> tuple[RestCluster, list[tuple[str, object]]]:
    """A slurmrestd with one job, which shows these states and priorities one after another; and what it is told."""
    told: list[tuple[str, object]] = []
    left = [*states]

    def exchange(method: str, path: str, body: Any = None, user: str = "") -> tuple[int, str]:
        if method == "GET":
            state, priority = left.pop(0) if len(left) > 1 else left[0]
            jobs = [{"name": "weir", "job_state": state, "priority": priority}]
            return 200, json.dumps({"jobs": jobs, "errors": []})
        told.append((method, body))
        # What 22.05 says of an element, though it has done it.
        return 200, json.dumps({"errors": [{"description": "job array update failed"}]})

    rest = RestCluster(Settings(users="one", rest="http://localhost:1"))
    monkeypatch.setattr(rest, "_exchange", exchange)
    return rest, told


@pytest.mark.parametrize(
    ("states", "wanted"),
    [
        ([("PENDING", 7), ("PENDING", 7), ("PENDING", 0)], [("POST", {"hold": True}), ("DELETE", None)]),
        ([("PENDING", 7), ("RUNNING", 7)], []),
        (
            [("PENDING", 7), ("PENDING", 7), ("RUNNING", 0)],
            [("POST", {"hold": True}), ("POST", {"hold": False})],
        ),
        (
            [("PENDING", 7), ("PENDING", 7), ("PENDING", 7)],
            [("POST", {"hold": True}), ("POST", {"hold": False})],
        ),
    ],
)
def test_slurmrestd_takes_back_what_is_held_and_waits_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch, states: list[tuple[str, int]], wanted: list[tuple[str, object]]
) -> None:
    rest, told = restd(monkeypatch, states)
    rest.withdraw(["1_3"])
    assert wanted == told
