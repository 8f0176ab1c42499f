"""What the core is told and answers as bytes, so that a cycle can be kept and run again.

The bytes are a JSON text in which an object names its class and int64 columns one after another, both compressed, and
then long columns in as few bytes a number as will do, which takes no longer to read than to copy. Only
the classes of a few modules of this room are written and read; reading makes nothing else, whatever the bytes say.
Their fields are those of the code that wrote them: read them with the same `code_version` alone.
"""

import gc
import json
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import MISSING, Field, fields, is_dataclass
from enum import Enum
from itertools import pairwise, repeat, starmap
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from weir.scheduling import base, inputs, kept, outlook, placements, plan, policy, province_forecast, usage
from weir.scheduling.inputs import Int64s, JobClass, QueuedJobs

_LEVEL = 1
"""Of zlib's nine: the fastest. Columns are brought into a form first in which it finds what repeats."""
_LONG = 4_096
"""From so many numbers on a column is long."""
_MANY = 16
"""From so many objects of one kind on they are written by field."""
_FAR = 2**62
_HEAD = struct.Struct("<III")
_IS = "="
"""The key under which an object names what it is; a field is a Python name, and so never this."""


class PackedError(ValueError):
    """The bytes are not what `packed` writes."""


def packed(value: Any) -> bytes:
    """A value of the core's own dataclasses, tuples, sets, int64 columns and scalars, as bytes.

    TypeError for anything else.
    """
    writer = _Writer([], [], {})
    text = json.dumps(
        [writer.plain(value), writer.classes()], separators=(",", ":"), ensure_ascii=False
    ).encode()
    packed_part = zlib.compress(b"".join([text, *writer.columns]), _LEVEL)
    head = _HEAD.pack(len(packed_part), len(text), sum(map(len, writer.long)))
    return b"".join([head, packed_part, *writer.long])


def unpacked(data: bytes) -> Any:
    """What was packed. Raises PackedError where that cannot be."""
    try:
        packed_part, length, long = _HEAD.unpack_from(data)
        end = _HEAD.size + packed_part
        if len(data) != end + long:
            raise ValueError(f"there are {len(data)} of {end + long} bytes")
        raw = zlib.decompress(memoryview(data)[_HEAD.size : end])
        with _without_collection():
            value, classes = json.loads(raw[:length])
            reader = _Reader(raw, length, data, end, ())
            return reader._replace(classes=reader.rows(classes)).value(value)
    except (zlib.error, struct.error, ValueError, KeyError, TypeError, IndexError) as error:
        raise PackedError(f"these bytes are no cycle that was kept: {error}") from error


class _Writer(NamedTuple):
    columns: list[bytes]
    long: list[bytes]
    numbers: dict[JobClass, int]
    """Classes of jobs are written once; a job names its own by number."""

    def plain(self, value: Any) -> Any:
        if type(value) in _SCALARS:
            return value
        if type(value) is tuple:
            if value and type(value[0]) is QueuedJobs:
                return self._batches(value)
            if (
                len(value) >= _MANY
                and (kind := type(value[0])) in _ROWS
                and all(type(each) is kind for each in value)
            ):
                return self._rows(kind, value)
            return [self.plain(each) for each in value]
        if type(value) is JobClass:
            return {_IS: "class", "number": self.numbers.setdefault(value, len(self.numbers))}
        if isinstance(value, np.ndarray):
            return self._column(value)
        if isinstance(value, Enum):
            return {_IS: type(value).__name__, "value": value.value}
        if isinstance(value, frozenset):
            return {_IS: "set", "of": sorted(value)}
        return self._object(value)

    def classes(self) -> dict[str, Any]:
        """All classes by number."""
        return self._rows(JobClass, tuple(self.numbers))

    def _rows(self, kind: Any, values: Sequence[Any]) -> dict[str, Any]:
        """By field, those that are not alike in all objects of a kind: what each has of it, or the number of it where
        that is none of the scalars; and under the field's name with `_IS`, the values by number."""
        found: dict[str, Any] = {_IS: "rows", "of": kind.__name__, "count": len(values)}
        for name, default in _FIELDS[kind]:
            held = [getattr(value, name) for value in values]
            if all(each is default or (type(each) is type(default) and each == default) for each in held):
                continue
            kinds = set(map(type, held))
            if not kinds <= _SCALARS:
                distinct: dict[Any, int] = {}
                held = [distinct.setdefault((type(each), each), len(distinct)) for each in held]
                found[name + _IS] = [self.plain(each) for _, each in distinct]
                kinds = {int}
            is_long = len(held) >= _LONG and kinds == {int} and all(-_FAR <= each <= _FAR for each in held)
            found[name] = self._long_column(np.array(held, np.int64)) if is_long else held
        return found

    def _object(self, value: Any) -> dict[str, Any]:
        if type(value) not in _FIELDS:
            raise TypeError(f"{type(value).__name__} is no class of the core")
        found: dict[str, Any] = {_IS: type(value).__name__}
        for name, default in _FIELDS[type(value)]:
            held = getattr(value, name)
            if not (type(held) in _SCALARS and held == default and type(held) is type(default)):
                found[name] = self.plain(held)
        return found

    def _column(self, column: Int64s) -> dict[str, Any]:
        if column.dtype != np.int64 or column.ndim != 1:
            raise TypeError(f"a column of {column.dtype} in {column.ndim} dimensions is none of int64")
        if len(column) >= _LONG:
            return self._long_column(column)
        # Steps between neighbours repeat more than values do, and their upper bytes are nearly all alike.
        steps = np.diff(column, prepend=np.int64(0))
        self.columns.append(steps.view(np.uint8).reshape(-1, 8).T.tobytes())
        return {_IS: "column", "length": len(column), "at": sum(map(len, self.columns[:-1]))}

    def _long_column(self, column: Int64s) -> dict[str, Any]:
        """As what each number is above the least. Bytes go with what is compressed."""
        least, most = int(column.min()), int(column.max())
        wide = next(size for size in (0, 1, 2, 4, 8) if size == 8 or most - least < 1 << 8 * size)
        found = {_IS: "long", "length": len(column), "least": least, "bytes": wide}
        if wide == 8:
            self.long.append(column.astype("<i8").tobytes())
        elif wide:
            (self.columns if wide == 1 else self.long).append((column - least).astype(f"<u{wide}").tobytes())
        found["end"] = sum(map(len, self.columns if wide == 1 else self.long))
        return found

    def _batches(self, batches: Sequence[QueuedJobs]) -> dict[str, Any]:
        """Batches as one column for each of their fields, since there may be as many as there are classes."""
        found: dict[str, Any] = {
            _IS: "batches",
            "class": [self.plain(each.job_class)["number"] for each in batches],
        }
        found["jobs"] = [len(each.job) for each in batches]
        for name, _ in _FIELDS[QueuedJobs]:
            held = [getattr(each, name) for each in batches]
            if name == "job_class" or all(each is None for each in held):
                continue
            there = [each for each in held if each is not None]
            if len(there) < len(held):
                found[f"{name}?"] = [int(each is not None) for each in held]
            found[name] = self._column(np.concatenate(there))
        return found


class _Reader(NamedTuple):
    raw: bytes
    first: int
    """Where columns begin in it."""
    data: bytes
    end: int
    """Where long columns begin in that."""
    classes: tuple[JobClass, ...]

    def value(self, plain: Any) -> Any:
        if type(plain) is list:
            return tuple([each if type(each) in _SCALARS else self.value(each) for each in plain])
        if type(plain) is not dict:
            return plain
        kind = plain[_IS]
        if kind == "class":
            return self.classes[plain["number"]]
        if kind == "column":
            return self._column(plain)
        if kind == "long":
            return self._long_column(plain)
        if kind == "rows":
            return self.rows(plain)
        if kind == "set":
            return frozenset(plain["of"])
        if kind == "batches":
            return self._batches(plain)
        if kind in _ENUMS:
            return _ENUMS[kind](plain["value"])
        return _CLASSES[kind](
            **{
                name: held if type(held) in _SCALARS else self.value(held)
                for name, held in plain.items()
                if name != _IS
            }
        )

    def rows(self, plain: dict[str, Any]) -> tuple[Any, ...]:
        """Objects of one kind that were written by field."""
        count, kind = int(plain["count"]), _CLASSES[plain["of"]]
        columns = []
        for name, default in _FIELDS[kind]:
            held = plain.get(name, repeat(default, count))
            if type(held) is dict:
                held = self._long_column(held).tolist()
            if name + _IS in plain:
                values = [self.value(each) for each in plain[name + _IS]]
                held = map(values.__getitem__, held)
            columns.append(held)
        return tuple(starmap(kind, zip(*columns, strict=True))) if count else ()

    def _column(self, plain: dict[str, Any]) -> Int64s:
        length = int(plain["length"])
        raw = np.frombuffer(self.raw, np.uint8, 8 * length, self.first + int(plain["at"]))
        steps = np.ascontiguousarray(raw.reshape(8, length).T).view(np.int64).reshape(length)
        return np.cumsum(steps)

    def _long_column(self, plain: dict[str, Any]) -> Int64s:
        length, wide, least = int(plain["length"]), int(plain["bytes"]), int(plain["least"])
        at = int(plain["end"]) - length * wide
        if wide == 0:
            return np.full(length, least, np.int64)
        if wide == 1:
            found = np.frombuffer(self.raw, np.uint8, length, self.first + at).astype(np.int64)
        else:
            kind = "<i8" if wide == 8 else f"<u{wide}"
            found = np.frombuffer(self.data, kind, length, self.end + at).astype(np.int64)
        if wide < 8:
            found += least
        return found

    def _batches(self, plain: dict[str, Any]) -> tuple[QueuedJobs, ...]:
        jobs = plain["jobs"]
        of_field: dict[str, list[Any]] = {}
        for name, _ in _FIELDS[QueuedJobs]:
            if name not in plain:
                continue
            there = plain.get(f"{name}?", [1] * len(jobs))
            column = self.value(plain[name])
            ends = np.cumsum([0, *(count * here for count, here in zip(jobs, there, strict=True))]).tolist()
            pieces = [column[first:end] for first, end in pairwise(ends)]
            of_field[name] = [piece if here else None for piece, here in zip(pieces, there, strict=True)]
        return tuple(
            QueuedJobs(self.classes[number], **{name: held[row] for name, held in of_field.items()})
            for row, number in enumerate(plain["class"])
        )


@contextmanager
def _without_collection() -> Iterator[None]:
    """Tens of thousands of objects are made, none of them garbage: collections meanwhile would go over all there are,
    and double the time."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def _declared(modules: Sequence[ModuleType], wanted: Callable[[type], bool]) -> dict[str, Any]:
    """The classes that these modules declare themselves, by name."""
    return {
        name: found
        for module in modules
        for name, found in vars(module).items()
        if isinstance(found, type) and found.__module__ == module.__name__ and wanted(found)
    }


def _default(field: Field[Any]) -> Any:
    return ... if field.default is MISSING else field.default


_SCALARS = frozenset({int, str, bool, float, type(None)})
_MODULES = (inputs, plan, policy, base, kept, placements, province_forecast, outlook, usage)
_ENUMS: dict[str, Any] = _declared(_MODULES, lambda found: issubclass(found, Enum))
_CLASSES: dict[str, Any] = _declared(_MODULES, is_dataclass)
_ROWS = frozenset({inputs.PoolRow, inputs.LinkRow, inputs.TenantRow, inputs.RunningJob, plan.Reservation})
"""Of which there may be many."""
_FIELDS = {found: [(field.name, _default(field)) for field in fields(found)] for found in _CLASSES.values()}
"""Of each class, its fields with their defaults (an ellipsis where there is none), which are not written."""

__all__ = ["PackedError", "packed", "unpacked"]
