"""Orders become Jobs; options are read; nodes and pods become what there is of a pool."""

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.unit.engines.kubernetes import recorded
from weir.engines.driver import AttemptOrder
from weir.engines.kubernetes.driver import KubernetesDriver
from weir.engines.kubernetes.fake.containers import expand
from weir.engines.kubernetes.manifest import (
    Carrying,
    job_manifest,
    job_name,
    never,
    order_digest,
    verbatim,
)
from weir.engines.kubernetes.nodes import UNKNOWN_UNTIL_MS, pool_observation
from weir.engines.kubernetes.quantity import bytes_text, milli_text, read_milli, read_whole
from weir.engines.kubernetes.settings import PoolSettings, Settings, Toleration, read_pool
from weir.model.agent import ForeignWork, NodeGroup, NodeShare, PoolEntry, Work
from weir.model.problem import ProblemError

Plain = dict[str, Any]
ASCEND = "huawei.com/Ascend910"
ENTRY = PoolEntry("npu", 4, 8, 64_000, 1 << 39, "huawei-ascend-910b", False, {}, ASCEND)
WORK = Work(
    job_submission="k7m2q9xw4tcd",
    pool="npu",
    command=("python", "train.py", "$(HOME)"),
    environment={"LR": "$1"},
    tasks=1,
    cores_milli=2_500,
    memory_bytes=3 << 30,
    devices_milli=2_000,
    device_model="huawei-ascend-910b",
    visible_devices_variable="ASCEND_RT_VISIBLE_DEVICES",
    time_limit_ms=60_500,
    stop_signal="SIGUSR1",
    stop_grace_ms=10_000,
    restartable=False,
    outputs=(),
    output_limit_bytes=0,
    log_limit_bytes=0,
)
SHARED = {"image": "base:1", "shared_root": "/share", "shared_claim": "weir"}


def order(work: Work = WORK, nodes: tuple[NodeShare, ...] = (), folder: str = "/share/a/x") -> AttemptOrder:
    shares = nodes or (NodeShare(0, work.tasks),)
    return AttemptOrder("k7m2q9xw4tcd.7-1", "k7m2q9xw4tcd.7", 1, 7, work, shares, Path(folder))


def made(options: Mapping[str, str] = SHARED, entry: PoolEntry = ENTRY, **changes: Any) -> Plain:
    settings = Settings.read(options)
    found = order(**changes)
    pool = read_pool(entry, settings.defaults)
    assert "" == never(found, entry, pool, settings)
    return job_manifest(found, entry, pool, settings, (1_000, 1_000))


def pod_of(job: Plain) -> Plain:
    found: Plain = job["spec"]["template"]["spec"]
    return found


def test_a_job_is_made_once_and_kept_until_weir_deletes_it() -> None:
    spec = made()["spec"]
    assert (0, "Failed", "NonIndexed") == (
        spec["backoffLimit"],
        spec["podReplacementPolicy"],
        spec["completionMode"],
    )
    assert "ttlSecondsAfterFinished" not in spec
    assert "suspend" not in spec
    assert "Never" == pod_of(made())["restartPolicy"]


def test_what_is_asked_is_what_is_had() -> None:
    container = pod_of(made())["containers"][0]
    assert {"cpu": "2500m", "memory": "3Gi", ASCEND: "2"} == container["resources"]["limits"]
    assert container["resources"]["limits"] == container["resources"]["requests"]
    other = replace(ENTRY, options={"device_resource": "huawei.com/Ascend910B"})
    assert "2" == pod_of(made(entry=other))["containers"][0]["resources"]["limits"]["huawei.com/Ascend910B"]


def test_a_task_sees_its_own_part_of_the_shared_folder_and_no_token() -> None:
    pod = pod_of(made())
    assert [{"name": "weir", "mountPath": "/share/a/x", "subPath": "a/x"}] == pod["containers"][0][
        "volumeMounts"
    ]
    assert [{"name": "weir", "persistentVolumeClaim": {"claimName": "weir"}}] == pod["volumes"]
    assert not pod["automountServiceAccountToken"]
    assert {"runAsUser": 1_000, "runAsGroup": 1_000} == pod["securityContext"]
    host = pod_of(made({"image": "base:1", "shared_root": "/share", "shared_host_path": "/data/weir"}))
    assert [{"name": "weir", "hostPath": {"path": "/data/weir", "type": "Directory"}}] == host["volumes"]


def test_nothing_in_a_command_or_its_environment_is_replaced() -> None:
    container = pod_of(made())["containers"][0]
    assert ["python", "train.py", "$$(HOME)"] == container["args"][-3:]
    assert {"name": "LR", "value": "$$1"} in container["env"]
    for text in ("$(HOME)", "$$", "$$(A)", "a$b", "$", "$(", "$(A", "`id`"):
        assert text == expand(verbatim(text), {"HOME": "x", "A": "y"})
    assert "x-$(B)-$(HOME)" == expand("$(HOME)-$(B)-$$(HOME)", {"HOME": "x"})


def test_a_gang_is_one_indexed_job_of_a_pod_a_task() -> None:
    gang = made(work=replace(WORK, tasks=3), nodes=(NodeShare(0, 2), NodeShare(1, 1)))
    assert ("Indexed", 3, 3, 0) == tuple(
        gang["spec"][name] for name in ("completionMode", "completions", "parallelism", "backoffLimit")
    )
    env = {row["name"]: row["value"] for row in pod_of(gang)["containers"][0]["env"]}
    name = job_name("k7m2q9xw4tcd.7-1")
    assert (name, f"{name}-0.{name}", "0,1,0") == (
        pod_of(gang)["subdomain"],
        env["MASTER_ADDR"],
        env["WEIR_LOCAL_RANKS"],
    )
    assert f"{name}-0.{name},{name}-1.{name},{name}-2.{name}" == env["WEIR_HOSTS"]
    assert 1 <= int(env["MASTER_PORT"]) < 32_768


def test_a_queue_admits() -> None:
    job = made({**SHARED, "kueue_queue": "outside"})
    assert (True, "outside") == (
        job["spec"]["suspend"],
        job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"],
    )
    own = replace(ENTRY, options={"volcano_queue": "q"})
    job = made({**SHARED, "kueue_queue": "outside"}, entry=own)
    assert "suspend" not in job["spec"]
    assert "volcano" == pod_of(job)["schedulerName"]
    notes = job["spec"]["template"]["metadata"]["annotations"]
    assert {"scheduling.volcano.sh/queue-name": "q", "scheduling.volcano.sh/group-min-member": "1"} == notes


def test_pools_say_where_their_pods_go() -> None:
    own = replace(
        ENTRY,
        options={
            "node_selector": "gpu=910b,zone=b",
            "tolerations": "dedicated=weir:NoSchedule,spot",
            "image": "own:2",
        },
    )
    pod = pod_of(made(entry=own))
    assert ({"gpu": "910b", "zone": "b"}, "own:2") == (pod["nodeSelector"], pod["containers"][0]["image"])
    assert [
        {"key": "dedicated", "operator": "Equal", "value": "weir", "effect": "NoSchedule"},
        {"key": "spot", "operator": "Exists"},
    ] == pod["tolerations"]
    assert {"weir.io/pool": "npu"} == pod_of(made())["nodeSelector"]


@pytest.mark.parametrize(
    ("changes", "options", "words"),
    [
        ({"cores_milli": 65_000}, {}, "65000 thousandths of a core are asked for a task"),
        ({"memory_bytes": 1 << 40}, {}, "bytes of memory are asked"),
        ({"devices_milli": 9_000}, {}, "9 devices are asked"),
        ({"devices_milli": 500}, {}, "a share of a device"),
        ({"command": ()}, {}, "the command is empty"),
        ({"command": ("a\0b",)}, {}, "zero byte"),
        ({"tasks": 2}, {"nodes": (NodeShare(0, 1),)}, "2 tasks were ordered and 1 laid"),
        ({}, {"nodes": (NodeShare(4, 1),)}, "node 4 is asked"),
        ({}, {"folder": "/elsewhere/x"}, "is not below /share"),
    ],
)
def test_what_can_never_run_is_refused(changes: Plain, options: Plain, words: str) -> None:
    settings = Settings.read(SHARED)
    found = never(
        order(replace(WORK, **changes), **options), ENTRY, read_pool(ENTRY, settings.defaults), settings
    )
    assert words in found


def test_without_a_shared_folder_files_are_refused_and_never_lost(tmp_path: Path) -> None:
    settings = Settings.read({"image": "base:1"})
    pool = read_pool(ENTRY, settings.defaults)
    plain = order(folder=str(tmp_path))
    assert "" == never(plain, ENTRY, pool, settings)
    assert "outputs" in never(order(replace(WORK, outputs=("*.pt",))), ENTRY, pool, settings)
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "in.txt").touch()
    assert "shares no folder" in never(plain, ENTRY, pool, settings)


def test_files_go_by_way_of_the_agent_where_pods_reach_it() -> None:
    settings = Settings.read({"image": "base:1", "agent_address": "agent.weir.svc:8471"})
    pool = read_pool(ENTRY, settings.defaults)
    given = order(replace(WORK, outputs=("*.pt",)))
    assert "" == never(given, ENTRY, pool, settings)
    assert settings.door is not None
    assert "http://agent.weir.svc:8471" == settings.door.address
    carrying = Carrying("print($(X))", "http://h:1/v1/a", "secret")
    job = job_manifest(given, ENTRY, pool, settings, None, carrying)
    env = {one["name"]: one["value"] for one in pod_of(job)["containers"][0]["env"]}
    assert ("print($$(X))", "http://h:1/v1/a", "secret") == tuple(
        env[f"WEIR_FILES_{name}"] for name in ("PROGRAM", "URL", "TOKEN")
    )
    plain = job_manifest(given, ENTRY, pool, settings, None)
    assert not [one for one in pod_of(plain)["containers"][0]["env"] if "FILES" in one["name"]]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's tasks would be root")
def test_an_agent_that_is_root_does_not_run_tasks_as_root_unless_that_is_said(tmp_path: Path) -> None:
    with pytest.raises(ProblemError, match=r"run_as.*1000:1000"):
        KubernetesDriver(tmp_path).attach((ENTRY,), SHARED)
    assert Settings.read({**SHARED, "run_as": "agent"}).as_agent


@pytest.mark.parametrize(
    ("images", "image", "taken"),
    [
        ("r.example/team/", "r.example/team/train:1", True),
        ("r.example/team/", "r.example/other:1", False),
        ("r.example/base", "r.example/base@sha256:0", True),
        ("r.example/base, x", "r.example/base", True),
        ("r.example/base", "r.example/basement:1", False),
        ("*", "anything", True),
    ],
)
def test_a_job_may_ask_for_the_images_that_the_centre_takes(images: str, image: str, taken: bool) -> None:
    settings = Settings.read({**SHARED, "images": images})
    pool = read_pool(ENTRY, settings.defaults)
    given = order(replace(WORK, image=image))
    assert ("" if taken else f"image {image} is asked for") == never(given, ENTRY, pool, settings)[
        : len(f"image {image} is asked for")
    ]
    assert image == pod_of(job_manifest(given, ENTRY, pool, settings, None))["containers"][0]["image"]


def test_without_a_word_of_the_centres_no_job_brings_an_image() -> None:
    settings = Settings.read(SHARED)
    found = never(order(replace(WORK, image="x")), ENTRY, read_pool(ENTRY, settings.defaults), settings)
    assert "takes no image of a job's own" in found


def test_what_a_pool_lacks_is_named() -> None:
    settings = Settings.read({})
    assert "no container image" in never(order(), ENTRY, read_pool(ENTRY, settings.defaults), settings)
    bare = replace(ENTRY, kubernetes_resource="")
    settings = Settings.read(SHARED)
    assert "option device_resource" in never(order(), bare, read_pool(bare, settings.defaults), settings)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"imag": "x"}, "known are agent_address, agent_listen, context, device_resource"),
        ({"image": "a b"}, "give an image"),
        ({"namespace": "A"}, "name of a namespace"),
        ({"shared_root": "/share"}, "shared_claim or shared_host_path"),
        ({"shared_claim": "c"}, "with it give shared_root"),
        ({"shared_root": "/s", "shared_claim": "c", "shared_host_path": "/d"}, "either"),
        ({"shared_root": "share", "shared_claim": "c"}, "absolute path"),
        ({"run_as": "root"}, "two numbers"),
        ({"run_as": "0:1000"}, "never root"),
        ({"agent_address": "host"}, "host and port"),
        ({"agent_address": "host:0"}, "host and port"),
        ({"agent_address": "http://host:1"}, "host and port"),
        ({"agent_listen": "10.0.0.1"}, "with it give agent_address"),
        ({"agent_address": "h:1", "agent_listen": "here"}, "this machine's addresses"),
        ({"shared_root": "/s", "shared_claim": "c", "agent_address": "h:1"}, "leave it out"),
        ({"image_deadline_s": "-1"}, "whole number of seconds"),
        ({"foreign": "maybe"}, "yes or no"),
        ({"tolerations": "a:Never"}, "give taints"),
        ({"node_selector": "a"}, "give labels"),
        ({"kueue_queue": "a", "volcano_queue": "b"}, "not both"),
        ({"pull_secrets": "a,B"}, "names of Kubernetes objects"),
    ],
)
def test_options_that_are_wrong_are_refused(options: dict[str, str], words: str) -> None:
    with pytest.raises(ProblemError, match=words):
        Settings.read(options)


def test_options_that_are_right() -> None:
    settings = Settings.read(
        {"run_as": "1000:100", "tolerations": "a=b", "foreign": "no", "pull_secrets": "a, b"}
    )
    assert ((1_000, 100), False, ("a", "b")) == (settings.run_as, settings.foreign, settings.pull_secrets)
    assert (Toleration("a", "b", ""),) == settings.defaults.tolerations
    with pytest.raises(ProblemError, match=r"pools.npu.options.namespace"):
        read_pool(replace(ENTRY, options={"namespace": "x"}), PoolSettings())


def test_an_order_that_differs_has_another_digest() -> None:
    assert order_digest(order()) == order_digest(order(folder="/share/b"))
    assert order_digest(order()) != order_digest(order(replace(WORK, command=("x",))))


def test_quantities() -> None:
    assert [250, 2_000, 1, 500] == [read_milli(text) for text in ("250m", "2", "1u", "0.5")]
    assert [32 << 20, 1_000, 24_683_068 << 10, 10**18, 1_500] == [
        read_whole(text) for text in ("32Mi", "1e3", "24683068Ki", "1E", "1.5k")
    ]
    for size in (0, 1, 1 << 10, 3 << 30, 1_000_001):
        assert size == read_whole(bytes_text(size))
    assert ["2", "2500m"] == [milli_text(2_000), milli_text(2_500)]
    with pytest.raises(ValueError, match="no quantity"):
        read_whole("12x")


def node(name: str, **spec: Any) -> Plain:
    [plain] = recorded.response("nodes, with an extended resource")["items"]
    return {**plain, "metadata": {"name": name, "labels": {"weir.io/pool": "npu"}}, "spec": spec}


def pod(place: str, devices: int = 0, cores: str = "100m", **more: Any) -> Plain:
    limits = {"cpu": cores, "memory": "1Mi", **({ASCEND: str(devices)} if devices else {})}
    spec = {
        "containers": [{"resources": {"limits": limits}}],
        **({"nodeName": place} if place else {}),
        **more,
    }
    return {"metadata": {"name": "x", "labels": {}}, "spec": spec, "status": {"phase": "Running"}}


def observed(nodes: list[Plain], pods: list[Plain]) -> Any:
    return pool_observation(ENTRY, read_pool(ENTRY, PoolSettings()), nodes, pods, "weir", 5, ("gang",))


def test_nodes_are_grouped_by_what_others_leave_of_them() -> None:
    whole = (24_683_068 << 10, 8_000, 2_000)
    ours = {"metadata": {"name": "y", "labels": {"weir.io/owner": "weir"}}}
    pods = [
        pod("b"),
        pod("c", devices=4),
        {**pod("a", devices=8), **ours},
        {**pod("d"), "status": {"phase": "Failed"}},
    ]
    found = observed([node("a"), node("b"), node("c"), node("d"), node("e", unschedulable=True)], pods)
    assert (
        NodeGroup(3, whole[1], whole[2], whole[0]),
        NodeGroup(1, 8_000, 1_900, whole[0] - (1 << 20)),
    ) == found.present
    assert (1, 5, ("gang",)) == (found.drained_nodes, found.read_ms, found.capabilities)
    assert (ForeignWork(1, UNKNOWN_UNTIL_MS),) == found.foreign


def test_others_who_wait_for_this_pools_nodes_are_its_queue() -> None:
    waiting = [
        pod("", devices=1),
        pod("", nodeSelector={"weir.io/pool": "npu"}),
        pod("", nodeSelector={"weir.io/pool": "cpu"}),
        pod(""),
    ]
    assert 2 == observed([node("a")], waiting).queued_foreign
    other = node("a")
    other["metadata"]["labels"] = {}
    assert () == observed([other], []).present


def test_init_containers_count_where_they_ask_for_more() -> None:
    early = [{"resources": {"requests": {"cpu": "1900m", "memory": "1Mi"}}}]
    found = observed([node("a")], [pod("a", initContainers=early)])
    assert (ForeignWork(1, UNKNOWN_UNTIL_MS),) == found.foreign
