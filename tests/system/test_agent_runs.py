"""A real agent process with the real local engine, against a small server of the protocol."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.system.agent_server import CODE, AgentServer, serving, work
from weir.agents import local_orders
from weir.model.agent import Follow
from weir.model.state import Cause, Observed

RUN = """
import sys
from pathlib import Path
from weir.cli.agent_runner import run_agent
sys.exit(run_agent(Path(sys.argv[1]), url=sys.argv[2], code_file=Path(sys.argv[3])))
"""


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
    process = subprocess.Popen([sys.executable, "-c", RUN, str(folder), url, str(code)])
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
