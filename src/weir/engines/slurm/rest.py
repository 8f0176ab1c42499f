"""A cluster reached through slurmrestd, over a unix socket or TCP, with a JWT."""

import http.client
import json
import os
import socket
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from weir.engines.driver import EngineUnreachableError
from weir.engines.slurm import rest_form as form
from weir.engines.slurm.command import CommandCluster
from weir.engines.slurm.port import (
    JOB_NAME,
    ClusterFacts,
    JobRequest,
    JobRow,
    NodeRow,
    NotDeliveredError,
    RejectedError,
)
from weir.engines.slurm.settings import Settings
from weir.model.problem import refused

__all__ = ["RestCluster"]

_PATIENCE_S = 60.0
_NEWEST_TRIED = 50


class RestCluster:
    """`Cluster` by slurmrestd's newest version. States are read by squeue where the options say so."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._commands = CommandCluster(settings) if settings.reads == "commands" else None
        self._version = 0

    @property
    def name(self) -> str:
        version = f" v0.0.{self._version}" if self._version else ""
        return f"slurmrestd{version} at {self._settings.rest}"

    @property
    def version(self) -> int:
        """The last part of the version in use, 0 before it was found."""
        return self._version

    def facts(self) -> ClusterFacts:
        status, text = self._send("GET", "/openapi/v3", None, "")
        offered = form.offered_versions(text) if status == 200 else []
        for version in offered or range(_NEWEST_TRIED, form.OLDEST - 1, -1):
            self._version = version
            status, text = self._exchange("GET", f"/ping{self._slash}")
            if status == 404:
                continue
            answer = self._checked("ping", status, text)
            about = (answer.get("meta") or {}).get("slurm") or (answer.get("meta") or {}).get("Slurm") or {}
            found = ClusterFacts(version=str(about.get("release", "")))
            return self._commands.facts() if self._commands else found
        self._version = 0
        raise NotDeliveredError(f"slurmrestd at {self._settings.rest} serves no version that is known here")

    def submit(self, request: JobRequest) -> int:
        body = form.submission(request, self._version)
        status, text = self._exchange("POST", "/job/submit", body, request.user)
        answer = _json(text)
        submitted = form.parse_submitted(status, answer)
        if submitted is None:
            raise form.failure("submit", status, answer, text) or EngineUnreachableError(
                f"slurmrestd answered without a job: {text[:200]!r}"
            )
        number, warned = submitted
        if warned:
            # It was taken otherwise than it was meant, perhaps without its accelerators.
            self._cancel(f"/job/{number}")
            raise RejectedError(f"slurmrestd warned, so the job was taken back: {warned}")
        return number

    def jobs(self, users: Sequence[str]) -> list[JobRow]:
        if self._commands:
            return self._commands.jobs(users)
        known = set(users)
        answer = self._ask("jobs", "GET", f"/jobs{self._slash}")
        # v0.0.36 does not say whose a job is.
        return [row for row in form.parse_jobs(answer) if row.user in known or not row.user]

    def queue(self, partitions: Sequence[str]) -> list[JobRow]:
        if self._commands:
            return self._commands.queue(partitions)
        wanted = set(partitions)
        rows = form.parse_jobs(self._ask("jobs", "GET", f"/jobs{self._slash}"))
        return [row for row in rows if wanted & set(row.partition.split(","))]

    def exit_codes(self, jobs: Sequence[int]) -> dict[int, int | None]:
        return self._commands.exit_codes(jobs) if self._commands else {}

    def ended(self, jobs: Sequence[int]) -> list[JobRow]:
        if self._commands:
            return self._commands.ended(jobs)
        rows: list[JobRow] = []
        for job in jobs:
            status, text = self._send("GET", f"/slurmdb/v0.0.{self._version}/job/{job}", None, "")
            if status == 404:
                return rows  # this slurmrestd knows no accounting
            answer = _json(text)
            problem = form.failure("accounting", status, answer, text)
            if isinstance(problem, NotDeliveredError):
                raise problem
            rows += [] if problem else form.parse_ended(answer)
        return rows

    def nodes(self) -> list[NodeRow]:
        return form.parse_nodes(self._ask("nodes", "GET", f"/nodes{self._slash}"))

    def cancel(self, jobs: Sequence[str], *, waiting_only: bool) -> None:
        for job in self._own_of(jobs):
            self._cancel(f"/job/{quote(job)}")

    def withdraw(self, jobs: Sequence[str]) -> None:
        if self._commands:
            self._commands.withdraw(jobs)
            return
        for job in self._own_of(jobs):
            self._withdraw(f"/job/{quote(job)}")

    def tell(self, jobs: Sequence[str]) -> None:
        if self._version >= form.FIRST_NEW:  # before, nothing could be told to the batch script alone
            for job in self._own_of(jobs):
                self._cancel(f"/job/{quote(job)}?signal=TERM&flags=BATCH_JOB")

    def close(self) -> None:
        """Nothing is held."""

    @property
    def _slash(self) -> str:
        return "/" if self._version >= form.FIRST_NEW else ""

    def _own_of(self, jobs: Sequence[str]) -> list[str]:
        """Those that bear Weir's name: a controller that has lost its state may have given a number to another's."""
        own: dict[str, bool] = {}
        for number in (job.partition("_")[0] for job in jobs):
            if number not in own:
                status, text = self._exchange("GET", f"/job/{quote(number)}")
                answer = _json(text)
                problem = form.failure("job", status, answer, text)
                if isinstance(problem, NotDeliveredError):
                    raise problem
                own[number] = JOB_NAME in form.job_names(answer)
        return [job for job in jobs if own[job.partition("_")[0]]]

    def _withdraw(self, path: str) -> None:
        """slurmrestd ends what runs as well as what waits, so a job is held first: what waits then cannot start
        between the question and the order, and what had started before is let go again."""
        if not form.is_waiting(_json(self._exchange("GET", path)[1])):
            return
        # For an element 22.05 says that this has failed, and has done it; so what came of it is asked.
        self._exchange("POST", path, form.hold(held=True))
        answer = _json(self._exchange("GET", path)[1])
        if form.is_waiting(answer) and form.is_held(answer):
            self._cancel(path)
        elif answer.get("jobs"):
            self._exchange("POST", path, form.hold(held=False))

    def _cancel(self, path: str) -> None:
        """That a job has ended meanwhile is no failure; that nobody answered is one."""
        status, text = self._exchange("DELETE", path)
        problem = form.failure("cancel", status, _json(text), text)
        if isinstance(problem, NotDeliveredError):
            raise problem

    def _ask(self, what: str, method: str, path: str) -> Mapping[str, Any]:
        return self._checked(what, *self._exchange(method, path))

    def _checked(self, what: str, status: int, text: str) -> Mapping[str, Any]:
        answer = _json(text)
        problem = form.failure(what, status, answer, text)
        if problem is not None:
            raise problem
        return answer

    def _exchange(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, user: str = ""
    ) -> tuple[int, str]:
        if not self._version:
            self.facts()
        return self._send(method, f"/slurm/v0.0.{self._version}{path}", body, user)

    def _send(self, method: str, path: str, body: Mapping[str, Any] | None, user: str) -> tuple[int, str]:
        token = self._token()
        headers = {
            "X-SLURM-USER-NAME": user or self._settings.token_user or form.token_user(token),
            "X-SLURM-USER-TOKEN": token,
            "Accept": "application/json",
            "Connection": "close",
        }
        content = None
        if body is not None:
            content = json.dumps(body).encode()
            headers["Content-Type"] = "application/json"
        connection = _connection(self._settings.rest)
        try:
            try:
                connection.connect()
            except OSError as error:
                raise NotDeliveredError(f"slurmrestd at {self._settings.rest}: {error}") from error
            try:
                connection.request(method, path, content, headers)
                answer = connection.getresponse()
                return answer.status, answer.read().decode("utf-8", "replace")
            except (OSError, http.client.HTTPException) as error:
                said = f"slurmrestd at {self._settings.rest} broke off: {error!r}"
                raise EngineUnreachableError(said) from error
        finally:
            connection.close()

    def _token(self) -> str:
        """The token as it stands in its file now, where the centre lays a new one before the old one expires."""
        path = Path(self._settings.token_file)
        try:
            mode = path.stat().st_mode & 0o077
            text = path.read_text(encoding="ascii", errors="replace").strip()
        except OSError as error:
            raise NotDeliveredError(f"the token for slurmrestd cannot be read: {error}") from error
        if mode:
            accepted = f"a file that only its owner may read; run: chmod 600 {path}"
            raise refused("engine.options.token_file", os.fspath(path), accepted)
        # `scontrol token` writes `SLURM_JWT=…`, and its answer is often kept as it is.
        token = text.removeprefix("SLURM_JWT=")
        expires_s = form.token_expiry(token)
        if expires_s is not None and expires_s <= time.time():
            # Slurm itself answers an expired one with nothing that says so.
            raise NotDeliveredError(f"the token in {path} has expired; lay a new one there")
        return token


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=_PATIENCE_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(_PATIENCE_S)
        self.sock.connect(self._path)


def _connection(address: str) -> http.client.HTTPConnection:
    if address.startswith("unix:"):
        return _UnixConnection(address.removeprefix("unix:"))
    parts = urlsplit(address)
    return http.client.HTTPConnection(parts.hostname or "", parts.port or 6820, timeout=_PATIENCE_S)


def _json(text: str) -> Mapping[str, Any]:
    try:
        plain = json.loads(text)
    except ValueError:
        return {}
    return plain if isinstance(plain, dict) else {}
