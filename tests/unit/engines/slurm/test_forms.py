"""Command lines, requests and answers of Slurm, held to what real clusters gave."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.unit.engines.slurm.recorded import plain, text
from weir.engines.driver import EngineUnreachableError
from weir.engines.slurm import command_form, rest_form
from weir.engines.slurm.command import CommandCluster
from weir.engines.slurm.port import JobRequest, JobRow, NotDeliveredError, NotNowError, RejectedError
from weir.engines.slurm.settings import Settings

REQUEST = JobRequest(
    name="weir",
    comment="weir:abc-1",
    script="#!/bin/sh\n",
    folder="/",
    user="",
    partition="wide",
    time_limit_minutes=3,
    nodes=2,
    tasks=4,
    tasks_per_node=2,
    cpus_per_task=8,
    memory_mb_per_node=2_048,
    memory_mb_per_cpu=0,
    gres="gpu:ascend910b:2",
    requeue=False,
    elements=0,
)


def by_comment(rows: list[JobRow]) -> dict[str, JobRow]:
    return {row.comment.removeprefix("weir:"): row for row in rows if not row.indexes}


def test_a_job_becomes_named_options_of_sbatch_and_nothing_positional() -> None:
    line = command_form.submit_command(replace(REQUEST, elements=10, account="weir", user="wang", group=60))
    assert ["sbatch", "--parsable", "--no-requeue"] == line[:3]
    assert all(word.startswith("--") for word in line[1:])
    for word in (
        "--comment=weir:abc-1", "--nodes=2-2", "--ntasks=4", "--ntasks-per-node=2", "--cpus-per-task=8",
        "--mem=2048M", "--gres=gpu:ascend910b:2", "--array=0-9", "--account=weir", "--uid=wang", "--gid=60", "--time=3",
    ):  # fmt: skip
        assert word in line, word
    assert not any(word.startswith(("--qos", "--mem-per-cpu", "--licenses")) for word in line)
    assert not any(
        word.startswith("--gid") for word in command_form.submit_command(replace(REQUEST, group=60))
    )
    assert "--requeue" in command_form.submit_command(replace(REQUEST, requeue=True))


def test_jobs_get_what_sbatch_was_given_and_no_node_asks_for_a_login(tmp_path: Path) -> None:
    """Any other `--export` has each node run `su -` for the user's environment before it starts the job."""
    sbatch = tmp_path / "sbatch"
    sbatch.write_text(f'#!/bin/sh\nenv >{tmp_path}/given\necho "$@" >>{tmp_path}/given\necho 7\n')
    sbatch.chmod(0o755)
    assert 7 == CommandCluster(Settings(commands=str(tmp_path))).submit(REQUEST)
    *given, line = (tmp_path / "given").read_text().splitlines()
    assert {"PATH", "LANG"} == {name.partition("=")[0] for name in given} - {"PWD", "SHLVL", "_"}
    assert ["--export=ALL"] == [word for word in line.split() if word.startswith("--export")]


@pytest.mark.parametrize("version", [36, 37, 38, 39])
def test_the_old_family_of_slurmrestd_is_asked_in_its_own_words(version: int) -> None:
    job = rest_form.submission(replace(REQUEST, elements=3), version)["job"]
    assert {"PATH", "LANG"} == set(job["environment"])
    assert ("gpu:ascend910b:2", "2-2", 3, 2_048) == (
        job["gres"],
        job["nodes"],
        job["time_limit"],
        job["memory_per_node"],
    )
    assert "tres_per_node" not in job, "an unknown key is refused"
    assert (True, False) == (job["no_requeue"], "requeue" in job), (
        "`requeue: false` would be read as wanting it"
    )
    assert "0-2" == job["array"]


@pytest.mark.parametrize("version", [40, 41, 42, 43])
def test_the_new_family_of_slurmrestd_is_asked_in_its_own_words(version: int) -> None:
    job = rest_form.submission(REQUEST, version)["job"]
    assert "PATH=/usr/local/bin:/usr/bin:/bin" in job["environment"]
    assert "gres/gpu:ascend910b:2" == job["tres_per_node"]
    assert "gres" not in job, "it would be ignored, and the job run without its devices"
    assert {"set": True, "infinite": False, "number": 3} == job["time_limit"]
    assert False is job["requeue"]


def test_versions_are_found_in_the_description_of_the_api() -> None:
    assert [38, 37, 36] == rest_form.offered_versions(text("openapi-paths-22.05.json"))
    assert [42, 41, 40] == rest_form.offered_versions(
        '"\\/slurm\\/v0.0.40\\/jobs", "/slurm/v0.0.42/x", "/slurm/v0.0.41/", "/slurm/v0.0.35/"'
    )
    assert [] == rest_form.offered_versions("")


def test_squeue_tells_each_state_apart() -> None:
    rows = command_form.parse_jobs(text("squeue-22.05.txt"), "MARK")
    ends = command_form.parse_jobs(text("squeue-22.05-ends.txt"), "MARK")
    seen = {name: row.state for name, row in by_comment([*rows, *ends]).items()}
    assert {
        "done-1": "COMPLETED",
        "failed-1": "FAILED",
        "signal-1": "FAILED",
        "launch-1": "FAILED",
        "never-1": "FAILED",
        "oom-1": "OUT_OF_MEMORY",
        "cancel-1": "CANCELLED",
        "preempt-1": "PREEMPTED",
        "nodefail-1": "NODE_FAIL",
        "timeout-1": "TIMEOUT",
        "requeued-1": "PENDING",
        "held-1": "PENDING",
        "dep-1": "PENDING",
        "susp-1": "PENDING",
        "run-1": "PENDING",
        "theirs": "COMPLETED",
    } == seen
    live = by_comment(command_form.parse_jobs(text("squeue-22.05-live.txt"), "MARK"))
    assert ("COMPLETING", "SUSPENDED") == (live["cancel-1"].state, live["susp-1"].state)
    run = live["run-1"]
    assert (2, 3, "wide", "root") == (run.nodes, run.cpus, run.partition, run.user)
    assert "" == run.reason
    assert "JobHeldUser" == live["held-1"].reason
    assert live["requeued-1"].reason.startswith("Nodes required for job are DOWN")


def test_the_elements_of_an_array_are_told_apart_and_one_that_was_cancelled_is_gone() -> None:
    rows = [r for r in command_form.parse_jobs(text("squeue-22.05-live.txt"), "MARK") if r.indexes]
    seen = {(row.array, row.indexes, row.state) for row in rows}
    assert {(9, (2, 3, 5), "PENDING"), (9, (0,), "RUNNING"), (9, (1,), "RUNNING")} == seen
    assert {9, 14, 15} == {row.job for row in rows}


def test_a_comment_cannot_forge_a_line() -> None:
    forged = "abcd|5|5|RUNNING|None|root|wide|1|1|1|1|1|N/A|n1|a\n"
    forged += "MARK|6|6|COMPLETED|x|root|wide|1|1|1|1|1|N/A|n1|weir:b-1\n"
    assert [5] == [row.job for row in command_form.parse_jobs(forged, "abcd")]


@pytest.mark.parametrize(
    ("shown", "wanted"),
    [
        ("17", (17, ())),
        ("17_3", (17, (3,))),
        ("17_[0-2,5%2]", (17, (0, 1, 2, 5))),
        ("17_[0-8:4]", (17, (0, 4, 8))),
    ],
)
def test_lists_of_elements(shown: str, wanted: tuple[int, tuple[int, ...]]) -> None:
    assert wanted == command_form.parse_indexes(shown)


def test_exit_codes_are_waits_own_statuses() -> None:
    codes = command_form.parse_exit_codes(text("squeue-codes-22.05.txt"))
    assert {1: 3, 2: 0, 3: None} == {job: codes[job] for job in (1, 2, 3)}


def test_a_completion_file_tells_of_what_the_controller_has_forgotten() -> None:
    rows = {row.job: row for row in command_form.parse_ended(text("sacct-file-22.05.txt"), from_file=True)}
    assert ("FAILED", 3, None) == (rows[1].state, rows[1].exit_code, rows[1].signal)
    assert ("FAILED", 11) == (rows[3].state, rows[3].signal)
    assert {"OUT_OF_MEMORY", "CANCELLED", "PREEMPTED", "NODE_FAIL", "COMPLETED", "FAILED"} == {
        row.state for row in rows.values()
    }


def test_accounting_names_elements_and_who_cancelled() -> None:
    line = "23|17_3|CANCELLED by 0|0:15|1795351507|1795351508|1795351506|root|wide\n"
    [row] = command_form.parse_ended(line, from_file=False)
    assert (23, 17, (3,), "CANCELLED", 15) == (row.job, row.array, row.indexes, row.state, row.signal)


def test_nodes_that_are_down_or_drained_take_no_work() -> None:
    rows = {row.name: row for row in command_form.parse_nodes(text("nodes-22.05.txt"))}
    assert ("gpu:any:4", 512, 1 << 22) == (
        rows["twide0"].gres.partition("(")[0],
        rows["twide0"].cpus,
        rows["twide0"].memory_mb,
    )
    assert (False, False) == (rows["twide0"].usable, rows["twide0"].drained), "its daemon is gone"
    assert rows["twide1"].drained
    assert (True, False) == (rows["tnarrow0"].usable, rows["tnarrow0"].drained)


def test_the_cluster_says_whether_it_kills_and_limits() -> None:
    facts = command_form.parse_facts(text("config-22.05.txt"))
    assert ("22.05.8", True, True, 10_001) == (
        facts.version,
        facts.kills_all,
        facts.limits_memory,
        facts.limit_of_array,
    )


@pytest.mark.parametrize(
    "name", ["jobs-v0.0.36", "jobs-v0.0.37", "jobs-v0.0.38", "jobs-v0.0.40", "jobs-v0.0.41", "jobs-v0.0.42"]
)
def test_every_version_of_slurmrestd_tells_the_same(name: str) -> None:
    rows = by_comment(rest_form.parse_jobs(plain(f"{name}.json")))
    assert ("FAILED", 3, None) == (
        rows["failed-1"].state,
        rows["failed-1"].exit_code,
        rows["failed-1"].signal,
    )
    assert ("COMPLETED", 0) == (rows["done-1"].state, rows["done-1"].exit_code)
    assert rows["done-1"].gres
    assert ("FAILED", None, 11) == (
        rows["signal-1"].state,
        rows["signal-1"].exit_code,
        rows["signal-1"].signal,
    )
    for row in rows.values():
        assert row.submit_s > 1_700_000_000
        # The oldest names nobody.
        assert ("" if name.endswith("36") else "root") == row.user


@pytest.mark.parametrize("name", ["jobs-v0.0.38", "jobs-v0.0.42"])
def test_slurmrestd_tells_elements_apart(name: str) -> None:
    rows = [row for row in rest_form.parse_jobs(plain(f"{name}.json")) if row.comment == "weir:el.0-1~6"]
    assert {0, 1, 2, 3, 5} == {index for row in rows for index in row.indexes}
    assert 1 == len({row.array for row in rows})


def test_slurmrestd_tells_failed_nodes_and_time_limits() -> None:
    rows = by_comment(rest_form.parse_jobs(plain("jobs-v0.0.38-ends.json")))
    assert ("NODE_FAIL", "TIMEOUT", "PENDING") == tuple(
        rows[name].state for name in ("nodefail-1", "timeout-1", "requeued-1")
    )
    [failed] = rest_form.parse_jobs(plain("jobs-v0.0.42-ends.json"))
    assert "NODE_FAIL" == failed.state


@pytest.mark.parametrize("version", ["38", "42"])
def test_slurmrestd_tells_nodes(version: str) -> None:
    rows = {row.name: row for row in rest_form.parse_nodes(plain(f"nodes-v0.0.{version}.json"))}
    good = "twide0" if version == "38" else "alpha1"
    assert {name: name != "alpha2" for name in rows} == {name: row.usable for name, row in rows.items()}
    assert rows[good].gres.startswith("gpu:")
    assert rows[good].cpus >= 64


REST_FAILURES = [
    ("38", "submit", "bad-gres", RejectedError),
    ("38", "submit", "bad-partition", RejectedError),
    ("38", "submit", "unknown-key", RejectedError),
    ("38", "submit", "no-environment", RejectedError),
    ("38", "submit", "controller-down-submit", NotDeliveredError),
    ("38", "jobs", "controller-down-jobs", EngineUnreachableError),
    ("38", "jobs", "bad-token", EngineUnreachableError),
    ("38", "job", "unknown-job", EngineUnreachableError),
    ("42", "submit", "bad-gres", RejectedError),
    ("42", "submit", "bad-partition", RejectedError),
    ("42", "submit", "controller-down-submit", NotDeliveredError),
    ("42", "jobs", "controller-down-jobs", NotDeliveredError),
    ("42", "jobs", "bad-token", NotDeliveredError),
]


@pytest.mark.parametrize(("version", "what", "name", "wanted"), REST_FAILURES)
def test_what_slurmrestds_failures_mean(version: str, what: str, name: str, wanted: type[Exception]) -> None:
    status, answer = plain(f"answers-v0.0.{version}.json")[name]
    assert wanted is type(rest_form.failure(what, status, answer)), answer


def submitted(version: str, name: str) -> tuple[int, str] | None:
    status, answer = plain(f"answers-v0.0.{version}.json")[name]
    return rest_form.parse_submitted(status, answer)


def test_an_accepted_job_may_come_with_an_error_and_a_wrong_one_with_a_warning() -> None:
    assert (23, "") == submitted("38", "submitted"), "2068: a node is down, so it waits"
    number, warned = submitted("42", "unknown-key") or (0, "")
    assert number
    assert 'Ignoring unknown field "gres"' in warned
    assert "" == (submitted("42", "submitted") or (0, "none"))[1]
    assert None is submitted("38", "bad-gres")


COMMAND_FAILURES: list[tuple[str, str, type[Exception]]] = [
    ("sbatch", "bad-gres", RejectedError),
    ("sbatch", "bad-partition", RejectedError),
    ("sbatch", "bad-constraint", RejectedError),
    ("sbatch", "controller-down-submit", NotDeliveredError),
    ("squeue", "controller-down-queue", NotDeliveredError),
]


@pytest.mark.parametrize(("command", "name", "wanted"), COMMAND_FAILURES)
def test_what_the_commands_failures_mean(command: str, name: str, wanted: type[Exception]) -> None:
    assert wanted is type(command_form.failure(command, plain("commands-22.05.json")[name][2]))


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        (
            "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation",
            EngineUnreachableError,
        ),
        (
            "sbatch: error: Batch job submission failed: Zero Bytes were transmitted or received",
            EngineUnreachableError,
        ),
        ("ssh: connect to host login port 22: Connection refused", NotDeliveredError),
        ("ssh: Could not resolve hostname login: Name or service not known", NotDeliveredError),
        ("root@login: Permission denied (publickey).", NotDeliveredError),
        ("sbatch: error: QOSMaxSubmitJobPerUserLimit", NotNowError),
        ("sbatch: error: Slurm temporarily unable to accept job, sleeping and retrying", NotNowError),
        ("sbatch: error: something nobody has seen", RejectedError),
    ],
)
def test_whether_a_submission_may_have_arrived_is_told_apart(said: str, wanted: type[Exception]) -> None:
    assert wanted is type(command_form.failure("sbatch", said))


def test_jobs_are_cancelled_by_their_name_too() -> None:
    line = command_form.cancel_command(["7", "8_1"], waiting_only=True)
    assert ["scancel", "--quiet", "--name=weir", "--state=PENDING", "7", "8_1"] == line
    assert ["--batch", "--signal=TERM", "7"] == command_form.tell_command(["7"])[-3:]


def test_a_number_that_is_none_is_no_job() -> None:
    assert 17 == command_form.parse_submitted("17;cluster\n")
    assert 24 == command_form.parse_submitted(plain("commands-22.05.json")["submitted"][1])
    with pytest.raises(EngineUnreachableError):
        command_form.parse_submitted("")


def test_a_token_says_whose_it_is_and_until_when() -> None:
    token = "eyJhbGciOiJIUzI1NiJ9.eyJleHAiOjE3OTU0MzY1ODAsImlhdCI6MSwic3VuIjoicm9vdCJ9.c2ln"
    assert ("root", 1_795_436_580) == (rest_form.token_user(token), rest_form.token_expiry(token))
    broken: Any = "abc"
    assert ("", None) == (rest_form.token_user(broken), rest_form.token_expiry(broken))
