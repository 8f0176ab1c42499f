"""A real agent process with the real local engine, against a small server of the protocol."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from tests.system.agent_server import CODE, POOL, AgentServer, serving, work
from weir.agents import local_orders
from weir.model.agent import Follow, InputFile
from weir.model.job import Delivery
from weir.model.problem import ProblemError
from weir.model.state import Cause, Observed


@pytest.fixture
def server() -> AgentServer:
    return AgentServer()


@pytest.fixture
def url(server: AgentServer) -> Iterator[str]:
    with serving(server) as address:
        yield address


@contextmanager
def agent(folder: Path, url: str) -> Iterator[subprocess.Popen[bytes]]:
    """A running agent; ended at the end of the block if it still runs."""
    code = folder.with_name("code")
    code.touch(mode=0o600)
    code.write_text(CODE)
    options = ["--folder", str(folder), "--url", url, "--code-file", str(code)]
    process = subprocess.Popen([sys.executable, "-m", "weir.cli.agent_main", "run", *options])
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
        process.wait(20)


def test_a_command_runs_and_its_log_and_output_arrive(tmp_path: Path, server: AgentServer, url: str) -> None:
    command = work("sh", "-c", "cat in/name; echo oops >&2; echo 42 > answer.txt", outputs=("*.txt",))
    server.run("aaaaaaaaaaaa-1", command, {"in/name": b"hello\n"})
    with agent(tmp_path / "agent", url) as process:
        end = server.await_end("aaaaaaaaaaaa-1")
        assert (None, 0) == (end.cause, end.exit_code), end
        assert b"hello\n" == server.log("aaaaaaaaaaaa-1")
        assert b"oops\n" == server.log("aaaaaaaaaaaa-1", "stderr")
        [output] = end.outputs
        assert ("answer.txt", 3) == (output.path, output.size_bytes)
        assert b"42\n" == server.blobs[output.digest]
        deadline = time.monotonic() + 20
        while (tmp_path / "agent/attempts/aaaaaaaaaaaa-1").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not (tmp_path / "agent/attempts/aaaaaaaaaaaa-1").exists(), (
            "what the server has is cleared away"
        )
        process.send_signal(signal.SIGTERM)
        assert 0 == process.wait(20)


def test_an_input_by_url_comes_from_where_the_centre_allows_it_and_from_nowhere_else(
    tmp_path: Path, server: AgentServer, url: str
) -> None:
    public = tmp_path / "public"
    public.mkdir()
    (public / "words").write_bytes(b"from the centre\n")
    sources = tmp_path / "agent" / "sources.json"
    sources.parent.mkdir(mode=0o700)
    sources.touch(mode=0o600)
    sources.write_text(json.dumps({"sources": [{"prefix": f"file://{public}/", "accounts": ["acme"]}]}))
    given = [InputFile("in/words", "", 0, f"file://{public}/words")]
    server.run("aaaaaaaaaaaa-1", work("cat", "in/words", account="acme"), by_url=given)
    server.run("bbbbbbbbbbbb-1", work("cat", "in/words", account="univ"), by_url=given)
    server.run(
        "cccccccccccc-1", work("true", account="acme"), by_url=[InputFile("x", "", 0, "file:///etc/passwd")]
    )
    with agent(tmp_path / "agent", url):
        assert None is server.await_end("aaaaaaaaaaaa-1").cause
        assert b"from the centre\n" == server.log("aaaaaaaaaaaa-1")
        for attempt, words in (("bbbbbbbbbbbb-1", "for this account"), ("cccccccccccc-1", "fetches from")):
            end = server.await_end(attempt)
            assert Cause.INPUTS is end.cause
            assert words in end.message
    told = [pool for report in server.reports for pool in report.pools or ()]
    assert "url/file" in told[0].capabilities


def test_what_it_makes_is_written_to_a_url_where_the_centre_allows_it(
    tmp_path: Path, server: AgentServer, url: str
) -> None:
    (tmp_path / "out").mkdir()
    sources = tmp_path / "agent" / "sources.json"
    sources.parent.mkdir(mode=0o700)
    sources.touch(mode=0o600)
    prefix = f"file://{tmp_path}/out/"
    sources.write_text(json.dumps({"sources": [{"prefix": prefix, "access": "write"}]}))
    making = ("sh", "-c", "echo made > a.bin; echo kept > b.txt")
    for attempt, target in (("aaaaaaaaaaaa-1", f"{prefix}7/"), ("bbbbbbbbbbbb-1", "file:///etc/")):
        server.run(attempt, work(*making, deliver=(Delivery("*.bin", target),), outputs=("*.txt",)))
    with agent(tmp_path / "agent", url):
        end = server.await_end("aaaaaaaaaaaa-1")
        assert None is end.cause
        assert [("b.txt", ""), ("a.bin", f"{prefix}7/a.bin")] == [
            (file.path, file.url) for file in end.outputs
        ]
        assert "made\n" == (tmp_path / "out/7/a.bin").read_text()
        refused = server.await_end("bbbbbbbbbbbb-1")
    assert (Cause.OUTPUTS, ["b.txt"]) == (refused.cause, [file.path for file in refused.outputs])
    assert f"this centre writes to {prefix}" in refused.message
    told = [pool for report in server.reports for pool in report.pools or ()]
    assert "deliver/file" in told[0].capabilities


def test_what_runs_outlives_the_agent_and_is_taken_up_again(
    tmp_path: Path, server: AgentServer, url: str
) -> None:
    for name in ("aaaaaaaaaaaa-1", "bbbbbbbbbbbb-1"):
        command = work(
            "sh", "-c", f"echo start >> {tmp_path}/{name}; until test -e {tmp_path}/go; do sleep 0.05; done"
        )
        server.run(name, command)
    with agent(tmp_path / "agent", url) as first:
        for name in server.desired:
            server.await_observed(name, Observed.RUNNING)
        first.kill()
        first.wait(10)
    with agent(tmp_path / "agent", url) as second:
        assert server.await_report().incarnation == 2
        second.terminate()
        assert 0 == second.wait(20)
    with agent(tmp_path / "agent", url):
        assert server.await_report().incarnation == 3
        (tmp_path / "go").touch()
        for name in server.desired:
            assert None is server.await_end(name).cause
            assert "start\n" == (tmp_path / name).read_text(), "it ran once"


def test_a_stop_ends_it_and_nothing_else(tmp_path: Path, server: AgentServer, url: str) -> None:
    for name in ("aaaaaaaaaaaa-1", "bbbbbbbbbbbb-1"):
        server.run(name, work("sleep", "60"))
    with agent(tmp_path / "agent", url):
        for name in server.desired:
            server.await_observed(name, Observed.RUNNING)
        server.stop("aaaaaaaaaaaa-1")
        assert Cause.CANCELLED is server.await_end("aaaaaaaaaaaa-1").cause
        assert Observed.RUNNING is server.observed["bbbbbbbbbbbb-1"]
        server.stop("bbbbbbbbbbbb-1")
        server.await_end("bbbbbbbbbbbb-1")


def test_a_followed_log_arrives_while_it_is_written(tmp_path: Path, server: AgentServer, url: str) -> None:
    script = f"echo early; until test -e {tmp_path}/go; do sleep 0.05; done; echo late"
    server.run("aaaaaaaaaaaa-1", work("sh", "-c", script))
    with agent(tmp_path / "agent", url):
        server.await_observed("aaaaaaaaaaaa-1", Observed.RUNNING)
        until_ms = int(time.time() * 1_000) + 60_000
        server.follow(Follow("aaaaaaaaaaaa-1", 0, "stdout", 0, until_ms))
        with server.changed:
            assert server.changed.wait_for(lambda: server.log("aaaaaaaaaaaa-1") == b"early\n", 20)
        (tmp_path / "go").touch()
        server.await_end("aaaaaaaaaaaa-1")
        assert b"early\nlate\n" == server.log("aaaaaaaaaaaa-1")


def test_a_large_log_arrives_up_to_its_limit_and_the_rest_is_counted(
    tmp_path: Path, server: AgentServer, url: str
) -> None:
    script = "import sys; sys.stdout.write('0123456789' * 300_000)"
    server.run("aaaaaaaaaaaa-1", work(sys.executable, "-c", script, log_limit_bytes=2_000_000))
    with agent(tmp_path / "agent", url):
        end = server.await_end("aaaaaaaaaaaa-1")
    assert b"0123456789" * 200_000 == server.log("aaaaaaaaaaaa-1")
    assert 1_000_000 == end.dropped_log_bytes


@pytest.mark.parametrize("script", ["ln -s /etc/hostname out.txt", "ln -s / up; true", "mkfifo out.txt"])
def test_outputs_that_lead_outside_are_not_taken(
    tmp_path: Path, server: AgentServer, url: str, script: str
) -> None:
    server.run("aaaaaaaaaaaa-1", work("sh", "-c", script, outputs=("*.txt", "up/etc/hostname")))
    with agent(tmp_path / "agent", url):
        end = server.await_end("aaaaaaaaaaaa-1")
    assert () == end.outputs
    if script.startswith("ln"):
        assert Cause.OUTPUTS is end.cause
        assert "leads out of the job's folder" in end.message
    assert {} == server.blobs


def test_the_server_may_be_away_while_a_task_ends(tmp_path: Path, server: AgentServer) -> None:
    with serving(server) as url:
        server.run(
            "aaaaaaaaaaaa-1",
            work("sh", "-c", f"until test -e {tmp_path}/go; do sleep 0.05; done; echo x > o", outputs=("o",)),
        )
        port = int(url.rpartition(":")[2])
        started = agent(tmp_path / "agent", url)
        process = started.__enter__()
        server.await_observed("aaaaaaaaaaaa-1", Observed.RUNNING)
    try:
        (tmp_path / "go").touch()
        time.sleep(1.5)
        assert "aaaaaaaaaaaa-1" not in server.ends
        assert None is process.poll()
        with serving(server, port):
            end = server.await_end("aaaaaaaaaaaa-1")
            assert (None, ["o"]) == (end.cause, [output.path for output in end.outputs])
    finally:
        started.__exit__(None, None, None)


def test_a_second_agent_on_a_folder_is_refused(tmp_path: Path, server: AgentServer, url: str) -> None:
    with agent(tmp_path / "agent", url):
        server.await_report()
        command = [sys.executable, "-m", "weir.cli.agent_main", "run", "--folder", str(tmp_path / "agent")]
        second = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        assert 2 == second.returncode
        assert "another agent runs" in second.stderr


def test_a_token_that_is_not_accepted_ends_the_start(tmp_path: Path, url: str) -> None:
    (tmp_path / "agent").mkdir()
    (tmp_path / "agent/token").touch(mode=0o600)
    (tmp_path / "agent/token").write_text("stolen")
    command = [
        sys.executable,
        "-m",
        "weir.cli.agent_main",
        "run",
        "--folder",
        str(tmp_path / "agent"),
        "--url",
        url,
    ]
    run = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert 1 == run.returncode
    assert "ask for an invite and join again" in run.stderr


def test_local_orders_reach_a_running_agent(tmp_path: Path, server: AgentServer, url: str) -> None:
    folder = tmp_path / "agent"
    server.run("aaaaaaaaaaaa-1", work("sleep", "60"))
    with agent(folder, url):
        server.await_observed("aaaaaaaaaaaa-1", Observed.RUNNING)
        found = local_orders.status(folder)
        assert found.running
        assert [("aaaaaaaaaaaa-1", "running", "cpu")] == [
            (o.attempt, o.observed, o.pool) for o in found.attempts
        ]
        local_orders.drain(folder)
        with server.changed:
            assert server.changed.wait_for(lambda: server.reports[-1].draining, 20)
        server.run("bbbbbbbbbbbb-1", work("true"))
        assert 1 == local_orders.stop_all(folder)
        assert "stopped by the centre's operator" == server.await_end("aaaaaaaaaaaa-1").message
        assert "bbbbbbbbbbbb-1" not in server.observed
        local_orders.resume(folder)
        assert None is server.await_end("bbbbbbbbbbbb-1").cause


def test_stop_all_works_without_agent_and_server(tmp_path: Path, server: AgentServer, url: str) -> None:
    folder = tmp_path / "agent"
    server.run("aaaaaaaaaaaa-1", work("sh", "-c", f"echo $$ > {tmp_path}/pid; exec sleep 60"))
    with agent(folder, url) as process:
        server.await_observed("aaaaaaaaaaaa-1", Observed.RUNNING)
        process.kill()
        process.wait(10)
    pid = int((tmp_path / "pid").read_text())
    assert Path(f"/proc/{pid}").exists()
    assert 1 == local_orders.stop_all(folder)
    stat = Path(f"/proc/{pid}/stat")
    assert not stat.exists() or ") Z " in stat.read_text()
    assert local_orders.status(folder).draining
    with agent(folder, url):
        assert Cause.CANCELLED is server.await_end("aaaaaaaaaaaa-1").cause


def test_changed_pools_are_taken_up(tmp_path: Path, server: AgentServer, url: str) -> None:
    with agent(tmp_path / "agent", url):
        server.await_report()
        more = replace(POOL, id="more")
        with server.changed:
            server.entry = replace(server.entry, pools=(POOL, more))
            server.revision += 1
            server.changed.notify_all()
            told = server.changed.wait_for(
                lambda: {"cpu", "more"} == {pool.pool for pool in server.reports[-1].pools or ()}, 20
            )
        assert told
        server.run("aaaaaaaaaaaa-1", work("true", pool="more"))
        assert None is server.await_end("aaaaaaaaaaaa-1").cause


def test_local_orders_need_a_folder_that_an_agent_has_used(tmp_path: Path) -> None:
    with pytest.raises(ProblemError, match="an agent that has run before"):
        local_orders.status(tmp_path)
