"""YAML documents read strictly into the classes of `model`, with the line of what is wrong.

Stricter than YAML at large, because people write these files by hand: a key given twice is refused, dates and
`yes` and `no` stay text, and a document cannot grow by its aliases.
"""

import difflib
import functools
import json
import re
import types
import typing
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from weir.model.problem import FieldProblem, Problem, ProblemError

if TYPE_CHECKING:
    import yaml

T = TypeVar("T")
Path = tuple[str | int, ...]

LONGEST_TEXT = 16 * 1024 * 1024
MOST_NODES = 1_000_000
DEEPEST = 40
MOST_SHOWN = 20


class Document:
    """A parsed document: its plain values, and the line on which each of them begins."""

    def __init__(self, source: str, values: Any, lines: Mapping[Path, int]) -> None:
        self.source = source
        self.values = values
        self._lines = lines

    def line(self, path: Sequence[str | int]) -> int:
        """The line of the value at this path, or of the nearest thing around it."""
        known = tuple(path)
        while known and known not in self._lines:
            known = known[:-1]
        return self._lines.get(known, 1)

    def problem(self, kind: str, found: Sequence[tuple[Path, object, str]]) -> ProblemError:
        """One ProblemError about everything found: (path, value, what is accepted) each."""
        first_path, first_value, first_accepted = found[0]
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        title = (
            f"{self.source}, line {self.line(first_path)}: {path_text(first_path) or 'the document'}: "
            f"{shown(first_value)} is not accepted; {first_accepted}{more}"
        )
        problems = tuple(
            FieldProblem(path_text(path), shown(value), f"{accepted} (line {self.line(path)})")
            for path, value, accepted in found[:MOST_SHOWN]
        )
        return ProblemError(Problem(kind, 422, title, problems))


def read_document(text: str, source: str) -> Document:
    """The document in a YAML text. `source` names it in messages. Raises ProblemError with the line."""
    if len(text) > LONGEST_TEXT:
        raise _syntax(source, 1, f"it has {len(text)} characters; at most {LONGEST_TEXT} are read")
    import yaml

    try:
        _check_depth(text, source)
        node = yaml.compose(text, Loader=_loader())
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise _syntax(source, line, error.problem or str(error)) from None
    except (yaml.YAMLError, UnicodeEncodeError) as error:
        raise _syntax(source, 1, " ".join(str(error).split())) from None
    if node is None:
        raise _syntax(source, 1, "it is empty")
    reader = _Reader(source)
    return Document(source, reader.read(node, ()), reader.lines)


def parse_document(document: Document, declared: type[T], *, at: Path = (), kind: str = "invalid") -> T:
    """The part of the document at the path `at` as the `declared` class.

    Raises ProblemError naming every field that does not fit, its line, its value and what is accepted.
    """
    from pydantic import ValidationError

    value = document.values
    for step in at:
        if not isinstance(value, Mapping) or step not in value:
            raise document.problem(kind, [(at, NOTHING, f"the document needs `{path_text(at)}`")])
        value = value[step]
    try:
        # As JSON, where strict means what a reader of YAML expects: true is no number, a list makes a tuple.
        adapter = _adapter(typing.cast(Hashable, declared))
        return typing.cast(T, adapter.validate_json(json.dumps(value), strict=True))
    except ValidationError as error:
        found = [
            (
                (*at, *_known_path(value, entry["loc"])),
                _given(value, entry),
                _accepted(declared, value, entry),
            )
            for entry in error.errors(include_url=False)
        ]
        raise document.problem(kind, found) from None


def path_text(path: Sequence[str | int]) -> str:
    """A path as people write it: `centres[3].pools[0].memory_per_node`."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


def shown(value: object) -> str:
    """A value as a message shows it, shortened."""
    text = repr(value) if not isinstance(value, Mapping | list) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 120 else text[:120] + "…"


class _Nothing:
    """Stands for a value that is not there."""

    def __repr__(self) -> str:
        return "nothing"


NOTHING = _Nothing()


class _Reader:
    """Turns nodes into plain values, noting lines."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.lines: dict[Path, int] = {}
        self._nodes = 0

    def read(self, node: "yaml.Node", path: Path) -> Any:
        import yaml

        line = node.start_mark.line + 1
        self._nodes += 1
        if self._nodes > MOST_NODES or len(path) > DEEPEST:
            raise _syntax(self.source, line, "the document is too large or nested too deeply")
        self.lines.setdefault(path, line)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.read(item, (*path, index)) for index, item in enumerate(node.value)]
        return self._scalar(node, line)

    def _mapping(self, node: "yaml.MappingNode", path: Path) -> dict[str, Any]:
        import yaml

        values: dict[str, Any] = {}
        for key, item in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                raise _syntax(self.source, line, "a key is a plain text")
            name = str(key.value)
            if name in values:
                raise _syntax(self.source, line, f"{path_text((*path, name))} is given twice; keep one")
            self.lines[*path, name] = line
            values[name] = self.read(item, (*path, name))
        return values

    def _scalar(self, node: "yaml.Node", line: int) -> Any:
        text = str(node.value)
        if node.tag == "tag:yaml.org,2002:str":
            return text
        if node.tag == "tag:yaml.org,2002:null":
            return None
        if node.tag == "tag:yaml.org,2002:bool":
            return text == "true"
        if node.tag == "tag:yaml.org,2002:int" and len(text) <= 30:
            return int(text)
        if node.tag == "tag:yaml.org,2002:float":
            return float(text)
        raise _syntax(
            self.source, line, f"{text[:60]!r} has a tag or size that is not read here; write plain values"
        )


_SCALARS = {
    "null": (re.compile(r"null|~|"), ["n", "~", ""]),
    "bool": (re.compile(r"true|false"), ["t", "f"]),
    "int": (re.compile(r"-?(0|[1-9][0-9]*)"), list("-0123456789")),
    "float": (re.compile(r"-?(0|[1-9][0-9]*)\.[0-9]+"), list("-0123456789")),
}


def _check_depth(text: str, source: str) -> None:
    """Before anything is composed, since composing recurses in C, where depth ends the process."""
    import yaml

    depth = 0
    for event in yaml.parse(text, Loader=_loader()):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > DEEPEST:
                raise _syntax(source, _line(event), f"it is nested more than {DEEPEST} deep")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _line(event: "yaml.Event") -> int:
    return event.start_mark.line + 1 if event.start_mark else 1


@functools.cache
def _loader() -> Any:
    import yaml

    base = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    loader = type("_StrictLoader", (base,), {"yaml_implicit_resolvers": {}})
    for name, (pattern, first) in _SCALARS.items():
        whole = re.compile(rf"(?:{pattern.pattern})\Z")
        loader.add_implicit_resolver(f"tag:yaml.org,2002:{name}", whole, first)  # type: ignore[attr-defined]  # of yaml.Loader
    return loader


@functools.cache
def _adapter(declared: Hashable) -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(typing.cast(type, declared))


def _syntax(source: str, line: int, what: str) -> ProblemError:
    title = f"{source}, line {line}: {what}"
    return ProblemError(
        Problem("invalid-document", 422, title, (FieldProblem("", "", f"{what} (line {line})"),))
    )


def _known_path(value: Any, location: Sequence[str | int]) -> Path:
    """The part of Pydantic's location that names places in the document, and the missing field's name."""
    path: list[str | int] = []
    for step in location:
        path.append(step)
        value = _at(value, (step,))
        if value is None:
            break
    return tuple(path)


def _at(value: Any, path: Path) -> Any:
    for step in path:
        try:
            value = value[step]
        except (KeyError, IndexError, TypeError):
            return None
    return value


def _given(value: Any, entry: Mapping[str, Any]) -> object:
    path = _known_path(value, entry["loc"])
    return NOTHING if entry["type"] == "missing" else _at(value, path)


def _accepted(declared: Any, value: Any, entry: Mapping[str, Any]) -> str:
    kind = entry["type"]
    if kind == "value_error":
        message = str(entry["ctx"]["error"])
        return message.split("; ", 1)[1] if "; " in message else message
    if kind == "missing":
        return "it is required"
    if kind in ("unexpected_keyword_argument", "extra_forbidden"):
        names = _field_names(_class_at(declared, entry["loc"][:-1]))
        near = difflib.get_close_matches(str(entry["loc"][-1]), names, 1, 0.5)
        hint = f"did you mean {near[0]}? " if near else ""
        return f"{hint}the fields here are {', '.join(names)}"
    if kind == "string_type" and isinstance(entry["input"], int | float | bool):
        return "give a text; put it in quotes"
    if kind == "enum":
        return f"give {entry['ctx']['expected']}"
    if kind.startswith("dataclass"):
        return f"give its fields: {', '.join(_field_names(_class_at(declared, entry['loc'])))}"
    return str(entry["msg"])[0].lower() + str(entry["msg"])[1:]


def _field_names(declared: Any) -> list[str]:
    return [field.name for field in fields(declared)] if is_dataclass(declared) else []


def _class_at(declared: Any, location: Sequence[str | int]) -> Any:
    """The class that is declared for the value at a location; None where it is no class of ours."""
    for step in location:
        declared = _bare(declared)
        arguments = typing.get_args(declared)
        if is_dataclass(declared):
            declared = typing.get_type_hints(declared).get(str(step))
        elif isinstance(step, int) and arguments:
            declared = arguments[0]
        elif arguments and not isinstance(declared, type):
            declared = arguments[-1]
        else:
            return None
    return _bare(declared)


def _bare(declared: Any) -> Any:
    """A class without `| None` around it."""
    if typing.get_origin(declared) in (types.UnionType, typing.Union):
        members = [member for member in typing.get_args(declared) if member is not types.NoneType]
        return members[0] if len(members) == 1 else declared
    return declared
