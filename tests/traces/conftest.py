"""Tests on real traces: collected where WEIR_TRACES names the folder that holds them, and nowhere else."""

import os
from pathlib import Path

import pytest

collect_ignore_glob = [] if os.environ.get("WEIR_TRACES") else ["test_*.py"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # Whichever of these tests comes first may have to wait for the compiler.
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.timeout(600))
