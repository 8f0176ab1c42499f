"""A table of text with a header line: rows, their line numbers, and what is wrong with some of them."""

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from weir.model.problem import FieldProblem, Problem, ProblemError, refused
from weir.twin.traces.assembly import Columns, distinct
from weir.twin.traces.source import Source, contents
from weir.twin.workload import Int64s

LARGEST = 10**12
"""Seconds or counts beyond this are no fact about any machine, and sums of products would overflow."""
_PLAIN = len("2020-06-09 18:41:01")
_TIME = r"^\d{4}-\d{2}-\d{2}[ T]\d{2}:\d{2}:\d{2}(\.\d+)?( ?(Z|UTC|[+-]\d{2}(:?\d{2})?))?$"


@dataclass(slots=True)
class Rows:
    """The cells of a file as text, empty ones as null, and for each row its line number.

    Columns are taken out of it by the methods, which note the rows in which a cell cannot be used; `settled` then
    refuses the first of these, or leaves them all out.
    """

    source: Source
    frame: pl.DataFrame
    lines: Int64s
    unit: str = "line"
    wrong: dict[int, str] = field(default_factory=dict)
    """What is wrong, by row."""
    misshapen: dict[int, str] = field(default_factory=dict)
    """What is wrong, by the number of a line that became no row."""
    about: dict[str, str] = field(default_factory=dict)
    """What the file says about itself: lines `# key: value` before the header."""

    def __len__(self) -> int:
        return self.frame.height

    def has(self, column: str) -> bool:
        return column in self.frame.columns

    def text(self, column: str) -> pl.Series:
        """The cells without white space around them; all null where there is no such column."""
        if not self.has(column):
            return pl.Series(column, [None] * len(self), pl.String)
        cells = self.frame[column].cast(pl.String).str.strip_chars()
        if (cells.str.len_bytes() > len("none")).all(ignore_nulls=False):
            return cells
        empty = cells.str.to_lowercase().is_in(["", "nan", "none", "null", "na"])
        return cells.set(empty.fill_null(False), None)

    def number(
        self, column: str, default: float | None = None, largest: int = LARGEST
    ) -> NDArray[np.float64]:
        """The cells as numbers; an empty one is `default`, or wrong where that is None."""
        typed = self.has(column) and self.frame[column].dtype.is_numeric()
        cells = self.frame[column] if typed else self.text(column)
        numbers: NDArray[np.float64] = cells.cast(pl.Float64, strict=False).to_numpy()  # nan where it is none
        right = np.abs(numbers) <= largest
        if right.all():
            return numbers
        empty = cells.is_null().to_numpy()
        if default is None:
            self.reject(empty, lambda row: f"{column} is empty")
        self.reject(
            ~np.isfinite(numbers) & ~empty, lambda row: f"{column} is {cells[row]!r}, which is not a number"
        )
        self.reject(~right & ~empty, lambda row: f"{column} is larger than {largest}")
        return np.where(right, numbers, 0.0 if default is None else default)

    def whole(self, column: str, default: int | None = None, largest: int = LARGEST) -> Int64s:
        """The cells as whole numbers."""
        numbers = self.number(column, default, largest)
        rounded = np.rint(numbers)
        self.reject(
            rounded != numbers, lambda row: f"{column} is {numbers[row]}, which is not a whole number"
        )
        return rounded.astype(np.int64)

    def milliseconds(self, column: str, default: float | None = None, second: float = 1.0) -> Int64s:
        """The cells, in units of `second` seconds, as milliseconds."""
        return np.rint(self.number(column, default) * (1_000 * second)).astype(np.int64)

    def moment(self, column: str, *, required: bool = True) -> Int64s:
        """The cells as dates with times of day, in Unix milliseconds; UTC where no offset is written.

        Empty cells are -1 where they are allowed.
        """
        cells = self.text(column)
        if (cells.str.len_chars() == _PLAIN).all():
            plain = cells.str.to_datetime("%Y-%m-%d %H:%M:%S", strict=False)
            if not plain.null_count():
                return plain.dt.epoch("ms").to_numpy()
        empty = cells.is_null().to_numpy()
        right = cells.str.contains(_TIME).fill_null(False)
        main = cells.str.slice(0, 19).str.replace("T", " ").str.to_datetime("%Y-%m-%d %H:%M:%S", strict=False)
        known = (right & main.is_not_null()).to_numpy()
        whole = main.dt.epoch("ms").fill_null(0).to_numpy()
        part = cells.str.extract(r":\d{2}(\.\d+)").cast(pl.Float64).fill_null(0.0).to_numpy()
        sign = cells.str.extract(r":\d{2}.*([+-])\d{2}(?::?\d{2})?$")
        hours = cells.str.extract(r"[+-](\d{2})(?::?\d{2})?$").cast(pl.Int64).fill_null(0).to_numpy()
        minutes = cells.str.extract(r"[+-]\d{2}:?(\d{2})$").cast(pl.Int64).fill_null(0).to_numpy()
        offset = np.where(sign.is_null().to_numpy(), 0, (hours * 60 + minutes) * 60_000)
        offset = np.where((sign == "-").fill_null(False).to_numpy(), -offset, offset)
        if required:
            self.reject(empty, lambda row: f"{column} is empty")
        self.reject(
            ~known & ~empty, lambda row: f"{column} is {cells[row]!r}, not a time as 2020-06-09 18:41:01"
        )
        return np.where(known, whole + np.rint(part * 1_000).astype(np.int64) - offset, np.int64(-1))

    def names(self, column: str, unknown: str = "unknown") -> tuple[Int64s, list[str]]:
        """For each row the place of its cell among the distinct ones, and these, sorted."""
        cells = self.text(column).fill_null(unknown)
        found = cells.unique().sort()
        return (cells.rank("dense").cast(pl.Int64) - 1).to_numpy(), found.to_list()

    def job(self, column: str) -> Int64s:
        """The cells as numbers of jobs; where one of them is none, all jobs are numbered by row from 1."""
        numbers = self.text(column).cast(pl.Int64, strict=False)
        if numbers.null_count():
            return np.arange(1, len(self) + 1)
        return numbers.to_numpy()

    def reject(self, rows: NDArray[np.bool_], reason: Callable[[int], str]) -> None:
        """Note that something is wrong with these rows; what was noted first counts."""
        for row in np.flatnonzero(rows).tolist():
            self.wrong.setdefault(row, reason(row))

    def refuse(self) -> None:
        """Refuse the first line in which something is wrong."""
        bad = self._bad()
        if bad:
            number = min(bad)
            title = f"{self.source} {self.unit} {number}: {bad[number]}; --skip-bad leaves such lines out"
            field_problem = FieldProblem(
                f"{self.source} {self.unit} {number}", bad[number], "a job as the format has it"
            )
            raise ProblemError(Problem("invalid", 422, title, (field_problem,)))

    def good(self, *, skip_bad: bool, on_bad: Callable[[int, str], None]) -> NDArray[np.bool_]:
        """Which rows can be used; refuses the first line that cannot without `skip_bad`, else tells of all such."""
        if not skip_bad:
            self.refuse()
        for number, reason in sorted(self._bad().items()):
            on_bad(number, reason)
        good = np.ones(len(self), np.bool_)
        good[list(self.wrong)] = False
        return good

    def settled(self, columns: Columns, *, skip_bad: bool, on_bad: Callable[[int, str], None]) -> Columns:
        """The columns, parallel to the rows, without those that cannot be used; see `good`."""
        good = self.good(skip_bad=skip_bad, on_bad=on_bad)
        if good.all():
            return replace(columns, bad=self.bad)
        values = {each.name: getattr(columns, each.name) for each in fields(columns)}
        chosen: dict[str, Any] = {
            name: value[good] for name, value in values.items() if isinstance(value, np.ndarray)
        }
        return replace(columns, bad=self.bad, **chosen)

    @property
    def bad(self) -> int:
        """How many lines cannot be used."""
        return len(self._bad())

    def _bad(self) -> dict[int, str]:
        return {int(self.lines[row]): reason for row, reason in self.wrong.items()} | self.misshapen


def read_rows(source: Source, *, header: Sequence[str] = (), required: Sequence[str] = ()) -> Rows:
    """The rows of a comma-separated file. `header`: names of its columns where its first line may be a row already."""
    data = contents(source)
    if not data.strip():
        raise refused("trace", source, "a header line and a line for each job; it is empty")
    data, about, skipped = _after_comments(data.rstrip(b"\r\n") + b"\n")
    first = data.partition(b"\n")[0].decode(errors="replace")
    cells = [cell.strip() for cell in next(csv.reader([first.strip()]), [])]
    headless = bool(header) and cells[0] != header[0]
    names = list(header) if headless else cells
    doubled = sorted({name for name in names if names.count(name) > 1})
    missing = [name for name in required if name not in names]
    if doubled or missing:
        what = f"a header with {', '.join(missing)}" if missing else f"one column {doubled[0]!r}"
        raise refused("trace", f"{source}: {first.strip()}", what)
    rows = _regular(source, data, names, headless) or _irregular(source, data, names, headless)
    return replace(
        rows,
        lines=rows.lines + skipped,
        misshapen={line + skipped: reason for line, reason in rows.misshapen.items()},
        about=about,
    )


def _after_comments(data: bytes) -> tuple[bytes, dict[str, str], int]:
    """What follows empty lines and comments at the head, what these say, and how many lines they are."""
    about, skipped = {}, 0
    while data.startswith((b"#", b"\n", b"\r")):
        line, _, data = data.partition(b"\n")
        key, _, value = line[1:].decode(errors="replace").partition(":")
        about[key.strip()] = value.strip()
        skipped += 1
    return data, about, skipped


def since_first(moments_ms: Int64s) -> tuple[Int64s, int]:
    """(milliseconds since the second of the first known moment, the Unix time of that second); unknown is -1."""
    known = moments_ms[moments_ms >= 0]
    origin_s = int(known.min()) // 1_000 if len(known) else 0
    return moments_ms - origin_s * 1_000, origin_s


def combined(*columns: Int64s) -> tuple[Int64s, Int64s]:
    """For rows of several columns: (for each row the place of its combination, the first row of each combination)."""
    places = np.zeros(len(columns[0]), np.int64)
    for column in columns:
        found, within = distinct(column)
        _, places = distinct(places * max(len(found), 1) + within)
    first = np.empty(int(places.max()) + 1 if len(places) else 0, np.int64)
    first[places[::-1]] = np.arange(len(places))[::-1]
    return places, first


def _regular(source: Source, data: bytes, names: list[str], headless: bool) -> Rows | None:
    """The rows, if every line has as many cells as there are names and none is quoted or empty."""
    ends = data.count(b"\n")
    separators = data.count(b",")
    blank = data.startswith((b"\n", b"\r\n")) or b"\n\n" in data or b"\n\r\n" in data
    if b'"' in data or blank or separators != ends * (len(names) - 1):
        return None
    try:
        frame = pl.read_csv(
            data, has_header=False, skip_rows=not headless, new_columns=names, infer_schema=False
        )
    except pl.exceptions.NoDataError:  # the header alone
        frame = pl.DataFrame(schema=dict.fromkeys(names, pl.String))
    except pl.exceptions.PolarsError:
        return None
    skipped = 0 if headless else 1
    if frame.height != ends - skipped or frame.width != len(names):
        return None
    return Rows(source, frame, np.arange(1 + skipped, ends + 1))


def _irregular(source: Source, data: bytes, names: list[str], headless: bool) -> Rows:
    reader = csv.reader(
        io.StringIO(data.decode(errors="replace").replace("\0", "\N{REPLACEMENT CHARACTER}"), "")
    )
    rows, lines, misshapen = [], [], {}
    seen = headless
    line = 1
    for cells in reader:
        if any(cells) and not seen:
            seen = True
        elif any(cells) and len(cells) != len(names):
            misshapen[line] = f"{len(cells)} cells, where the header has {len(names)}"
        elif any(cells):
            rows.append(cells)
            lines.append(line)
        line = reader.line_num + 1
    frame = pl.DataFrame(rows, schema=dict.fromkeys(names, pl.String), orient="row")
    return Rows(source, frame, np.array(lines, np.int64), misshapen=misshapen)
