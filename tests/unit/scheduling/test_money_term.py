"""The money term: what the owner would pay, memory included; and what another city than his own counts."""

from dataclasses import replace

from tests.unit.scheduling.provinces import HOUR, NOW, pool, started, task, waiting
from weir.scheduling import Policy, State, explain, step
from weir.scheduling.inputs import Changes, Curve, JobClass, PoolRow, Prices
from weir.scheduling.plan import Terms, Verdict

GB_HOUR = 1_000_000
DAY = 24 * HOUR


def terms(pools: tuple[PoolRow, ...], job_class: JobClass) -> dict[str, Terms]:
    """Of one job of the class, by pool."""
    state, _ = step(State.empty(Policy()), Changes(pools, (), queued=(waiting(job_class, [1]),)), NOW)
    explanation = explain(state, 1)
    assert explanation is not None
    return {reason.pool: reason.terms for reason in explanation.pools if reason.terms}


def costing(key: str, device_hour: int) -> PoolRow:
    return pool(key, device_hour_micro_yuan=device_hour, core_hour_micro_yuan=0)


def test_what_vouchers_pay_is_no_money_of_its_owner() -> None:
    pools = (pool("a/x", device_hour_micro_yuan=10_000_000, core_hour_micro_yuan=0),)
    assert 10_000_000 == terms(pools, task())["a/x"].money_micro_yuan
    assert 6_500_000 == terms(pools, task(net_milli=650))["a/x"].money_micro_yuan
    assert 0 == terms(pools, task(net_milli=0))["a/x"].money_micro_yuan


def test_memory_has_its_price() -> None:
    dear = pool("a/x", device_hour_micro_yuan=0, core_hour_micro_yuan=0, memory_gb_hour_micro_yuan=GB_HOUR)
    found = terms((dear,), task(tasks=2, memory_bytes=8_000_000_000))
    assert 16 * GB_HOUR == found["a/x"].money_micro_yuan


def test_a_voucher_can_make_the_dearer_and_faster_pool_the_better_one() -> None:
    slow = pool("a/slow", speed_milli=1_000, device_hour_micro_yuan=1_000_000)
    fast = pool("b/fast", speed_milli=2_000, device_hour_micro_yuan=40_000_000)
    for net, chosen in ((1_000, "a/slow"), (100, "b/fast")):
        _, plan = step(
            State.empty(Policy()), Changes((slow, fast), (), queued=(waiting(task(net_milli=net), [1]),)), NOW
        )
        assert {1: chosen} == started(plan)


def test_a_voucher_that_pays_at_one_pool_alone_counts_there_alone() -> None:
    pools = (costing("a/x", 10_000_000), costing("b/x", 12_000_000))
    for there, paid, chosen in (
        ((), (10_000_000, 12_000_000), "a/x"),
        ((("b/x", 700),), (10_000_000, 8_400_000), "b/x"),
        ((("a/x", 500), ("b/x", 700)), (5_000_000, 8_400_000), "a/x"),
        ((("gone/x", 0),), (10_000_000, 12_000_000), "a/x"),
    ):
        found = terms(pools, task(net_there=there))
        assert paid == tuple(found[key].money_micro_yuan for key in ("a/x", "b/x"))
        _, plan = step(
            State.empty(Policy()), Changes(pools, (), queued=(waiting(task(net_there=there), [1]),)), NOW
        )
        assert {1: chosen} == started(plan)


def test_a_job_is_weighed_by_the_version_of_the_price_book_that_it_is_charged_by() -> None:
    pools = (
        replace(costing("a/x", 10_000_000), books=(Prices(1, 10_000_000, 0), Prices(2, 30_000_000, 7, 11))),
        replace(costing("b/x", 12_000_000), books=(Prices(1, 12_000_000, 0), Prices(2, 20_000_000, 0, 0))),
    )
    for version, each, chosen in (
        (0, (10_000_000, 12_000_000), "a/x"),
        (1, (10_000_000, 12_000_000), "a/x"),
        (2, (30_000_000 + 16 * 7 + 64 * 11, 20_000_000), "b/x"),
        (3, (10_000_000, 12_000_000), "a/x"),  # no pool has prices by it
    ):
        wanted = task(cores_milli=16_000, memory_bytes=64_000_000_000, price_version=version)
        found = terms(pools, wanted)
        assert each == tuple(found[key].money_micro_yuan for key in ("a/x", "b/x"))
        _, plan = step(State.empty(Policy()), Changes(pools, (), queued=(waiting(wanted, [1]),)), NOW)
        assert {1: chosen} == started(plan)


def test_the_hours_of_a_version_are_its_own() -> None:
    cheap_now = Curve(((0, 1_000_000), (2 * HOUR, 50_000_000)), DAY)
    cheap_later = Curve(((0, 50_000_000), (2 * HOUR, 1_000_000)), DAY)
    at_midnight = NOW - NOW % DAY
    row = costing("a/x", 9_000_000)
    books = (
        Prices(1, 50_000_000, 0, 0, cheap_now),
        Prices(2, 50_000_000, 0, 0, cheap_later),
        Prices(4, 3, 0),
    )
    for version, expected in ((1, 1_000_000), (2, 50_000_000), (4, 3), (0, 9_000_000)):
        state = State.empty(Policy())
        told = Changes((replace(row, books=books),), (), queued=(waiting(task(price_version=version), [1]),))
        state, _ = step(state, told, at_midnight)
        explanation = explain(state, 1)
        assert explanation is not None
        [found] = [reason.terms for reason in explanation.pools]
        assert found is not None
        assert expected == found.money_micro_yuan


def test_a_new_version_changes_nothing_for_those_that_wait_with_another() -> None:
    one = (Prices(1, 10_000_000, 0),)
    old, full = replace(costing("a/x", 10_000_000), books=one), task(devices_milli=8_000, price_version=1)
    state, _ = step(
        State.empty(Policy()), Changes((replace(old, nodes=0),), (), queued=(waiting(full, [1]),)), NOW
    )
    dear = replace(old, device_hour_micro_yuan=90_000_000, books=(*one, Prices(2, 90_000_000, 0)))
    later = replace(full, price_version=2)
    state, plan = step(state, Changes((dear,), queued=(waiting(later, [2]),)), NOW + HOUR)
    assert {1: "a/x", 2: "a/x"} == started(plan)
    for job, expected in ((1, 80_000_000), (2, 720_000_000)):
        explanation = explain(state, job)
        assert explanation is not None
        [found] = [reason.terms for reason in explanation.pools]
        assert found is not None
        assert expected == found.money_micro_yuan


def test_where_vouchers_pay_is_kept_when_pools_and_classes_come_and_go() -> None:
    before, first = costing("a/x", 10_000_000), costing("b/x", 12_000_000)
    paid = task(net_milli=900, net_there=(("b/x", 700),))
    state, _ = step(State.empty(Policy()), Changes((first,), (), queued=(waiting(paid, [1]),)), NOW)
    state, _ = step(
        state, Changes((before, first), queued=(waiting(paid, [2]), waiting(task(), [3]))), NOW + 1
    )
    for job, expected in ((2, (9_000_000, 8_400_000)), (3, (10_000_000, 12_000_000))):
        explanation = explain(state, job)
        assert explanation is not None
        found = {one.pool: one.terms for one in explanation.pools}
        assert expected == tuple(
            terms_.money_micro_yuan for key in ("a/x", "b/x") if (terms_ := found[key]) is not None
        )


def test_its_own_city_is_preferred_by_as_much_as_it_would_wait_there() -> None:
    here = pool("a/x", city="hefei", nodes=1, devices_per_node=1, device_hour_micro_yuan=14_000_000)
    there = pool("b/x", city="wuhu", nodes=1, devices_per_node=1, device_hour_micro_yuan=10_000_000)
    # Half an hour is worth 5 yuan, 20 minutes are worth 3.33, and the own city costs 4 more.
    for away_ms, chosen in ((0, "b/x"), (HOUR // 3, "b/x"), (HOUR // 2, "a/x")):
        home = task(home="hefei", away_ms=away_ms)
        _, plan = step(State.empty(Policy()), Changes((here, there), (), queued=(waiting(home, [1]),)), NOW)
        assert {1: chosen} == started(plan)


def test_what_has_no_room_at_home_overflows_with_the_reason() -> None:
    here = pool("a/x", city="hefei", nodes=1, devices_per_node=1)
    there = pool("b/x", city="wuhu", nodes=1, devices_per_node=1)
    home = task(home="hefei", away_ms=HOUR)
    state, plan = step(
        State.empty(Policy()), Changes((here, there), (), queued=(waiting(home, [1, 2]),)), NOW
    )
    assert {1: "a/x", 2: "b/x"} == started(plan)
    explanation = explain(state, 2)
    assert explanation is not None
    found = {reason.pool: reason for reason in explanation.pools}
    assert (Verdict.FULL, Verdict.CHOSEN) == (found["a/x"].verdict, found["b/x"].verdict)
    assert "not in hefei, its own city: it would rather wait 1h00m" in found["b/x"].note
    assert "" == found["a/x"].note


def test_a_home_without_pools_makes_no_difference() -> None:
    pools = (pool("a/x", city="wuhu"), pool("b/x", city="bengbu"))
    plain, homeless = (terms(pools, task(home=home, away_ms=HOUR)) for home in ("", "hefei"))
    assert plain == homeless
