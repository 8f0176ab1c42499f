"""Shares of time made into rounds: whoever is furthest behind its share goes first (Gavel's mechanism)."""

from collections.abc import Callable

import numpy as np

from weir.scheduling.compilation import kernel_of
from weir.twin.rounds.case import NONE, Case, Floats, Int64s
from weir.twin.rounds.simulation import State

Shares = Callable[[Floats, Floats, Int64s, Int64s, Floats], Floats]
"""(rate [job, kind], remaining work, devices, capacity, the rate of an equal share) -> share of time [job, kind]."""


class SharedTime:
    """Rounds in the manner of Gavel (OSDI 2020, section 5) for rigid jobs: shares of time, then priorities.

    Shares are computed anew once jobs have come or gone and `renew_s` has passed, and at once when nobody would run:
    until then a new job only holds its place. In each round, kind by kind, jobs
    go by share / time received of that kind since then, next by how much they are still owed from before, and each
    is placed whole where it fits. What is left over goes to anybody, so that no device idles that a job could use.
    """

    def __init__(self, case: Case, name: str, shares: Shares, *, renew_s: float = 1_920.0) -> None:
        self._case, self._name, self._shares, self._renew_s = case, name, shares, renew_s
        jobs, kinds = len(case), len(case.kinds)
        self._rate, self._option, self._devices = rigid_options(case)
        self._share = np.zeros((jobs, kinds))
        self._known = np.zeros(jobs, np.bool_)
        self._owed = np.zeros((jobs, kinds))
        self._mark = np.zeros((jobs, kinds))
        """Time held when the shares were last computed."""
        self._spent = np.zeros(kinds)
        """Time of all jobs on a kind since then, with those that have ended."""
        self._before = np.empty(0, np.int64)
        self._renewed_s = 0.0
        self._stale = True
        self._held = np.zeros((jobs, kinds))

    @property
    def name(self) -> str:
        return self._name

    def decide(self, state: State) -> Int64s:
        """The option of each active job."""
        active = state.active
        if not np.array_equal(active, self._before):
            self._stale = True
        self._spent += (state.kind_s - self._held).sum(axis=0)
        self._held[:] = state.kind_s
        waited = state.now - self._renewed_s
        if self._stale and (waited >= self._renew_s or self._renewed_s == 0.0):
            self._renew(state)
        self._before = active.copy()
        chosen = self._in_turn(state)
        if (chosen == NONE).all():
            self._renew(state)
            chosen = self._in_turn(state)
        return chosen

    def _renew(self, state: State) -> None:
        active = state.active
        received = state.kind_s[active] - self._mark[active]
        self._owed[active] += self._share[active] * (state.now - self._renewed_s) - received
        self._mark[active] = state.kind_s[active]
        self._spent[:] = self._case.rule.round_s / 2 * active.size
        self._renewed_s = state.now
        self._stale = False
        remaining = self._case.work[active] - state.done[active]
        rate, capacity = self._rate[active], self._case.capacity
        equal = (rate * capacity).sum(axis=1) / max(capacity.sum(), 1)
        self._share[active] = self._shares(rate, remaining, self._devices[active], capacity, equal)
        self._known[active] = True

    def _in_turn(self, state: State) -> Int64s:
        active, half = state.active, self._case.rule.round_s / 2
        received = half + state.kind_s[active] - self._mark[active]
        first = self._share[active] * self._spent / received
        first[self._rate[active] <= 0] = 0.0
        order = [
            np.lexsort((-self._share[active, k], -self._owed[active, k], -first[:, k]))
            for k in range(len(self._case.kinds))
        ]
        chosen: Int64s = kernel_of("twin", "rounds").in_turn(
            np.array(order),
            self._rate[active],
            self._option[active],
            self._devices[active],
            self._case.capacity,
            self._known[active],
        )
        return chosen


def rigid_options(case: Case) -> tuple[Floats, Int64s, Int64s]:
    """[job, kind] rate and option of jobs whose width is fixed, and [job] their width.

    Of an elastic job it is the narrowest width at which it runs on some kind. Raises nothing: a kind on which the
    job does not run has rate 0.
    """
    jobs, kinds = len(case), len(case.kinds)
    rate, option = np.zeros((jobs, kinds)), np.full((jobs, kinds), NONE)
    runs = case.rate[:, 0, :] > 0
    narrow = np.where(runs, case.option_devices, np.iinfo(np.int64).max).min(axis=1)
    for place, kind in enumerate(case.option_kind):
        fits = (case.option_devices[place] == narrow)[case.profile] & runs[case.profile, place]
        rate[fits, kind] = case.rate[case.profile[fits], 0, place]
        option[fits, kind] = place
    return rate, option, narrow[case.profile]


__all__ = ["SharedTime", "Shares", "rigid_options"]
