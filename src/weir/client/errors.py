"""What can go wrong in talking to a Weir server."""

import json
from collections.abc import Mapping
from typing import Any

from weir.model.problem import FieldProblem, Problem, ProblemError


class ClientError(Exception):
    """Something on this side, or between here and the server, keeps the request from being answered."""


class UnreachableError(ClientError):
    """The server did not answer; the message says what to do. Whether it acted on the request is unknown."""


class UntrustedError(UnreachableError):
    """The server's certificate is not accepted; trying again does not help. Nothing was sent."""


class SettingsError(ClientError):
    """Where the server is, or with which token, cannot be told; the message says what to do."""


class ChecksumError(ClientError):
    """What arrived is not what was sent; nothing was kept."""


class AnswerError(ClientError):
    """The server's answer cannot be understood: it is no Weir server, or one of another version."""


class ApiError(ProblemError):
    """The server refused the request; `problem` names the fields, the values and what is accepted.

    `retry_after_s` is how long to wait before asking again, where the server said so.
    """

    def __init__(self, problem: Problem, retry_after_s: float | None = None) -> None:
        super().__init__(problem)
        self.retry_after_s = retry_after_s

    @property
    def status(self) -> int:
        return self.problem.status


def problem_from(status: int, headers: Mapping[str, str], body: bytes) -> Problem:
    """The problem that an answer of this status tells of; made up from the status where it tells none."""
    told: Any = None
    if "json" in headers.get("content-type", ""):
        try:
            told = json.loads(body)
        except ValueError:
            told = None
    if not isinstance(told, dict):
        return Problem(
            "http", status, f"the server answered {status} without saying why; is it a Weir server?"
        )
    fields = told.get("fields")
    return Problem(
        str(told.get("type", "http")).rsplit("/", 1)[-1].rsplit(":", 1)[-1],
        status,
        str(told.get("title", f"the server answered {status}")),
        tuple(
            FieldProblem(*(str(entry.get(key, "")) for key in ("field", "value", "accepted")))
            for entry in (fields if isinstance(fields, list) else ())
            if isinstance(entry, dict)
        ),
    )


__all__ = [
    "AnswerError",
    "ApiError",
    "ChecksumError",
    "ClientError",
    "SettingsError",
    "UnreachableError",
    "UntrustedError",
    "problem_from",
]
