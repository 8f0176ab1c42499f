"""Money where things come together: refunds and running attempts, late proofs, shortages, vouchers of waiting jobs."""

from typing import Any

import pytest

from tests.unit.billing.test_priced_work import HERE, HOUR_MS, counter, end, placed, priced, sound
from tests.unit.control.world import COORDINATOR, job
from weir.billing.charges import refund
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
