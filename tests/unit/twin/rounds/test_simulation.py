"""Time in rounds: what a job does, when it ends, and what no policy may do."""

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.unit.twin.rounds.cases import case, phased
from weir.model.problem import ProblemError
from weir.twin.rounds import NONE, Case, Rule, State, simulate
from weir.twin.rounds.simulation import packs


class Given:
    """A policy that does as it is told: the option of each job by name of round, the last answer for ever."""

    name = "given"

    def __init__(self, *rounds: list[int]) -> None:
        self._rounds, self._round = rounds, 0

    def decide(self, state: State) -> NDArray[np.int64]:
        answer = self._rounds[min(self._round, len(self._rounds) - 1)]
        self._round += 1
        return np.array([answer[job] for job in state.active], np.int64)


def given(*rounds: list[int]) -> "type[Given]":
    return lambda case: Given(*rounds)  # type: ignore[return-value]  # made for simulate, which calls it once


def test_a_job_runs_at_the_rate_of_its_option() -> None:
    one = case([(0.0, 0, 100.0)], [[2.0, 5.0]], [(0, 1), (1, 1)], [1, 1])
    assert 50.0 == simulate(one, given([0]), validate=True).end_s[0]
    assert 20.0 == simulate(one, given([1]), validate=True).end_s[0]


def test_a_move_costs_the_restart_and_keeps_the_work() -> None:
    one = case([(0.0, 0, 100.0)], [[2.0, 5.0]], [(0, 1), (1, 1)], [1, 1], restart_s=4.0)
    # 6 s at 2, then 4 s of restart, then the rest at 5.
    outcome = simulate(one, given([0], [1]), validate=True)
    assert 10.0 + 4.0 + (100.0 - 12.0) / 5.0 == pytest.approx(outcome.end_s[0])
    assert [1] == outcome.moves.tolist()
    assert [8.0] == outcome.lost_s.tolist()


def test_a_pause_costs_a_restart_too() -> None:
    one = case([(0.0, 0, 30.0)], [[2.0]], [(0, 1)], [1], restart_s=4.0)
    outcome = simulate(one, given([0], [NONE], [0]), validate=True)
    assert 20.0 + 4.0 + (30.0 - 12.0) / 2.0 == outcome.end_s[0]


def test_a_restart_longer_than_a_round_goes_on_in_the_next() -> None:
    one = case([(0.0, 0, 10.0)], [[1.0]], [(0, 1)], [1], restart_s=25.0)
    assert 35.0 == simulate(one, given([0]), validate=True).end_s[0]


def test_phases_have_their_own_rates() -> None:
    one = phased([(0.0, 0, 30.0)], [[[1.0], [4.0]]], [[6.0, 30.0]], [(0, 1)], [1])
    assert 6.0 + 24.0 / 4.0 == simulate(one, given([0]), validate=True).end_s[0]


def test_whole_seconds_round_the_end_of_a_phase() -> None:
    rule = Rule(round_s=10.0, whole_seconds=True)
    one = phased([(0.0, 0, 9.0)], [[[2.0], [2.0]]], [[5.0, 9.0]], [(0, 1)], [1], rule)
    # 2.5 s go to the even 2, then 2 s.
    assert 4.0 == simulate(one, given([0]), validate=True).end_s[0]


def test_a_round_ends_with_the_last_run_and_makes_whole_steps() -> None:
    rule = Rule(round_s=10.0, until_last=True, whole_steps=True)
    one = case([(0.0, 0, 7.0)], [[0.35]], [(0, 1)], [1], rule)
    # Three steps fit into a round and take 3 / 0.35 s; seven are two rounds and one step.
    outcome = simulate(one, given([0]), validate=True)
    assert 7.0 / 0.35 == pytest.approx(outcome.end_s[0])
    assert 3 == outcome.rounds


def test_jobs_are_seen_at_the_next_round() -> None:
    rule = Rule(round_s=10.0, first_s=10.0)
    two = case([(3.0, 0, 5.0), (31.0, 0, 5.0)], [[1.0]], [(0, 1)], [1], rule)
    outcome = simulate(two, given([0, 0]), validate=True)
    assert [10.0, 40.0] == outcome.start_s.tolist()
    assert [12.0, 14.0] == outcome.completion_s.tolist()
    assert 45.0 - 3.0 == outcome.makespan_s


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ([0, 0], "devices used"),
        ([1, NONE], "runs on"),
        ([7, NONE], "options of the case"),
    ],
)
def test_validation_refuses_what_breaks_the_case(wrong: list[int], words: str) -> None:
    two = case([(0.0, 0, 5.0), (0.0, 0, 5.0)], [[1.0, 0.0]], [(0, 1), (1, 1)], [1, 1])
    with pytest.raises(AssertionError, match=words):
        simulate(two, given(wrong), validate=True)


def test_validation_refuses_a_leap_in_width() -> None:
    rule = Rule(round_s=10.0, doubling=True)
    one = case([(0.0, 0, 500.0)], [[1.0, 2.0, 4.0]], [(0, 1), (0, 2), (0, 4)], [4], rule)
    assert 3 < simulate(one, given([0], [1], [2]), validate=True).rounds
    with pytest.raises(AssertionError, match="twice as wide"):
        simulate(one, given([0], [2]), validate=True)


@pytest.mark.parametrize(
    ("widths", "fits"),
    [
        ([8, 4, 4], True),
        ([12, 4], True),
        ([12, 6], False),
        ([5, 5], True),
        ([5, 5, 3], True),
        ([5, 5, 4], False),
    ],
)
def test_gangs_fit_into_nodes(widths: list[int], fits: bool) -> None:
    # Two nodes of eight.
    assert fits is packs(np.array(widths), 8, 16)


def test_a_policy_that_runs_nobody_is_refused() -> None:
    rule = Rule(round_s=10.0, until_last=True)
    one = case([(0.0, 0, 5.0)], [[1.0]], [(0, 1)], [1], rule)
    with pytest.raises(ProblemError, match="given"):
        simulate(one, given([NONE]))
    with pytest.raises(ProblemError, match="within 20 rounds"):
        simulate(case([(0.0, 0, 5.0)], [[1.0]], [(0, 1)], [1]), given([NONE]), at_most=20)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"jobs": [(5.0, 0, 5.0), (0.0, 0, 5.0)]}, "submit_s"),
        ({"jobs": [(0.0, 0, 0.0)]}, "work of j0"),
        ({"rates": [[0.0]]}, "profile of j0"),
        ({"options": [(0, 2)]}, "option_devices"),
        ({"rule": Rule(round_s=0.0)}, "round_s"),
    ],
)
def test_a_case_that_cannot_be_is_refused(change: dict[str, object], field: str) -> None:
    sound: dict[str, object] = {
        "jobs": [(0.0, 0, 5.0)], "rates": [[1.0]], "options": [(0, 1)], "capacity": [1],
    }  # fmt: skip
    with pytest.raises(ProblemError, match=field):
        case(**{**sound, **change})  # type: ignore[arg-type]  # the table above mixes fields


def test_fastest_adds_up_the_phases() -> None:
    one: Case = phased([(0.0, 0, 30.0)], [[[1.0, 2.0], [4.0, 1.0]]], [[6.0, 30.0]], [(0, 1), (1, 1)], [1, 1])
    assert 6.0 / 2.0 + 24.0 / 4.0 == one.fastest[0]
