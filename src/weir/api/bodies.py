"""Reading request bodies: never more than is allowed, and JSON that every part of Weir can store."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, NoReturn, TypeVar

from fastapi import Depends
from starlette.requests import Request

from weir.model.codec import CodecError, from_plain
from weir.model.problem import FieldProblem, Problem, ProblemError

T = TypeVar("T")
MOST_CONTAINERS = 1_000_000
"""Objects and lists in one body: each takes many times its two characters of memory."""


@dataclass(frozen=True, slots=True)
class Body:
    """A JSON body, and what it was read from."""

    raw: bytes
    value: Any

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.raw).hexdigest()


async def json_body(request: Request) -> Body:
    """The request's JSON body; an empty one is an empty object. Raises ProblemError."""
    raw = await request.body()
    return Body(raw, read_json(raw) if raw.strip() else {})


async def text_body(request: Request) -> str:
    """The request's body as a text. Raises ProblemError."""
    raw = await request.body()
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise malformed(f"the body is no UTF-8 (at byte {error.start})") from None


JsonBody = Annotated[Body, Depends(json_body)]
TextBody = Annotated[str, Depends(text_body)]


def read_json(raw: bytes) -> Any:
    """The value of a JSON text. Raises ProblemError where it is none, or holds what cannot be stored."""
    if raw.count(b"{") + raw.count(b"[") > MOST_CONTAINERS:
        raise malformed(f"the body holds more than {MOST_CONTAINERS} objects and lists")
    try:
        value = json.loads(raw, parse_constant=_no_constant)
        if b"\\u" in raw:
            _check_texts(raw, value)
    except RecursionError:
        raise malformed("the body is nested too deeply") from None
    except UnicodeDecodeError as error:
        raise malformed(f"the body is no UTF-8 (at byte {error.start})") from None
    except ValueError as error:
        raise malformed(f"the body is no JSON: {error}") from None
    return value


def object_of(body: Body, fields: Mapping[str, type]) -> dict[str, Any]:
    """A JSON object with some of these fields, each of its type. Raises ProblemError."""
    if not isinstance(body.value, dict):
        raise malformed("the body is a JSON object")
    for name, value in body.value.items():
        declared = fields.get(name)
        if declared is None:
            known = ", ".join(fields)
            _refuse(name, value, f"there is no such field; known are {known}")
        if not isinstance(value, declared) or (declared is int and isinstance(value, bool)):
            _refuse(name, value, f"give {_WORDS[declared]}")
    return body.value


def message_of(declared: type[T], body: Body) -> T:
    """The message of the agent protocol that a body holds. Raises ProblemError (400)."""
    try:
        return from_plain(declared, body.value)
    except CodecError as error:
        raise malformed(str(error)) from None


def malformed(title: str) -> ProblemError:
    """A request that is not well-formed."""
    return ProblemError(Problem("malformed", 400, title))


_WORDS = {str: "a text", int: "a whole number", list: "a list", dict: "an object", bool: "true or false"}


def _refuse(name: str, value: object, accepted: str) -> NoReturn:
    title = f"{name}: {str(value)[:200]!r} is not accepted; {accepted}"
    raise ProblemError(Problem("invalid", 422, title, (FieldProblem(name, str(value), accepted),)))


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _check_texts(raw: bytes, value: Any) -> None:
    """Half a surrogate pair cannot be encoded again, and NUL cannot be stored."""
    lower = raw.lower()
    if b"\\ud" in lower:
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise ValueError("half of a surrogate pair is no character") from None
    if b"\\u0000" in lower and "\\u0000" in json.dumps(value).replace("\\\\", ""):
        raise ValueError("the character NUL (\\u0000) is not accepted")


__all__ = ["Body", "JsonBody", "TextBody", "malformed", "message_of", "object_of", "read_json"]
