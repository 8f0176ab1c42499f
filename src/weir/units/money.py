"""Money: integer micro-yuan inside, decimal yuan where people write it. Never a float."""

import re

MICRO_YUAN_PER_YUAN = 1_000_000
ACCEPTED = "an amount in yuan with at most six decimals, such as 12.50"
_AMOUNT = re.compile(r"(-?)([0-9]{1,24})(?:\.([0-9]{1,6})0*)?", re.ASCII)


def parse_yuan(text: object) -> int:
    """Micro-yuan of an amount such as `"12.50"`; exact, so more than six decimals are refused.

    Digits are those of ASCII, without an exponent or anything between them. A float is refused, because it may already
    have lost what was written. Raises ValueError.
    """
    if isinstance(text, bool) or not isinstance(text, str | int):
        raise ValueError(f"{text!r} is not an amount of money; write {ACCEPTED}, in quotes")
    match = _AMOUNT.fullmatch(str(text).strip())
    if match is None:
        raise ValueError(f"{text!r} is not an amount of money; write {ACCEPTED}")
    sign, whole, fraction = match.groups()
    amount = int(whole) * MICRO_YUAN_PER_YUAN + int((fraction or "").ljust(6, "0"))
    return -amount if sign else amount


def format_yuan(micro_yuan: int) -> str:
    """`¥12.50`: two decimals, more only where they are needed to be exact."""
    sign = "-" if micro_yuan < 0 else ""
    whole, fraction = divmod(abs(micro_yuan), MICRO_YUAN_PER_YUAN)
    digits = f"{fraction:06d}".rstrip("0").ljust(2, "0")
    return f"{sign}¥{whole:,}.{digits}"
