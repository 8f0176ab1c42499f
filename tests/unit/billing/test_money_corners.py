"""Money where things come together: refunds and running attempts, late proofs, shortages, vouchers of waiting jobs."""

from typing import Any

import pytest

from tests.unit.billing.test_priced_work import HERE, HOUR_MS, counter, end, placed, priced, sound
from tests.unit.control.world import COORDINATOR, job
from weir.billing.charges import refund
from weir.control import orders
from weir.model.problem import ProblemError
from weir.model.state import Cause, Observed
from weir.units import MICRO_YUAN_PER_YUAN as YUAN


def test_a_running_attempt_gives_no_money_back() -> None:
    made = priced()
    agent, [attempt] = placed(
        made, job(cores=4_000, time_limit=2 * HOUR_MS, constraints=HERE, restartable=True)
    )
    began_ms = made.now_ms
    agent.report(agent.seen(attempt, Observed.RUNNING))
    made.now_ms += HOUR_MS
    agent.report()
    [row] = made.rows("job")

    def back(tx: Any) -> None:
        refund(tx, COORDINATOR, row.number, 1, YUAN, "why", made.now_ms)

    with pytest.raises(ProblemError, match="still runs"):
        made.store.write(back)
    end(made, agent, attempt, began_ms, Cause.NODE_FAILED)
    assert counter(made) == (8 * YUAN + 1, 0)
    sound(made)


def test_a_late_proof_of_success_charges_nothing_for_a_job_that_is_queued_again() -> None:
    made = priced()
    agent, [attempt] = placed(
        made, job(cores=4_000, time_limit=2 * HOUR_MS, constraints=HERE, restartable=True)
    )
    began_ms = made.now_ms
    agent.report(agent.seen(attempt, Observed.RUNNING))
    made.now_ms += HOUR_MS
    agent.report()
    for _ in range(2):
        made.now_ms += 60_000
        made.step()
    assert made.states() == ["unknown"]
    [submission] = made.rows("submission")
    made.store.write(lambda tx: orders.give_up(tx, COORDINATOR, submission.id, made.now_ms))
    assert made.states() == ["queued"]
    end(made, agent, attempt, began_ms)
    assert made.states() == ["queued"]
    assert counter(made) == (8 * YUAN + 1, 0)
    assert [row.kind for row in made.rows("charge")] == ["usage", "reversal"]
    sound(made)
