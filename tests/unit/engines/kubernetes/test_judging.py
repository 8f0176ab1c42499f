"""What Jobs and pods mean: on answers that were recorded, and on those that nobody could provoke."""

import json
from dataclasses import asdict, replace
from typing import Any

import pytest

from tests.unit.engines.kubernetes import recorded
from weir.engines.driver import EngineEnd
from weir.engines.kubernetes.manifest import stop_patch
from weir.engines.kubernetes.parsing import JobFacts, PodFacts, Stop, read_job, read_pod, time_ms
from weir.engines.kubernetes.state import CANNOT_START, Verdict, judge, waiting_reason
from weir.model.state import Cause, Observed

NOW_MS = 1_800_000_000_000
JOB = read_job(recorded.job("long"))
POD = read_pod(recorded.pods("long")[0])
STARTED_MS = time_ms("2026-11-22T04:36:53Z")


def verdict(name: str, **how: bool) -> Verdict:
    """On a recorded Job and its pods."""
    pods = [read_pod(plain) for plain in recorded.pods(name)]
    return judge(read_job(recorded.job(name)), pods, now_ms=NOW_MS, **how)


def end(job: JobFacts, *pods: PodFacts, **how: bool) -> EngineEnd:
    found = judge(job, pods, now_ms=NOW_MS, **how).state.end
    assert found is not None
    return found


def said(told: str, code: str = "143", message: str = "", started: str = "1000") -> str:
    return f"weir1 {told} {code} {started} 2000 {message}"


def ended(**changes: Any) -> PodFacts:
    """The recorded pod, ended."""
    fields = {"phase": "Failed", "exit_code": 143, "exit_reason": "Error", "finished_ms": 2_000, **changes}
    return replace(POD, **fields)


@pytest.mark.parametrize(
    ("name", "cause", "code", "signal"),
    [
        ("ok", None, 0, None),
        ("fail", Cause.EXIT, 3, None),
        ("oom", Cause.OUT_OF_MEMORY, None, 9),
    ],
)
def test_recorded_ends(name: str, cause: Cause | None, code: int | None, signal: int | None) -> None:
    found = verdict(name)
    assert not found.doubt
    assert found.state.end is not None
    assert (cause, code, signal) == (found.state.end.cause, found.state.end.exit_code, found.state.end.signal)
    assert found.state.end.started_ms is not None
    assert found.state.end.started_ms <= found.state.end.ended_ms


def test_recorded_running() -> None:
    state = verdict("long").state
    assert (Observed.RUNNING, STARTED_MS) == (state.observed, state.started_ms)


def test_a_failure_that_is_targeted_is_not_final() -> None:
    job = read_job(recorded.job("slow"))
    assert (True, "", "DeadlineExceeded") == (job.failing, job.condition, job.reason)
    assert Observed.RUNNING is verdict("slow").state.observed
    over = [ended(name=pod.name, last_words="") for pod in map(read_pod, recorded.pods("slow"))]
    assert Cause.TIME_LIMIT is end(replace(job, condition="Failed"), *over).cause


def test_success_criteria_are_not_final() -> None:
    seen = [line["object"] for line in recorded.watched("ok")]
    conditions = [
        read_job({**plain, "metadata": {**plain["metadata"], "labels": {}}}).condition for plain in seen
    ]
    assert ["", "", "", "", "", "Complete"] == conditions


def test_recorded_waiting_says_why() -> None:
    for name, reason, words in (
        ("nopull", "ImagePullBackOff", "Back-off pulling image"),
        ("big", "Unschedulable", "Insufficient huawei.com/Ascend910"),
    ):
        pods = [read_pod(plain) for plain in recorded.pods(name)]
        job = read_job(recorded.job(name))
        assert reason == waiting_reason(job, pods)[0]
        state = verdict(name).state
        assert Observed.QUEUED is state.observed
        assert words in state.message
    assert "ImagePullBackOff" in CANNOT_START


def test_a_suspended_job_waits_for_its_queue() -> None:
    job = read_job(recorded.job("sus"))
    assert (True, True) == (job.suspend, job.suspended)
    state = judge(job, [], now_ms=NOW_MS).state
    assert (Observed.QUEUED, "waits to be admitted by its queue") == (state.observed, state.message)


@pytest.mark.parametrize(
    ("pod", "cause", "words"),
    [
        (ended(disruption="PreemptionByScheduler", last_words=said("stop")), Cause.PREEMPTED, "priority"),
        (ended(disruption="EvictionByEvictionAPI", last_words=said("stop")), Cause.PREEMPTED, "evicted"),
        (ended(disruption="DeletionByTaintManager", exit_code=None), Cause.NODE_FAILED, "lost"),
        (ended(disruption="DeletionByPodGC", exit_code=None), Cause.NODE_FAILED, "gone"),
        (
            ended(reason="Evicted", message="low on memory", exit_code=None),
            Cause.NODE_FAILED,
            "low on memory",
        ),
        (ended(reason="NodeLost", exit_code=None), Cause.NODE_FAILED, "lost"),
        (ended(reason="Terminated", last_words=said("stop")), Cause.NODE_FAILED, "shut down"),
        (ended(reason="OutOfcpu", exit_code=None, started_ms=None), Cause.NODE_FAILED, "could not take it"),
        (ended(reason="DeadlineExceeded", exit_code=137), Cause.TIME_LIMIT, "time limit"),
        (ended(exit_code=137, exit_reason="OOMKilled"), Cause.OUT_OF_MEMORY, "memory"),
        (
            ended(exit_code=137, exit_reason="OOMKilled", last_words=said("-", "1")),
            Cause.OUT_OF_MEMORY,
            "memory",
        ),
        (ended(last_words=said("limit", "s15")), Cause.TIME_LIMIT, "ended at its time limit"),
        (ended(last_words=said("limit", "s9")), Cause.TIME_LIMIT, "killed at its time limit"),
        (ended(last_words=said("start", "127", "nope: not found", "-")), Cause.START, "nope: not found"),
        (ended(last_words=said("folder", "1", "no folder", "-")), Cause.NODE_FAILED, "no folder"),
        (ended(last_words=said("lost", "s9")), Cause.LOST, "killed"),
        (ended(last_words=said("-", "137")), Cause.EXIT, "ended with code 137"),
        (ended(last_words=said("-", "s11")), Cause.SIGNAL, "SIGSEGV"),
        (ended(exit_code=139), Cause.SIGNAL, "SIGSEGV"),
        (ended(exit_code=200), Cause.EXIT, "ended with code 200"),
        (ended(exit_code=128, exit_reason="StartError", last_words="no sh"), Cause.START, "no sh"),
        (ended(deleting=True, last_words=said("stop")), Cause.LOST, "deleted at the centre"),
    ],
)
def test_each_kind_of_death_is_told_apart(pod: PodFacts, cause: Cause, words: str) -> None:
    found = end(JOB, pod)
    assert cause is found.cause, found
    assert words in found.message


def test_a_stop_of_weirs_own_comes_before_what_the_cluster_says() -> None:
    job = replace(JOB, stop=Stop("cancelled", "", 5_000), suspend=True, suspended=True)
    for pod in (
        ended(deleting=True, last_words=said("stop", "0")),
        ended(deleting=True, disruption="PreemptionByScheduler", last_words=said("stop", "s15")),
        ended(deleting=True, exit_code=137),
    ):
        assert Cause.CANCELLED is end(job, pod).cause
    assert Cause.EXIT is end(job, ended(last_words=said("-", "3"))).cause, "it had ended before it was told"
    assert None is end(job, ended(phase="Succeeded", exit_code=0, last_words=said("-", "0"))).cause


def test_a_stop_before_the_start_is_certain_only_once_the_controller_and_the_pods_say_so() -> None:
    job = replace(JOB, stop=Stop("cancelled", "", 5_000), suspend=True)
    assert Observed.QUEUED is judge(job, [], now_ms=NOW_MS).state.observed
    job = replace(job, suspended=True)
    assert judge(job, [], now_ms=NOW_MS).doubt
    assert EngineEnd(Cause.CANCELLED, None, None, "cancelled before its start", None, 5_000) == end(
        job, certain=True
    )


def test_what_had_started_when_it_was_stopped_has_started_though_its_pods_are_gone() -> None:
    job = replace(JOB, stop=Stop("cancelled", "", 5_000, 4_000), suspend=True, suspended=True)
    assert EngineEnd(Cause.CANCELLED, None, None, "ended when it was cancelled", 4_000, 5_000) == end(
        job, certain=True
    )
    patched = stop_patch(asdict(Stop("cancelled", "", 5_000, 4_000)), suspend=True)
    plain = {"metadata": {"name": "x", **patched["metadata"]}}
    assert job.stop == read_job(plain).stop


def test_a_stop_for_a_reason_ends_with_that_reason() -> None:
    job = replace(
        JOB, stop=Stop("start", "ImagePullBackOff: no such host", 5_000), suspend=True, suspended=True
    )
    found = end(job, certain=True)
    assert (Cause.START, "ImagePullBackOff: no such host") == (found.cause, found.message)
    note = json.dumps({"cause": "rejected", "message": "full", "at_ms": 7})
    plain = {"metadata": {"name": "x", "annotations": {"weir.io/stop": note}}}
    assert Stop("rejected", "full", 7) == read_job(plain).stop
    odd = read_job({"metadata": {"name": "x", "annotations": {"weir.io/stop": "by hand"}}}).stop
    assert odd is not None
    assert "cancelled" == odd.cause


def test_a_job_that_is_gone_ends_when_its_pods_are() -> None:
    assert Observed.RUNNING is judge(JOB, [POD], now_ms=NOW_MS, vanished=True).state.observed
    assert Cause.LOST is end(JOB, replace(POD, gone=True), vanished=True).cause
    assert Cause.LOST is end(JOB, vanished=True).cause


def test_a_pod_that_is_gone_ends_nothing_until_its_job_does() -> None:
    gone = replace(POD, gone=True)
    assert Observed.RUNNING is judge(JOB, [gone], now_ms=NOW_MS).state.observed
    failed = replace(JOB, condition="Failed", reason="BackoffLimitExceeded")
    assert judge(failed, [gone], now_ms=NOW_MS).doubt
    assert Cause.LOST is end(failed, gone, certain=True).cause


def test_an_admission_that_was_taken_back_ends_the_attempt_once_its_job_is_deleted() -> None:
    job = replace(JOB, suspend=True, suspended=True)
    pod = ended(deleting=True, gone=True, last_words=said("stop"))
    found = judge(job, [pod], now_ms=NOW_MS)
    assert found.unsealed
    assert found.state.end is not None
    assert Cause.PREEMPTED is found.state.end.cause
    assert not judge(job, [pod], now_ms=NOW_MS, vanished=True).unsealed


def test_a_second_pod_that_found_the_claim_counts_for_nothing() -> None:
    second = ended(uid="second", last_words=said("duplicate", "75"))
    assert Observed.RUNNING is judge(JOB, [POD, second], now_ms=NOW_MS).state.observed
    good = ended(phase="Succeeded", exit_code=0, last_words=said("-", "0"))
    assert None is end(JOB, good, second).cause


def test_a_gang_ends_with_its_first_failure() -> None:
    job = replace(JOB, tasks=3, failing=True, condition="Failed", reason="BackoffLimitExceeded")
    times = {"started_ms": 0, "finished_ms": 1_000}
    first = ended(uid="1", index=1, last_words="weir1 - 9 1000 1500 ", **times)
    others = [
        ended(
            uid=str(index),
            index=index,
            deleting=True,
            last_words=f"weir1 stop s15 900 {1400 + index} ",
            **times,
        )
        for index in (0, 2)
    ]
    found = end(job, *others, first)
    assert (Cause.EXIT, 9, "task 1: ended with code 9") == (found.cause, found.exit_code, found.message)
    assert (900, 1500) == (found.started_ms, found.ended_ms)
    assert Observed.RUNNING is judge(job, [first, replace(POD, index=0)], now_ms=NOW_MS).state.observed
    well = [
        ended(uid=str(i), index=i, phase="Succeeded", exit_code=0, last_words=said("-", "0"))
        for i in range(3)
    ]
    assert Observed.RUNNING is judge(replace(JOB, tasks=3), well[:2], now_ms=NOW_MS).state.observed
    assert None is end(replace(JOB, tasks=3), *well).cause


@pytest.mark.parametrize(
    ("words", "started_ms", "ended_ms"),
    [
        ("weir1 - 0 10400 60700 ", 10_400, 60_700),
        ("weir1 - 0 59000 59001 ", 11_000, 60_000),
        ("weir1 - 0 1 99000000 ", 10_000, 61_000),
        ("weir1 - 0 - 60700 ", 10_000, 60_700),
    ],
)
def test_what_a_task_says_of_its_times_is_bounded_by_its_containers(
    words: str, started_ms: int, ended_ms: int
) -> None:
    pod = ended(
        phase="Succeeded",
        exit_code=0,
        started_ms=10_000,
        finished_ms=60_000,
        last_words=words,
        exit_reason="",
    )
    found = end(JOB, pod)
    assert (started_ms, ended_ms) == (found.started_ms, found.ended_ms)


def test_files_that_could_not_be_brought_end_an_attempt() -> None:
    never_ran = end(JOB, ended(last_words=said("inputs", "1", "the agent cannot be reached", started="-")))
    assert (Cause.INPUTS, None, "the agent cannot be reached") == (
        never_ran.cause,
        never_ran.exit_code,
        never_ran.message,
    )
    done = end(JOB, ended(exit_code=124, last_words=said("outputs", "0", "larger than 3 bytes")))
    assert (Cause.OUTPUTS, 0, "larger than 3 bytes") == (done.cause, done.exit_code, done.message)
    failed = end(JOB, ended(exit_code=3, last_words=said("-", "3", "larger than 3 bytes")))
    assert (Cause.EXIT, "ended with code 3; larger than 3 bytes") == (failed.cause, failed.message)
