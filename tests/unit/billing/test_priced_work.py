"""Work where a price book is in force: holds at submission, charges as it runs, what is left given back."""

from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Connection

from tests.unit.control.world import COORDINATOR, OTHER, PROVINCE, TENANT, World, job, runs, world
from weir.billing import balances, counters, verify
from weir.billing.budget import Budget, BudgetKind, budget_key
from weir.billing.budget_orders import pay_out, set_budget, top_up
from weir.billing.budget_periods import Period
from weir.billing.charge_check import check_money
from weir.billing.exceptions import exceptions
from weir.billing.price_book import read_price_book
from weir.billing.price_versions import apply_price_book
from weir.control import orders
from weir.control.explaining import explain
from weir.control.jobs import find
from weir.control.quoting import quote_job
from weir.model.job import Constraints, DataNeed, JobSpecification
from weir.model.problem import ProblemError
from weir.model.state import Cause, Observed
from weir.model.view import ExplanationView
from weir.registry import apply_province
from weir.units import MICRO_YUAN_PER_YUAN as YUAN

HOUR_MS = 3_600_000
BOOK = """
version: 1
price_book: test
tax: {name: VAT, rate: "0.06"}
prices:
  - {pool: "*", core_hour: "1.00", memory_gb_hour: "0", device_hour: {ascend-910b: "9.00"}}
  - {pool: "wuhu-hpc/*", core_hour: "0.50"}
"""
HERE = Constraints(centres=("hefei-ai",))


def priced(limit_yuan: int = 100, book: str = BOOK, **fields: Any) -> World:
    """A province with a price book, and a budget for the tenant."""
    made = world()

    def work(tx: Any) -> None:
        apply_price_book(tx, COORDINATOR, read_price_book(book, "book"), made.now_ms)
        budget = Budget("lab", TENANT, limit=limit_yuan * YUAN, **fields)
        set_budget(tx, COORDINATOR, budget, made.now_ms)

    made.store.write(work)
    return made


def counter(of: World, key: str = budget_key("lab", "2023-11")) -> tuple[int, int]:
    found = of.store.read(lambda c: counters(c, [key]))[key]
    return found.held, found.spent


def sound(of: World) -> None:
    """The ledger is whole, and every hold is the remaining worst case."""
    assert of.store.read(verify).faults == ()
    assert of.store.read(check_money) == []


def explained(of: World) -> ExplanationView:
    """Where the only job stands."""
    [submission] = of.rows("submission")

    def work(connection: Connection) -> ExplanationView:
        found = find(connection, of.tenant, submission.id)
        return explain(connection, found, of.control.stand(found.first), of.now_ms)

    return of.store.read(work)


def refusal(of: World, *specifications: JobSpecification) -> ProblemError:
    before = len(of.rows("job"))
    with pytest.raises(ProblemError) as caught:
        of.submit(*specifications)
    assert len(of.rows("job")) == before
    return caught.value


def placed(of: World, *specifications: JobSpecification) -> tuple[Any, list[str]]:
    """The jobs placed at hefei-ai, whose agent is returned, with their attempts."""
    agent = of.agent("hefei-ai")
    of.submit(*specifications)
    of.step()
    return agent, [attempt.attempt for attempt in runs(agent.pull())]


def test_without_a_price_book_work_is_not_priced() -> None:
    plain = world()
    plain.submit(job())
    assert plain.rows("hold") == []
    error = refusal(plain, job(budget="lab"))
    assert "no price book is in force" in str(error)


def test_a_job_holds_the_most_that_it_can_cost_anywhere() -> None:
    made = priced()
    made.submit(job(cores=4_000, time_limit=2 * HOUR_MS))
    assert counter(made) == (
        8 * YUAN + 1,
        0,
    )  # ¥1.00 an hour at hefei-ai, and less than a micro-yuan of rounding
    sound(made)


def test_a_job_that_may_run_at_a_cheaper_centre_alone_holds_less() -> None:
    made = priced()
    made.submit(job(cores=4_000, time_limit=2 * HOUR_MS, constraints=Constraints(centres=("wuhu-hpc",))))
    assert counter(made) == (4 * YUAN + 1, 0)


def test_too_little_money_is_refused_with_what_is_lacking() -> None:
    made = priced(limit_yuan=7)
    error = refusal(made, job(cores=4_000, time_limit=2 * HOUR_MS))
    assert error.problem.kind == "money"
    assert "¥8.000001 has to be set aside and ¥7.00 is left" in str(error)
    assert "¥1.000001 too little" in str(error)
    assert counter(made) == (0, 0)
    sound(made)


def test_an_organisation_without_a_budget_is_told_whom_to_ask() -> None:
    made = priced()
    with pytest.raises(ProblemError, match="the organisation has no budget; ask the coordinator"):
        made.submit(job(project="elsewhere", time_limit=1_000), actor=made.other)


def test_a_members_sub_limit_holds_within_the_budget() -> None:
    made = priced(members={"vision": 5 * YUAN})
    assert "share/lab/vision/2023-11" in str(refusal(made, job(cores=4_000, time_limit=2 * HOUR_MS)))
    made.submit(job(cores=2_000, time_limit=2 * HOUR_MS))
    sound(made)


def test_what_has_no_price_refuses_the_job_and_a_pool_that_has_all_of_them_takes_it() -> None:
    book = BOOK.replace('memory_gb_hour: "0", ', "") + '  - {pool: "wuhu-hpc/cpu", memory_gb_hour: "0.01"}\n'
    made = priced(book=book)
    error = refusal(made, job(constraints=HERE))
    assert "no pool that could run it has a price for all that it uses; missing: memory_gb_hour" in str(error)
    hefei, wuhu = made.agent("hefei-ai"), made.agent("wuhu-hpc")
    made.submit(job())
    made.step()
    assert (len(runs(hefei.pull())), len(runs(wuhu.pull()))) == (0, 1)
    reasons = {one.pool: (one.constraint, one.needed, one.found) for one in explained(made).pools}
    assert reasons["hefei-ai/cpu"] == ("money", "prices for cores and memory", "no price")
    sound(made)


def test_moved_data_needs_prices_for_transfer_and_storage() -> None:
    made = priced()
    data = (DataNeed(size=2 * 10**9, at="wuhu-hpc"),)
    assert "storage_tb_month, transfer_gb" in str(refusal(made, job(data=data, constraints=HERE)))
    made.submit(job(data=data, constraints=Constraints(centres=("wuhu-hpc",))))  # there it need not be moved


def test_a_price_below_max_price_is_kept_to() -> None:
    made = priced()
    error = refusal(made, job(cores=4_000, time_limit=2 * HOUR_MS, max_price=5 * YUAN))
    assert error.problem.fields[0].field == "max_price"
    assert "hefei-ai/cpu up to ¥8.000001" in str(error)
    assert "constraints.centres: [wuhu-hpc]" in str(error)
    cheap = Constraints(centres=("wuhu-hpc",))
    made.submit(job(cores=4_000, time_limit=2 * HOUR_MS, max_price=5 * YUAN, constraints=cheap))


def test_a_quote_says_that_a_submission_would_be_refused_for_its_max_price() -> None:
    made = priced()

    def quoted(most: int) -> tuple[int, str]:
        asked = job(cores=4_000, time_limit=2 * HOUR_MS, max_price=most)
        found = made.store.read(lambda c: quote_job(c, made.tenant, asked, made.now_ms))
        return found.hold, found.refused

    hold, why = quoted(5 * YUAN)
    assert 0 == hold
    assert why.startswith("max_price is ¥5.00, and it could cost more (hefei-ai/cpu up to ¥8.000001, ")
    refusal(made, job(cores=4_000, time_limit=2 * HOUR_MS, max_price=5 * YUAN))
    hold, why = quoted(9 * YUAN)
    assert (8 * YUAN + 1, "") == (hold, why)
    made.submit(job(cores=4_000, time_limit=2 * HOUR_MS, max_price=9 * YUAN))
    assert hold == counter(made)[0]


def test_an_array_holds_once_for_all_and_each_end_gives_back_its_part() -> None:
    made = priced()
    made.submit(job(cores=1_000, time_limit=HOUR_MS, array=5))
    assert counter(made) == (5 * YUAN + 5, 0)
    assert len([row for row in made.rows("ledger_entry") if row.kind == "hold"]) == 1
    [submission] = made.rows("submission")
    made.store.write(lambda tx: orders.cancel(tx, made.tenant, f"{submission.id}.3", made.now_ms))
    assert counter(made) == (4 * YUAN + 4, 0)
    sound(made)
    made.store.write(lambda tx: orders.cancel(tx, made.tenant, submission.id, made.now_ms))
    assert counter(made) == (0, 0)
    sound(made)


def test_placing_sizes_the_hold_by_the_pool() -> None:
    made = priced()
    wuhu = made.agent("wuhu-hpc")
    made.submit(job(cores=4_000, time_limit=2 * HOUR_MS))
    made.step()
    assert len(runs(wuhu.pull())) == 1
    assert counter(made) == (4 * YUAN + 1, 0)
    sound(made)


def test_a_job_pays_for_the_time_that_it_ran_and_no_longer() -> None:
    made = priced()
    agent, [attempt] = placed(made, job(cores=4_000, time_limit=2 * HOUR_MS, constraints=HERE))
    agent.report(agent.seen(attempt, Observed.RUNNING))
    began_ms = made.now_ms
    made.now_ms += HOUR_MS // 2
    ended = agent.end(attempt)
    assert ended.end is not None
    agent.report(replace(ended, end=replace(ended.end, started_ms=began_ms)))
    assert counter(made) == (0, 2 * YUAN)
    assert made.store.read(lambda c: balances(c, "payable")) == {"payable:hefei-ai": 2 * YUAN}
    [charge] = made.rows("charge")
    assert (charge.kind, charge.amount_micro_yuan, charge.to_ms - charge.from_ms) == (
        "usage",
        2 * YUAN,
        HOUR_MS // 2,
    )
    assert charge.contract == f"standing/{TENANT}/hefei-ai"
    sound(made)


def test_what_a_running_job_costs_can_be_seen() -> None:
    made = priced()
    agent, [attempt] = placed(made, job(cores=4_000, time_limit=2 * HOUR_MS, constraints=HERE))
    agent.report(agent.seen(attempt, Observed.RUNNING))
    made.now_ms += HOUR_MS // 4
    agent.report()
    assert counter(made) == (7 * YUAN + 1, 1 * YUAN)
    sound(made)


def end(made: World, agent: Any, attempt: str, began_ms: int, cause: Cause | None = None) -> None:
    told = agent.end(attempt, cause)
    assert told.end is not None
    agent.report(replace(told, end=replace(told.end, started_ms=began_ms)))


def test_time_past_the_limit_is_the_centres() -> None:
    made = priced()
    agent, [attempt] = placed(made, job(cores=4_000, time_limit=HOUR_MS, constraints=HERE))
    began_ms = made.now_ms
    agent.report(agent.seen(attempt, Observed.RUNNING))
    made.now_ms += 3 * HOUR_MS
    end(made, agent, attempt, began_ms, Cause.TIME_LIMIT)
    assert counter(made) == (0, 4 * YUAN)
    sound(made)


@pytest.mark.parametrize("cause", [Cause.NODE_FAILED, Cause.LOST, Cause.PREEMPTED])
def test_work_lost_with_the_centre_is_given_back_and_held_anew(cause: Cause) -> None:
    made = priced()
    agent, [attempt] = placed(
        made, job(cores=4_000, time_limit=2 * HOUR_MS, constraints=HERE, restartable=True)
    )
    began_ms = made.now_ms
    agent.report(agent.seen(attempt, Observed.RUNNING))
    made.now_ms += HOUR_MS
    agent.report()
    assert counter(made) == (4 * YUAN + 1, 4 * YUAN)
    end(made, agent, attempt, began_ms, cause)
    assert made.states() == ["queued"]
    assert counter(made) == (8 * YUAN + 1, 0)
    assert [row.kind for row in made.rows("charge")] == ["usage", "reversal"]
    sound(made)


def test_preempted_work_is_charged_where_the_prices_say_so() -> None:
    made = priced(book=BOOK.replace('{pool: "*",', '{pool: "*", preempted: charged,'))
    agent, [attempt] = placed(
        made, job(cores=4_000, time_limit=2 * HOUR_MS, constraints=HERE, restartable=True)
    )
    began_ms = made.now_ms
    agent.report(agent.seen(attempt, Observed.RUNNING))
    made.now_ms += HOUR_MS
    end(made, agent, attempt, began_ms, Cause.PREEMPTED)
    assert counter(made) == (8 * YUAN + 1, 4 * YUAN)
    sound(made)


def test_a_job_queued_again_without_money_waits_and_runs_once_there_is_some() -> None:
    made = priced(limit_yuan=9, book=BOOK.replace('{pool: "*",', '{pool: "*", preempted: charged,'))
    agent, [attempt] = placed(
        made, job(cores=4_000, time_limit=2 * HOUR_MS, constraints=HERE, restartable=True)
    )
    began_ms = made.now_ms
    agent.report(agent.seen(attempt, Observed.RUNNING))
    made.now_ms += HOUR_MS
    end(made, agent, attempt, began_ms, Cause.PREEMPTED)
    assert made.states() == ["queued"]
    assert counter(made) == (0, 4 * YUAN)
    made.step()
    assert made.states() == ["queued"]
    assert explained(made).waits_for == (
        "money: budget lab has too little left in 2023-11 for what the job can still cost",
    )
    sound(made)
    made.store.write(
        lambda tx: set_budget(tx, COORDINATOR, Budget("lab", TENANT, limit=20 * YUAN), made.now_ms)
    )
    made.step()
    assert made.states() == ["placed"]
    assert counter(made) == (8 * YUAN + 1, 4 * YUAN)
    sound(made)


def test_given_up_work_is_given_back_and_a_late_proof_of_success_restores_its_charge() -> None:
    made = priced()
    agent, [attempt] = placed(made, job(cores=4_000, time_limit=2 * HOUR_MS, constraints=HERE))
    began_ms = made.now_ms
    agent.report(agent.seen(attempt, Observed.RUNNING))
    made.now_ms += HOUR_MS
    agent.report()
    made.now_ms += 60_000
    made.step()
    made.now_ms += 60_000
    made.step()
    assert made.states() == ["unknown"]
    [submission] = made.rows("submission")
    made.store.write(lambda tx: orders.give_up(tx, COORDINATOR, submission.id, made.now_ms))
    assert made.states() == ["failed"]
    assert counter(made) == (0, 0)
    sound(made)
    end(made, agent, attempt, began_ms)
    assert counter(made) == (0, made.rows("charge")[-1].amount_micro_yuan)
    assert [row.kind for row in made.rows("charge")] == ["usage", "reversal", "restored"]
    assert made.rows("charge")[-1].amount_micro_yuan > 4 * YUAN
    sound(made)


def test_a_clock_beyond_the_present_is_charged_up_to_now_and_shown() -> None:
    made = priced()
    agent, [attempt] = placed(made, job(cores=4_000, time_limit=2 * HOUR_MS, constraints=HERE))
    agent.report(agent.seen(attempt, Observed.RUNNING))
    began_ms = made.now_ms
    made.now_ms += 60_000
    told = agent.end(attempt)
    assert told.end is not None
    agent.report(
        replace(told, end=replace(told.end, started_ms=began_ms - HOUR_MS, ended_ms=began_ms + 60_000))
    )
    assert counter(made) == (0, round(4 * YUAN / 60))
    [case] = made.store.read(exceptions)
    assert case.kind.value == "clock"
    sound(made)


def test_reports_told_twice_or_late_change_nothing() -> None:
    made = priced()
    agent, [attempt] = placed(made, job(cores=4_000, time_limit=2 * HOUR_MS, constraints=HERE))
    began_ms = made.now_ms
    agent.report(agent.seen(attempt, Observed.RUNNING))
    made.now_ms += HOUR_MS
    end(made, agent, attempt, began_ms)
    before = counter(made), len(made.rows("ledger_entry"))
    made.now_ms += HOUR_MS
    end(made, agent, attempt, began_ms)
    agent.report(agent.seen(attempt, Observed.RUNNING))
    assert before == (counter(made), len(made.rows("ledger_entry")))
    sound(made)


def test_a_new_version_of_the_prices_does_not_touch_what_was_submitted_before() -> None:
    made = priced()
    agent, [attempt] = placed(made, job(cores=4_000, time_limit=2 * HOUR_MS, constraints=HERE))
    dearer = read_price_book(BOOK.replace("1.00", "3.00"), "book")
    made.store.write(lambda tx: apply_price_book(tx, COORDINATOR, dearer, made.now_ms))
    began_ms = made.now_ms
    agent.report(agent.seen(attempt, Observed.RUNNING))
    made.now_ms += HOUR_MS
    end(made, agent, attempt, began_ms)
    assert counter(made) == (0, 4 * YUAN)
    made.submit(job(cores=4_000, time_limit=2 * HOUR_MS, constraints=HERE))
    assert counter(made)[0] == 24 * YUAN + 1
    sound(made)


def test_a_longer_time_limit_holds_more_or_is_refused() -> None:
    made = priced(limit_yuan=10)
    [submitted] = made.submit(job(cores=4_000, time_limit=HOUR_MS, constraints=HERE))
    made.store.write(
        lambda tx: orders.update(tx, made.tenant, submitted.id, made.now_ms, time_limit_ms=2 * HOUR_MS)
    )
    assert counter(made) == (8 * YUAN + 1, 0)
    with pytest.raises(ProblemError, match="too little"):
        made.store.write(
            lambda tx: orders.update(tx, made.tenant, submitted.id, made.now_ms, time_limit_ms=3 * HOUR_MS)
        )
    assert counter(made) == (8 * YUAN + 1, 0)
    sound(made)


def test_a_prepaid_budget_spends_what_was_paid_in_once_by_its_reference() -> None:
    made = priced()

    def work(tx: Any) -> None:
        set_budget(tx, COORDINATOR, Budget("other", OTHER, BudgetKind.PREPAID, Period.ONCE), made.now_ms)
        for _ in range(2):
            top_up(tx, COORDINATOR, "other", 5 * YUAN, "transfer 7", made.now_ms)

    made.store.write(work)
    one = job(project="elsewhere", cores=4_000, time_limit=HOUR_MS)
    made.submit(one, actor=made.other)
    assert counter(made, "budget/other/once") == (4 * YUAN + 1, 0)
    with pytest.raises(ProblemError, match="less"):
        made.store.write(lambda tx: pay_out(tx, COORDINATOR, "other", 2 * YUAN, "back", made.now_ms))
    with pytest.raises(
        ProblemError, match=r"'transfer 7' was booked with ¥5.00 before; give another reference"
    ):
        made.store.write(lambda tx: top_up(tx, COORDINATOR, "other", 6 * YUAN, "transfer 7", made.now_ms))
    with pytest.raises(ProblemError, match="too little"):
        made.submit(one, actor=made.other)
    assert made.store.read(lambda c: balances(c, "prepaid")) == {"prepaid:other": 1 * YUAN - 1}
    sound(made)


def test_a_threshold_that_is_reached_is_told_with_the_submission() -> None:
    made = priced(limit_yuan=10)
    [first] = made.submit(job(cores=2_000, time_limit=2 * HOUR_MS, constraints=HERE))
    [second] = made.submit(job(cores=4_000, time_limit=HOUR_MS, constraints=HERE))
    assert first.notices == ()
    assert second.notices == ("¥8.000002 of ¥10.00 of budget lab are spent or held in 2023-11",)


def test_an_organisation_with_a_budget_is_kept_when_the_province_leaves_it_out() -> None:
    made = priced()
    without = replace(PROVINCE, organisations=PROVINCE.organisations[1:], projects=PROVINCE.projects[1:])
    made.store.write(lambda tx: apply_province(tx, without, COORDINATOR, made.now_ms, catalogue={}))
    assert TENANT in {row.id for row in made.rows("organisation")}
