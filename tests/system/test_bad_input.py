"""What people and jobs do wrong, against a real server and real agents: a clear answer, and nothing is lost."""

import http.client
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

import pytest

from tests.system.conftest import PROVINCE, RealProvince, until
from weir.cli.demo.processes import MARK, Processes
from weir.client import ApiError, Client, ClientError

GOOD = {"command": ["true"], "time_limit": "1m", "project": "vision"}
MIB = 1 << 20


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("comand: ['true']\ntime_limit: 1m", "is not accepted; did you mean command? the fields here are"),
        (
            "command: [a]\ntime_limit: 10 parsecs",
            "time_limit: '10 parsecs' is not accepted; write a duration",
        ),
        ("command: [a]\nmemory: 64", "memory: '64' is not accepted; write a size with its unit"),
        ("command: [a]\nkind: service", "kind: 'service' is not accepted; not supported yet"),
        ("command: [a]\ndevices: {count: 900}", "the largest that fits is 4 devices a task at north/ascend"),
        ("command: [a]\ncores: 900", "the largest that fits is 64 cores a task at away/cpu"),
        ("command: [a]\ntasks: 900\ncores: 8", "the largest that fits is 8 tasks"),
        ("command: [a]\nconstraints: {centres: [nowhere]}", "nowhere"),
        ("command: [a]\nafter: [zzzzzzzzzzzz]", "no job 'zzzzzzzzzzzz'"),
        ("command: [a]\nafter: ['#1']\n---\ncommand: [b]\nafter: ['#0']", "after"),
        (
            "command: [a]\ninputs: [{from: zzzzzzzzzzzz, path: ../../etc/passwd}]",
            "stays inside the job's folder",
        ),
        ("command: [a]\noutputs: [/etc/passwd]", "outputs[0]: '/etc/passwd' is not accepted"),
        ("command: [a]\noutputs: [a/../../b]", "without '..'"),
        ("command: [a]\ninputs: [{file: /etc/passwd}]", "without '..'"),
        ("command: [a]\ninputs: [{file: missing.txt}]", "give a file that exists on this machine"),
        ("command: [a]\nproject: elsewhere", "no project 'elsewhere'"),
        ("command: [a", "line"),
        ("just words", "a job file is a mapping"),
        ("", "the file is empty"),
    ],
)
def test_a_bad_job_file_is_refused_in_one_line_and_submits_nothing(
    tenant: RealProvince, text: str, said: str
) -> None:
    before = len(tenant.client.jobs(limit=1_000).submissions)
    assert said in tenant.weir("submit", "-", text=text).refused()
    assert before == len(tenant.client.jobs(limit=1_000).submissions)


def test_one_bad_job_of_many_refuses_them_all(tenant: RealProvince) -> None:
    before = len(tenant.client.jobs(limit=1_000).submissions)
    text = "\n---\n".join(["command: [a]"] * 5 + ["command: [a]\ncores: lots"])
    assert "jobs[5].cores: 'lots'" in tenant.weir("submit", "-", text=text).refused()
    assert before == len(tenant.client.jobs(limit=1_000).submissions)


def test_a_bad_token_is_refused(tenant: RealProvince, tmp_path: Path) -> None:
    file = tmp_path / "bad.token"
    file.write_text("weir_" + "x" * 43)
    stranger = tenant.as_owner_of(file)
    assert "token" in stranger.weir("jobs").refused()
    with pytest.raises(ApiError) as refusal:
        stranger.client.whoami()
    assert 401 == refusal.value.status


def test_anothers_job_does_not_exist(tenant: RealProvince, other: RealProvince) -> None:
    job = tenant.submit("sleep", "60")
    for command in (
        ["job"],
        ["logs"],
        ["cancel"],
        ["explain"],
        ["wait"],
        ["outputs"],
        ["hold"],
        ["run", "--retry-of"],
    ):
        assert f"no job '{job}'" == other.weir(*command, job).refused()
    after = f"command: [a]\ntime_limit: 1m\nafter: [{job}]"
    unknown = f"command: [a]\ntime_limit: 1m\nafter: [{'z' * 12}]"
    refusals = [other.weir("submit", "-", text=text).refused() for text in (after, unknown)]
    assert refusals[0].replace(job, "") == refusals[1].replace("z" * 12, ""), "nothing tells them apart"
    assert job not in other.weir("jobs").good()
    assert "running" == tenant.reaches(job, "running").state
    tenant.client.cancel(job)
    tenant.ended(job)


def test_a_body_of_100_mb_is_refused_while_it_comes(tenant: RealProvince) -> None:
    server = urlsplit(tenant.url)
    pid = json.loads((tenant.processes.server_data / "server.json").read_text())["pid"]
    before = _memory(pid)
    connection = http.client.HTTPConnection(server.hostname or "", server.port, timeout=60)
    headers = {"Authorization": f"Bearer {tenant.token_file.read_text().strip()}"}

    def body() -> Iterator[bytes]:
        yield b'{"command": ["'
        for _ in range(100):
            yield b"x" * MIB

    with suppress(OSError):  # it need not read what it has refused
        connection.request("POST", "/api/v1/jobs", body=body(), headers=headers, encode_chunked=True)
    answer = connection.getresponse()
    assert 413 == answer.status
    assert "application/problem+json" == answer.getheader("content-type")
    connection.close()
    assert _memory(pid) - before < 60 * MIB


def test_links_that_lead_out_of_the_jobs_folder_are_not_followed(tenant: RealProvince) -> None:
    secret = tenant.folder / "secret.txt"
    secret.write_text("secret")
    script = f"ln -s {secret} link.txt; ln -s {tenant.folder} up; echo fine > fine.txt"
    ended = tenant.ended(tenant.submit("sh", "-c", script, outputs=["*.txt", "up/secret.txt"]))
    assert ("failed", "outputs") == (ended.state, ended.cause)
    assert "leads out of the job's folder" in ended.message
    assert [] == [one.path for one in tenant.client.outputs(ended.id)]


def test_a_command_that_prints_a_gigabyte_ends_and_what_is_left_out_is_said(tenant: RealProvince) -> None:
    mark = f"{MARK}={tenant.folder}".encode()
    ids = [
        pid for pid in _processes() if mark in _about(pid, "environ") and b"weir" in _about(pid, "cmdline")
    ]
    assert len(ids) >= 3
    job = tenant.submit("sh", "-c", "head -c 1000000000 /dev/zero | tr '\\0' '\\n'; echo end >&2; exit 4")
    largest = 0
    while tenant.client.wait_submission(job, timeout_s=0.5) is None:
        largest = max(largest, *(_memory(pid) for pid in ids))
    ended = tenant.ended(job)
    assert 4 == ended.exit_code
    assert "of its output was beyond the limit and was not kept" in ended.message
    assert largest < 600 * MIB
    assert b"end\n" == tenant.log(job, "stderr")
    kept = sum(len(piece) for piece in tenant.client.logs(job))
    assert 1_000_000_000 == kept + ended.attempts[-1].dropped_log_bytes
    with tenant.started("logs", job) as printing:
        assert printing.stdout is not None
        assert printing.stderr is not None
        assert kept == _length(printing.stdout)
        assert "more, which was not kept" in printing.stderr.read()


def test_a_command_that_ignores_term_is_killed_after_its_grace(tenant: RealProvince) -> None:
    script = "trap '' TERM; (trap '' TERM; sleep 300) & echo up; while :; do sleep 1; done"
    job = tenant.submit("sh", "-c", script, stop_grace="1s")
    tenant.reaches(job, "running")
    until(lambda: tenant.log(job) == b"up\n", "it has begun")
    assert f"{job} is being cancelled" == tenant.weir("cancel", job).good()
    waited = tenant.weir("wait", job)
    assert 130 == waited.code
    assert "killed when it was cancelled, after its grace" in waited.out
    mark = f"WEIR_JOB_ID={job}".encode()
    assert [] == [pid for pid in _processes() if mark in _about(pid, "environ")]


def test_a_full_disk_at_the_agent_loses_no_exit_code_and_is_told(
    province: RealProvince, tenant: RealProvince
) -> None:
    limits = {"centres": ["tight"]}
    with _agent_on_a_small_disk(province) as disk:
        filling = tenant.submit(
            "sh", "-c", "head -c 99999999 /dev/zero > fill; echo full >&2; exit 6", constraints=limits
        )
        ended = tenant.ended(filling)
        assert ("exit", 6) == (ended.cause, ended.exit_code), ended
        until(lambda: not any(disk.rglob("fill")), "what filled the disk is gone")

        steady = tenant.submit(
            "sh", "-c", "until test -e go; do sleep 0.05; done; exit 5", constraints=limits
        )
        tenant.reaches(steady, "running")
        [work] = disk.glob(f"attempts/{steady}-1/work")
        (work / "go").touch()
        with (disk / "ballast").open("wb", buffering=0) as ballast, suppress(OSError):
            while ballast.write(b"x" * 4_096):
                pass
        time.sleep(0.3)  # it ends while there is no room for a word of it
        while_full = tenant.submit("true", constraints=limits)
        told = tenant.client.wait_submission(while_full, timeout_s=3)
        if told is not None and told.job is not None:
            assert "failed" == told.job.state
            assert "disk" in told.job.message
        (disk / "ballast").unlink()
        ended = tenant.ended(steady)
        assert ("exit", 5) == (ended.cause, ended.exit_code), ended
        assert "succeeded" == tenant.ended(tenant.submit("true", constraints=limits)).state
        assert tenant.ended(while_full).state in ("failed", "succeeded")


@contextmanager
def _agent_on_a_small_disk(province: RealProvince) -> Iterator[Path]:
    """An agent whose folder lies on a disk of a few MiB of its own; the path under which a test sees that folder."""
    folder = province.processes.agent_folder("tight")
    folder.mkdir(mode=0o700)
    code = province.folder / "tight.code"
    with os.fdopen(os.open(code, os.O_WRONLY | os.O_CREAT, 0o600), "w") as out:
        out.write(province.client.invite(["tight"])[0].code)
    # A mount of its own in a namespace of its own: it goes with the last process that sees it.
    own = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--mount", "--map-root-user"]
    mount = 'mount -t tmpfs -o size=16m,mode=700 none "$0" && exec "$@"'
    agent = [sys.executable, "-m", "weir", "agent", "--folder", str(folder)]
    log = province.folder / "agent-tight.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            [*own, "sh", "-c", mount, str(folder), *agent, "--url", province.url, "--code-file", str(code)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**os.environ, MARK: str(province.folder)},
            start_new_session=True,
        )
    try:
        until(
            lambda: (
                process.poll() is not None
                or any(one.observed_nodes for one in province.client.pools() if one.centre == "tight")
            ),
            "the agent on the small disk reports",
        )
        assert None is process.poll(), log.read_text()
        yield Path(f"/proc/{process.pid}/root{folder}")
        assert None is process.poll(), log.read_text()
    finally:
        process.terminate()
        process.wait(30)
        province.client.drain_centre("tight")


@pytest.mark.parametrize("part", [0.3, 0.9])
def test_a_server_killed_in_a_bulk_submission_has_all_of_it_or_nothing(bulk: "Bulk", part: float) -> None:
    bulk.submit_and_kill(part)


class Bulk:
    """A server of its own that is killed while many jobs are being submitted."""

    SIZE = 2_000

    def __init__(self, processes: Processes) -> None:
        self.processes = processes
        self.url = processes.start_server(lambda line: None)
        with self.client as client:
            client.apply_province(PROVINCE)
            began = time.monotonic()
            client.submit([GOOD] * self.SIZE)
            self.whole_s = time.monotonic() - began

    @property
    def client(self) -> Client:
        token = (self.processes.server_data / "coordinator.token").read_text().strip()
        return Client(self.url, token, timeout_s=30, sleep=lambda seconds: None)

    def submit_and_kill(self, part: float) -> None:
        """Kill the server that far into a submission; then submit the same with the same key again."""
        name = f"bulk-{part}"
        jobs = [GOOD | {"name": name}] * self.SIZE
        answered: list[int] = []

        def submit() -> None:
            with suppress(ClientError):
                answered.append(len(self.client.submit(jobs, idempotency_key=name)))

        submitting = threading.Thread(target=submit)
        submitting.start()
        time.sleep(self.whole_s * part)
        server = self.processes._started["server"]
        server.kill()
        server.wait()
        submitting.join()
        (self.processes.server_data / "server.json").unlink()
        self.url = self.processes.start_server(lambda line: None)
        there = sum(1 for _ in self.client.all_jobs(name=name))
        assert there in (0, self.SIZE)
        assert there == self.SIZE or not answered, "what was answered for is there"
        assert self.SIZE == len(self.client.submit(jobs, idempotency_key=name))
        assert self.SIZE == sum(1 for _ in self.client.all_jobs(name=name)), (
            "once, however often it was asked"
        )


@pytest.fixture(scope="module")
def bulk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bulk]:
    processes = Processes(tmp_path_factory.mktemp("bulk"))
    try:
        yield Bulk(processes)
    finally:
        processes.end()


def _memory(pid: int) -> int:
    """Bytes that a process holds in memory; 0 when it has ended."""
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    lines = [line for line in text.splitlines() if line.startswith("VmRSS:")]
    return int(lines[0].split()[1]) << 10 if lines else 0


def _length(stream: IO[str]) -> int:
    length = 0
    while piece := stream.read(MIB):
        length += len(piece)
    return length


def _processes() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _about(pid: int, what: str) -> bytes:
    """A file that the kernel keeps about a process; empty when it has ended."""
    try:
        return Path(f"/proc/{pid}/{what}").read_bytes()
    except OSError:
        return b""
