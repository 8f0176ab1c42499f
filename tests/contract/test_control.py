"""What control's unit tests state on SQLite holds on PostgreSQL as well."""

import random
import threading
import types
from collections.abc import Callable, Iterator

import pytest

from tests.unit.control import (
    test_dependencies,
    test_intake,
    test_jobs,
    test_liveness,
    test_orders,
    test_path,
    test_pull,
    test_reports,
    test_snapshot,
)
from tests.unit.control.world import World, declare, job, runs
from weir.control import intake
from weir.store import Store, open_store

MODULES: tuple[types.ModuleType, ...] = (
    test_dependencies,
    test_intake,
    test_jobs,
    test_liveness,
    test_orders,
    test_path,
    test_pull,
    test_reports,
    test_snapshot,
)

TOO_LONG = (test_intake.test_an_array_is_one_specification_one_change_and_one_audit_entry,)


def statements() -> Iterator[object]:
    """The tests that take no arguments and need nothing that only a store in memory can do."""
    for module in MODULES:
        for name, statement in vars(module).items():
            code = getattr(statement, "__code__", None)
            if (
                not name.startswith("test_")
                or code is None
                or code.co_argcount
                or hasattr(statement, "hypothesis")
            ):
                continue
            if "restored" not in code.co_names and statement not in TOO_LONG:
                yield pytest.param(module, statement, id=f"{module.__name__.rpartition('.')[2]}-{name}")


@pytest.mark.postgres
@pytest.mark.parametrize(("module", "statement"), list(statements()))
def test_on_postgresql(
    module: types.ModuleType,
    statement: Callable[[], None],
    postgresql_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with open_store(postgresql_url, threaded=False) as store:

        def world() -> World:
            return declare(store)

        monkeypatch.setattr(module, "world", world)
        statement()


def test_submissions_at_the_same_time_get_numbers_of_their_own(store: Store) -> None:
    w = declare(store)
    failed: list[BaseException] = []

    def submit(seed: int) -> None:
        bits = random.Random(seed).getrandbits
        try:
            for _ in range(10):
                store.write(
                    lambda tx: intake.submit(tx, w.tenant, [job(array=3), job(after=("#0",))], w.now_ms, bits)
                )
        except BaseException as error:  # noqa: BLE001 - it is looked at in the test's own thread
            failed.append(error)

    threads = [threading.Thread(target=submit, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    submissions = sorted(w.rows("submission"), key=lambda row: row.number)
    assert [row.number for row in submissions] == list(range(1, 121))
    following = 1
    for row in submissions:
        assert row.first_job == following
        following += row.size
    assert len(w.rows("job")) == 240


def test_a_job_that_ends_while_another_is_put_behind_it_lets_that_one_go(store: Store) -> None:
    w = declare(store)
    agent = w.agent("wuhu-hpc")
    first = [answer.id for answer in w.submit(*(job(cores=100) for _ in range(20)))]
    w.step()
    attempts = [attempt.attempt for attempt in runs(agent.pull())]
    assert len(attempts) == 20

    def end() -> None:
        for attempt in attempts:
            agent.report(agent.end(attempt))

    ending = threading.Thread(target=end)
    ending.start()
    for name in first:
        w.submit(job(after=(name,)))
    ending.join()
    assert w.states() == ["succeeded"] * 20 + ["queued"] * 20
