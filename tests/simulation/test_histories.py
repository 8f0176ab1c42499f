"""Control and agents over random histories full of faults, in virtual time; `make simulate` takes new seeds."""

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable

import pytest

from tests.simulation import HistoryError, run_history
from tests.simulation.mutants import MUTANTS, Mutant
from tests.simulation.world import SHARED_SEEDS
from weir import scheduling

HISTORIES = range(1, 81)
SHARED = range(SHARED_SEEDS, SHARED_SEEDS + 14)
GROUP = 20
MOST_SEEDS = 150
"""So many histories at most until one must have noticed a mutant."""


@pytest.fixture(scope="module", autouse=True)
def _compiled() -> None:
    scheduling.warm_up()


@pytest.mark.timeout(400)  # where nothing is compiled yet, the first one waits for that
@pytest.mark.parametrize("first", [*HISTORIES[::GROUP], SHARED.start])
def test_histories_full_of_faults_end_well(first: int) -> None:
    endings: Counter[str] = Counter()
    for seed in SHARED if first in SHARED else range(first, first + GROUP):
        result = run_history(seed)
        endings.update(result.endings)
        assert result.steps >= 400
        assert result.jobs == sum(result.endings.values())
    assert set(endings) == {"succeeded", "failed", "cancelled"}, (
        "every history has ended, in every way there is"
    )


def test_the_same_seed_is_the_same_history() -> None:
    once: list[str] = []
    again: list[str] = []
    assert run_history(7, 200, once.append) == run_history(7, 200, again.append)
    assert once == again
    assert run_history(7, 200) != run_history(8, 200)


@pytest.mark.timeout(400)
def test_the_same_seed_is_the_same_history_in_another_process() -> None:
    said = []
    for hash_seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-m", "tests.simulation", "--quiet", *map(str, range(20, 28))],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        )
        said.append([line for line in done.stdout.splitlines() if line.startswith("HistoryResult")])
    assert 8 == len(said[0])
    assert said[0] == said[1]


@pytest.mark.timeout(400)
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
def test_a_fault_that_is_put_in_is_noticed(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    mutant(monkeypatch)
    with pytest.raises(HistoryError) as noticed:
        _run_all((*MUTANTS[mutant], *range(1, MOST_SEEDS)))
    assert noticed.value.problem
    assert noticed.value.trace, "it tells what happened last"


def _run_all(seeds: Iterable[int]) -> None:
    for seed in seeds:
        run_history(seed)
