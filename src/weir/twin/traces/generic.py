"""Tables of jobs in Weir's own schema, as CSV or Parquet; see schema.py for their columns."""

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl

from weir.model.problem import refused
from weir.twin.traces.assembly import Columns
from weir.twin.traces.schema import COLUMNS, SECONDS, SHAPE, job_class
from weir.twin.traces.source import Source, contents
from weir.twin.traces.table import Rows, combined, read_rows, since_first
from weir.twin.workload import Int64s, processors

_LARGEST = 10**15
"""Milliseconds and bytes beyond this are no fact about any machine."""

_DEFAULTS = {each.name: each.default for each in COLUMNS}


def read_csv(source: Source, *, skip_bad: bool, on_bad: Callable[[int, str], None]) -> Columns:
    """A table with a header line; lines `# machine_size: …` and `# origin_s: …` may come before it."""
    return _read(read_rows(source), skip_bad=skip_bad, on_bad=on_bad)


def read_parquet(source: Source, *, skip_bad: bool, on_bad: Callable[[int, str], None]) -> Columns:
    """The same as Parquet, machine_size and origin_s being key-value metadata. Bad rows are told by number from 1."""
    data = contents(source)
    try:
        frame = pl.read_parquet(io.BytesIO(data))
        about = pl.read_parquet_metadata(io.BytesIO(data))
    except (pl.exceptions.PolarsError, OSError) as error:
        raise refused("trace", source, f"a Parquet file: {error}") from error
    rows = Rows(source, frame, np.arange(1, frame.height + 1), unit="row", about=about)
    return _read(rows, skip_bad=skip_bad, on_bad=on_bad)


def _read(rows: Rows, *, skip_bad: bool, on_bad: Callable[[int, str], None]) -> Columns:
    submit_ms, origin_s = _submitted(rows)
    size, places, classes = _shapes(rows)
    user, users = rows.names("user" if rows.has("user") or not rows.has("tenant") else "tenant")
    group, groups = rows.names("group")
    columns = Columns(
        job=rows.job("job") if rows.has("job") else np.arange(1, len(rows) + 1),
        submit_ms=submit_ms,
        run_ms=_time(rows, "run_ms"),
        limit_ms=_time(rows, "limit_ms"),
        size=size,
        job_class=places,
        classes=classes,
        user=user,
        users=users,
        group=group,
        groups=groups,
        priority=rows.whole("priority", 0),
        deadline_ms=rows.whole("deadline_ms", 0, _LARGEST) if rows.has("deadline_ms") else None,
        machine_size=_said(rows, "machine_size"),
        origin_s=origin_s or _said(rows, "origin_s"),
        sizeless=True,
    )
    return rows.settled(columns, skip_bad=skip_bad, on_bad=on_bad)


def _submitted(rows: Rows) -> tuple[Int64s, int]:
    """(submit times, the Unix time of their nought where the table tells it)."""
    name = _name(rows, "submit_ms")
    if not rows.has("submit_ms") and name is not None:
        filled = rows.text(name).drop_nulls()
        if len(filled) and filled.str.contains(r"^\d{4}-\d{2}-\d{2}").all():
            return since_first(rows.moment(name))
    return _time(rows, "submit_ms"), 0


def _name(rows: Rows, column: str) -> str | None:
    return next((each for each in (column, *SECONDS[column]) if rows.has(each)), None)


def _time(rows: Rows, column: str) -> Int64s:
    name, default = _name(rows, column), _DEFAULTS[column]
    if name is None and default is None:
        accepted = f"a table with a column {column}, {' or '.join(SECONDS[column])}"
        raise refused("trace", f"{rows.source}: {', '.join(rows.frame.columns)}", accepted)
    assert not isinstance(default, str)
    if name is None or name == column:
        return rows.whole(column, default, _LARGEST)
    return rows.milliseconds(name, default)


def _shapes(rows: Rows) -> tuple[Int64s, Int64s, list[Any]]:
    """(sizes, for each row the place of its class, the classes)."""
    if not rows.has("size") and not rows.has("tasks"):
        raise refused(
            "trace", f"{rows.source}: {', '.join(rows.frame.columns)}", "a table with a column size or tasks"
        )
    stated = rows.whole("size", -1)
    cells: dict[str, tuple[Int64s, Any]] = {}
    for name in SHAPE:
        default = _DEFAULTS[name]
        if isinstance(default, int):
            numbers = rows.whole(name, default, _LARGEST)
            cells[name] = (numbers, numbers)
        else:
            cells[name] = rows.names(name, unknown="")
    tasks = cells["tasks"][0]
    accelerated = bool(cells["devices_milli"][0].any())  # then accelerators are what the table counts
    # Without tasks, the size alone says what it needs; with them, it is only reported.
    shaped = tasks > 0
    keys = (np.where(shaped, each[0], 0) for each in cells.values())
    places, first = combined(np.where(shaped, -1, np.maximum(stated, 0)), *keys)
    classes, needs = [], np.zeros(len(first), np.int64)
    for place, row in enumerate(first.tolist()):
        values = {
            name: int(numbers[row]) if isinstance(_DEFAULTS[name], int) else str(texts[numbers[row]])
            for name, (numbers, texts) in cells.items()
        }
        try:
            wish = job_class(values) if tasks[row] > 0 else processors(max(int(stated[row]), 0))
        except ValueError as error:
            rows.reject(places == place, _always(str(error)))
            wish = processors(1)
        classes.append(wish)
        need = wish.tasks * -(-(wish.devices_milli if accelerated else wish.cores_milli) // 1_000)
        needs[place] = min(need, _LARGEST)
        if need > _LARGEST:
            rows.reject(places == place, _always(f"its tasks together need more than {_LARGEST}"))
    size = np.where(stated == -1, needs[places], stated)
    return (
        np.where((tasks > 0) | (size > 0), size, -1),
        places,
        classes,
    )  # nothing is asked for: -1, which is dropped


def _always(reason: str) -> Callable[[int], str]:
    return lambda row: reason


def _said(rows: Rows, key: str) -> int:
    text = rows.about.get(key, "0")
    if not text.lstrip("-").isdigit():
        raise refused(f"{rows.source} {key}", text, "a whole number")
    return int(text)
