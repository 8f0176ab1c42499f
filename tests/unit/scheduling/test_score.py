"""The score against its definition in unbounded integers, up to the bounds of every input."""

from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.scheduling.provinces import NOW, pool, task
from weir.scheduling import Policy, State, step
from weir.scheduling.inputs import Changes, LinkRow, QueuedJobs
from weir.scheduling.plan import Terms

LARGEST_TERM, LARGEST_RATE = 2**44, 2**50


def defined(policy: Policy, row: Any, job: Any, limit: int, link: LinkRow) -> Terms:
    """What `Terms` says, in Python's integers."""
    speed = min(10**6, max(1, row.speed_milli)) * (job.variant_speeds[0][1] if job.variant_speeds else 1_000)
    run = min(2**38, -(-limit * 10**6 // speed))
    move = sum(-(-size * 8_000 // link.bits_per_second) + link.latency_ms for _, size in job.data)
    devices = min(2**37, job.tasks * job.devices_milli)
    cores = min(2**37, job.tasks * job.cores_milli)
    rate = min(LARGEST_RATE, row.device_hour_micro_yuan * devices // 1_000)
    rate += min(LARGEST_RATE, row.core_hour_micro_yuan * cores // 1_000)
    money = min(LARGEST_TERM, rate * run // 3_600_000)
    grams = min(2**40, row.device_power_watts * row.carbon_g_per_kwh)
    carbon = min(LARGEST_TERM, min(LARGEST_RATE, grams * devices // 1_000) * run // 3_600_000)
    move = min(move, 2**39)
    time_worth = min(LARGEST_TERM, policy.time_micro_yuan_per_hour * (run + move) // 3_600_000)
    carbon_worth = min(LARGEST_TERM, carbon * policy.carbon_micro_yuan_per_kg // 1_000_000)
    weights = [
        min(100_000, max(0, weight)) for weight in (job.weight_time, job.weight_money, job.weight_carbon)
    ]
    parts = (time_worth, money, carbon_worth)
    score = sum(weight * part for weight, part in zip(weights, parts, strict=True)) // 1_000
    return Terms(run, move, money, carbon, score)


large = st.one_of(st.integers(0, 1_000), st.integers(0, 2**40), st.just(2**40))


@settings(max_examples=200)
@given(
    speed=st.integers(1, 10**6),
    prices=st.tuples(large, large),
    power=st.tuples(st.integers(0, 2**20), st.integers(0, 2**20)),
    shape=st.tuples(
        st.sampled_from([1, 3, 1_000, 2**17]), st.sampled_from([0, 1_000, 1_024_000]), st.integers(0, 2**30)
    ),
    weights=st.tuples(*[st.sampled_from([-1, 0, 1, 1_000, 100_000, 2**70])] * 3),
    limit=st.one_of(st.integers(1, 10**6), st.integers(1, 2**35)),
    variant=st.one_of(st.none(), st.integers(1, 10**6)),
    size=st.one_of(st.none(), st.integers(1, 2**60)),
    bandwidth=st.integers(1, 2**40),
    rates=st.tuples(large, large),
)
def test_terms_and_score_are_as_defined(
    speed: int,
    prices: tuple[int, int],
    power: tuple[int, int],
    shape: tuple[int, int, int],
    weights: tuple[int, int, int],
    limit: int,
    variant: int | None,
    size: int | None,
    bandwidth: int,
    rates: tuple[int, int],
) -> None:
    row = pool(
        nodes=shape[0],
        devices_per_node=1_024,
        cores_milli_per_node=2**30,
        speed_milli=speed,
        device_hour_micro_yuan=prices[0],
        core_hour_micro_yuan=prices[1],
        device_power_watts=power[0],
        carbon_g_per_kwh=power[1],
    )
    job = task(
        tasks=shape[0],
        devices_milli=shape[1],
        cores_milli=shape[2],
        weight_time=weights[0],
        weight_money=weights[1],
        weight_carbon=weights[2],
    )
    if variant:
        job = replace(job, variant_speeds=(("cann", variant),))
    if size:
        job = replace(job, data=(("wuhu", size),))
    link = LinkRow("hefei", "wuhu", bandwidth, 3)
    policy = Policy(time_micro_yuan_per_hour=rates[0], carbon_micro_yuan_per_kg=rates[1])
    one = QueuedJobs(job, *(np.array([value], np.int64) for value in (1, 0, NOW, limit)))
    _, plan = step(State.empty(policy), Changes(pools=(row,), links=(link,), queued=(one,)), NOW)
    assert defined(policy, row, job, limit, link) == plan.reasons[0][0].terms
