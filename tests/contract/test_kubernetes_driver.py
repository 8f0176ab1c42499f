"""What the Kubernetes driver does beyond the suite: deadlines, queues, logs without a shared folder, refusals."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from weir.engines.conformance.stage import Stage, stage_pools
from weir.engines.driver import AttemptOrder, EngineUnreachableError
from weir.engines.kubernetes.api import Api, Plain
from weir.engines.kubernetes.driver import KubernetesDriver
from weir.engines.kubernetes.fake import FakeCluster, FakeNode
from weir.engines.kubernetes.manifest import job_name
from weir.model.state import Cause, Observed

JOBS = "jobs", "weir"


@pytest.fixture(scope="module")
def cluster() -> Iterator[FakeCluster]:
    labels = {"weir.io/pool": "wide"}
    nodes = [
        FakeNode(f"wide-{number}", 512_000, 1 << 42, {"nvidia.com/gpu": 4}, labels) for number in range(2)
    ]
    nodes.append(FakeNode("narrow-0", 1_000, 1 << 34, {}, {"weir.io/pool": "narrow"}))
    with FakeCluster(nodes) as made:
        yield made


@contextmanager
def stage_on(cluster: FakeCluster, root: Path, *, shared: bool = True, **options: str) -> Iterator[Stage]:
    given = {"kubeconfig": str(cluster.write_kubeconfig(root / "config")), "image": "base:1", **options}
    if shared:
        given |= {"shared_root": str(root), "shared_host_path": str(root), "run_as": "agent"}
    stage = Stage(
        KubernetesDriver(root / "agent"), root / "agent", KubernetesDriver, given, pools=stage_pools()
    )
    stage.attach()
    try:
        yield stage
        stage.clear()
    finally:
        stage.driver.close()


def ran_once(order: AttemptOrder) -> bool:
    runs = order.folder / "work" / "runs"
    return runs.exists() and runs.read_text() == "run\n"


def names(*orders: AttemptOrder) -> list[str]:
    return [order.attempt for order in orders]


def test_an_image_that_cannot_be_pulled_is_given_up_after_its_deadline(
    cluster: FakeCluster, tmp_path: Path
) -> None:
    with stage_on(cluster, tmp_path, image="registry.invalid/x:1", image_deadline_s="1") as stage:
        order = stage.order("true")
        stage.submit(order)
        stage.until(lambda: "ImagePullBackOff" in stage.state(order).message, "the reason")
        assert Observed.QUEUED is stage.state(order).observed
        end = stage.end(order)
        assert (Cause.START, None) == (end.cause, end.started_ms)
        assert "given up after" in end.message
        assert "no such host" in end.message
        stage.restart_driver()
        assert end == stage.end(order), "a new driver reads the same from the Job"


def test_what_finds_no_node_is_given_up_after_its_deadline(cluster: FakeCluster, tmp_path: Path) -> None:
    with stage_on(cluster, tmp_path, unschedulable_deadline_s="1") as stage:
        order = stage.order("true", devices_milli=0, pool="narrow")
        with cluster.cordoned("narrow-0"):
            stage.submit(order)
            stage.until(lambda: "unschedulable" in stage.state(order).message, "the reason")
            end = stage.end(order)
        assert Cause.REJECTED is end.cause
        assert "0/3 nodes are available" in end.message


def test_the_suspended_job_of_a_queue_waits_until_it_is_admitted(
    cluster: FakeCluster, tmp_path: Path
) -> None:
    with stage_on(cluster, tmp_path, kueue_queue="outside") as stage:
        admitted, stopped, withdrawn = (
            stage.order("sh", "-c", "echo run >> runs; sleep 600") for _ in range(3)
        )
        stage.submit(admitted, stopped, withdrawn)
        stage.until(lambda: "admitted by its queue" in stage.state(admitted).message, "the reason")
        for order in (admitted, withdrawn):
            admit(cluster, order, True)
            stage.reach(order, Observed.RUNNING)
        stage.driver.cancel(names(admitted, stopped))
        for order, started in ((admitted, True), (stopped, False)):
            end = stage.end(order)
            assert (Cause.CANCELLED, started) == (end.cause, end.started_ms is not None)
        gone = (admitted, stopped)
        stage.until(
            lambda: not any(exists(cluster, order) for order in gone), "Jobs that nobody can admit again"
        )
        admit(cluster, withdrawn, False)
        assert Cause.PREEMPTED is stage.end(withdrawn).cause
        assert not exists(cluster, withdrawn)
        before = stage.end(withdrawn)
        stage.restart_driver()
        assert before == stage.end(withdrawn), "an end whose Job is gone is noted"


def test_what_its_queue_has_not_admitted_is_taken_back_and_nothing_else(
    cluster: FakeCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with stage_on(cluster, tmp_path, kueue_queue="outside") as stage:
        assert "withdraw" in stage.driver.capabilities
        waiting, admitted, late = (stage.order("sh", "-c", "echo run >> runs; sleep 600") for _ in range(3))
        stage.submit(waiting, admitted, late)
        admit(cluster, admitted, True)
        stage.reach(admitted, Observed.RUNNING)
        stage.driver.withdraw(names(waiting, admitted))
        end = stage.end(waiting)
        assert (Cause.CANCELLED, None) == (end.cause, end.started_ms)
        assert not exists(cluster, waiting)
        stage.restart_driver()
        assert end == stage.end(waiting), "an end whose Job is gone is noted"

        read = Api.list

        def admitted_after_it_was_read(api: Api, *given: str, **query: str) -> tuple[list[Plain], str]:
            found = read(api, *given, **query)
            if query.get("labelSelector", "").endswith(late.attempt):
                admit(cluster, late, True)
            return found

        monkeypatch.setattr(Api, "list", admitted_after_it_was_read)
        stage.driver.withdraw(names(late))
        monkeypatch.undo()
        for order in (late, admitted):
            stage.until(partial(ran_once, order), "it to run")
            assert Observed.RUNNING is stage.state(order).observed, "it goes on"


def test_logs_are_copied_where_no_folder_is_shared(cluster: FakeCluster, tmp_path: Path) -> None:
    with stage_on(cluster, tmp_path, shared=False) as stage:
        lines = [f"line {number}" for number in range(200)]
        text = "import time\nfor n in range(200): print('line', n, flush=True); time.sleep(0.004)\nprint('end', end='')"
        order = stage.python(text)
        stage.submit(order)
        stage.until(lambda: len(stage.lines(order)) > 5, "output while it runs")
        seen = stage.lines(order)
        assert seen == lines[: len(seen)]
        stage.restart_driver()
        assert None is stage.end(order).cause
        assert [*lines, "end"] == stage.lines(order)
        assert b"" == stage.output(order, stream="stderr")
        refused = stage.order("true", outputs=("*.pt",))
        [outcome] = stage.driver.submit([refused], 0)
        assert not outcome.accepted
        assert "shares no folder" in outcome.message


def test_a_job_of_the_same_name_that_is_not_this_attempts_is_not_taken_for_it(
    cluster: FakeCluster, tmp_path: Path
) -> None:
    with stage_on(cluster, tmp_path) as stage:
        order = stage.order("sleep", "600")
        stage.submit(order)
        (tmp_path / "b").mkdir()
        with stage_on(cluster, tmp_path / "b", owner="other") as two:
            changed = replace(
                order, work=replace(order.work, command=("touch", "x")), folder=two.folder / "c"
            )
            (two.folder / "c" / "work").mkdir(parents=True)
            [outcome] = two.driver.submit([changed], 0)
            assert not outcome.accepted
            assert "was not made for this order" in outcome.message
            assert [] == two.driver.live(), "and what is another owner's is not its own"


def test_what_the_agent_may_not_do_is_said(cluster: FakeCluster, tmp_path: Path) -> None:
    with stage_on(cluster, tmp_path) as stage:
        cluster.forbidden = {("create", "jobs"), ("list all", "pods")}
        try:
            [outcome] = stage.driver.submit([stage.order("true")], 0)
            assert "cannot create resource" in outcome.message
            with pytest.raises(EngineUnreachableError, match="option foreign"):
                stage.driver.describe(0)
        finally:
            cluster.forbidden = set()
    with stage_on(cluster, tmp_path, namespace="nowhere") as stage:
        [outcome] = stage.driver.submit([stage.order("true")], 0)
        assert 'namespaces "nowhere" not found' in outcome.message


def test_an_eviction_is_told_with_its_reason(cluster: FakeCluster, tmp_path: Path) -> None:
    with stage_on(cluster, tmp_path) as stage:
        order = stage.order("sleep", "600")
        stage.submit(order)
        stage.reach(order, Observed.RUNNING)
        cluster.evict(order.attempt, "The node was low on resource: ephemeral-storage.")
        end = stage.end(order)
        assert Cause.NODE_FAILED is end.cause
        assert "ephemeral-storage" in end.message


def test_what_somebody_deletes_by_hand_has_ended_and_stays_so(cluster: FakeCluster, tmp_path: Path) -> None:
    with stage_on(cluster, tmp_path) as stage:
        order = stage.order("sleep", "600")
        stage.submit(order)
        stage.reach(order, Observed.RUNNING)
        cluster.delete(*JOBS, job_name(order.attempt))
        end = stage.end(order)
        assert Cause.LOST is end.cause
        assert "deleted at the centre" in end.message
        stage.restart_driver()
        assert end == stage.end(order)


def test_a_watch_that_has_lost_its_place_lists_again(cluster: FakeCluster, tmp_path: Path) -> None:
    with stage_on(cluster, tmp_path) as stage:
        orders = [stage.order("sh", "-c", "sleep 0.3; exit 3") for _ in range(5)]
        stage.submit(*orders)
        for _ in range(3):
            cluster.restart_server()
        stage.until(lambda: answers(stage), "the server to answer")
        assert {3} == {end.exit_code for end in stage.ends(orders)}
        stage.driver.forget(names(*orders))
        assert {Observed.NOTHING} == {state.observed for state in stage.driver.observe(names(*orders))}


def test_a_stop_that_was_told_while_no_driver_ran_is_known(cluster: FakeCluster, tmp_path: Path) -> None:
    with stage_on(cluster, tmp_path) as stage:
        order = stage.order("sh", "-c", 'trap "exit 0" TERM; echo up; while :; do sleep 0.02; done')
        stage.submit(order)
        stage.until(lambda: bool(stage.lines(order)), "it to run")
        stage.driver.cancel([order.attempt])
        stage.restart_driver()
        end = stage.end(order)
        assert (Cause.CANCELLED, True) == (end.cause, end.started_ms is not None)


def test_options_that_change_are_taken_up(cluster: FakeCluster, tmp_path: Path) -> None:
    with stage_on(cluster, tmp_path) as stage:
        order = stage.order("sleep", "600")
        stage.submit(order)
        stage.options = {**stage.options, "image_deadline_s": "30"}
        stage.attach()
        assert [order.attempt] == stage.driver.live()
        stage.reach(order, Observed.RUNNING)


def admit(cluster: FakeCluster, order: AttemptOrder, admitted: bool) -> None:
    """As Kueue does."""
    cluster.objects.update(
        *JOBS, job_name(order.attempt), lambda job: job["spec"].update(suspend=not admitted)
    )


def exists(cluster: FakeCluster, order: AttemptOrder) -> bool:
    return cluster.objects.find(*JOBS, job_name(order.attempt)) is not None


def answers(stage: Stage) -> bool:
    try:
        stage.driver.live()
    except EngineUnreachableError:
        return False
    return True
