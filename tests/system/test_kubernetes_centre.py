"""A centre whose engine is Kubernetes: a server, an agent and a fake cluster whose pods really run."""

import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.system.conftest import TENANT, RealProvince, until
from weir.cli.demo.processes import Processes
from weir.engines.kubernetes.fake import FakeCluster, FakeNode

GPU = "nvidia.com/gpu"
PROVINCE = """\
version: 1
province: cloud
cities: [{{id: hefei, name: Hefei}}]
organisations: [{{id: "{tenant}", name: University, roles: [tenant]}}]
projects: [{{id: vision, organisation: "{tenant}", default_time_limit: 10m}}]
centres:
  - id: kube
    name: Kube
    city: hefei
    kind: intelligent
    engine:
      driver: kubernetes
      options: {{kubeconfig: {folder}/kubeconfig, image: "base:1", images: "r.example/team/",
                 run_as: agent, shared_root: {folder},
                 shared_host_path: {folder}}}
    pools:
      - {{id: a100, device: nvidia-a100-sxm-80gb, nodes: 2, devices_per_node: 4, cores_per_node: 8,
         memory_per_node: 8GiB, options: {{node_selector: "gpu=a100"}}}}
"""


@dataclass(frozen=True)
class Centre:
    province: RealProvince
    cluster: FakeCluster

    def run(self, *arguments: str, cwd: Path | None = None) -> tuple[int, str]:
        ran = self.province.weir("run", "--cores", "0.1", "--memory", "64MiB", *arguments, cwd=cwd)
        return ran.code, ran.out


@pytest.fixture(scope="module")
def centre(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Centre]:
    folder = tmp_path_factory.mktemp("kube")
    labels = {"gpu": "a100"}
    nodes = [FakeNode(f"gpu-{number}", 8_000, 8 << 30, {GPU: 4}, labels) for number in range(2)]
    with FakeCluster(nodes) as cluster:
        cluster.write_kubeconfig(folder / "kubeconfig")
        processes = Processes(folder)
        try:
            url = processes.start_server(lambda line: None)
            made = RealProvince(folder, url, processes.server_data / "coordinator.token", processes)
            with made.client as client:
                client.apply_province(PROVINCE.format(tenant=TENANT, folder=folder))
                [invite] = client.invite(["kube"])
                processes.start_agent("kube", url, invite.code)
                until(
                    lambda: all(pool.observed_nodes for pool in client.pools()),
                    "the centre has reported",
                    120,
                )
                _, secret = client.create_token("Li Hua", "tenant-member", organisation=TENANT)
            token = folder / "tenant.token"
            token.touch(mode=0o600)
            token.write_text(secret)
            yield Centre(made.as_owner_of(token), cluster)
            processes.check()
        finally:
            processes.end()


def test_weir_run_prints_what_the_pod_prints_and_ends_as_it_ends(centre: Centre) -> None:
    assert (0, "out\n") == centre.run("--", "sh", "-c", "echo out")
    assert (7, "") == centre.run("--", "sh", "-c", "exit 7")
    assert (139, "") == centre.run("--", "sh", "-c", "kill -SEGV $$")
    assert (127, "") == centre.run("--", "no-such-program")
    assert (124, "") == centre.run("-t", "1s", "--", "sleep", "60")


def test_output_comes_through_the_platform_while_the_pod_runs(centre: Centre) -> None:
    script = "echo first; until test -e go; do sleep 0.05; done"
    arguments = ("run", "--cores", "0.1", "--memory", "64MiB", "--", "sh", "-c", script)
    with centre.province.started(*arguments) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        assert "first\n" == running.stdout.readline()
        assert None is running.poll()
        centre.province.client.cancel(running.stderr.readline().strip().removeprefix("weir: job "))
        assert 130 == running.wait(30)
        running.stderr.read()


def test_a_job_runs_in_its_own_image_where_the_centre_takes_it(centre: Centre) -> None:
    job = centre.province.submit("sleep", "60", image="r.example/team/train:1")
    centre.province.reaches(job, "running")
    [pod] = centre.cluster.pods_of(f"{job}-1")
    assert "r.example/team/train:1" == pod["spec"]["containers"][0]["image"]
    centre.province.client.cancel(job)
    other = centre.province.ended(centre.province.submit("true", image="elsewhere/train:1"))
    assert ("failed", "rejected") == (other.state, other.cause)
    assert "takes r.example/team/" in other.message


def test_files_go_to_the_pod_and_come_back(centre: Centre, tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("given\n")
    ran = centre.province.weir(
        *("run", "--cores", "0.1", "--memory", "64MiB", "--input", "in.txt", "--output", "out/*", "--"),
        *("sh", "-c", "mkdir out; tr a-z A-Z < in.txt > out/made.txt"),
        cwd=tmp_path,
    )
    job = ran.err.splitlines()[0].removeprefix("weir: job ")
    assert "succeeded" == centre.province.ended(job).state
    [output] = centre.province.client.outputs(job)
    assert ("out/made.txt", 6) == (output.path, output.size_bytes)


def test_the_catalogue_says_what_the_device_plugin_calls_a_device(centre: Centre) -> None:
    job = centre.province.submit("sh", "-c", 'echo "$CUDA_VISIBLE_DEVICES"', devices={"count": 2})
    assert "succeeded" == centre.province.ended(job).state
    assert 2 == len(centre.province.log(job).decode().strip().split(","))


def test_a_gang_runs_as_one_indexed_job(centre: Centre) -> None:
    job = centre.province.submit("sh", "-c", 'echo "$RANK of $WORLD_SIZE"', tasks=3)
    assert "succeeded" == centre.province.ended(job).state
    assert [b"0 of 3\n", b"1 of 3\n", b"2 of 3\n"] == [
        centre.province.log(job, task=task) for task in range(3)
    ]


def test_one_element_of_an_array_fails_one_is_cancelled_and_the_others_succeed(centre: Centre) -> None:
    text = "[ $WEIR_ARRAY_INDEX = 3 ] && exit 1; [ $WEIR_ARRAY_INDEX != 5 ] || sleep 600"
    job = centre.province.submit("sh", "-c", text, array=10)
    centre.province.reaches(f"{job}.5", "running")
    centre.province.client.cancel(f"{job}.5")
    assert centre.province.client.wait_submission(job, timeout_s=60) is not None
    states = [element.state for element in centre.province.client.elements(job)]
    assert [{3: "failed", 5: "cancelled"}.get(index, "succeeded") for index in range(10)] == states


def test_an_agent_that_is_killed_finds_its_jobs_again(centre: Centre) -> None:
    job = centre.province.submit("sh", "-c", "echo run >> $HOME/../work/runs; cat runs; sleep 2")
    centre.province.reaches(job, "running")
    kill_agent(centre)
    assert "succeeded" == centre.province.ended(job).state
    assert b"run\n" == centre.province.log(job)


def test_nothing_is_left_in_the_cluster(centre: Centre) -> None:
    assert (0, "last\n") == centre.run("--", "echo", "last")
    until(lambda: not centre.cluster.left(), "all Jobs are removed after the server has their ends")
    [pool] = centre.province.as_owner_of(
        centre.province.processes.server_data / "coordinator.token"
    ).client.pools()
    assert "shared-folder" in pool.capabilities


def kill_agent(centre: Centre) -> None:
    """SIGKILL, and a new one on the same folder."""
    processes = centre.province.processes
    agent = processes._started["kube"]
    agent.send_signal(signal.SIGKILL)
    agent.wait(10)
    folder = processes.agent_folder("kube")
    processes._start("kube", ["agent", "--folder", str(folder)], centre.province.folder / "agent-kube.log")
