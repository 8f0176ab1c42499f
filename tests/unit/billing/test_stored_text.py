"""What is written by hand is JSON as an encoder writes it, whatever the texts; the ledger's hashes stand on that."""

import json

from hypothesis import given
from hypothesis import strategies as st

from weir.billing.hold_legs import Leg, many_legs_from, stored_legs
from weir.billing.stored_text import amounts_text, detail_text, hashed_text, intervals_text, read_texts

TEXT = st.text(max_size=20)
NUMBER = st.integers(-(2**70), 2**70)
DETAIL = st.dictionaries(
    TEXT, TEXT | NUMBER | st.booleans() | st.none() | st.lists(TEXT | NUMBER, max_size=2), max_size=4
)
TRANSFERS = st.lists(st.tuples(TEXT, TEXT, NUMBER), max_size=3)


@given(detail=DETAIL)
def test_a_detail_is_sorted_json(detail: dict[str, object]) -> None:
    assert json.dumps(detail, ensure_ascii=False, sort_keys=True, separators=(",", ":")) == detail_text(
        detail
    )


@given(NUMBER, TEXT, TEXT, NUMBER, st.none() | NUMBER, TEXT, TRANSFERS)
def test_what_a_hash_is_over_is_compact_json(
    number: int,
    cause: str,
    kind: str,
    at_ms: int,
    corrects: int | None,
    detail: str,
    transfers: list[tuple[str, str, int]],
) -> None:
    said = (number, cause, kind, at_ms, corrects, detail, transfers)
    assert json.dumps(said, separators=(",", ":")) == hashed_text(*said)


@given(st.lists(st.tuples(NUMBER, NUMBER), max_size=3), st.dictionaries(st.just("core_hour/peak"), NUMBER))
def test_intervals_and_amounts_come_back_as_they_were(
    intervals: list[tuple[int, int]], amounts: dict[str, int]
) -> None:
    lists, found = read_texts([intervals_text(intervals), amounts_text(amounts)])
    assert ([list(pair) for pair in intervals], amounts) == (lists, found)


@given(
    st.lists(
        st.lists(
            st.builds(Leg, TEXT, TEXT, st.none() | st.fractions(0, 1), NUMBER, NUMBER, NUMBER), max_size=2
        ),
        max_size=2,
    )
)
def test_legs_come_back_as_they_were(holds: list[list[Leg]]) -> None:
    assert [tuple(legs) for legs in holds] == many_legs_from([stored_legs(legs) for legs in holds])
