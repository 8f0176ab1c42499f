"""Money: integer micro-yuan inside, decimal yuan where people write it. Never a float."""

from decimal import Decimal, InvalidOperation

MICRO_YUAN_PER_YUAN = 1_000_000
ACCEPTED = "an amount in yuan with at most six decimals, such as 12.50"


def parse_yuan(text: object) -> int:
    """Micro-yuan of an amount such as `"12.50"`; exact, so more than six decimals are refused.

    A float is refused, because it may already have lost what was written. Raises ValueError.
    """
    if isinstance(text, bool) or not isinstance(text, str | int):
        raise ValueError(f"{text!r} is not an amount of money; write {ACCEPTED}, in quotes")
    try:
        amount = Decimal(text) * MICRO_YUAN_PER_YUAN
    except InvalidOperation:
        raise ValueError(f"{text!r} is not an amount of money; write {ACCEPTED}") from None
    if not amount.is_finite() or amount != amount.to_integral_value():
        raise ValueError(f"{text!r} is finer than a micro-yuan; write {ACCEPTED}")
    return int(amount)


def format_yuan(micro_yuan: int) -> str:
    """`¥12.50`: two decimals, more only where they are needed to be exact."""
    sign = "-" if micro_yuan < 0 else ""
    whole, fraction = divmod(abs(micro_yuan), MICRO_YUAN_PER_YUAN)
    digits = f"{fraction:06d}".rstrip("0").ljust(2, "0")
    return f"{sign}¥{whole:,}.{digits}"
