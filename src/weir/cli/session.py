"""The connection that a command uses: who asks, where, from the environment or the settings file."""

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from weir.client import Client, connect
from weir.model.codec import to_plain


def client() -> Client:
    """A client from WEIR_URL and WEIR_TOKEN_FILE (or WEIR_TOKEN), else from the settings file."""
    return connect()


def show_json(value: Any) -> None:
    """One JSON document on standard output, for a program; every field is there, also where it is empty."""
    json.dump(_whole(value), sys.stdout, indent=2, ensure_ascii=False)
    sys.stdout.write("\n")


def show_table(headings: Sequence[str], rows: Iterable[Sequence[str]], *, empty: str) -> None:
    """Columns as wide as needed on a terminal; tabs between them elsewhere. `empty` is said without rows."""
    lines = [list(row) for row in rows]
    if not lines:
        print(empty)
        return
    if not sys.stdout.isatty():
        for line in [list(headings), *lines]:
            print("\t".join(line))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        table.add_column(heading, no_wrap=True, overflow="ellipsis")
    for line in lines:
        table.add_row(*(cell.replace("[", r"\[") for cell in line))
    Console().print(table)


def confirm(question: str, yes: bool, ask: Callable[[str], bool]) -> bool:
    """Whether to go on: `--yes`, or a person's answer; without a terminal only `--yes` goes on."""
    return yes or (sys.stdin.isatty() and ask(question))


def _whole(value: Any) -> Any:
    import dataclasses
    import enum

    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            field.name.rstrip("_"): _whole(getattr(value, field.name)) for field in dataclasses.fields(value)
        }
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, dict):
        return {str(key): _whole(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_whole(item) for item in value]
    return to_plain(value)
