"""Kubernetes' written quantities, such as `250m`, `32Mi` and `1e3`, from and to integers."""

from decimal import ROUND_CEILING, Decimal, InvalidOperation

__all__ = ["bytes_text", "milli_text", "read_milli", "read_whole"]

_SCALES = {
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    "": Decimal(1),
    "k": Decimal(10**3),
    "M": Decimal(10**6),
    "G": Decimal(10**9),
    "T": Decimal(10**12),
    "P": Decimal(10**15),
    "E": Decimal(10**18),
    "Ki": Decimal(1 << 10),
    "Mi": Decimal(1 << 20),
    "Gi": Decimal(1 << 30),
    "Ti": Decimal(1 << 40),
    "Pi": Decimal(1 << 50),
    "Ei": Decimal(1 << 60),
}
"""Suffixes of resource.Quantity in the Kubernetes API reference."""


def read_milli(text: object) -> int:
    """Thousandths, rounded up as Kubernetes does. Raises ValueError for what is no quantity."""
    return int((_read(text) * 1_000).to_integral_value(ROUND_CEILING))


def read_whole(text: object) -> int:
    """Whole units (bytes, devices), rounded up. Raises ValueError for what is no quantity."""
    return int(_read(text).to_integral_value(ROUND_CEILING))


def milli_text(milli: int) -> str:
    """Thousandths of a core as Kubernetes writes them."""
    return str(milli // 1_000) if milli % 1_000 == 0 else f"{milli}m"


def bytes_text(size: int) -> str:
    """Bytes with the largest binary suffix that keeps them exact."""
    for suffix, shift in (("Gi", 30), ("Mi", 20), ("Ki", 10)):
        if size and size % (1 << shift) == 0:
            return f"{size >> shift}{suffix}"
    return str(size)


def _read(given: object) -> Decimal:
    text = str(given)
    number = text.rstrip("numkKMGTPEi")
    suffix = text[len(number) :]
    if suffix in ("E", "") and "e" in number.lower():
        suffix = ""
        number = text
    try:
        return Decimal(number) * _SCALES[suffix]
    except (KeyError, InvalidOperation):
        raise ValueError(f"{text!r} is no quantity of Kubernetes") from None
