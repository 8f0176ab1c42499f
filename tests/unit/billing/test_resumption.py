"""Work lost with its node is given back only past the checkpoint from which a later attempt really resumed."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.billing.test_priced_work import BOOK, HERE, HOUR_MS, counter, end, placed, priced, sound
from tests.unit.control.world import World, job, runs
from weir.billing.exceptions import exceptions
from weir.model.state import Cause, Observed
from weir.units import MICRO_YUAN_PER_YUAN as YUAN

LIMIT_MS = 2 * HOUR_MS


def lost_and_begun_again(made: World, cause: Cause = Cause.NODE_FAILED) -> tuple[Any, str, int, int]:
    """An attempt that ran for an hour and was lost, and the next one, which begins; when each did."""
    agent, [first] = placed(made, job(cores=4_000, time_limit=LIMIT_MS, constraints=HERE, restartable=True))
    began_ms = made.now_ms
    agent.report(agent.seen(first, Observed.RUNNING))
    made.now_ms += HOUR_MS
    end(made, agent, first, began_ms, cause)
    made.step()
    [second] = [one.attempt for one in runs(agent.pull()) if one.attempt != first]
    made.now_ms += 60_000
    agent.report(agent.seen(second, Observed.RUNNING))
    return agent, second, began_ms, made.now_ms


def ends(
    made: World, agent: Any, attempt: str, began_ms: int, resumed_ms: int | None, **changes: Any
) -> None:
    told = agent.end(attempt, changes.get("cause"))
    assert told.end is not None
    agent.report(replace(told, end=replace(told.end, started_ms=began_ms, resumed_ms=resumed_ms)))


@pytest.mark.parametrize("cause", [Cause.NODE_FAILED, Cause.LOST, Cause.PREEMPTED])
def test_what_was_resumed_from_is_charged_and_the_rest_stays_given_back(cause: Cause) -> None:
    made = priced()
    agent, second, first_ms, second_ms = lost_and_begun_again(made, cause)
    made.now_ms += HOUR_MS
    ends(made, agent, second, second_ms, first_ms + HOUR_MS // 4)
    assert made.states() == ["succeeded"]
    assert counter(made) == (0, 1 * YUAN + 4 * YUAN)
    kinds = [(row.epoch, row.kind, row.amount_micro_yuan) for row in made.rows("charge")]
    assert (1, "resumed", 1 * YUAN) in kinds
    sound(made)


def test_without_a_word_of_it_all_that_was_lost_is_given_back() -> None:
    made = priced()
    agent, second, _, second_ms = lost_and_begun_again(made)
    made.now_ms += HOUR_MS
    ends(made, agent, second, second_ms, None)
    assert counter(made) == (0, 4 * YUAN)
    sound(made)


def test_what_the_price_book_charges_when_preempted_is_charged_once() -> None:
    made = priced(book=BOOK.replace('{pool: "*",', '{pool: "*", preempted: charged,'))
    agent, second, first_ms, second_ms = lost_and_begun_again(made, Cause.PREEMPTED)
    made.now_ms += HOUR_MS
    ends(made, agent, second, second_ms, first_ms + HOUR_MS // 4)
    assert counter(made) == (0, 8 * YUAN)
    sound(made)


def test_an_attempt_that_resumed_and_is_lost_itself_keeps_what_it_resumed_from() -> None:
    made = priced()
    agent, second, first_ms, second_ms = lost_and_begun_again(made)
    made.now_ms += HOUR_MS
    ends(made, agent, second, second_ms, first_ms + HOUR_MS // 2, cause=Cause.NODE_FAILED)
    assert made.states() == ["queued"]
    assert counter(made) == (8 * YUAN + 1, 2 * YUAN)
    sound(made)


@pytest.mark.parametrize("hours", [-(10**9), -1, 3, 10**9])
def test_a_checkpoint_of_a_time_when_no_attempt_ran_is_an_exception(hours: int) -> None:
    made = priced()
    agent, second, first_ms, second_ms = lost_and_begun_again(made)
    made.now_ms += HOUR_MS
    ends(made, agent, second, second_ms, first_ms + hours * HOUR_MS)
    [case] = made.store.read(exceptions)
    assert "when no attempt before it ran" in case.said
    assert counter(made) == (0, 4 * YUAN)
    sound(made)


@settings(max_examples=12, deadline=None)
@given(checkpoint_ms=st.integers(1, HOUR_MS + 60_000), ran_ms=st.integers(1, LIMIT_MS))
def test_the_charge_is_of_the_time_up_to_the_checkpoint_and_of_the_last_attempt(
    checkpoint_ms: int, ran_ms: int
) -> None:
    made = priced()
    agent, second, first_ms, second_ms = lost_and_begun_again(made)
    made.now_ms += ran_ms
    ends(made, agent, second, second_ms, first_ms + checkpoint_ms)
    exact = (min(checkpoint_ms, HOUR_MS), ran_ms)
    assert counter(made) == (0, sum(round(one * 4 * YUAN / HOUR_MS) for one in exact))
    sound(made)
