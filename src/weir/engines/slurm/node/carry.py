"""On a compute node that shares no folder with the agent: files come and go by way of the agent's door.

    carry FOLDER [ELEMENT TASKS,TASKS,… HOST PORT]

FOLDER is the node's own, with `program` and `launch`, which were fetched from the door. The attempt gets a folder in
it, laid out as a shared one is, and the program runs on that as it would anywhere. Beside it this process brings the
inputs there first; then, as it goes, what the tasks write and the start to the agent, and the wish to stop back; and
at the end the outputs, and last of all the record. While the agent is away the tasks run on.
"""

import contextlib
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from typing import Any

from weir.engines.courier.node import PIECE, Courier, FilesError

from .attempt import now_ms
from .process import HEARD, listen, unblock
from .run import DUPLICATE, START, tasks_per_node

__all__ = ["main"]

_LOOK_S = 0.1
"""So often the runner's first words are looked for; they are worth a message at once."""
_PATIENCE_S = 900.0
_PIECES = 8
"""So many pieces of one stream go at a time while the tasks run."""


def main(arguments: "list[str]") -> int:
    """Run one element, or a node's part of a gang; the exit code for Slurm."""
    folder = arguments[0]
    listen()
    os.environ.pop("WEIR_FILES_TOKEN", None)  # the batch's own, and nothing for its tasks
    lock = os.open(folder + "/unlocked", os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    os.rename(folder + "/unlocked", folder + "/lock")  # so that no lock is ever seen that nobody holds yet
    _sweep(os.path.dirname(folder))
    try:
        with open(folder + "/launch", encoding="utf-8") as file:
            launch = json.load(file)
        return _Carrier(folder, launch, arguments[1:]).run()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class _Carrier:
    def __init__(self, folder: str, launch: "dict[str, Any]", part: "list[str]") -> None:
        """`part` is empty in a job's batch step: then the attempt's record is this one's to bring."""
        self._folder = folder
        self._launch = launch
        self._part = part
        self._element = int(part[0] if part else os.environ.get("SLURM_ARRAY_TASK_ID") or 0)
        self._attempt = folder + "/attempt"
        self._run = self._attempt + "/run"
        self._name = launch["attempts"][self._element][0]
        door = launch["door"]
        self._courier = Courier(door["urls"][self._element], door["tokens"][self._element], _PATIENCE_S)
        self._again_s = launch["look_ms"] / 1000.0
        self._told = b""
        self._sent = {}  # type: dict[str, list[int]]
        self._stopped = False
        node = int(os.environ.get("SLURM_NODEID") or 0) if part else 0
        counts = [int(count) for count in part[1].split(",")] if part else self._counts()
        self._node = node
        self._alone = bool(part) or len(counts) == 1
        """Whether tasks run below this process itself, and not on nodes of their own."""
        first = sum(counts[:node]) if part else 0
        self._tasks = range(first, first + counts[node]) if self._alone else range(0)

    def run(self) -> int:
        problem = ""
        try:
            if not self._part and not self._claimed():
                return DUPLICATE
            self._prepare()
            if self._alone:
                self._courier.fetch(self._attempt + "/work")
            self._hear_stop()
        except (FilesError, OSError) as error:
            self._say_ended("inputs", str(error))
            return 1
        code = self._accompany()
        if self._alone:
            problem = self._hand()
        if self._part:
            self._bring_part(problem)
        else:
            self._bring_record(problem)
        return code or int(bool(problem))

    def _counts(self) -> "list[int]":
        return tasks_per_node(os.environ.get("SLURM_TASKS_PER_NODE", "1"), self._launch["tasks"])

    def _claimed(self) -> bool:
        array, task = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
        job = array + "_" + str(task) if array else os.environ["SLURM_JOB_ID"]
        restart = int(os.environ.get("SLURM_RESTART_COUNT") or 0)
        words = f"{job} {restart}\n".encode("ascii")
        status, said = self._courier.ask("POST", "claim", words, restartable=int(self._launch["restartable"]))
        if status not in (200, 409):
            raise FilesError(said.decode("utf-8", "replace"))
        return status == 200

    def _prepare(self) -> None:
        """The attempt's folder, and what the program is told: as if that were the shared one."""
        for place in ("/attempt", "/attempt/work", "/attempt/run", "/stops", "/news"):
            os.makedirs(self._folder + place, 0o700, exist_ok=True)
        with open(self._folder + "/stops/" + self._name, "w", encoding="ascii"):
            pass
        launch = dict(self._launch, stops=self._folder + "/stops", news=self._folder + "/news")
        launch["attempts"] = [list(row) for row in launch["attempts"]]
        launch["attempts"][self._element][3] = self._attempt
        with open(self._folder + "/local", "w", encoding="utf-8") as file:
            json.dump(launch, file)

    def _accompany(self) -> int:
        """Start the program, and stay beside it until it has ended."""
        command = [
            sys.executable,
            "-I",
            "-S",
            "-c",
            START,
            self._folder + "/program",
            self._folder + "/local",
        ]
        process = subprocess.Popen(command + self._part, preexec_fn=unblock)  # noqa: PLW1509 (there are no threads)
        self._be_patient(0.0)
        beat_at = time.monotonic() + self._again_s
        try:
            while process.poll() is None:
                left_s = max(0.0, beat_at - time.monotonic())
                heard = signal.sigtimedwait(HEARD, left_s if self._told else min(left_s, _LOOK_S))
                if process.poll() is not None:
                    break
                told = heard is not None and heard.si_signo == signal.SIGTERM
                started = not self._told and os.path.exists(self._run + "/record.json")
                if told or started or time.monotonic() >= beat_at:
                    self._beat()
                    beat_at = time.monotonic() + self._again_s
                if told:
                    process.send_signal(signal.SIGTERM)
        finally:
            self._be_patient(_PATIENCE_S)
        return process.returncode if process.returncode >= 0 else 128 - process.returncode

    def _beat(self) -> None:
        try:
            self._hear_stop()
            if self._node == 0:
                self._bring_start()
            self._bring_logs(_PIECES)
        except (FilesError, OSError, ValueError):
            self._courier.close()  # the agent is away: the tasks run on, and everything is brought later

    def _hear_stop(self) -> None:
        """Ask whether it should stop; what the agent knows no longer should."""
        status, content = self._courier.ask("GET", "stop")
        if status not in (200, 404):
            raise FilesError(content.decode("utf-8", "replace"))
        answer = {"stop": "it is forgotten", "again_ms": 0}  # type: dict[str, Any]
        if status == 200:
            answer = json.loads(content.decode())
        self._again_s = max(self._launch["look_ms"], answer["again_ms"]) / 1000.0
        if answer["stop"] and not self._stopped:
            with open(self._folder + "/stops/" + self._name, "w", encoding="ascii") as file:
                file.write(answer["stop"])
            self._stopped = True

    def _be_patient(self, patience_s: float) -> None:
        self._courier.close()  # how long an answer is waited for goes with it
        self._courier.patience_s = patience_s

    def _bring_start(self) -> None:
        content = _read(self._run + "/record.json")
        if content and content != self._told and json.loads(content.decode())["state"] == "running":
            self._courier.must("POST", "record", content)
            self._told = content

    def _bring_logs(self, pieces: int) -> None:
        limit = self._launch["log_limit_bytes"]
        for task in self._tasks:
            for stream in ("stdout", "stderr"):
                name = f"{task}/{stream}"
                path = f"{self._run}/{task}.{stream}"
                size = os.stat(path).st_size if os.path.exists(path) else 0
                if not size:
                    continue
                if name not in self._sent:
                    # What an earlier run of a requeued job has written stands before it.
                    held = json.loads(self._courier.must("GET", "log/" + name).decode())["size"]
                    self._sent[name] = [held, 0]
                self._bring_log(name, path, min(size, limit), pieces)
                if pieces < 0 and size > limit:
                    self._courier.must("POST", "logsize/" + name, size=self._sent[name][0] + size)

    def _bring_log(self, name: str, path: str, until: int, pieces: int) -> None:
        place = self._sent[name]
        with open(path, "rb") as file:
            while place[1] < until and pieces:
                file.seek(place[1])
                piece = file.read(min(PIECE, until - place[1]))
                if not piece:
                    return
                status, content = self._courier.ask("POST", "log/" + name, piece, offset=place[0] + place[1])
                if status == 409:
                    place[1] = max(0, json.loads(content.decode())["size"] - place[0])
                elif status == 200:
                    place[1] += len(piece)
                elif status == 413:
                    place[1] = until  # it has all that it will take
                else:
                    raise FilesError(content.decode("utf-8", "replace"))
                pieces -= 1

    def _hand(self) -> str:
        """The last of the logs, and the outputs; what was wrong with those."""
        try:
            self._bring_logs(-1)
            self._courier.hand(self._attempt + "/work", self._node)
        except (FilesError, OSError, ValueError) as error:
            return f"the outputs could not be brought back: {error}"
        return ""

    def _bring_part(self, problem: str) -> None:
        content = _read(f"{self._run}/part.{self._node}.json")
        if content and problem:
            ends = json.loads(content.decode())["ends"]
            content = json.dumps({"ends": [*ends, ["outputs", None, None, problem, None, now_ms()]]}).encode()
        if content:
            self._courier.must("POST", f"part/{self._node}", content)

    def _bring_record(self, problem: str) -> None:
        content = _read(self._run + "/record.json")
        if not content:
            return
        plain = json.loads(content.decode())
        if problem and plain["state"] == "ended":
            plain["message"] = plain["message"] + "; " + problem if plain["message"] else problem
            plain["cause"] = plain["cause"] or "outputs"
        self._courier.must("POST", "record", json.dumps(plain).encode())

    def _say_ended(self, cause: str, message: str) -> None:
        """It never came to a start."""
        end = [cause, None, None, message, None, now_ms()]
        plain = {"state": "ended", "cause": cause, "code": None, "signal": None}  # type: dict[str, Any]
        plain.update(message=message, started_ms=None, ended_ms=end[5])
        plain.update(slurm_job=os.environ.get("SLURM_JOB_ID", ""), restart=0)
        try:
            if self._part:
                self._courier.must("POST", f"part/{self._node}", json.dumps({"ends": [end]}).encode())
            else:
                self._courier.must("POST", "record", json.dumps(plain).encode())
        except FilesError as error:
            sys.stderr.write(f"{error}\n")


def _sweep(place: str) -> None:
    """Remove what others like this one, of the same user, have left here because they were killed."""
    for name in os.listdir(place):
        lock = f"{place}/{name}/lock"
        if not name.startswith("weir-"):
            continue
        with contextlib.suppress(OSError):
            if os.lstat(f"{place}/{name}").st_uid != os.geteuid():
                continue
            descriptor = os.open(lock, os.O_RDWR | os.O_NOFOLLOW)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(f"{place}/{name}", ignore_errors=True)
            finally:
                os.close(descriptor)


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return b""
