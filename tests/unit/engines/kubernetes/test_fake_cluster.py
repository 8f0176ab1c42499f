"""The fake cluster is held to what a real Kubernetes 1.36 answered: the recorded requests are asked of it."""

import http.client
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.unit.engines.kubernetes import recorded
from weir.engines.kubernetes.fake import FakeCluster, FakeNode
from weir.engines.kubernetes.parsing import JobFacts, PodFacts, read_job, read_pod

Plain = dict[str, Any]
JOBS = "/apis/batch/v1/namespaces/default/jobs"
ASCEND = "huawei.com/Ascend910"
OPTIONAL = {"containerID", "imageID", "podIP", "podIPs", "hostIP", "hostIPs"}


@pytest.fixture(scope="module")
def cluster() -> Iterator[FakeCluster]:
    with FakeCluster([FakeNode("real0", 2_000, 24_683_068 << 10, {ASCEND: 8})]) as made:
        for case in ("ok", "fail", "oom", "slow", "sus", "long", "nopull", "big"):
            assert 201 == ask(made, "POST", JOBS, again(case))[0]
        yield made


def ask(cluster: FakeCluster, method: str, path: str, body: Any = None, token: str = "") -> tuple[int, Plain]:
    connection = http.client.HTTPConnection(urlsplit(cluster.server.url).netloc, timeout=10)
    try:
        headers = {"Authorization": f"Bearer {token or cluster.token}"}
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def again(name: str) -> Plain:
    """The request that made a recorded Job, without what the server filled in."""
    plain = recorded.job(name)
    spec = {key: value for key, value in plain["spec"].items() if key not in ("selector", "manualSelector")}
    pod = spec["template"]["spec"]
    if name == "oom":  # of shells' own, dd takes its buffer as memory nowhere else
        pod["containers"][0]["args"] = ["x=$(head -c 90000000 /dev/zero | tr '\\0' x); echo ${#x}"]
    spec["template"] = {"spec": pod}
    labels = {key: value for key, value in plain["metadata"]["labels"].items() if key.startswith("weir.io/")}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "labels": labels},
        "spec": spec,
    }


def until(look: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + 30
    while not look():
        assert time.monotonic() < end, f"waited for {what}"
        time.sleep(0.02)


def paths(plain: Any, at: str = "") -> set[str]:
    """Every field of an object, whatever its value; lists count as one."""
    if isinstance(plain, dict):
        found = {f"{at}.{key}" for key in plain if key not in OPTIONAL}
        for key, value in plain.items():
            if key not in OPTIONAL and key not in ("labels", "annotations", "limits", "requests"):
                found |= paths(value, f"{at}.{key}")
        return found
    if isinstance(plain, list):
        return {path for item in plain for path in paths(item, f"{at}[]")}
    return set()


def same_job(plain: Plain) -> JobFacts:
    return replace(read_job(plain), uid="", stop=None)


def same_pod(plain: Plain) -> PodFacts:
    facts = read_pod(plain)
    known = facts.started_ms is not None, facts.finished_ms is not None
    return replace(
        facts,
        uid="",
        name="",
        started_ms=int(known[0]),
        finished_ms=int(known[1]),
        waiting_message=facts.waiting_message[:40],
        unschedulable=facts.unschedulable.partition(". ")[0].rstrip("."),
    )


@pytest.mark.parametrize(
    "case",
    ["create again: 409 AlreadyExists", "invalid name: 422", "no template: 422", "404", "delete 404"],
)
def test_refusals_are_word_for_word(cluster: FakeCluster, case: str) -> None:
    row = recorded.CASES[case]
    assert (row["status"], row["response"]) == ask(cluster, row["method"], row["path"], row["request"])


def test_a_wrong_token_and_a_future_version_are_refused_alike(cluster: FakeCluster) -> None:
    row = recorded.CASES["wrong token"]
    assert (row["status"], row["response"]) == ask(cluster, "GET", JOBS, token="wrong")
    row = recorded.CASES["list at a future exact resourceVersion"]
    status, answer = ask(cluster, row["method"], row["path"])
    answer["message"] = answer["message"].partition(", current")[0]
    row["response"]["message"] = row["response"]["message"].partition(", current")[0]
    assert (row["status"], row["response"]) == (status, answer)


def test_a_new_job_is_filled_in_alike(cluster: FakeCluster) -> None:
    row = recorded.CASES["create"]
    status, answer = ask(cluster, "POST", JOBS, {**row["request"], "metadata": {"name": "anew"}})
    real = row["response"]
    assert row["status"] == status
    assert paths(real) - {".metadata.labels"} == paths(answer)
    for field in (
        "parallelism",
        "completions",
        "backoffLimit",
        "completionMode",
        "suspend",
        "podReplacementPolicy",
    ):
        assert real["spec"][field] == answer["spec"][field]
    assert real["spec"]["template"]["spec"] == answer["spec"]["template"]["spec"]
    ask(cluster, "DELETE", f"{JOBS}/anew", {"propagationPolicy": "Background"})


@pytest.mark.parametrize("name", ["ok", "fail", "oom", "sus", "nopull", "big"])
def test_jobs_and_pods_come_to_the_same(cluster: FakeCluster, name: str) -> None:
    real, real_pods = recorded.job(name), recorded.pods(name)
    pods_path = f"/api/v1/namespaces/default/pods?labelSelector=job-name%3D{name}"

    def settled() -> bool:
        here = same_job(ask(cluster, "GET", f"{JOBS}/{name}")[1])
        pods = ask(cluster, "GET", pods_path)[1]["items"]
        return same_job(real) == here and [same_pod(pod) for pod in real_pods] == [
            same_pod(pod) for pod in pods
        ]

    try:
        until(settled, name)
    except AssertionError:
        assert same_job(real) == same_job(ask(cluster, "GET", f"{JOBS}/{name}")[1])
        assert [same_pod(pod) for pod in real_pods] == [
            same_pod(pod) for pod in ask(cluster, "GET", pods_path)[1]["items"]
        ]
        raise
    made = ask(cluster, "GET", f"{JOBS}/{name}")[1]
    assert paths(made["status"]) <= paths(real["status"]) | {".conditions"}
    for real_pod, pod in zip(real_pods, ask(cluster, "GET", pods_path)[1]["items"], strict=True):
        assert paths(pod) - paths(real_pod) <= {".metadata.annotations", ".metadata.finalizers"}


def test_conditions_come_in_the_same_order(cluster: FakeCluster) -> None:
    until(lambda: same_job(ask(cluster, "GET", f"{JOBS}/slow")[1]).condition == "Failed", "the deadline")
    for name in ("ok", "fail", "oom"):
        real = recorded.watched(name)
        events = [json.loads(line) for _, line in cluster.objects.events("jobs", "default", "", 1)]
        fake = [event for event in events if event["object"]["metadata"]["name"] == name]
        assert conditions(real) == conditions(fake), name
    slow = [json.loads(line) for _, line in cluster.objects.events("jobs", "default", "", 1)]
    seen = conditions([event for event in slow if event["object"]["metadata"]["name"] == "slow"])
    assert conditions(recorded.watched("slow")) == seen[:2], "recorded until its pod's grace was over"


def test_a_job_that_is_let_go_on_runs_alike(cluster: FakeCluster) -> None:
    row = recorded.CASES["resume"]
    status, answer = ask(cluster, "PATCH", f"{JOBS}/sus", row["request"])
    assert (row["status"], False, 2) == (status, answer["spec"]["suspend"], answer["metadata"]["generation"])
    until(lambda: same_job(ask(cluster, "GET", f"{JOBS}/sus")[1]).condition == "Complete", "it to end")
    events = [json.loads(line) for _, line in cluster.objects.events("jobs", "default", "", 1)]
    fake = [event for event in events if event["object"]["metadata"]["name"] == "sus"]
    assert conditions(recorded.watched("sus")) == conditions(fake)


def test_lists_come_in_pages_and_deleting_answers_alike(cluster: FakeCluster) -> None:
    status, page = ask(cluster, "GET", f"{JOBS}?limit=2")
    real = recorded.response("list, first page")
    assert (200, 2, real["kind"]) == (status, len(page["items"]), page["kind"])
    assert paths(real["metadata"]) == paths(page["metadata"])
    rest = ask(cluster, "GET", f"{JOBS}?limit=100&continue={page['metadata']['continue']}")[1]
    assert page["metadata"]["remainingItemCount"] == len(rest["items"])
    row = recorded.CASES["delete"]
    status, answer = ask(cluster, "DELETE", f"{JOBS}/long", row["request"])
    answer["details"]["uid"] = row["response"]["details"]["uid"]
    assert (row["status"], row["response"]) == (status, answer)


def test_nodes_are_told_alike(cluster: FakeCluster) -> None:
    [real] = recorded.response("nodes, with an extended resource")["items"]
    [fake] = ask(cluster, "GET", "/api/v1/nodes")[1]["items"]
    assert paths(fake) - paths(real) <= {".metadata.generation"}
    assert real["status"]["allocatable"][ASCEND] == fake["status"]["allocatable"][ASCEND]


def conditions(events: list[Plain]) -> list[list[tuple[str, str, str]]]:
    """The sets of conditions that a Job had, one after another."""
    found: list[list[tuple[str, str, str]]] = []
    for event in events:
        rows = event["object"].get("status", {}).get("conditions") or []
        here = sorted((row["type"], row["status"], row["reason"]) for row in rows)
        if event["type"] != "DELETED" and (not found or found[-1] != here):
            found.append(here)
    return found


def test_a_paced_controller_keeps_nobody_waiting_whom_it_has_begun() -> None:
    """A Job every thousand seconds: the first one runs to its end while the second waits for its turn."""
    node = FakeNode("one", 2_000, 1 << 34, {ASCEND: 8})
    with FakeCluster([node], pretend=True, pretend_s=0.0, jobs_per_s=0.001) as paced:
        first, second = ({**again("ok"), "metadata": {"name": name}} for name in ("first", "second"))
        assert [201, 201] == [ask(paced, "POST", JOBS, body)[0] for body in (first, second)]
        until(lambda: "completionTime" in ask(paced, "GET", f"{JOBS}/first")[1]["status"], "the first to end")
        assert {} == ask(paced, "GET", f"{JOBS}/second")[1]["status"]
        assert 200 == ask(paced, "DELETE", f"{JOBS}/second", {})[0]
