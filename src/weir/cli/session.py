"""What every command shares: the connection that it uses, and how it shows what it found."""

import json
import os
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
    lines = [[_printable(cell) for cell in row] for row in rows]
    if not lines:
        print(empty)
        return
    if not sys.stdout.isatty():
        for line in [list(headings), *lines]:
            print("\t".join(line))
        return
    aligned = aligned_columns([list(headings), *lines])
    bold, plain = ("", "") if os.environ.get("NO_COLOR") else ("\033[1m", "\033[0m")
    print(f"{bold}{aligned[0]}{plain}")
    for text in aligned[1:]:
        print(text)


def show_facts(*facts: tuple[str, str]) -> None:
    """One line each, for those that have a value."""
    for label, value in facts:
        if value:
            print(f"  {label:<15}{value}")


def aligned_columns(lines: Sequence[Sequence[str]]) -> list[str]:
    """Each line with its cells padded to their column's width; Chinese characters take two places."""
    widths = [max(_width(cell) for cell in column) for column in zip(*lines, strict=True)]
    return [
        "  ".join(
            cell + " " * (width - _width(cell)) for cell, width in zip(line, widths, strict=True)
        ).rstrip()
        for line in lines
    ]


def confirm(question: str, yes: bool, ask: Callable[[str], bool]) -> bool:
    """Whether to go on: `--yes`, or a person's answer; without a terminal only `--yes` goes on."""
    return yes or (sys.stdin.isatty() and ask(question))


def _printable(text: str) -> str:
    # Names are other people's words: none of them moves the cursor or breaks a line.
    return text if text.isprintable() else "".join(one if one.isprintable() else "?" for one in text)


def _width(text: str) -> int:
    if text.isascii():
        return len(text)
    from unicodedata import combining, east_asian_width

    return sum(2 if east_asian_width(one) in "WF" else 0 if combining(one) else 1 for one in text)


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
