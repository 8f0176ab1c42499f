"""Compiled once before the room's tests, however long that takes on this machine."""

import pytest

from weir.scheduling import warm_up


@pytest.fixture(scope="session", autouse=True)
def compiled() -> None:
    warm_up()
