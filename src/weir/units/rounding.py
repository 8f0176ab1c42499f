"""Exact rational amounts and the one rounding that Weir uses: half to even, of cumulative amounts."""

from fractions import Fraction


def round_half_even(numerator: int, denominator: int) -> int:
    """numerator / denominator to the nearest integer, ties to the even one. Exact for integers of any size.

    `denominator` is positive. Raises ZeroDivisionError for 0.
    """
    whole, rest = divmod(numerator, denominator)
    twice = 2 * rest
    if twice > denominator or (twice == denominator and whole % 2):
        return whole + 1
    return whole


def cumulative_share(total: int, share: Fraction) -> int:
    """So much of a total in integer units falls to this share: rounded half-even, for taking differences of.

    What is charged between two totals is the difference of their shares, so that the parts add up to the share of
    the whole however it was cut.
    """
    return round_half_even(total * share.numerator, share.denominator)


__all__ = ["cumulative_share", "round_half_even"]
