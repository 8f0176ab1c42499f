"""A job is scored by the prices that it is held and charged by, those of its submission, whatever comes after."""

from tests.unit.control.test_vouchers_by_pool import HERE, ONE, THERE, money_terms, placed_at, sound
from tests.unit.control.world import COORDINATOR, TENANT, World, runs, world
from weir.billing.budget import Budget
from weir.billing.budget_orders import set_budget
from weir.billing.price_book import read_price_book
from weir.billing.price_versions import apply_price_book
from weir.control.pools import load_pools
from weir.model.state import Observed
from weir.units import MICRO_YUAN_PER_YUAN as YUAN

HOUR_MS = 3_600_000
BOOK = """
version: 1
price_book: test
tax: {name: VAT, rate: "0.06"}
prices:
  - {pool: "*", core_hour: "30.00", memory_gb_hour: "0", device_hour: {ascend-910b: "90.00"}}
  - {pool: "hefei-ai/*", core_hour: "HERE"}
  - {pool: "wuhu-hpc/*", core_hour: "THERE"}
"""


def apply(to: World, here: str, there: str) -> None:
    book = read_price_book(BOOK.replace("THERE", there).replace("HERE", here), "book")
    to.store.write(lambda tx: apply_price_book(tx, COORDINATOR, book, to.now_ms))


def priced() -> World:
    """Where an hour of a core costs 10 yuan in Hefei and 12 in Wuhu, and no agent was heard of yet."""
    made = world()
    apply(made, "10.00", "12.00")
    made.store.write(
        lambda tx: set_budget(tx, COORDINATOR, Budget("lab", TENANT, limit=1_000 * YUAN), made.now_ms)
    )
    return made


def test_a_job_that_waited_over_a_change_of_prices_goes_where_its_own_are_lower() -> None:
    made = priced()
    made.submit(ONE)
    made.step()
    made.now_ms += HOUR_MS
    apply(made, "14.00", "9.00")
    agents = {centre: made.agent(centre) for centre in ("hefei-ai", "wuhu-hpc")}
    made.step()
    assert HERE == placed_at(made)
    found = money_terms(made)
    assert {HERE: 10 * YUAN, THERE: 12 * YUAN} == {key: found[key] for key in (HERE, THERE)}
    # What it is scored by is what it is charged by.
    [desired] = runs(agents["hefei-ai"].pull())
    agents["hefei-ai"].report(agents["hefei-ai"].seen(desired.attempt, Observed.RUNNING))
    made.now_ms += HOUR_MS
    agents["hefei-ai"].report()
    assert 10 * YUAN == sum(row.amount_micro_yuan for row in made.rows("charge"))
    sound(made)


def test_a_job_that_was_submitted_after_the_change_goes_by_the_new_prices() -> None:
    made = priced()
    made.submit(ONE)
    made.now_ms += HOUR_MS
    apply(made, "14.00", "9.00")
    made.submit(ONE)
    for centre in ("hefei-ai", "wuhu-hpc"):
        made.agent(centre)
    made.step()
    assert ["hefei-ai", "wuhu-hpc"] == [
        row.centre for row in sorted(made.rows("attempt"), key=lambda row: int(row.job))
    ]
    sound(made)


def test_a_version_that_is_yet_to_come_into_force_is_known_when_it_does() -> None:
    made = priced()
    book = (
        BOOK.replace("THERE", "9.00").replace("HERE", "14.00") + "starts: 2023-11-16T08:00+08:00\n"
    )  # a day and some later
    later = read_price_book(book, "book")
    made.store.write(lambda tx: apply_price_book(tx, COORDINATOR, later, made.now_ms))
    agents = [made.agent(centre) for centre in ("hefei-ai", "wuhu-hpc")]
    made.step()
    made.now_ms += 2 * 24 * HOUR_MS
    for agent in agents:
        agent.report()
    made.submit(ONE)
    made.step()
    assert THERE == placed_at(made)
    sound(made)


def test_versions_that_no_job_can_be_priced_by_any_more_are_not_told() -> None:
    made = priced()
    for change in range(3):
        made.now_ms += HOUR_MS
        apply(made, f"{14 + change}.00", "9.00")
    assert {(4,)} == {tuple(book.version for book in row.books) for row in made.store.read(load_pools).rows}
