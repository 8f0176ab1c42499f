"""From what people submit to job specifications: typed, strict, and with every fault named by its field."""

import difflib
import functools
import json
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError

from weir.model.job import JobSpecification
from weir.model.job_rules import check_specification
from weir.model.problem import FieldProblem, Problem, ProblemError, refused

MOST_FAULTS = 20
_ADAPTER = TypeAdapter(JobSpecification)


def read_submission(body: Any, most: int) -> list[JobSpecification]:
    """The specifications in a body: one by itself, or up to `most` under `jobs`.

    Raises ProblemError naming each field by its path, such as `jobs[3].inputs[0].path`. What is written alike
    is validated once.
    """
    if not isinstance(body, dict):
        raise refused("", _shown(body), "give a job specification, or {jobs: [one, …]}")
    if "jobs" not in body:
        return [_read(body, "")]
    entries = body["jobs"]
    unknown = sorted(set(body) - {"jobs"})
    if unknown:
        raise refused(
            unknown[0], _shown(body[unknown[0]]), "beside `jobs` there is nothing; put it into each job"
        )
    if not isinstance(entries, list) or not 1 <= len(entries) <= most:
        given = f"{len(entries)} entries" if isinstance(entries, list) else _shown(entries)
        raise refused("jobs", given, f"give a list of 1 to {most} job specifications")
    known: dict[str, JobSpecification] = {}
    read = []
    for index, entry in enumerate(entries):
        text = json.dumps(entry)
        specification = known.get(text)
        if specification is None:
            specification = known[text] = _read(entry, f"jobs[{index}]", text)
        read.append(specification)
    return read


def read_value(declared: Any, value: Any, field: str) -> Any:
    """One value of a specification, such as a duration, as its declared type. Raises ProblemError."""
    try:
        return _adapter(declared).validate_json(json.dumps(value), strict=True)
    except ValidationError as error:
        raise _refusal(declared, value, error, field) from None


def json_schema(ref_template: str) -> dict[str, Any]:
    """The specification's JSON Schema, with the classes that it uses under `$defs`.

    Defaults that are kept in base units, and not as people write them, are left out.
    """
    schema = _ADAPTER.json_schema(ref_template=ref_template)
    for declared in (schema, *schema.get("$defs", {}).values()):
        for about in declared.get("properties", {}).values():
            kept = {"string": str, "integer": int, "boolean": bool}.get(
                str(about.get("type", "")), type(None)
            )
            if not isinstance(about.get("default"), kept):
                about.pop("default", None)
    return schema


def _read(entry: Any, where: str, text: str | None = None) -> JobSpecification:
    try:
        specification = _ADAPTER.validate_json(json.dumps(entry) if text is None else text, strict=True)
    except ValidationError as error:
        raise _refusal(JobSpecification, entry, error, where) from None
    try:
        check_specification(specification)
    except ProblemError as error:
        raise _within(error, where) from None
    return specification


def _within(error: ProblemError, where: str) -> ProblemError:
    if not where:
        return error
    problem = error.problem
    found = tuple(FieldProblem(f"{where}.{one.field}", one.value, one.accepted) for one in problem.fields)
    return ProblemError(Problem(problem.kind, problem.status, f"{where}.{problem.title}", found))


def _refusal(declared: Any, value: Any, error: ValidationError, where: str) -> ProblemError:
    """All that is wrong, as a problem; of a union's members, those that came furthest are told of."""
    found: dict[str, FieldProblem] = {}
    paths: list[tuple[str | int, ...]] = []
    for entry in error.errors(include_url=False):
        path, given = _followed(value, entry["loc"], missing=entry["type"] == "missing")
        text = _path_text(where, path)
        accepted = _accepted(declared, path, entry)
        if text in found:
            accepted = f"{found[text].accepted}; or {accepted}"
        found[text] = FieldProblem(text, _shown(given), accepted)
        paths.append(path)
    inner = {
        text: problem
        for (text, problem), path in zip(found.items(), dict.fromkeys(paths), strict=True)
        if not any(len(other) > len(path) and other[: len(path)] == path for other in paths)
    }
    problems = tuple(inner.values())
    first = problems[0]
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    title = f"{first.field or 'the job'}: {first.value!r} is not accepted; {first.accepted}{more}"
    return ProblemError(Problem("invalid", 422, title, problems[:MOST_FAULTS]))


def _followed(
    value: Any, location: Sequence[str | int], *, missing: bool
) -> tuple[tuple[str | int, ...], Any]:
    """The part of Pydantic's location that names a place in the value, and what lies there."""
    path: list[str | int] = []
    for index, step in enumerate(location):
        if isinstance(value, Mapping) and step in value:
            value = value[str(step)]
        elif isinstance(value, list) and isinstance(step, int) and step < len(value):
            value = value[step]
        elif missing and index == len(location) - 1:
            path.append(step)
            return tuple(path), "nothing"
        else:
            continue  # the name of a union's member
        path.append(step)
    return tuple(path), value


def _accepted(declared: Any, path: tuple[str | int, ...], entry: Any) -> str:
    kind = entry["type"]
    if kind == "value_error":
        message = str(entry["ctx"]["error"])
        for separator in ("; write ", "; "):
            if separator in message:
                return separator[2:] + message.split(separator, 1)[1]
        return message
    if kind == "missing":
        return "it is required"
    if kind in ("unexpected_keyword_argument", "extra_forbidden"):
        names = _field_names(_class_at(declared, path[:-1]))
        near = difflib.get_close_matches(str(path[-1]), names, 1, 0.6)
        hint = f"did you mean {near[0]}? " if near else ""
        return f"{hint}the fields here are {', '.join(names)}"
    if kind == "string_type":
        return "give a text; put it in quotes"
    if kind in ("int_type", "int_from_float"):
        return "give a whole number"
    if kind == "bool_type":
        return "give true or false"
    if kind == "tuple_type":
        return "give a list"
    if kind == "enum":
        return f"give {entry['ctx']['expected']}"
    if kind.startswith("dataclass"):
        return f"give its fields: {', '.join(_field_names(_class_at(declared, path)))}"
    message = str(entry["msg"])
    return message[0].lower() + message[1:]


def _field_names(declared: Any) -> list[str]:
    return [field.name.rstrip("_") for field in fields(declared)] if is_dataclass(declared) else []


def _class_at(declared: Any, path: Sequence[str | int]) -> Any:
    """The class that is declared for the value at a path; None where it is no class of ours."""
    for step in path:
        declared = _bare(declared)
        if is_dataclass(declared):
            hints = typing.get_type_hints(declared)
            declared = hints.get(str(step), hints.get(f"{step}_"))
        else:
            arguments = typing.get_args(declared)
            declared = (
                arguments[-1]
                if arguments and arguments[-1] is not ...
                else arguments[0]
                if arguments
                else None
            )
    return _bare(declared)


def _bare(declared: Any) -> Any:
    """Of a union, the member that is a class with fields, if there is just one."""
    if typing.get_origin(declared) in (types.UnionType, typing.Union):
        members = [member for member in typing.get_args(declared) if is_dataclass(member)]
        return members[0] if len(members) == 1 else None
    return declared


def _path_text(where: str, path: Sequence[str | int]) -> str:
    text = where
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else str(step)
    return text


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 200 else text[:200] + "…"


@functools.cache
def _adapter(declared: Any) -> TypeAdapter[Any]:
    return TypeAdapter(declared)


__all__ = ["json_schema", "read_submission", "read_value"]
