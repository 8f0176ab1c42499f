"""Sizes in memory and on disk: integer bytes inside, `16GiB` where people write them."""

import re
from decimal import Decimal

_FACTOR = {
    "b": 1,
    "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12, "pb": 10**15,
    "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40, "pib": 2**50,
}  # fmt: skip
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]+)")
ACCEPTED = "a size with its unit, such as 512MiB, 16GiB or 2TB"


def parse_bytes(text: object) -> int:
    """Bytes of a size as people write it; `MB` is 10^6 and `MiB` is 2^20, as the standards say.

    A bare number is refused, since nobody can tell its unit. Raises ValueError saying what is accepted.
    """
    match = _SIZE.fullmatch(text.strip().lower()) if isinstance(text, str) else None
    factor = _FACTOR.get(match[2]) if match else None
    if match is None or factor is None:
        raise ValueError(f"{text!r} is not a size; write {ACCEPTED}")
    size_bytes = int(Decimal(match[1]) * factor)
    if not 0 < size_bytes < 2**60:
        raise ValueError(f"{text!r} is out of range; a size is more than 0 and less than 1024PiB")
    return size_bytes


def format_bytes(size_bytes: int) -> str:
    """The size in the largest binary unit that keeps it at 1 or more: `1.5GiB`, `512MiB`, `17B`."""
    value = float(size_bytes)
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if abs(value) < 1024:
            return f"{value:.0f}{unit}" if value == int(value) else f"{value:.1f}{unit}"
        value /= 1024
    return f"{value:.1f}PiB"
