"""Elastic work: held for the most tasks that it may have, and charged for those that it had."""

from typing import Any

import pytest

from tests.unit.billing.test_priced_work import BOOK, HOUR_MS, counter, priced, sound
from tests.unit.billing.test_resumption import ends
from tests.unit.control.world import Agent, World, job, runs
from weir.control.quoting import quote_job
from weir.model.job import Checkpoint, Constraints, JobSpecification, Priority
from weir.model.money_view import QuoteView
from weir.model.state import Cause, Observed
from weir.model.task_range import TaskRange
from weir.units import MICRO_YUAN_PER_YUAN as YUAN

LIMIT_MS = 2 * HOUR_MS
WUHU = Constraints(centres=("wuhu-hpc",))
"""Four nodes of eight cores, each ¥0.50 an hour."""


def elastic(**fields: Any) -> JobSpecification:
    """From 2 to 16 tasks of two cores: ¥1.00 an hour each."""
    said = {"tasks": TaskRange(2, 16), "time_limit": LIMIT_MS, "constraints": WUHU, "restartable": True}
    return job(**{"cores": 2_000, "checkpoint": Checkpoint(every=HOUR_MS // 4), **said, **fields})


def begun(made: World, others: int) -> tuple[Agent, str]:
    """An elastic job runs where so many of four nodes are others'."""
    agent = made.agent("wuhu-hpc")
    if others:
        made.submit(job(cores=8_000, constraints=WUHU, array=others, time_limit=HOUR_MS))
    made.step()
    agent.pull()
    made.submit(elastic())
    made.step()
    [run] = runs(agent.pull())
    agent.report(agent.seen(run.attempt, Observed.RUNNING))
    return agent, run.attempt


def cost(made: World, attempt: str) -> int:
    epoch = int(attempt.rpartition("-")[2])
    number = max(row.number for row in made.rows("job"))
    return sum(
        row.amount_micro_yuan for row in made.rows("charge") if (row.job, row.epoch) == (number, epoch)
    )


def test_it_holds_the_most_and_at_its_pool_what_its_tasks_can_cost() -> None:
    made = priced()
    made.submit(elastic())
    assert (32 * YUAN + 1, 0) == counter(made)
    sound(made)
    made.now_ms += 1_000
    agent = made.agent("wuhu-hpc")
    made.submit(job(cores=8_000, constraints=WUHU, array=2, time_limit=HOUR_MS, priority=Priority.URGENT))
    made.step()
    assert [1, 1, 8] == sorted(sum(share.tasks for share in run.nodes) for run in runs(agent.pull()))
    # Eight tasks for two hours, and eight cores for an hour twice.
    assert (16 * YUAN + 1 + 2 * (4 * YUAN + 1), 0) == counter(made)
    sound(made)


@pytest.mark.parametrize("others", [0, 1, 3])
def test_it_is_charged_for_the_tasks_that_it_had(others: int) -> None:
    made = priced()
    agent, attempt = begun(made, others)
    tasks = 16 - 4 * others
    made.now_ms += HOUR_MS
    agent.report()  # what runs is charged now and then
    assert tasks * YUAN == cost(made, attempt)
    sound(made)
    made.now_ms += HOUR_MS // 2
    ends(made, agent, attempt, made.now_ms - 3 * HOUR_MS // 2, None)
    assert tasks * YUAN * 3 // 2 == cost(made, attempt)
    sound(made)


def test_each_attempt_is_charged_for_its_own_and_the_lost_one_up_to_its_checkpoint() -> None:
    made = priced()
    agent, first = begun(made, 2)
    began_ms = made.now_ms
    made.now_ms += HOUR_MS
    ends(made, agent, first, began_ms, None, cause=Cause.PREEMPTED)
    assert 0 == cost(made, first)
    others = [row for row in made.rows("attempt") if row.observed < int(Observed.ENDED)]
    names = {row.number: row.first_job for row in made.rows("submission")}
    [array] = [row.id for row in made.rows("submission") if row.size == 2]
    for row in others:
        name = f"{array}.{row.job - names[1]}-{row.epoch}"
        agent.report(agent.seen(name, Observed.RUNNING))
        agent.report(agent.end(name))
    held_before = counter(made)[0]
    assert 32 * YUAN + 1 == held_before
    sound(made)
    made.step()
    [run] = runs(agent.pull())
    assert 16 == sum(share.tasks for share in run.nodes)
    agent.report(agent.seen(run.attempt, Observed.RUNNING))
    second_ms = made.now_ms
    made.now_ms += HOUR_MS // 2
    ends(made, agent, run.attempt, second_ms, began_ms + HOUR_MS // 4)
    assert 8 * YUAN // 4 == cost(made, first)
    assert 16 * YUAN // 2 == cost(made, run.attempt)
    assert 0 == counter(made)[0]
    sound(made)


def test_a_quote_shows_both_ends() -> None:
    made = priced(book=BOOK)
    made.agent("wuhu-hpc")

    def asked(specification: JobSpecification) -> QuoteView:
        return made.store.read(lambda c: quote_job(c, made.tenant, specification, made.now_ms))

    found = asked(elastic())
    assert ("2..16", 32 * YUAN + 1) == (found.tasks, found.hold)
    [pool] = found.pools
    assert (4 * YUAN, 32 * YUAN) == (pool.at_limit_fewest, pool.at_limit)
    rigid = asked(elastic(tasks=TaskRange(2, 2)))
    assert ("", None, 4 * YUAN) == (rigid.tasks, rigid.pools[0].at_limit_fewest, rigid.pools[0].at_limit)


def test_what_the_most_could_cost_is_bounded_by_its_price() -> None:
    made = priced()
    with pytest.raises(Exception, match="max_price"):
        made.submit(elastic(max_price=31 * YUAN))
    made.submit(elastic(max_price=33 * YUAN))
