"""Policies by name, the bounds of their constants, and their orders against the formulas as published."""

import importlib
import math
import pkgutil
from typing import Any

import numba
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from weir.scheduling import Policy, policies
from weir.scheduling.compilation import kernel
from weir.scheduling.policies import ABOUT, NAMED
from weir.scheduling.policy import ALL, LARGEST_PRICE, LONGEST_MS, Order, Placement
from weir.scheduling.simulated import rates_of

kernel("clock")  # it says where compiled code is kept before the orders' own module is imported

from weir.scheduling.kernels import priority  # noqa: E402
from weir.scheduling.kernels.linked import EntryCompiler  # noqa: E402

HOUR_MS = 3_600_000
WHOLE = 1_024
_OPTIONS: Any = {"_nrt": False, "pipeline_class": EntryCompiler}  # as those that call these functions
Job = tuple[int, int, int, int]
"""Submitted, expected run, wait: seconds; and nodes."""


@numba.njit(cache=False, error_model="numpy", **_OPTIONS)
def _key(rates, submitted, expected, need, now):  # type: ignore[no-untyped-def]
    return priority.key_of(rates, submitted, expected, need, now)


@numba.njit(cache=False, error_model="numpy", **_OPTIONS)
def _gate(rates, size, whole):  # type: ignore[no-untyped-def]
    return priority.gate(rates, size, whole)


class TestNames:
    def test_they_are_those_that_people_know(self) -> None:
        assert {
            "weir", "weir-by-tenant", "fcfs", "sjf", "sjf-greedy", "sjf-committed", "easy", "easy-sjbf",
            "conservative", "wfp3", "unicef", "f1", "saf", "cheapest", "nearest", "earliest", "race",
        } == set(NAMED)  # fmt: skip
        assert "weir" == next(iter(NAMED))

    def test_the_live_loops_own_is_none_of_them(self) -> None:
        assert "weir-1" == Policy().name
        assert Policy().name not in NAMED

    def test_each_module_declares_the_policy_that_it_is_named_after(self) -> None:
        found = dict[str, Policy]()
        for module in pkgutil.iter_modules(policies.__path__):
            policy = importlib.import_module(f"{policies.__name__}.{module.name}").POLICY
            assert module.name.replace("_", "-") == policy.name
            found[policy.name] = policy
        assert found == NAMED

    @pytest.mark.parametrize("name", NAMED)
    def test_each_says_in_one_sentence_what_it_is(self, name: str) -> None:
        text = importlib.import_module(f"{policies.__name__}.{name.replace('-', '_')}").__doc__ or ""
        first = text.split("\n", 1)[0]
        assert first.startswith(f"`{name}`: ")
        assert first.endswith((".", "nodes", "submitted)"))
        assert first == f"`{name}`: {ABOUT[name]}"

    def test_no_two_are_alike(self) -> None:
        constants = [
            tuple(getattr(policy, field) for field in Policy.__slots__ if field not in ("name", "version"))
            for policy in NAMED.values()
        ]
        assert len(constants) == len(set(constants))


def policy_with(field: str, value: Any) -> Policy:
    return Policy(**{field: value})


class TestBounds:
    @pytest.mark.parametrize(
        ("field", "most"),
        [
            ("time_micro_yuan_per_hour", LARGEST_PRICE),
            ("carbon_micro_yuan_per_kg", LARGEST_PRICE),
            ("patience_ms", LONGEST_MS),
            ("run_power_milli", 2_000),
            ("size_power_milli", 2_000),
            ("least_run_ms", LONGEST_MS),
            ("gate_ms", LONGEST_MS),
            ("gate_power", 16),
            ("depth", ALL),
        ],
    )
    def test_what_is_beyond_them_is_refused_by_name(self, field: str, most: int) -> None:
        for value in (0, most):
            assert value == getattr(policy_with(field, value), field)
        for value in (-1, most + 1):
            with pytest.raises(ValueError, match=rf"^{field}: {value} is not between 0 and {most}$"):
                policy_with(field, value)

    def test_a_policy_that_blocks_promises_nothing(self) -> None:
        with pytest.raises(ValueError, match=r"^blocking: .* depth is 0"):
            Policy(blocking=True, depth=1)

    def test_only_a_policy_that_blocks_can_commit_itself(self) -> None:
        with pytest.raises(ValueError, match=r"^committed: only a policy that blocks"):
            Policy(committed=True)

    def test_a_policy_cannot_be_changed(self) -> None:
        with pytest.raises(AttributeError):
            NAMED["easy"].depth = 2  # type: ignore[misc]


def key(policy: Policy, job: Job) -> int:
    """Of a job in the policy's order: the least goes first."""
    submitted, expected, wait, nodes = job
    now = (submitted + wait) * 1_000
    rates = rates_of(policy, policy.order, WHOLE)
    return int(_key(rates, submitted * 1_000, expected * 1_000, nodes, now))


JOBS = st.tuples(
    st.integers(1, 40_000_000), st.integers(1, 400_000), st.integers(0, 1_000_000), st.integers(2, WHOLE)
)

FORMULAS = {
    Order.SUBMITTED: lambda s, r, w, n: s,
    Order.SHORTEST: lambda s, r, w, n: r,
    Order.SMALLEST_AREA: lambda s, r, w, n: r * n,
    Order.F1: lambda s, r, w, n: math.log10(r) * n + 870 * math.log10(s),
    Order.WFP3: lambda s, r, w, n: -((w / r) ** 3) * n,
    Order.UNICEF: lambda s, r, w, n: -w / (math.log2(n) * r),
    Order.PATIENCE: lambda s, r, w, n: s + 180_000 * (max(r, 10) / 3_600) ** 0.2 * (n / WHOLE) ** 0.1,
}
"""By what jobs go, the least first."""


class TestOrders:
    @pytest.mark.parametrize("order", Order, ids=lambda order: order.name)
    @given(one=JOBS, other=JOBS)
    def test_jobs_go_as_the_formula_says(self, order: Order, one: Job, other: Job) -> None:
        here, there = FORMULAS[order](*one), FORMULAS[order](*other)
        # Logarithms and powers are in fixed point: values this near to each other may be equal, or change places.
        assume(abs(here - there) > max(1e-5, 2e-4 * max(abs(here), abs(there))))
        policy = Policy(order=order)
        assert (here < there) == (key(policy, one) < key(policy, other))

    @given(job=JOBS, other=JOBS)
    def test_unicef_lets_a_job_of_one_node_go_before_all_others(self, job: Job, other: Job) -> None:
        policy = NAMED["unicef"]
        assert key(policy, (*job[:3], 1)) < key(policy, other)

    @given(
        job=JOBS,
        patience=st.integers(1, 1_000_000),
        run_power=st.integers(0, 2_000),
        size_power=st.integers(0, 2_000),
        least=st.integers(1, 10_000),
    )
    def test_patience_ends_when_the_formula_says(
        self, job: Job, patience: int, run_power: int, size_power: int, least: int
    ) -> None:
        submitted, expected, _, nodes = job
        policy = Policy(
            order=Order.PATIENCE, patience_ms=patience * 1_000, run_power_milli=run_power,
            size_power_milli=size_power, least_run_ms=least * 1_000,
        )  # fmt: skip
        share = (nodes / WHOLE) ** (size_power / 1_000)
        expected_ms = 1_000 * patience * (max(expected, least) / 3_600) ** (run_power / 1_000) * share
        assume(expected_ms < LONGEST_MS)
        assert expected_ms == pytest.approx(key(policy, job) - 1_000 * submitted, rel=1e-3, abs=2)

    @given(size=st.integers(1, WHOLE), hours=st.integers(0, 500), power=st.integers(0, 16))
    def test_the_gate_is_for_those_that_take_much_of_a_pool(self, size: int, hours: int, power: int) -> None:
        rates = rates_of(Policy(gate_ms=hours * HOUR_MS, gate_power=power), Order.PATIENCE, WHOLE)
        expected_ms = hours * HOUR_MS * (size / WHOLE) ** power
        assert expected_ms == pytest.approx(int(_gate(rates, size, WHOLE)), abs=power + 1)

    def test_equal_keys_of_orders_that_wait_does_not_change(self) -> None:
        for order in (Order.SUBMITTED, Order.SHORTEST, Order.SMALLEST_AREA, Order.F1, Order.PATIENCE):
            policy = Policy(order=order)
            assert key(policy, (500, 60, 0, 4)) == key(policy, (500, 60, 10**6, 4))


def test_only_four_say_where_a_job_may_go() -> None:
    placed = {name: policy.placement for name, policy in NAMED.items() if policy.placement}
    assert {
        "earliest": Placement.EARLIEST,
        "cheapest": Placement.CHEAPEST,
        "nearest": Placement.NEAREST,
        "race": Placement.RACE,
    } == placed


def test_a_key_is_a_whole_number_even_at_the_edges() -> None:
    most = np.iinfo(np.int64).max
    for order in Order:
        for job in ((0, 0, 0, 1), (0, LONGEST_MS // 1_000, 0, 2**20), (10**9, 1, 10**8, 2**20)):
            assert -most <= key(Policy(order=order), job) <= most
