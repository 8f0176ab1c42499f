"""Any history of submissions, reports, losses, orders and payments: the ledger balances, no limit is exceeded, what is
held is what can still be spent, and the change log alone rebuilds every balance."""

from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from sqlalchemy import Connection, select

from tests.unit.billing.granted import scheme_text
from tests.unit.billing.test_focus import CALENDAR
from tests.unit.control.world import COORDINATOR, OTHER, TENANT, Agent, World, job, runs, world
from weir.billing import (
    StoredEntry,
    all_counters,
    balances,
    entries_between,
    kind_of,
    recomputed_counters,
    verify,
)
from weir.billing.budget import Budget, BudgetKind
from weir.billing.budget_orders import pay_out, set_budget, top_up
from weir.billing.budget_periods import Period
from weir.billing.calendar_days import add_months
from weir.billing.calendar_work import closes_ms
from weir.billing.charge_check import check_money
from weir.billing.charges import refund
from weir.billing.price_book import read_price_book
from weir.billing.price_versions import apply_price_book
from weir.billing.scheme_change import apply_change, preview_change
from weir.billing.statement import FEN, PartyKind
from weir.billing.statement_close import close_month, on_statements, statements_of, verify_statements
from weir.control import orders
from weir.model.agent import Report
from weir.model.change import ChangeKind
from weir.model.job import Constraints
from weir.model.problem import ProblemError
from weir.model.state import Cause, Observed
from weir.store import schema
from weir.units import MICRO_YUAN_PER_YUAN as YUAN

HOUR_MS = 3_600_000
BOOK = """
version: 1
price_book: test
tax: {{name: VAT, rate: "0.06"}}
bands: {{night: [{{from: "22:00", to: "24:00"}}, {{from: "00:00", to: "08:00"}}]}}
classes: {{partner: "0.777777"}}
tenants: {{"91340100MA2N00002Y": partner}}
prices:
  - {{pool: "*", core_hour: "{core}", memory_gb_hour: "0.0137", preempted: {preempted}, minimum_charge: "{least}"}}
  - {{pool: "wuhu-hpc/*", bands: {{night: {{core_hour: "0.3333"}}}}}}
"""
FIRST_MONTH = date(2023, 11, 1)
CENTRES = ("hefei-ai", "wuhu-hpc")


class OutOfMoney(Exception):  # noqa: N818 - not an error here
    """A submission was refused for want of money."""


@dataclass
class Known:
    """An attempt that an agent has."""

    agent: Agent
    name: str
    began_ms: int | None = None
    resumed_ms: int | None = None
    """When the checkpoint was written from which it says that it went on."""

    @property
    def job(self) -> str:
        return self.name.rpartition("-")[0]


class MoneyHistory(RuleBasedStateMachine):
    """One history."""

    def __init__(self) -> None:
        super().__init__()
        self.world: World = world()
        self.agents = {centre: self.world.agent(centre) for centre in CENTRES}
        self.attempts: list[Known] = []
        self.told: list[tuple[Agent, Report]] = []
        self.payments = 0
        self.closed: list[date] = []
        self.write(
            lambda tx: apply_price_book(tx, COORDINATOR, self.book("0.50", "free", "0"), self.world.now_ms)
        )
        self.write(
            lambda tx: set_budget(tx, COORDINATOR, Budget("lab", TENANT, limit=90 * YUAN), self.world.now_ms)
        )
        cash = Budget("cash", OTHER, BudgetKind.PREPAID, Period.ONCE)
        self.write(lambda tx: set_budget(tx, COORDINATOR, cash, self.world.now_ms))
        self.money_comes_and_goes(30, back=False)

    @initialize(scheme=st.sampled_from([None, "10%", "33%"]), restartable=st.booleans())
    def some_work_runs_already(self, scheme: str | None, restartable: bool) -> None:
        """Without it most histories would be of submissions alone."""
        if scheme is not None:
            self.a_scheme_changes(scheme, 30, 20)
        self.submit(2, 10, restartable, None, (), other=False)
        self.submit(1, 4, restartable, 2, (), other=True)
        self.place()
        for one in self.attempts[::2]:
            self.begins(one)
        self.time_passes(77)

    def write(self, work: Any) -> bool:
        """Do it, unless it is refused."""
        try:
            self.world.store.write(work)
        except ProblemError:
            return False
        return True

    def book(self, core: str, preempted: str, least: str) -> Any:
        return read_price_book(BOOK.format(core=core, preempted=preempted, least=least), "book")

    @rule(
        cores=st.integers(1, 4),
        hours=st.integers(1, 30),
        restartable=st.booleans(),
        size=st.sampled_from([None, None, 2, 4]),
        centre=st.sampled_from([(), ("hefei-ai",), ("wuhu-hpc",)]),
        other=st.booleans(),
    )
    def submit(
        self,
        cores: int,
        hours: int,
        restartable: bool,
        size: int | None,
        centre: tuple[str, ...],
        other: bool,
    ) -> None:
        one = job(
            cores=cores * 1_000,
            time_limit=hours * HOUR_MS,
            restartable=restartable,
            array=size,
            constraints=Constraints(centres=centre),
            project="elsewhere" if other else "vision",
        )
        actor = self.world.other if other else self.world.tenant
        with suppress(OutOfMoney):
            try:
                self.world.submit(one, actor=actor)
            except ProblemError as error:
                raise (OutOfMoney if error.problem.kind == "money" else error) from None

    @rule()
    def place(self) -> None:
        """Agents are heard, so that their centres count as reached, and all that may is placed."""
        for agent in self.agents.values():
            agent.report()
        self.world.step()
        for agent in self.agents.values():
            known = {one.name for one in self.attempts}
            new = [one.attempt for one in runs(agent.pull()) if one.attempt not in known]
            self.attempts += [Known(agent, name) for name in new]

    @rule(minutes=st.integers(1, 2_000))
    def time_passes(self, minutes: int) -> None:
        self.world.now_ms += minutes * 60_000 + minutes % 7

    @rule(centre=st.sampled_from(CENTRES))
    def report_nothing_new(self, centre: str) -> None:
        self.agents[centre].report()

    @precondition(lambda self: any(one.began_ms is None for one in self.attempts))
    @rule(data=st.data())
    def begin(self, data: st.DataObject) -> None:
        self.begins(data.draw(st.sampled_from([one for one in self.attempts if one.began_ms is None])))

    def begins(self, one: Known) -> None:
        one.began_ms = self.world.now_ms
        self.tell(one, one.agent.seen(one.name, Observed.RUNNING))

    @precondition(lambda self: self.attempts)
    @rule(
        data=st.data(),
        cause=st.sampled_from(
            [None, None, Cause.EXIT, Cause.NODE_FAILED, Cause.PREEMPTED, Cause.LOST, Cause.CANCELLED]
        ),
        drift_ms=st.sampled_from([0, 0, 0, -5, 700, 40_000_000]),
        resumed_minutes=st.none() | st.integers(-10, 3_000),
    )
    def end(
        self, data: st.DataObject, cause: Cause | None, drift_ms: int, resumed_minutes: int | None
    ) -> None:
        one = data.draw(st.sampled_from(self.attempts))
        if resumed_minutes is not None:
            one.resumed_ms = self.world.now_ms - resumed_minutes * 60_000
        self.ends(one, cause, drift_ms)

    def ends(self, one: Known, cause: Cause | None, drift_ms: int = 0) -> None:
        self.attempts.remove(one)
        told = one.agent.end(one.name, cause)
        assert told.end is not None
        end = replace(
            told.end,
            started_ms=one.began_ms,
            ended_ms=self.world.now_ms + drift_ms,
            resumed_ms=one.resumed_ms,
        )
        self.tell(one, replace(told, end=end))

    @precondition(lambda self: any(one.began_ms is not None for one in self.attempts))
    @rule(
        data=st.data(),
        cause=st.sampled_from([Cause.NODE_FAILED, Cause.PREEMPTED, Cause.LOST]),
        minutes=st.integers(1, 400),
        saved=st.integers(-10, 110),
    )
    def what_was_lost_goes_on_from_a_checkpoint(
        self, data: st.DataObject, cause: Cause, minutes: int, saved: int
    ) -> None:
        """Written when this share of its time, in hundredths, had passed; before its start and after its end too."""
        one = data.draw(st.sampled_from([one for one in self.attempts if one.began_ms is not None]))
        assert one.began_ms is not None
        self.time_passes(minutes)
        self.ends(one, cause)
        lasted_ms = self.world.now_ms - one.began_ms
        self.time_passes(1)
        self.place()
        for other in self.attempts:
            if other.job == one.job and other.began_ms is None:
                other.resumed_ms = one.began_ms + lasted_ms * saved // 100
                self.begins(other)

    def tell(self, one: Known, observation: Any) -> None:
        one.agent.report(observation)
        self.told = [*self.told[-5:], (one.agent, self.last(one.agent, observation))]

    def last(self, agent: Agent, observation: Any) -> Report:
        return Report(
            agent.incarnation,
            agent.number,
            agent.store_incarnation,
            self.world.now_ms,
            observations=(observation,),
        )

    @precondition(lambda self: self.told)
    @rule(data=st.data(), fresh=st.booleans())
    def repeat_an_older_report(self, data: st.DataObject, fresh: bool) -> None:
        """As it was, or by an agent that tells the same again under a new number."""
        agent, told = data.draw(st.sampled_from(self.told))
        if fresh:
            agent.report(*told.observations)
        else:
            agent.send(told)

    @precondition(lambda self: self.world.rows("submission"))
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        row = data.draw(st.sampled_from(self.world.rows("submission")))
        name = row.id if not row.is_array or data.draw(st.booleans()) else f"{row.id}.0"
        self.write(lambda tx: orders.cancel(tx, COORDINATOR, name, self.world.now_ms))

    @precondition(lambda self: self.world.rows("submission"))
    @rule(data=st.data(), hours=st.integers(1, 60))
    def change_the_limit(self, data: st.DataObject, hours: int) -> None:
        row = data.draw(st.sampled_from(self.world.rows("submission")))
        self.write(
            lambda tx: orders.update(
                tx, COORDINATOR, row.id, self.world.now_ms, time_limit_ms=hours * HOUR_MS
            )
        )

    @rule()
    def all_centres_are_lost_and_given_up(self) -> None:
        for _ in range(2):
            self.world.now_ms += 400_000
            self.world.step()
        for row in self.world.rows("submission"):
            self.write(lambda tx, row=row: orders.give_up(tx, COORDINATOR, row.id, self.world.now_ms))

    @rule(core=st.sampled_from(["0.10", "0.50", "1.2345"]), preempted=st.sampled_from(["free", "charged"]))
    def prices_change(self, core: str, preempted: str) -> None:
        book = self.book(core, preempted, "0.5" if core == "0.10" else "0")
        self.write(lambda tx: apply_price_book(tx, COORDINATOR, book, self.world.now_ms))

    @rule(limit=st.none() | st.integers(0, 100), share=st.integers(0, 50))
    def limits_change(self, limit: int | None, share: int) -> None:
        """None leaves nothing but what is taken."""
        if limit is None:
            counters = self.world.store.read(all_counters)
            taken = [one.held + one.spent for key, one in counters.items() if key.startswith("budget/lab/")]
            limit = -(-max(taken, default=0) // YUAN)
        budget = Budget("lab", TENANT, limit=limit * YUAN, members={"vision": share * YUAN} if share else {})
        self.write(lambda tx: set_budget(tx, COORDINATOR, budget, self.world.now_ms))

    @rule(amount=st.integers(1, 30), back=st.booleans())
    def money_comes_and_goes(self, amount: int, back: bool) -> None:
        self.payments += 1
        act = pay_out if back else top_up
        self.write(
            lambda tx: act(tx, COORDINATOR, "cash", amount * YUAN, str(self.payments), self.world.now_ms)
        )

    @precondition(lambda self: self.charged_and_ended())
    @rule(data=st.data(), amount=st.integers(1, 2 * YUAN))
    def give_back(self, data: st.DataObject, amount: int) -> None:
        """A correction: more than was charged is refused."""
        row = data.draw(st.sampled_from(self.charged_and_ended()))
        self.write(lambda tx: refund(tx, COORDINATOR, row.job, row.epoch, amount, "why", self.world.now_ms))

    def charged_and_ended(self) -> list[Any]:
        ended = {
            (row.job, row.epoch) for row in self.world.rows("attempt") if row.observed == int(Observed.ENDED)
        }
        return [row for row in self.world.rows("charge") if (row.job, row.epoch) in ended]

    @rule(rate=st.sampled_from(["10%", "33%"]), pool=st.integers(1, 30), cap=st.integers(1, 20))
    def a_scheme_changes(self, rate: str, pool: int, cap: int) -> None:
        text = scheme_text(base="usage", rate=rate, pool=str(pool), cap=str(cap)).replace(
            "2025-01", "2023-01"
        )
        self.write(
            lambda tx: apply_change(
                tx,
                text,
                "city",
                COORDINATOR,
                self.world.now_ms,
                act="No. 1",
                expected=preview_change(tx.connection, text, "city", self.world.now_ms).digest,
            )
        )

    @precondition(lambda self: len(self.closed) < 10)
    @rule()
    def the_month_is_closed(self) -> None:
        """The first that is open, once it closes."""
        month = add_months(self.closed[-1], 1) if self.closed else FIRST_MONTH
        self.world.now_ms = max(self.world.now_ms, closes_ms(month, CALENDAR))
        if self.write(lambda tx: close_month(tx, month, COORDINATOR, self.world.now_ms, calendar=CALENDAR)):
            self.closed.append(month)

    @invariant()
    def the_ledger_is_whole_and_holds_are_what_can_be_spent(self) -> None:
        assert self.world.store.read(verify).faults == ()
        assert self.world.store.read(check_money) == []
        for counter in self.world.store.read(all_counters).values():
            assert 0 <= counter.held + counter.spent <= counter.limit

    def entries(self, first: int, count: int) -> list[StoredEntry]:
        return self.world.store.read(lambda c: list(entries_between(c, first, first + count - 1)))

    def teardown(self) -> None:
        """The change log names every entry, in order, and these make every balance and counter anew."""
        totals: dict[str, int] = defaultdict(int)
        for change in self.world.changes():
            if change.kind is ChangeKind.POSTED:
                first, count = change.body["first"], change.body["count"]
                found = self.entries(first, count)
                assert len(found) == count
                for transfer in (transfer for entry in found for transfer in entry.transfers):
                    totals[transfer.debit] += transfer.amount
                    totals[transfer.credit] -= transfer.amount
        known = self.world.store.read(balances)
        signed = {
            code: total if kind_of(code).side.value == "debit" else -total for code, total in totals.items()
        }
        assert signed == known
        assert sum(totals.values()) == 0
        counters = self.world.store.read(all_counters)
        for key, moved in self.world.store.read(recomputed_counters).items():
            assert (counters[key].held, counters[key].spent) == moved
        self.world.store.read(self.statements_say_what_was_posted)
        self.world.store.close()

    def statements_say_what_was_posted(self, connection: Connection) -> None:
        """Each charge of a closed month is on one statement, and what they ask for and carry is what was posted."""
        charge = schema.charge.c
        posted: dict[str, int] = defaultdict(int)
        seen: set[int] = set()
        for month in self.closed:
            query = select(charge.entry, charge.organisation, charge.amount_micro_yuan)
            for entry, organisation, amount in connection.execute(
                query.where(on_statements(connection, month))
            ):
                assert entry not in seen
                seen.add(entry)
                posted[organisation] += amount
        assert () == verify_statements(connection)
        said: dict[str, int] = defaultdict(int)
        for one in statements_of(connection, kind=PartyKind.TENANT):
            said[one.party] += one.gross
            asked = one.total_fen * FEN + one.carry
            assert asked == one.gross - one.voucher + one.carried_in
            assert abs(one.carry) < FEN
        assert {who: amount for who, amount in posted.items() if who in said} == said
        assert all(who in said or not amount for who, amount in posted.items())


TestMoneyHistory = MoneyHistory.TestCase
TestMoneyHistory.settings = settings(max_examples=12, stateful_step_count=40, deadline=None)
