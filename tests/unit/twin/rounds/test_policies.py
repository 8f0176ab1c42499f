"""The policies of rounds: what each of them is for, and what all of them keep to."""

import highspy
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.twin.rounds.cases import case, random_case
from weir.scheduling.compilation import kernel_of
from weir.twin.rounds import NONE, POLICIES, Rule, simulate
from weir.twin.rounds.policies.weir import Constants, WeirRounds

RUNS = [(name, False) for name in POLICIES] + [("weir", True), ("weir-given", True)]


@pytest.mark.parametrize(("name", "elastic"), RUNS)
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_every_policy_ends_every_job_within_the_rules(name: str, elastic: bool, seed: int) -> None:
    one = random_case(np.random.default_rng(seed), elastic=elastic)
    outcome = simulate(one, POLICIES[name], validate=True, at_most=100_000)
    assert (outcome.end_s >= one.submit_s + one.fastest - 1e-6).all()
    assert (outcome.start_s >= one.submit_s).all()
    again = simulate(one, POLICIES[name])
    assert outcome.end_s.tobytes() == again.end_s.tobytes()


def test_fifo_never_overtakes_nor_moves() -> None:
    three = case(
        [(0.0, 0, 50.0), (0.0, 1, 50.0), (1.0, 0, 1.0)], [[1.0, 0.0], [0.0, 1.0]], [(0, 1), (0, 2)], [2]
    )
    outcome = simulate(three, POLICIES["fifo"], validate=True)
    assert [0.0, 50.0, 100.0] == outcome.start_s.tolist()
    assert [0, 0, 0] == outcome.moves.tolist()


def test_max_min_gives_each_its_kind_and_equal_time() -> None:
    # Each runs twice as fast on the other kind, so both get their own and end together.
    two = case([(0.0, 0, 400.0), (0.0, 1, 400.0)], [[2.0, 1.0], [1.0, 2.0]], [(0, 1), (1, 1)], [1, 1])
    assert [200.0, 200.0] == simulate(two, POLICIES["max-min"], validate=True).end_s.tolist()
    # Three alike on two devices end at about the same time, not one after the other.
    three = case([(0.0, 0, 400.0)] * 3, [[1.0]], [(0, 1)], [2])
    ends = simulate(three, POLICIES["max-min"], validate=True).end_s
    assert 590 <= ends.min() <= ends.max() <= 620


def test_min_makespan_starts_the_longest_at_once() -> None:
    jobs = [(0.0, 0, 10.0)] * 8 + [(0.0, 0, 45.0)]
    outcome = simulate(case(jobs, [[1.0]], [(0, 1)], [3]), POLICIES["min-makespan"], validate=True)
    assert outcome.makespan_s <= 50.0


def test_weir_runs_the_shortest_first_where_remaining_work_is_given() -> None:
    jobs = [(0.0, 0, 60.0), (0.0, 0, 20.0), (0.0, 0, 40.0)]
    outcome = simulate(case(jobs, [[1.0]], [(0, 1)], [1]), POLICIES["weir-given"], validate=True)
    assert [120.0, 20.0, 60.0] == outcome.end_s.tolist()


def test_weir_leaves_a_kind_to_who_gains_most_from_it() -> None:
    two = case([(0.0, 0, 100.0), (0.0, 1, 100.0)], [[4.0, 1.0], [4.0, 3.0]], [(0, 1), (1, 1)], [1, 1])
    outcome = simulate(two, POLICIES["weir-given"], validate=True)
    assert 25.0 == outcome.end_s[0]


def test_weir_does_not_let_the_longest_prolong_the_whole() -> None:
    jobs = [(0.0, 0, 10.0)] * 9 + [(0.0, 0, 95.0)]
    outcome = simulate(case(jobs, [[1.0]], [(0, 1)], [2]), POLICIES["weir-given"], validate=True)
    assert outcome.makespan_s == 95.0


def test_weir_spreads_over_those_who_gain_rather_than_widen_one() -> None:
    # Widths 1, 2, 4 do 1, 1.5, 2 units a second: four jobs of one device each do most.
    four = case(
        [(0.0, 0, 100.0)] * 4,
        [[1.0, 1.5, 2.0]],
        [(0, 1), (0, 2), (0, 4)],
        [4],
        Rule(round_s=10.0, doubling=True),
    )
    outcome = simulate(four, POLICIES["weir"], validate=True)
    assert [100.0] * 4 == outcome.end_s.tolist()


def test_weir_widens_a_lonely_job_by_doubling() -> None:
    one = case(
        [(0.0, 0, 1_000.0)],
        [[1.0, 2.0, 4.0]],
        [(0, 1), (0, 2), (0, 4)],
        [4],
        Rule(round_s=200.0, doubling=True),
    )
    outcome = simulate(one, POLICIES["weir"], validate=True)
    # 200 s at 1, 200 s at 2, then 400 units at 4.
    assert 500.0 == outcome.end_s[0]


def test_weir_leaves_a_job_alone_within_its_least_run_and_beyond_its_moves() -> None:
    jobs = [(0.0, 0, 900.0)] + [(float(at), 0, 5.0) for at in range(10, 800, 20)]
    one = case(jobs, [[1.0]], [(0, 1)], [1])

    def moves(**constants: float) -> int:
        chosen = Constants(least_run_s=0.0, **constants)  # type: ignore[arg-type]
        return int(simulate(one, lambda case: WeirRounds(case, given=True, constants=chosen)).moves[0])

    assert 3 <= moves(free_moves=3, move_every_s=1e12) <= 4
    assert moves(free_moves=1_000) > 20


def test_weir_learns_how_much_work_a_profile_takes() -> None:
    # Jobs of profile 1 are short; once one has ended, the next goes before a long one that has run for a while.
    jobs = [(0.0, 1, 5.0), (0.0, 0, 5_000.0), (1_000.0, 1, 5.0)]
    rates = [[1.0], [1.0]]
    outcome = simulate(case(jobs, rates, [(0, 1)], [1]), POLICIES["weir"], validate=True)
    assert outcome.end_s[2] < 1_200.0 < outcome.end_s[1]


def best_level(rate: np.ndarray, need: np.ndarray, devices: np.ndarray, capacity: np.ndarray) -> float:
    """The same question as a linear program."""
    jobs, kinds = rate.shape
    model = highspy.Highs()  # type: ignore[no-untyped-call]  # it ships no types for this
    model.silent()
    level = model.addVariable(lb=0)
    share = [[model.addVariable(lb=0, ub=1) for _ in range(kinds)] for _ in range(jobs)]
    for i in range(jobs):
        model.addConstr(sum(rate[i, k] * share[i][k] for k in range(kinds)) >= need[i] * level)
        model.addConstr(sum(share[i][k] for k in range(kinds)) <= 1)
    for k in range(kinds):
        model.addConstr(sum(int(devices[i]) * share[i][k] for i in range(jobs)) <= int(capacity[k]))
    model.maximize(level)
    return float(model.val(level))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_max_min_shares_reach_the_linear_programs_level(seed: int) -> None:
    random = np.random.default_rng(seed)
    jobs, kinds = int(random.integers(2, 30)), int(random.integers(2, 4))
    rate = random.uniform(0.1, 5.0, (jobs, kinds))
    need = random.uniform(0.5, 50.0, jobs)
    devices = random.choice([1, 2, 4], jobs)
    capacity = random.integers(4, 20, kinds)
    level, shares = kernel_of("twin", "shares").max_min_shares(rate, need, devices, capacity)
    assert (shares >= 0).all()
    assert (shares.sum(axis=1) <= 1 + 1e-9).all()
    assert (devices @ shares <= capacity + 1e-9).all()
    exact = best_level(rate, need, devices, capacity)
    assert 0.95 * exact <= level <= 1.05 * exact
    # What the shares really give is less than the level by what was cut off.
    assert ((rate * shares).sum(axis=1) / need).min() >= 0.90 * exact


def test_least_completion_shares_favour_short_jobs() -> None:
    rate = np.ones((2, 1))
    shares = kernel_of("twin", "shares").least_completion_shares(
        rate, np.array([1.0, 16.0]), np.ones(2, np.int64), np.ones(1, np.int64)
    )
    # Speeds go with the square root of what is left: 1 to 4.
    assert [0.2, 0.8] == pytest.approx(shares[:, 0].tolist(), rel=0.05)


def test_most_gain_is_near_the_best_of_all_choices() -> None:
    parts = []
    for seed in range(200):
        random = np.random.default_rng(seed)
        jobs, kind, devices = 4, np.array([0, 0, 1, 1]), np.array([1, 2, 1, 2])
        capacity = random.integers(1, 5, 2)
        gain = random.uniform(0, 1, (jobs, 4)) * devices**0.7
        price = np.full(2, 0.3)
        chosen = kernel_of("twin", "shares").most_gain(
            gain, np.full(jobs, NONE), kind, devices, capacity, price, 30
        )
        held = chosen[chosen >= 0]
        assert (np.bincount(kind[held], weights=devices[held], minlength=2) <= capacity).all()
        found = sum(gain[i, c] for i, c in enumerate(chosen) if c >= 0)
        parts.append(found / best_choice(gain, kind, devices, capacity))
    assert np.median(parts) > 0.95
    assert np.mean(parts) > 0.93
    assert min(parts) > 0.6


def best_choice(gain: np.ndarray, kind: np.ndarray, devices: np.ndarray, capacity: np.ndarray) -> float:
    """By trying all."""
    best = 0.0
    for picks in np.ndindex(*(5,) * len(gain)):
        taken = [pick - 1 for pick in picks]
        used = np.zeros(2)
        for option in taken:
            if option >= 0:
                used[kind[option]] += devices[option]
        if (used <= capacity).all():
            best = max(best, sum(gain[i, c] for i, c in enumerate(taken) if c >= 0))
    return best
