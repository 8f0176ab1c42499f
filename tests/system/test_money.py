"""Money over HTTP: prices, quotes, budgets, charges and the ledger, each for those who may see it."""

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import select

from tests.system.api_world import JOB, OTHER, TENANT, World, now_ms, served
from weir.billing.exceptions import ExceptionKind, NewException, put
from weir.client import ApiError, Client
from weir.model.agent import End, Observation
from weir.model.codec import to_plain
from weir.model.state import Observed
from weir.store import schema

BOOK = """
version: 1
price_book: test
tax: {name: VAT, rate: "0.06"}
prices:
  - {pool: "*", core_hour: "360.00", memory_gb_hour: "0"}
  - {pool: "wuhu-hpc/*", core_hour: "180.00"}
classes: {partner: "0.8"}
"""


@pytest.fixture
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with served(tmp_path_factory.mktemp("api")) as made:
        yield made


def priced(world: World, limit: str = "20.00") -> Client:
    boss = world.client(world.coordinator)
    boss.apply_price_book(BOOK)
    boss.set_budget("lab", organisation=TENANT, limit=limit, members={"vision": "15.00"})
    return boss


def refusal(call: Any) -> ApiError:
    with pytest.raises(ApiError) as caught:
        call()
    return caught.value


def test_a_price_book_is_compared_applied_once_and_never_changed(world: World) -> None:
    boss = world.client(world.coordinator)
    assert boss.prices() == ()
    shown = boss.price_diff(BOOK)
    assert shown.changed
    assert "+ * core_hour: ¥360.00" in shown.lines
    assert "until now work is not priced; from then on every job needs a budget" in shown.lines
    assert boss.apply_price_book(BOOK, expected=shown.version).version == 1
    assert not boss.price_diff(BOOK).changed
    assert boss.apply_price_book(BOOK).version == 1
    assert refusal(lambda: boss.apply_price_book(BOOK.replace("180", "90"), expected=0)).status == 409
    assert boss.apply_price_book(BOOK.replace("180", "90"), expected=1).version == 2
    mine = world.client()
    assert [(one.version, one.in_force) for one in mine.prices()] == [(2, True), (1, False)]
    assert mine.price(1).book["prices"][1]["core_hour"] == 180_000_000
    assert refusal(lambda: mine.apply_price_book(BOOK)).status == 403


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (("version: 1", "version: 2"), "version"),
        (('rate: "0.06"', 'rate: "6"'), "tax.rate"),
        (('core_hour: "360.00"', "core_hour: 3.5"), "prices[0].core_hour"),
        (('"wuhu-hpc/*"', '"*"'), "prices[1].pool"),
        (('"wuhu-hpc/*", ', '"wuhu-hpc/*", bands: {peak: {}}, '), "prices[1].bands.peak"),
        (('partner: "0.8"', 'partner: "1.8"'), "classes.partner"),
        (("price_book: test", 'price_book: test\nstarts: "2020-01-01T00:00+08:00"'), "starts"),
        (
            ("price_book: test", "price_book: test\nbands: {peak: [{from: '9', to: '10:00'}]}"),
            "bands.peak[0]",
        ),
    ],
)
def test_a_fault_in_a_price_book_names_its_field(world: World, change: tuple[str, str], field: str) -> None:
    boss = world.client(world.coordinator)
    error = refusal(lambda: boss.apply_price_book(BOOK.replace(*change)))
    assert error.status == 422
    assert error.problem.fields[0].field == field
    assert boss.prices() == ()


def test_a_quote_says_what_each_pool_costs_and_what_is_set_aside(world: World) -> None:
    priced(world)
    found = world.client().quote(JOB)
    assert [(one.pool, one.at_limit, one.net) for one in found.pools] == [
        ("wuhu-hpc/cpu", 3_000_000, 3_000_000),
        ("hefei-ai/cpu", 6_000_000, 6_000_000),
    ]
    [line] = found.pools[1].lines
    assert (line.unit, line.band, line.price, line.quantity, line.amount) == (
        "core_hour",
        "standard",
        360_000_000,
        "1",
        6_000_000,
    )
    assert (found.hold, found.forecast_ms, found.tenant_class) == (6_000_001, None, "list")
    world.client().submit(JOB)
    [budget] = world.client().budgets()
    assert budget.total.held == found.hold


def test_a_job_is_paid_for_and_everybody_sees_their_part_of_it(world: World) -> None:
    boss = priced(world)
    agent, control = world.agent("hefei-ai"), world.control()
    [submitted] = world.client().submit({**JOB, "constraints": {"centres": ["hefei-ai"]}})
    world.schedule(control)
    [attempt] = agent.pull().attempts
    time.sleep(0.2)  # a centre cannot say that it ran for longer than it is placed
    end = End(None, 0, None, "", started_ms=now_ms() - 100, ended_ms=now_ms())
    end = replace(end, started_ms=end.ended_ms - 100)
    agent.report(to_plain(Observation(attempt.attempt, Observed.ENDED, end=end)))
    bill = world.client().bill()
    assert (bill.total, bill.pools) == (10_000, {"hefei-ai/cpu": 10_000})
    [charge] = bill.charges
    assert (charge.job, charge.epoch, charge.kind, charge.amount) == (
        submitted.id,
        1,
        "usage",
        10_000,
    )
    [budget] = world.client().budgets()
    assert (budget.total.held, budget.total.spent, budget.members["vision"].spent) == (0, 10_000, 10_000)
    kinds = [
        entry.kind
        for entry in world.client(world.token("tenant-admin", organisation=TENANT)).book(TENANT).entries
    ]
    assert kinds == ["hold", "usage", "release"]
    earned = world.client(world.token("centre-operator", centre="hefei-ai")).bill()
    assert earned.total == 10_000
    assert world.client(world.token("centre-operator", centre="wuhu-hpc")).bill().total == 0
    back = boss.refund(f"{charge.job}-1", "0.004", "slow disk")
    assert back.corrects == charge.entry
    for amount in ("0", "-1", "9"):
        refused = refusal(lambda given=amount: boss.refund(f"{charge.job}-1", given, "x"))
        assert "give more than 0 and at most ¥0.006" in str(refused)
    assert f"no charged attempt '{charge.job}-7'" in str(
        refusal(lambda: boss.refund(f"{charge.job}-7", "1", "x"))
    )
    assert refusal(lambda: boss.bill(organisation="nobody")).status == 404
    assert refusal(lambda: boss.bill(centre="nowhere")).status == 404
    assert world.client().bill().total == 6_000
    auditor = world.client(world.token("auditor"))
    assert auditor.verify_ledger().faults == ()
    assert auditor.balances("payable:") == {"payable:hefei-ai": 6_000}
    assert refusal(lambda: auditor.refund(f"{charge.job}-1", "0.01", "no")).status == 403


def test_money_that_is_lacking_is_refused_by_how_much(world: World) -> None:
    priced(world, limit="5.00")
    error = refusal(lambda: world.client().submit(JOB))
    assert (error.status, error.problem.kind) == (422, "money")
    assert "¥1.000001 too little" in str(error)


def test_others_see_nothing_of_it(world: World) -> None:
    boss = priced(world)
    other = world.client(world.other)
    assert other.budgets() == ()
    assert other.bill().total == 0
    assert refusal(lambda: other.bill(organisation=TENANT)).status == 404
    assert refusal(lambda: other.book(TENANT)).status == 404
    assert refusal(other.verify_ledger).status == 403
    assert refusal(other.balances).status == 403
    assert refusal(lambda: other.set_budget("mine", organisation=OTHER, limit="1")).status == 403
    operator = world.client(world.token("centre-operator", centre="hefei-ai"))
    assert refusal(operator.budgets).status == 403
    assert refusal(lambda: operator.bill(centre="wuhu-hpc")).status == 404
    world.client().submit(JOB)
    [first] = boss.book(TENANT).entries
    assert refusal(lambda: other.entry(first.number)).status == 404
    assert boss.entry(first.number) == first


def test_a_projects_token_sees_its_own_projects_money(world: World) -> None:
    boss = priced(world)
    boss.set_budget("lab", organisation=TENANT, limit="20.00", members={"vision": "15.00", "speech": "4.00"})
    world.client().submit(JOB)
    [job] = world.store.read(lambda c: c.scalars(select(schema.job.c.number)).all())
    faults = [
        NewException("a", ExceptionKind.CLOCK, TENANT, "hefei-ai", "vision's job", job),
        NewException("b", ExceptionKind.CLOCK, TENANT, "hefei-ai", "of no job"),
    ]
    world.store.write(lambda tx: put(tx, faults, now_ms()))
    seen = []
    for token in (
        world.tenant,
        world.token("tenant-member", organisation=TENANT, project="speech"),
        world.token("tenant-admin", organisation=TENANT),
    ):
        client = world.client(token)
        [budget] = client.budgets()
        seen.append((sorted(budget.members), [one.said for one in client.exceptions()]))
    assert seen == [
        (["vision"], ["vision's job"]),
        (["speech"], []),
        (["speech", "vision"], ["vision's job", "of no job"]),
    ]


def test_a_prepaid_budget_is_topped_up_once_for_a_reference(world: World) -> None:
    boss = priced(world)
    boss.set_budget("cash", organisation=OTHER, kind="prepaid", period="once")
    assert boss.top_up("cash", "10.00", "7").total.limit == 10_000_000
    assert boss.top_up("cash", "10.00", "7").total.limit == 10_000_000
    assert boss.pay_out("cash", "4.00", "back").total.limit == 6_000_000
    assert refusal(lambda: boss.pay_out("cash", "7.00", "again")).problem.kind == "money"
    assert refusal(lambda: boss.top_up("lab", "1.00", "x")).status == 422
