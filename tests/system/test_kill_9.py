"""Exactly one: whatever is killed with -9 whenever, every job ends once, none runs twice at once, nothing is lost."""

from pathlib import Path

import pytest

from tests.system.kill_rounds import run_rounds


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_twenty_rounds_of_kill_9_lose_nothing_and_run_nothing_twice(tmp_path: Path) -> None:
    found = run_rounds(tmp_path / "province", seed=20, rounds=20, jobs=200)
    assert [] == found.wrong
    assert 200 == found.jobs == sum(found.states.values())
    assert min(found.kills[name] for name in ("server", "one", "two")) >= 3
    assert set(found.states) <= {"succeeded", "failed"}
