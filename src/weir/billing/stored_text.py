"""JSON as billing stores it, written and read many at a time.

An encoder or decoder is set up for each text that it is given, which takes several times as long as the few plain
values in it. So shapes that never vary are written by hand here, and lists of texts are read as one.
"""

import functools
import json
from collections.abc import Iterable, Mapping, Sequence
from json.encoder import encode_basestring, encode_basestring_ascii
from typing import Any

_sorted = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode

quoted = functools.lru_cache(maxsize=1 << 16)(encode_basestring)
"""A text that comes again and again (an account, a contract), as JSON."""
quoted_ascii = functools.lru_cache(maxsize=1 << 16)(encode_basestring_ascii)
"""The same with escapes outside of ASCII, as the ledger's hashes are over."""


def read_texts(texts: Iterable[str]) -> list[Any]:
    """What each of these JSON texts says, in order."""
    found: list[Any] = json.loads(f"[{','.join(texts)}]")
    return found


def amounts_text(amounts: Mapping[str, int]) -> str:
    """Amounts by name; the names are of units and bands, which need no escaping."""
    if len(amounts) == 1:
        [(name, amount)] = amounts.items()
        return f'{{"{name}":{amount}}}'
    if len(amounts) == 2:
        [(name, amount), (other, more)] = amounts.items()
        return f'{{"{name}":{amount},"{other}":{more}}}'
    return "{" + ",".join([f'"{name}":{amount}' for name, amount in amounts.items()]) + "}"


def intervals_text(intervals: Sequence[tuple[int, int]]) -> str:
    """Pairs of numbers."""
    if len(intervals) == 1:
        begins, ends = intervals[0]
        return f"[[{begins},{ends}]]"
    return "[" + ",".join([f"[{begins},{ends}]" for begins, ends in intervals]) + "]"


def detail_text(detail: Mapping[str, Any]) -> str:
    """An entry's detail in the one form in which it is hashed: sorted, without spaces."""
    parts = []
    for name, head in _heads(tuple(detail)):
        value = detail[name]
        kind = type(value)
        if kind is int:
            parts.append(f"{head}{value}")
        elif kind is str:
            parts.append(head + quoted(value))
        else:
            parts.append(head + _sorted(value))
    return f"{{{','.join(parts)}}}"


@functools.lru_cache(maxsize=1 << 10)
def _heads(names: tuple[str, ...]) -> list[tuple[str, str]]:
    """The names in order, each with how its member begins."""
    return [(name, f"{quoted(name)}:") for name in sorted(names)]


def hashed_text(
    number: int,
    cause: str,
    kind: str,
    at_ms: int,
    corrects: int | None,
    detail: str,
    transfers: Sequence[tuple[str, str, int]],
) -> str:
    """All that an entry says, as its hash is over: a JSON list without spaces, in ASCII."""
    if len(transfers) == 1:
        debit, credit, amount = transfers[0]
        moved = f"[{quoted_ascii(debit)},{quoted_ascii(credit)},{amount}]"
    else:
        moved = ",".join(
            [f"[{quoted_ascii(one)},{quoted_ascii(to)},{amount}]" for one, to, amount in transfers]
        )
    last = "null" if corrects is None else corrects
    said = f"{encode_basestring_ascii(cause)},{quoted_ascii(kind)},{at_ms},{last},{encode_basestring_ascii(detail)}"
    return f"[{number},{said},[{moved}]]"


__all__ = ["amounts_text", "detail_text", "hashed_text", "intervals_text", "quoted", "read_texts"]
