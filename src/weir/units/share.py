"""Shares: whole parts in a million inside, a percentage where people write it."""

import re
from decimal import Decimal
from typing import Annotated

from weir.units.marker import UnitField

WHOLE_PPM = 1_000_000
ACCEPTED = "a percentage above 0% and at most 100%, with at most four decimals, such as 20%"
_SHARE = re.compile(r"([0-9]{1,3})(?:\.([0-9]{1,4})0*)?%")


def parse_share_ppm(text: object) -> int:
    """Parts in a million of a percentage such as `20%`. Raises ValueError saying what is accepted."""
    match = _SHARE.fullmatch(text.strip()) if isinstance(text, str) else None
    if match is None:
        raise ValueError(f"{text!r} is not a share; write {ACCEPTED}")
    share = int(match[1]) * 10_000 + int((match[2] or "").ljust(4, "0"))
    if not 0 < share <= WHOLE_PPM:
        raise ValueError(f"{text!r} is out of range; write {ACCEPTED}")
    return share


def format_share(share_ppm: int) -> str:
    """`20%`: as few decimals as are exact."""
    return f"{Decimal(share_ppm) / 10_000:f}%"


SharePpm = Annotated[int, UnitField(parse_share_ppm, ACCEPTED, "20%")]

__all__ = ["WHOLE_PPM", "SharePpm", "format_share", "parse_share_ppm"]
