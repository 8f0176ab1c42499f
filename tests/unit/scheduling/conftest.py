"""Compiled once before the room's tests, however long that takes on this machine."""

from pathlib import Path

import pytest

from weir.scheduling import warm_up


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # Whichever of these tests comes first may have to wait for the compiler.
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.timeout(600))


@pytest.fixture(scope="session", autouse=True)
def compiled() -> None:
    warm_up()
