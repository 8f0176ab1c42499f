"""Jobs that wait for money are tried oldest first, every need of every payer, however many wait."""

from collections.abc import Sequence

from sqlalchemy import insert, update

from tests.unit.billing.test_priced_work import HERE, HOUR_MS, priced
from tests.unit.control.world import World, job
from weir.billing.hold_waiting import serve_in_turn
from weir.store import Transaction, schema


def waiting(*since: Sequence[int]) -> World:
    """Arrays whose elements wait since these times: the jobs are numbered from 1 through all of them."""
    made = priced(limit_yuan=10_000)
    rows = []
    first = 1
    for submission, its in enumerate(since, 1):
        made.submit(job(cores=1_000, time_limit=HOUR_MS, constraints=HERE, array=len(its)))
        rows += [
            {"job": first + place, "submission": submission, "legs": "[]", "waiting_ms": at_ms}
            for place, at_ms in enumerate(its)
        ]
        first += len(its)

    def work(tx: Transaction) -> None:
        tx.connection.execute(insert(schema.job_hold), rows)

    made.store.write(work)
    return made


def tried(made: World, money_for: Sequence[int]) -> list[int]:
    """The jobs that are tried, where there is money for these."""
    found: list[int] = []

    def work(tx: Transaction) -> None:
        def serve(number: int) -> bool:
            found.append(number)
            if number not in money_for:
                return False
            row = schema.job_hold.c.job == number
            tx.connection.execute(update(schema.job_hold).where(row).values(waiting_ms=None))
            return True

        serve_in_turn(tx.connection, serve)

    made.store.write(work)
    return found


def test_the_oldest_goes_first_whatever_it_belongs_to() -> None:
    made = waiting((10, 40), (20, 30))
    assert [1, 3, 4, 2] == tried(made, money_for=[1, 2, 3, 4])
    assert [] == tried(made, money_for=[])


def test_alike_jobs_are_not_tried_after_one_that_got_nothing() -> None:
    made = waiting((10, 11, 12, 13), (20,))
    assert [1, 2, 5] == tried(made, money_for=[1, 5])


def test_behind_any_number_of_jobs_that_get_nothing_another_need_is_tried() -> None:
    made = waiting(range(10, 1_300), (5_000,))
    assert [1, 1_291] == tried(made, money_for=[1_291])


def test_an_element_with_another_time_limit_is_a_need_of_its_own() -> None:
    made = waiting((10, 11, 12))
    third = schema.job.c.number == 3
    made.store.write(
        lambda tx: tx.connection.execute(update(schema.job).where(third).values(time_limit_ms=HOUR_MS // 2))
    )
    assert [1, 3] == tried(made, money_for=[3])
