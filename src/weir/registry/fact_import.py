"""Facts about organisations from a CSV file: read row by row, each row good or refused with its reason."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from sqlalchemy import Connection

from weir.access.actor import Actor
from weir.model.fact import Fact, FactImportView, FactRowView
from weir.model.problem import FieldProblem, Problem, ProblemError
from weir.registry.credit_code import credit_code_fault
from weir.registry.fact_catalogue import FactKind, fact_catalogue, fact_fault, is_day
from weir.registry.facts import StatedFact, compare_facts, state_facts
from weir.store import Transaction

REQUIRED = ("organisation", "fact", "value", "valid_from")
OPTIONAL = ("valid_through", "evidence", "action")
ACTIONS = ("", "state", "withdraw")
MOST_ROWS = 1_000_000
MOST_SHOWN = 20
LONGEST_EVIDENCE = 500


@dataclass(frozen=True, slots=True)
class FactFile:
    """A file's rows: those that are well formed, and the refusals of the others."""

    source: str
    stated: tuple[StatedFact, ...]
    refused: tuple[FactRowView, ...]


def read_fact_file(text: str, source: str, catalogue: Mapping[str, FactKind] | None = None) -> FactFile:
    """The rows of a CSV text whose first line names its columns (REQUIRED, and any of OPTIONAL).

    A byte order mark is passed over. Raises ProblemError where it is no such table; a bad row does not, it is
    among `refused`.
    """
    reader = csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline=""), strict=True)
    try:
        header = [name.strip() for name in next(reader, [])]
        _check_header(header, source)
        rows = [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
    except csv.Error as error:
        raise _no_table(source, f"line {reader.line_num} is no CSV: {error}") from None
    if len(rows) > MOST_ROWS:
        raise _no_table(source, f"it has {len(rows)} rows; give at most {MOST_ROWS} at a time")
    known = fact_catalogue() if catalogue is None else catalogue
    stated: list[StatedFact] = []
    refused: list[FactRowView] = []
    for line, row in rows:
        cells = dict(zip(header, (cell.strip() for cell in row), strict=False))
        why = f"it has {len(row)} cells, the header has {len(header)}" if len(row) != len(header) else ""
        why = why or _fault(cells, known)
        if why:
            named = (cells.get("organisation", ""), cells.get("fact", ""), cells.get("value", ""))
            refused.append(FactRowView(line, *named, "refused", why))
            continue
        through = cells.get("valid_through", "")
        fact = Fact(
            cells["fact"],
            cells["value"],
            date.fromisoformat(cells["valid_from"]),
            date.fromisoformat(through) if through else None,
            cells.get("evidence", ""),
        )
        stated.append(StatedFact(line, cells["organisation"], fact, cells.get("action") == "withdraw"))
    return FactFile(source, tuple(stated), tuple(refused))


def preview_facts(connection: Connection, file: FactFile) -> FactImportView:
    """What importing the file would do, row by row; nothing is written."""
    return FactImportView(_merged(compare_facts(connection, file.stated), file.refused), applied=False)


def import_facts(tx: Transaction, file: FactFile, actor: Actor, now_ms: int) -> FactImportView:
    """Import the file, and say what became of each row.

    Raises ProblemError naming the refused rows, where there are any; then nothing is written.
    """
    views = compare_facts(tx.connection, file.stated) if file.refused else ()
    if not file.refused:
        views = state_facts(tx, file.stated, actor, now_ms, source=file.source)
    rows = _merged(views, file.refused)
    refused = [row for row in rows if row.outcome == "refused"]
    if refused:
        raise _refusal(file.source, refused)
    return FactImportView(rows, applied=True)


def _merged(views: Sequence[FactRowView], refused: Sequence[FactRowView]) -> tuple[FactRowView, ...]:
    return tuple(sorted((*views, *refused), key=lambda row: row.line))


def _fault(cells: Mapping[str, str], catalogue: Mapping[str, FactKind]) -> str:
    fault = credit_code_fault(cells["organisation"]) or fact_fault(cells["fact"], cells["value"], catalogue)
    if fault:
        return fault
    if not is_day(cells["valid_from"]):
        return f"valid_from {cells['valid_from']!r} is no day; write one such as 2025-09-24"
    through = cells.get("valid_through", "")
    if through and not is_day(through):
        return f"valid_through {through!r} is no day; leave it empty, or write one such as 2026-09-23"
    if through and through < cells["valid_from"]:
        return f"valid_through {through} is before valid_from {cells['valid_from']}"
    if len(cells.get("evidence", "")) > LONGEST_EVIDENCE:
        return f"evidence has more than {LONGEST_EVIDENCE} characters; give the document's number"
    if cells.get("action", "") not in ACTIONS:
        return f"action {cells['action']!r} is none; leave it empty, or write withdraw"
    return ""


def _check_header(header: Sequence[str], source: str) -> None:
    missing = [name for name in REQUIRED if name not in header]
    unknown = [name for name in header if name not in (*REQUIRED, *OPTIONAL)]
    if missing or unknown or len(set(header)) != len(header):
        columns = f"{', '.join(REQUIRED)}, and if wanted {', '.join(OPTIONAL)}"
        raise _no_table(source, f"its first line names the columns {columns}, each once")


def _no_table(source: str, what: str) -> ProblemError:
    title = f"{source}: {what}"
    return ProblemError(Problem("invalid-facts", 422, title, (FieldProblem("", source, what),)))


def _refusal(source: str, refused: Sequence[FactRowView]) -> ProblemError:
    more = f" (and {len(refused) - 1} more)" if len(refused) > 1 else ""
    title = f"{source}, line {refused[0].line}: {refused[0].why}{more}; nothing was imported"
    fields = tuple(
        FieldProblem(f"line {row.line}", f"{row.organisation} {row.name} {row.value}", row.why)
        for row in refused[:MOST_SHOWN]
    )
    return ProblemError(Problem("invalid-facts", 422, title, fields))


__all__ = ["FactFile", "import_facts", "preview_facts", "read_fact_file"]
