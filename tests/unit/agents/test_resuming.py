"""From which checkpoint an attempt went on is read from a line that it prints."""

import pytest

from weir.agents.resuming import resumed_ms


@pytest.mark.parametrize(
    ("output", "found"),
    [
        (b"weir: resumed from 2026-11-22T14:03:00+08:00\n", 1_795_327_380_000),
        (b"loading\nweir: resumed from 2026-11-22T06:03:00Z\r\nstep 7\n", 1_795_327_380_000),
        (b"weir: resumed from 1795327380", 1_795_327_380_000),
        (b"weir: resumed from 1795327380.25\n", 1_795_327_380_250),
        (b"weir: resumed from -\nweir: resumed from 5\nweir: resumed from 6\n", 5_000),
        (b"weir: resumed from 2026-11-22T14:03:00\n", None),
        (b"weir: resumed from 9999999999999999\n", None),
        (b"weir: resumed from 999999999999\nweir: resumed from 5\n", 5_000),
        (b"weir: resumed from 4102444800\n", None),
        (b"weir: resumed from 9999-12-31T23:59:59-23:59\n", None),
        (b"weir: resumed from 1969-12-31T23:59:59Z\n", None),
        (b"weir: resumed from 2026-99-22T14:03:00+08:00\n", None),
        (b"weir: resumed from yesterday\n", None),
        (b"it says weir: resumed from 5\n", None),
        (b"weir: resumed from 5 steps\n", None),
        (b"\xff\xfe", None),
        (b"", None),
    ],
)
def test_the_first_line_that_names_an_instant_counts(output: bytes, found: int | None) -> None:
    assert found == resumed_ms(output)
