"""Problems: what went wrong, in which field, and what is accepted (RFC 9457)."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """One field that cannot be accepted: its path, the value as given, and what is accepted instead."""

    field: str
    value: str
    accepted: str


@dataclass(frozen=True, slots=True)
class Problem:
    """An answer to a request that was refused; nothing has been changed.

    `kind` is a stable kebab-case name (the last part of the RFC 9457 `type`), `status` the HTTP status,
    `title` one plain sentence that says what to do.
    """

    kind: str
    status: int
    title: str
    fields: tuple[FieldProblem, ...] = ()


class ProblemError(Exception):
    """A request is refused; its message is the problem's title, and nothing has been changed."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.title)
        self.problem = problem


def refused(
    field: str, value: object, accepted: str, *, kind: str = "invalid", status: int = 422
) -> ProblemError:
    """A ProblemError about one field, with a title made of its three parts."""
    shown = str(value) if len(str(value)) <= 200 else str(value)[:200] + "…"
    title = f"{field}: {shown!r} is not accepted; {accepted}"
    return ProblemError(Problem(kind, status, title, (FieldProblem(field, shown, accepted),)))


def not_found(what: str, name: str) -> ProblemError:
    """What is asked for does not exist, or is not for the asker to know."""
    return ProblemError(Problem("not-found", 404, f"no {what} {name!r}"))


def conflict(title: str) -> ProblemError:
    """The request is right in itself and cannot be done in the present state."""
    return ProblemError(Problem("conflict", 409, title))


def not_supported_yet(field: str, value: object) -> ProblemError:
    """The field is part of the contract and nothing honours it yet."""
    return refused(field, value, "not supported yet; leave it out", kind="not-supported-yet")
