"""What every test shares: the order of the suites, and Hypothesis's settings."""

import subprocess
import sys
from pathlib import Path

import hypothesis
import pytest

from weir.scheduling import warm_up

HERE = Path(__file__).parent

# Cheap and telling first: a broken unit should not wait behind a system test.
ORDER = ("unit", "contract", "system", "traces")

# A slow machine is no failure (pytest-timeout catches what hangs); what fails in CI can be replayed at home.
hypothesis.settings.register_profile("weir", deadline=None, print_blob=True)
hypothesis.settings.load_profile("weir")


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Compile the scheduling core before any test's time is counted: a minute or so, once a machine. First of
    all, and not in the processes that share the tests out, which would compile the same beside each other."""
    if not hasattr(session.config, "workerinput"):
        beside = [
            sys.executable,
            "-c",
            "from weir.scheduling import warm_up; warm_up(print, ['twin', 'times'])",
        ]
        with subprocess.Popen(beside) as twin:
            warm_up(print, ["live"])
        assert 0 == twin.returncode
        warm_up(print)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def suite(item: pytest.Item) -> int:
        folder = item.path.relative_to(HERE).parts[0]
        return ORDER.index(folder) if folder in ORDER else -1

    items.sort(key=suite)
