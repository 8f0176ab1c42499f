"""Rounds: simulate jobs that are preempted, moved between unlike devices, and widened or narrowed while they run."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from weir.model.problem import refused
from weir.scheduling.compilation import kernel_of
from weir.twin.rounds.case import NONE, Case, Floats, Int64s


@dataclass(slots=True)
class State:
    """Everything that a policy may look at, beside the case; arrays are [job] unless said otherwise.

    A policy reads it and changes nothing. `done` and the case's `work` and `rate` are the peer's rule of what is
    known; a policy that is not to know how long a job will run simply does not read `work`.
    """

    now: float
    active: Int64s
    """Jobs submitted and not ended, rising."""
    option: Int64s
    """What it holds, or NONE."""
    done: Floats
    """Units of work."""
    phase: Int64s
    delay_s: Floats
    """Rest of a restart that is under way."""
    since_s: Floats
    """When it came to its present option, or lost the last one."""
    attained_s: Floats
    """Device-seconds held so far."""
    kind_s: Floats
    """[job, kind] seconds held so far."""
    lost_s: Floats
    """Device-seconds held in restarts so far."""
    widest: Int64s
    """The most devices it has worked on."""
    moves: Int64s
    """Restarts after the first start."""
    start_s: Floats
    end_s: Floats
    """-1 until then, both."""

    @classmethod
    def of(cls, case: Case) -> "State":
        """Nothing has happened yet."""
        jobs, kinds = len(case), len(case.kinds)
        return cls(
            now=0.0,
            active=np.empty(0, np.int64),
            option=np.full(jobs, NONE),
            done=np.zeros(jobs),
            phase=np.zeros(jobs, np.int64),
            delay_s=np.zeros(jobs),
            since_s=np.zeros(jobs),
            attained_s=np.zeros(jobs),
            kind_s=np.zeros((jobs, kinds)),
            lost_s=np.zeros(jobs),
            widest=np.zeros(jobs, np.int64),
            moves=np.zeros(jobs, np.int64),
            start_s=np.full(jobs, -1.0),
            end_s=np.full(jobs, -1.0),
        )


class Policy(Protocol):
    """Who runs where in the next round. One object serves one simulation."""

    @property
    def name(self) -> str: ...

    def decide(self, state: State) -> Int64s:
        """The option of each of `state.active` for the coming round, or NONE; same state, same answer."""
        ...


@dataclass(frozen=True, slots=True)
class RoundsOutcome:
    """What became of a case; arrays are [job], times in seconds."""

    case: Case
    policy: str
    start_s: Floats
    end_s: Floats
    moves: Int64s
    attained_s: Floats
    lost_s: Floats
    kind_s: Floats
    """[job, kind] seconds held."""
    rounds: int

    @property
    def completion_s(self) -> Floats:
        """[job] JCT: end minus submit."""
        return self.end_s - self.case.submit_s

    @property
    def makespan_s(self) -> float:
        """Last end minus first submit."""
        return float(self.end_s.max() - self.case.submit_s.min())


def simulate(
    case: Case, policy: Callable[[Case], Policy], *, validate: bool = False, at_most: int = 10_000_000
) -> RoundsOutcome:
    """Run the case to the end of its last job.

    With `validate` every decision and every round is checked: no kind above its capacity, gangs within nodes, only
    options that the job can run on, nobody placed who is not there, and work done only as fast as the rate allows.
    Raises ProblemError when `at_most` rounds did not suffice: a policy that starves a job for ever.
    """
    kernel = kernel_of("twin", "rounds")
    chooser = policy(case)
    rule = case.rule
    state = State.of(case)
    now, seen, rounds = rule.first_s, 0, 0
    jobs = len(case)
    waiting: NDArray[np.int64] = np.empty(0, np.int64)
    while True:
        arrived = int(np.searchsorted(case.submit_s, now, side="right"))
        if arrived > seen:
            waiting = np.concatenate([waiting, np.arange(seen, arrived)])
            seen = arrived
        if not waiting.size:
            if seen == jobs:
                break
            now = _next_start(rule.round_s, now, float(case.submit_s[seen]), rule.until_last)
            continue
        if rounds == at_most:
            raise refused("policy", chooser.name, f"a policy that ends all jobs within {at_most} rounds")
        rounds += 1
        state.now, state.active = now, waiting
        wanted = chooser.decide(state)
        if validate:
            check_decision(case, state, wanted)
        kernel.place(
            now, waiting, wanted, state.option, state.since_s, state.start_s, state.delay_s, state.moves,
            case.profile, case.restart_s,
        )  # fmt: skip
        before = state.done.copy() if validate else state.done
        last = kernel.advance(
            now, rule.round_s, rule.whole_steps, rule.whole_seconds, waiting, state.option, state.done,
            state.phase, state.delay_s, state.attained_s, state.kind_s, state.lost_s, state.widest, state.end_s,
            case.profile, case.work, case.rate, case.phase_end, case.option_kind, case.option_devices,
        )  # fmt: skip
        if validate:
            check_work(case, state, before)
        if not rule.until_last:
            now += rule.round_s
        elif last > now:
            now = last
        elif seen < jobs:
            now = float(case.submit_s[seen])
        else:
            raise refused(
                "policy", chooser.name, "a policy that runs something while nothing else can happen"
            )
        ended = state.end_s[waiting] >= 0
        if ended.any():
            state.option[waiting[ended]] = NONE
            waiting = waiting[~ended]
    return RoundsOutcome(
        case, chooser.name, state.start_s, state.end_s, state.moves, state.attained_s, state.lost_s, state.kind_s,
        rounds,
    )  # fmt: skip


def check_decision(case: Case, state: State, wanted: Int64s) -> None:
    """Raises AssertionError when a decision breaks a rule of the case."""
    assert wanted.shape == state.active.shape, "one option for each active job"
    placed = wanted != NONE
    assert ((wanted >= NONE) & (wanted < len(case.option_kind))).all(), "options of the case"
    chosen, jobs = wanted[placed], state.active[placed]
    used = np.bincount(
        case.option_kind[chosen], weights=case.option_devices[chosen], minlength=len(case.kinds)
    )
    assert (used <= case.capacity).all(), f"devices used {used} of {case.capacity}"
    for kind, node in enumerate(case.node_devices):
        wide = case.option_devices[chosen[case.option_kind[chosen] == kind]]
        assert packs(wide, int(node), int(case.capacity[kind])), f"{wide.tolist()} in nodes of {node}"
    assert (case.rate[case.profile[jobs], state.phase[jobs], chosen] > 0).all(), (
        "an option that the job runs on"
    )
    if case.rule.doubling:
        most = np.maximum(2 * state.widest[jobs], 1)
        assert (case.option_devices[chosen] <= most).all(), "at most twice as wide as ever before"


def packs(widths: Int64s, node: int, devices: int) -> bool:
    """Whether jobs so wide fit into nodes of `node` devices, each in as few nodes as can be: largest remainders first,
    each into the first node with room."""
    rooms = [node] * (devices // node - int((widths // node).sum()))
    for rest in sorted((width % node for width in widths.tolist()), reverse=True):
        if rest == 0:
            continue
        place = next((place for place, room in enumerate(rooms) if room >= rest), None)
        if place is None:
            return False
        rooms[place] -= rest
    return True


def check_work(case: Case, state: State, before: Floats) -> None:
    """Raises AssertionError when a job did more than its fastest phase allows, or lost work, or outdid its own."""
    gained = state.done - before
    ran = np.flatnonzero(state.option != NONE)
    fastest = case.rate[case.profile[ran], :, state.option[ran]].max(axis=1)
    # A phase's end is rounded by up to half a second a phase where seconds are whole.
    slack = 1.0 * case.rate.shape[1] if case.rule.whole_seconds else 1e-6
    assert (gained[ran] <= fastest * (case.rule.round_s + slack)).all(), "work no faster than the rate"
    assert (gained >= 0).all(), "work is never lost: a preempted job is saved"
    assert np.count_nonzero(gained) == np.count_nonzero(gained[ran]), "work only on devices"
    assert (state.done <= case.work).all(), "no more work than there is"
    ended = state.end_s >= 0
    assert (state.done[ended] == case.work[ended]).all(), "an ended job did all its work"


def _next_start(round_s: float, now: float, submit_s: float, until_last: bool) -> float:
    """The first round that sees a job submitted then, while nothing else is there."""
    if until_last:
        return submit_s
    return now + round_s * float(np.ceil((submit_s - now) / round_s))


__all__ = ["Policy", "RoundsOutcome", "State", "check_decision", "check_work", "simulate"]
