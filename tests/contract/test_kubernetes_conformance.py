"""The Kubernetes driver passes the suite: on the fake cluster always, on a real one where WEIR_K8S_KUBECONFIG
names it."""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import pytest

from tests.contract.engine_scale import IMAGES, engine_scale, free_port, time_limit
from weir.engines.conformance import CASES, FULL, QUICK, ConformanceReport, Provocations, run_conformance
from weir.engines.conformance.stage import NARROW, WIDE
from weir.engines.kubernetes.driver import KubernetesDriver
from weir.engines.kubernetes.fake import FakeCluster, FakeNode
from weir.engines.kubernetes.settings import POOL_LABEL

pytestmark = [pytest.mark.conformance, time_limit(600)]
NAMES = [case.name for case in CASES]
FEW = replace(QUICK, array=40, many=30, kills=3, outage_s=1.0)
GPU = "nvidia.com/gpu"
BY_THE_AGENT = {
    "working files",
    "files of a failure",
    "cancel at once",
    "a gang's last task",
    "ordered ten times",
    "driver killed before its answer",
    "an answer is lost",
}


def provocations(cluster: FakeCluster) -> Provocations:
    """All that can be done to a fake cluster."""

    def drain(pool: str) -> AbstractContextManager[object]:
        return cluster.cordoned(f"{pool}-0")

    def occupy(pool: str) -> AbstractContextManager[object]:
        return cluster.occupied(f"{pool}-0")

    return Provocations(
        restart_engine=cluster.restart_server,
        unreachable=cluster.unreachable,
        lose_reply=cluster.losing_replies,
        fail_node=cluster.fail_node,
        preempt=cluster.preempt,
        vanish=cluster.vanish,
        skew_clock=cluster.skewed,
        drain_node=drain,
        occupy=occupy,
        left=cluster.left,
    )


@pytest.fixture(scope="module")
def fake_cluster() -> Iterator[FakeCluster]:
    nodes = [
        FakeNode(f"{WIDE}-{number}", 512_000, 1 << 42, {GPU: 4}, {POOL_LABEL: WIDE}) for number in range(2)
    ]
    nodes.append(FakeNode(f"{NARROW}-0", 1_000, 1 << 34, {}, {POOL_LABEL: NARROW}))
    with FakeCluster(nodes) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def report(fake_cluster: FakeCluster, tmp_path_factory: pytest.TempPathFactory) -> ConformanceReport:
    root = tmp_path_factory.mktemp("kubernetes")
    options = {
        "kubeconfig": str(fake_cluster.write_kubeconfig(root / "kubeconfig")),
        "image": "base:1",
        "device_resource": GPU,
        "shared_root": str(root),
        "shared_host_path": str(root),
        "run_as": "agent",
    }
    scale = replace(FULL, patience_s=600.0) if engine_scale() is FULL else FEW
    return run_conformance(
        KubernetesDriver,
        root / "agent",
        scale=scale,
        options=options,
        provocations=provocations(fake_cluster),
    )


@pytest.mark.parametrize("name", NAMES)
def test_kubernetes(report: ConformanceReport, name: str) -> None:
    [failure] = [result.failure for result in report.results if result.name == name]
    assert "" == failure


def test_only_these_are_not_played(report: ConformanceReport) -> None:
    unplayed = {result.name: result.verdict for result in report.results if result.verdict != "passed"}
    assert {
        "bound to cores": "not claimed",
        "shares of a device": "not claimed",
        "take back what waits": "not claimed",
        "requeued by the engine": "not tried",
        "a killed supervisor": "not tried",
        **dict.fromkeys(IMAGES, "not claimed"),
    } == unplayed


def test_the_cluster_is_clean_after_it(report: ConformanceReport, fake_cluster: FakeCluster) -> None:
    print(report)
    assert report.passed
    assert [] == fake_cluster.left()


def test_files_by_way_of_the_agent(fake_cluster: FakeCluster, tmp_path: Path) -> None:
    """Where no folder is shared, pods fetch their inputs from the agent and bring it what they made."""
    options = {
        "kubeconfig": str(fake_cluster.write_kubeconfig(tmp_path / "kubeconfig")),
        "image": "base:1",
        "agent_address": f"127.0.0.1:{free_port()}",
        "agent_listen": "127.0.0.1",
    }
    found = run_conformance(
        KubernetesDriver,
        tmp_path / "agent",
        scale=FEW,
        only=BY_THE_AGENT,
        options=options,
        provocations=provocations(fake_cluster),
    )
    assert dict.fromkeys(BY_THE_AGENT, "passed") == {one.name: one.verdict for one in found.results}, found
    assert [] == fake_cluster.left()


if "WEIR_K8S_KUBECONFIG" in os.environ:

    def test_a_real_cluster(tmp_path: Path) -> None:
        """WEIR_K8S_OPTIONS are further options, such as `image=python:3.11,shared_root=/mnt,shared_claim=share`;
        nodes carry the label weir.io/pool=wide (two or more) or narrow (one)."""
        given = dict(part.split("=", 1) for part in os.environ.get("WEIR_K8S_OPTIONS", "").split(",") if part)
        options = {"kubeconfig": os.environ["WEIR_K8S_KUBECONFIG"], **given}
        folder = Path(options.get("shared_root", str(tmp_path))) / f"conformance-{os.getpid()}"
        scale = replace(FEW, patience_s=120.0, step_s=2.0)
        found = run_conformance(KubernetesDriver, folder, scale=scale, options=options)
        assert found.passed, str(found)
