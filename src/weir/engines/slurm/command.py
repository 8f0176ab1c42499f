"""A cluster reached through Slurm's own commands, on this machine or on another one through ssh."""

import secrets
import shlex
import subprocess
from collections.abc import Sequence
from typing import TypeVar

from weir.engines.driver import EngineUnreachableError
from weir.engines.slurm import command_form as form
from weir.engines.slurm.port import ClusterFacts, JobRequest, JobRow, NodeRow, NotDeliveredError
from weir.engines.slurm.settings import Settings
from weir.model.problem import refused

__all__ = ["CommandCluster"]

_T = TypeVar("_T")
_PATIENCE_S = 60.0
_AT_ONCE = 500
"""So many jobs are named on one command line."""
_ENV = ("env", "-u", "SSH_CLIENT", "-u", "SSH_CONNECTION")
"""Where the agent is concerns no job."""


class CommandCluster:
    """`Cluster` by sbatch, squeue, scancel, sacct and scontrol."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._accounting_from_file: bool | None = None

    @property
    def name(self) -> str:
        return f"Slurm's commands on {self._settings.ssh}" if self._settings.ssh else "Slurm's commands"

    def facts(self) -> ClusterFacts:
        return form.parse_facts(self._run(["scontrol", "show", "config"]))

    def submit(self, request: JobRequest) -> int:
        return form.parse_submitted(self._run(form.submit_command(request), request.script))

    def jobs(self, users: Sequence[str]) -> list[JobRow]:
        mark = secrets.token_hex(4)
        return form.parse_jobs(self._run(form.jobs_command(users, mark)), mark)

    def queue(self, partitions: Sequence[str]) -> list[JobRow]:
        mark = secrets.token_hex(4)
        return form.parse_jobs(self._run(form.queue_command(partitions, mark)), mark)

    def exit_codes(self, jobs: Sequence[int]) -> dict[int, int | None]:
        found: dict[int, int | None] = {}
        for some in _portions(jobs):
            found |= form.parse_exit_codes(self._run(form.exit_codes_command(some)))
        return found

    def ended(self, jobs: Sequence[int]) -> list[JobRow]:
        rows = []
        for some in _portions(jobs):
            if self._accounting_from_file is None:
                answer = self._answer(form.ended_command([1], from_file=False), "")
                self._must_have_come_through("sacct", answer)
                self._accounting_from_file = "accounting storage is disabled" in answer.stderr
            from_file = self._accounting_from_file
            # A completion file holds words that sacct does not know: it complains, and answers all the same.
            answer = self._answer(form.ended_command(some, from_file=from_file), "")
            self._must_have_come_through("sacct", answer)
            if answer.returncode and not from_file:
                raise form.failure("sacct", answer.stderr)
            rows += form.parse_ended(answer.stdout, from_file=from_file)
        return rows

    def nodes(self) -> list[NodeRow]:
        return form.parse_nodes(self._run(["scontrol", "--detail", "--oneliner", "show", "nodes"]))

    def cancel(self, jobs: Sequence[str], *, waiting_only: bool) -> None:
        for some in _portions(jobs):
            self._cancel(form.cancel_command(some, waiting_only=waiting_only))

    def withdraw(self, jobs: Sequence[str]) -> None:
        self.cancel(jobs, waiting_only=True)

    def tell(self, jobs: Sequence[str]) -> None:
        for some in _portions(jobs):
            self._cancel(form.tell_command(some))

    def close(self) -> None:
        """Nothing is held."""

    def _cancel(self, command: list[str]) -> None:
        """That a job has ended meanwhile is no failure; that nobody answered is one."""
        answer = self._answer(command, "")
        self._must_have_come_through("scancel", answer)
        if answer.returncode:
            problem = form.failure("scancel", answer.stderr)
            if isinstance(problem, NotDeliveredError) or "timed out" in answer.stderr:
                raise problem

    def _run(self, command: list[str], text: str = "") -> str:
        answer = self._answer(command, text)
        if answer.returncode:
            raise self._failure(command[0], answer)
        return answer.stdout

    def _must_have_come_through(self, name: str, answer: "subprocess.CompletedProcess[str]") -> None:
        if form.cut_off(answer.returncode, remote=bool(self._settings.ssh)):
            raise self._failure(name, answer)

    def _failure(self, name: str, answer: "subprocess.CompletedProcess[str]") -> Exception:
        remote = bool(self._settings.ssh)
        return form.failure(name, answer.stderr, answer.returncode, remote=remote)

    def _answer(self, command: list[str], text: str) -> "subprocess.CompletedProcess[str]":
        settings = self._settings
        reading = {} if command[0] == "sbatch" else form.ENVIRONMENT
        environment = dict(reading, PATH="/usr/local/bin:/usr/bin:/bin", LANG="C.UTF-8")
        if settings.conf:
            environment["SLURM_CONF"] = settings.conf
        program = f"{settings.commands}/{command[0]}" if settings.commands else command[0]
        line = [program, *command[1:]]
        if settings.ssh:
            line = self._through_ssh(line, environment)
        try:
            return subprocess.run(
                line,
                input=text,
                capture_output=True,
                text=True,
                errors="replace",
                env=None if settings.ssh else environment,
                timeout=_PATIENCE_S,
                check=False,
            )
        except FileNotFoundError:
            accepted = f"the folder of Slurm's commands; {line[0]} was not found"
            raise refused("engine.options.commands", settings.commands, accepted) from None
        except subprocess.TimeoutExpired:
            raise EngineUnreachableError(f"{command[0]} did not answer within {_PATIENCE_S:.0f} s") from None
        except OSError as error:
            raise NotDeliveredError(f"{command[0]} could not be run: {error}") from error

    def _through_ssh(self, line: list[str], environment: dict[str, str]) -> list[str]:
        """The remote shell gets one quoted word for each of ours."""
        settings = self._settings
        here = ["ssh", "-o", "BatchMode=yes", "-o", "ConnectTimeout=15", "-T"]
        if settings.ssh_config:
            here += ["-F", settings.ssh_config]
        given = [f"{name}={value}" for name, value in environment.items() if name != "PATH"]
        return [*here, "--", settings.ssh, " ".join(map(shlex.quote, [*_ENV, *given, *line]))]


def _portions(jobs: Sequence[_T]) -> list[Sequence[_T]]:
    return [jobs[first : first + _AT_ONCE] for first in range(0, len(jobs), _AT_ONCE)]
