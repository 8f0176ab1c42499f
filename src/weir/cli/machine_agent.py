"""The agent of the machine that the server runs on: a process of its own, kept running beside the server."""

import os
import secrets
import subprocess
import sys
import threading
import time
from pathlib import Path

import structlog

from weir.access import invite
from weir.store import Store

_log = structlog.stdlib.get_logger("weir.machine")

AGAIN_AFTER_S = 2.0
END_TIMEOUT_S = 10.0
CODE_LIFE_MS = 600_000


class MachineAgent:
    """Runs `weir agent` for one centre, and starts it again when it ends, as a context.

    At the end the agent is told to end too; what it started goes on, and is found again at its next start.
    """

    def __init__(self, store: Store, folder: Path, centre: str, url: str, ca_file: Path | None) -> None:
        self._store = store
        self._folder = folder
        self._centre = centre
        self._arguments = [sys.executable, "-m", "weir", "agent", "--folder", str(folder), "--url", url]
        # Killed or not: an agent that outlived this server would keep the next one's from its folder.
        self._arguments += ["--with-parent", str(os.getpid())]
        if ca_file is not None:
            self._arguments += ["--ca-file", str(ca_file)]
        self._stopping = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._run, name="weir-machine", daemon=True)

    def __enter__(self) -> "MachineAgent":
        self._folder.mkdir(mode=0o700, exist_ok=True)
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stopping.set()
        process = self._process
        if process is not None and process.poll() is None:
            process.terminate()
            try:
                process.wait(END_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
        self._thread.join(END_TIMEOUT_S)

    def _run(self) -> None:
        while not self._stopping.is_set():
            with (self._folder / "agent.log").open("ab") as output:
                self._process = subprocess.Popen(
                    [*self._arguments, *self._code()],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                )
            ended = self._process.wait()
            if not self._stopping.is_set():
                _log.warning("this machine's agent ended", code=ended, log=str(self._folder / "agent.log"))
            self._stopping.wait(AGAIN_AFTER_S)

    def _code(self) -> list[str]:
        """A one-time code in a file, as long as the agent has not joined."""
        if (self._folder / "token").exists():
            return []
        now_ms = time.time_ns() // 1_000_000
        made = self._store.write(
            lambda tx: invite(tx, [self._centre], now_ms, secrets.randbits, CODE_LIFE_MS)
        )
        path = self._folder / "code"
        with os.fdopen(
            os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8"
        ) as out:
            out.write(made[0].code + "\n")
        return ["--code-file", str(path)]


__all__ = ["MachineAgent"]
