"""Half-even rounding of exact amounts."""

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from weir.units import cumulative_share, round_half_even

ANY = st.integers(-(10**40), 10**40)
POSITIVE = st.integers(1, 10**30)


@given(ANY, POSITIVE)
def test_rounding_is_that_of_the_exact_fraction(numerator: int, denominator: int) -> None:
    assert round(Fraction(numerator, denominator)) == round_half_even(numerator, denominator)


@given(st.lists(st.integers(0, 10**20), max_size=20), st.fractions(0, 1, max_denominator=10**6))
def test_shares_of_parts_taken_as_differences_add_up_to_the_share_of_the_whole(
    parts: list[int], share: Fraction
) -> None:
    total = taken = 0
    for part in parts:
        taken += cumulative_share(total + part, share) - cumulative_share(total, share)
        total += part
    assert cumulative_share(sum(parts), share) == taken
