"""Plain JSON values from and to the dataclasses of `model`, strictly, with the standard library alone.

This is the form in which messages between server and agents travel and in which specifications are stored:
quantities are integers in their base unit. What people write goes through Pydantic at the API instead.
"""

import dataclasses
import enum
import functools
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

T = TypeVar("T")


class CodecError(ValueError):
    """A value does not have the form that its class declares; the message names the field."""


def to_plain(value: Any) -> Any:
    """The JSON value of a dataclass; fields equal to their default are left out.

    A trailing underscore of a field name is dropped (`from_` is written `from`). Enumerations become their value.
    """
    if type(value) in _SCALARS:
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            name: to_plain(item)
            for name, attribute, default in _written_fields(type(value))
            if (item := getattr(value, attribute)) != default
        }
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, list | tuple):
        return [to_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    return value


def from_plain(declared: type[T], value: Any, where: str = "") -> T:
    """The `declared` class read from a JSON value; unknown, missing and mistyped fields raise CodecError."""
    return typing.cast(T, _reader(typing.cast(Any, declared))(value, where))


_SCALARS = frozenset({str, int, float, bool, type(None)})
_Reader = Callable[[Any, str], Any]
_MISSING = object()


@functools.cache
def _written_fields(declared: type) -> tuple[tuple[str, str, Any], ...]:
    rows = []
    for field in dataclasses.fields(declared):
        default = field.default
        if field.default_factory is not dataclasses.MISSING:
            default = field.default_factory()
        rows.append(
            (field.name.rstrip("_"), field.name, _MISSING if default is dataclasses.MISSING else default)
        )
    return tuple(rows)


@functools.cache
def _reader(declared: Any) -> _Reader:
    origin = typing.get_origin(declared)
    arguments = typing.get_args(declared)
    if origin is typing.Annotated:
        return _reader(arguments[0])
    if origin in (types.UnionType, typing.Union):
        return _union_reader(tuple(_reader(member) for member in arguments), declared)
    if origin is tuple:
        return _tuple_reader(_reader(arguments[0]))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return _mapping_reader(_reader(arguments[1]))
    if origin is typing.Literal:
        return _literal_reader(arguments)
    if dataclasses.is_dataclass(declared):
        return _class_reader(typing.cast(type, declared))
    if isinstance(declared, type) and issubclass(declared, enum.Enum):
        return _enum_reader(declared)
    if declared is Any:
        return lambda value, where: value
    return _scalar_reader(declared)


def _class_reader(declared: type) -> _Reader:
    hints = typing.get_type_hints(declared, include_extras=True)
    fields: dict[str, tuple[str, Any]] = {}
    required: list[str] = []
    for name, attribute, default in _written_fields(declared):
        fields[name] = (attribute, hints[attribute])
        if default is _MISSING:
            required.append(name)

    def read(value: Any, where: str) -> Any:
        if not isinstance(value, Mapping):
            raise CodecError(f"{where or declared.__name__}: {value!r} is not an object")
        arguments = {}
        for name, item in value.items():
            if name not in fields:
                raise CodecError(
                    f"{where}{'.' if where else ''}{name}: {declared.__name__} has no such field"
                )
            attribute, hint = fields[name]
            arguments[attribute] = _reader(hint)(item, f"{where}.{name}" if where else name)
        for name in required:
            if name not in value:
                raise CodecError(f"{where}{'.' if where else ''}{name}: is missing")
        return declared(**arguments)

    return read


def _union_reader(readers: tuple[_Reader, ...], declared: Any) -> _Reader:
    def read(value: Any, where: str) -> Any:
        reason: CodecError | None = None
        for reader in readers:
            try:
                return reader(value, where)
            except CodecError as error:
                if reason is None or isinstance(value, Mapping):
                    reason = error
        raise reason or CodecError(f"{where}: {value!r} is not of {declared}")

    return read


def _tuple_reader(item: _Reader) -> _Reader:
    def read(value: Any, where: str) -> Any:
        if not isinstance(value, list | tuple):
            raise CodecError(f"{where}: {value!r} is not a list")
        return tuple(item(entry, f"{where}[{index}]") for index, entry in enumerate(value))

    return read


def _mapping_reader(item: _Reader) -> _Reader:
    def read(value: Any, where: str) -> Any:
        if not isinstance(value, Mapping):
            raise CodecError(f"{where}: {value!r} is not an object")
        return {str(key): item(entry, f"{where}.{key}") for key, entry in value.items()}

    return read


def _literal_reader(allowed: tuple[Any, ...]) -> _Reader:
    def read(value: Any, where: str) -> Any:
        if value not in allowed:
            raise CodecError(f"{where}: {value!r} is not one of {', '.join(map(repr, allowed))}")
        return value

    return read


def _enum_reader(declared: type[enum.Enum]) -> _Reader:
    def read(value: Any, where: str) -> Any:
        try:
            return declared(value)
        except ValueError:
            accepted = ", ".join(repr(member.value) for member in declared)
            raise CodecError(f"{where}: {value!r} is not one of {accepted}") from None

    return read


def _scalar_reader(declared: Any) -> _Reader:
    def read(value: Any, where: str) -> Any:
        if declared is type(None) or declared is None:
            good = value is None
        elif declared is float:
            good = isinstance(value, int | float) and not isinstance(value, bool)
        elif declared is int:
            good = isinstance(value, int) and not isinstance(value, bool)
        else:
            good = isinstance(value, declared)
        if not good:
            raise CodecError(f"{where}: {value!r} is not {getattr(declared, '__name__', declared)}")
        return value

    return read
