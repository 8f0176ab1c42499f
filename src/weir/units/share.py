"""Shares: whole parts in a million inside, a percentage where people write it."""

from decimal import Decimal, InvalidOperation
from typing import Annotated

from weir.units.marker import UnitField

WHOLE_PPM = 1_000_000
ACCEPTED = "a percentage above 0% and at most 100%, with at most four decimals, such as 20%"


def parse_share_ppm(text: object) -> int:
    """Parts in a million of a percentage such as `20%`. Raises ValueError saying what is accepted."""
    try:
        share = Decimal(text.removesuffix("%")) * 10_000 if isinstance(text, str) else Decimal("NaN")
    except InvalidOperation:
        share = Decimal("NaN")
    if not isinstance(text, str) or not text.endswith("%") or not share.is_finite():
        raise ValueError(f"{text!r} is not a share; write {ACCEPTED}")
    if not 0 < share <= WHOLE_PPM or share != share.to_integral_value():
        raise ValueError(f"{text!r} is out of range; write {ACCEPTED}")
    return int(share)


def format_share(share_ppm: int) -> str:
    """`20%`: as few decimals as are exact."""
    return f"{Decimal(share_ppm) / 10_000:f}%"


SharePpm = Annotated[int, UnitField(parse_share_ppm, ACCEPTED, "20%")]

__all__ = ["WHOLE_PPM", "SharePpm", "format_share", "parse_share_ppm"]
