"""What is sent to Ray and read from it: recorded answers of Ray 2.60, and what follows from them."""

from dataclasses import replace
from typing import Any

import pytest

from weir.engines.ray.forms import (
    OwnUsage,
    RayJob,
    RayNode,
    already_exists,
    foreign_work,
    misfit,
    needs,
    node_groups,
    read_jobs,
    read_nodes,
    read_usage,
    short,
    submission,
    submission_id,
)
from weir.engines.ray.settings import PoolSettings, Settings
from weir.model.agent import ForeignWork, NodeGroup, PoolEntry, Work
from weir.model.problem import ProblemError

LISTED: list[dict[str, Any]] = [
    {
        "type": "SUBMISSION",
        "job_id": None,
        "submission_id": "weir-k7m2q9xw4tcd-1",
        "driver_info": None,
        "status": "PENDING",
        "entrypoint": "sleep 1",
        "message": "Job has not started yet. It may be waiting for resources (CPUs, GPUs, memory, custom resources) "
        "to become available. It may be waiting for the runtime environment to be set up.",
        "error_type": None,
        "start_time": 1795350280274,
        "end_time": None,
        "metadata": {"weir_agent": "0123456789abcdef", "weir_attempt": "k7m2q9xw4tcd-1"},
        "runtime_env": {},
        "driver_agent_http_address": None,
        "driver_node_id": None,
        "driver_exit_code": None,
    },
    {
        "type": "SUBMISSION",
        "job_id": None,
        "submission_id": "raysubmit_ik5KdWVvy2wnLftf",
        "status": "FAILED",
        "entrypoint": "exit 3",
        "message": "Job entrypoint command failed with exit code 3, last available logs (truncated to 20,000 "
        "chars):\nhi\n",
        "error_type": "JOB_ENTRYPOINT_COMMAND_ERROR",
        "metadata": None,
        "driver_node_id": "cb1a97f9a7fa529fab84ef5d36df20bc67e7ccb76e44d287d26ec0e4",
        "driver_exit_code": 3,
    },
    {"type": "DRIVER", "job_id": "01000000", "submission_id": None, "status": "RUNNING", "metadata": {}},
]
NODES: dict[str, Any] = {
    "result": True,
    "data": {
        "result": {
            "total": 2,
            "result": [
                {
                    "node_id": "one",
                    "state": "ALIVE",
                    "resources_total": {
                        "node:__internal_head__": 1.0,
                        "memory": 22921633280.0,
                        "object_store_memory": 200000000.0,
                        "GPU": 8.0,
                        "CPU": 8.0,
                    },
                },
                {"node_id": "gone", "state": "DEAD", "resources_total": {"CPU": 64.0}},
            ],
        }
    },
}
USAGE: dict[str, Any] = {
    "result": True,
    "data": {
        "clusterStatus": {
            "loadMetricsReport": {
                "usage": {"CPU": [3.0, 8.0]},
                "usageByNode": {
                    "one": {"memory": [0.0, 22921633280.0], "CPU": [3.0, 8.0], "GPU": [2.0, 8.0]}
                },
            }
        }
    },
}
WORK = Work("s", "p", ("x",), {}, 1, 1_500, 1 << 30, 2_000, "any", "", 1, "TERM", 1, False, (), 0, 0)
GPU = PoolSettings("GPU")


def node(name: str = "one", **resources: float) -> RayNode:
    return RayNode(name, resources)


def test_jobs_are_read_with_whose_they_are() -> None:
    ours, theirs = read_jobs(LISTED)
    assert ("weir-k7m2q9xw4tcd-1", "PENDING", "0123456789abcdef", "k7m2q9xw4tcd-1", "", False) == (
        ours.id,
        ours.status,
        ours.agent,
        ours.attempt,
        ours.node,
        ours.terminal,
    )
    assert ("", "", "JOB_ENTRYPOINT_COMMAND_ERROR", True) == (
        theirs.agent,
        theirs.attempt,
        theirs.error_type,
        theirs.terminal,
    )
    assert "hi" == short(theirs.message)


def test_nodes_that_are_dead_are_not_there() -> None:
    assert ["one"] == [one.id for one in read_nodes(NODES)]


def test_usage_is_read_by_node_and_may_be_absent() -> None:
    assert {"one": {"memory": 0.0, "CPU": 3.0, "GPU": 2.0}} == read_usage(USAGE)
    assert {} == read_usage({"data": {"clusterStatus": None}})


def test_what_a_task_asks_is_named_as_ray_names_it() -> None:
    wanted = needs(WORK, PoolSettings("NPU", "blue"))
    assert {"CPU": 1.5, "memory": float(1 << 30), "NPU": 2.0, "blue": 0.001} == wanted
    body = submission("weir-a-1", "tag", "a-1", wanted, ["python3", "a b"])
    assert {
        "entrypoint": "python3 'a b'",
        "submission_id": "weir-a-1",
        "metadata": {"weir_agent": "tag", "weir_attempt": "a-1"},
        "entrypoint_num_cpus": 1.5,
        "entrypoint_memory": 1 << 30,
        "entrypoint_resources": {"NPU": 2.0, "blue": 0.001},
    } == body
    assert 2.0 == submission("i", "t", "a", needs(WORK, GPU), [])["entrypoint_num_gpus"]
    assert {"memory": 1.0} == needs(replace(WORK, cores_milli=0, memory_bytes=1, devices_milli=0), GPU)


def test_what_fits_no_node_is_named_with_the_nearest_node() -> None:
    nodes = [node("small", CPU=2, memory=2**40), node("large", CPU=8, memory=2**40, GPU=1)]
    assert "2 of GPU are asked on a node, and the nearest one of Ray's has 1" == misfit(
        needs(WORK, GPU), nodes
    )
    assert "" == misfit(needs(WORK, GPU), [*nodes, node("more", CPU=8, memory=2**40, GPU=2)])
    # The whole cluster has enough; no single node has.
    assert misfit({"CPU": 12.0}, nodes)
    assert "the Ray cluster has no node in service" == misfit({"CPU": 1.0}, [])


@pytest.mark.parametrize(
    ("status", "text", "known"),
    [
        (500, "ValueError: Job with submission_id weir-1 already exists. Please use a different one.", True),
        (500, "Traceback: something else", False),
        (200, "already exists", False),
    ],
)
def test_an_error_500_that_says_so_means_that_ray_has_it(status: int, text: str, known: bool) -> None:
    assert known == already_exists(status, text)


def test_a_further_submission_has_a_further_name() -> None:
    assert ("weir-a.3-1", "weir-a.3-1~2") == (submission_id("a.3-1", 1), submission_id("a.3-1", 2))


def test_equal_nodes_are_one_group_and_others_pools_are_not_counted() -> None:
    nodes = [
        node("a", CPU=8, memory=100, GPU=2, blue=1),
        node("b", CPU=8, memory=100, GPU=2, blue=1),
        node("c", CPU=4, memory=100, blue=1),
        node("d", CPU=64, memory=100),
    ]
    groups = node_groups(nodes, PoolSettings("GPU", "blue"))
    assert (NodeGroup(2, 2_000, 8_000, 100), NodeGroup(1, 0, 4_000, 100)) == groups


def test_foreign_is_what_is_used_beyond_weir_s_own() -> None:
    nodes = [node("a", CPU=8, GPU=2), node("b", CPU=8, GPU=2)]
    usage = {"a": {"CPU": 3.0}, "b": {"CPU": 1.0}}
    own = OwnUsage({})
    own.add("a", {"CPU": 1.0})
    own.add("b", {"CPU": 1.0})
    assert (ForeignWork(1, 99),) == foreign_work(nodes, usage, own, GPU, 99)
    own.add("", {"CPU": 2.0})  # ended a moment ago, wherever it was
    assert () == foreign_work(nodes, usage, own, GPU, 99)


def test_settings_are_read_by_name() -> None:
    settings = Settings.read({"address": "http://head:8265/", "poll": "2.5", "pass_environment": "A, B"})
    assert ("http://head:8265", 2.5, ("A", "B"), "auto") == (
        settings.address,
        settings.poll_s,
        settings.pass_environment,
        settings.limits,
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("address", "head:8265"),
        ("address", "http://user@head"),
        ("address", "ftp://head"),
        ("address", "http://head:99999"),
        ("token_file", "token"),
        ("python", "python 3"),
        ("limits", "maybe"),
        ("poll", "0"),
        ("poll", "nan"),
        ("colour", "blue"),
    ],
)
def test_settings_refuse_by_name(name: str, value: str) -> None:
    with pytest.raises(ProblemError, match=rf"engine\.options\.{name}"):
        Settings.read({"address": "http://head", name: value})


def test_an_address_must_be_given() -> None:
    with pytest.raises(ProblemError, match=r"engine\.options\.address"):
        Settings.read({})


@pytest.mark.parametrize(
    ("name", "value"), [("queue", "x"), ("device_resource", "a b"), ("node_resource", "")]
)
def test_pool_options_refuse_by_name(name: str, value: str) -> None:
    with pytest.raises(ProblemError, match=rf"pools\.p\.options\.{name}"):
        PoolSettings.read(PoolEntry("p", 1, 0, 1, 1, "any", False, {name: value}))


def test_a_job_that_has_ended_in_ray_is_terminal() -> None:
    job = RayJob("i", "RUNNING", "", "", "", "", "")
    states = ("PENDING", "RUNNING", "SUCCEEDED", "FAILED", "STOPPED")
    assert [False, False, True, True, True] == [replace(job, status=status).terminal for status in states]
