"""Weir's policy for jobs that can be saved, moved, widened and narrowed: where a device gains most, it goes."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from weir.scheduling.compilation import kernel_of
from weir.twin.rounds.case import NONE, Case, Floats, Int64s
from weir.twin.rounds.simulation import State


@dataclass(frozen=True, slots=True)
class Constants:
    """Frozen; fitted on Sia's philly and newtrace workloads and Gavel's seeds 10 and 11 alone."""

    evenness: float = 0.5
    rigid_evenness: float = 1.0
    """A job's weight is the share of jobs that will take no less than it, to this power: 1 is the order of shortest
    remaining work in full, 0 is indifference. Where jobs can be narrowed, less than 1 lets those behind have the
    devices that those ahead would gain little from; a job of one width leaves none."""
    horizon_s: float = 150.0
    horizon_growth: float = 0.1
    """A move is written off over `horizon_s`, and this share of how long the job has stood as it does now."""
    least_run_s: float = 60.0
    """A job is not disturbed within this time after it was placed, nor during a restart."""
    free_moves: int = 10
    move_every_s: float = 1_800.0
    """Nor when it has been moved more than `free_moves` times, and once more in each such time since its submission."""
    price_steps: int = 30


class WeirRounds:
    """Marginal gains under weights of remaining work.

    *Work* of jobs of unlike kinds is compared as device-time on the option that wastes least of it. *Remaining* work
    is the case's where its rule gives it (`given`), else what jobs of this profile that have ended took on average;
    before the first of them has, what all jobs took, and at least as much as it has done already. *Weight*: by rank
    in remaining work, so that short jobs go first; a job that even alone would take as long as everything present
    together counts as first, since waiting for it would only prolong the whole. *Gain* of an option is weight times
    useful devices, that is devices less what it wastes there; changing costs restart / (restart + horizon) of it.
    Options are then chosen together (`most_gain`), at the prices of the last round as a start.
    """

    name = "weir"

    def __init__(self, case: Case, *, given: bool = False, constants: Constants | None = None) -> None:
        self._case, self._given = case, given
        self._constants = constants or Constants()
        self._price: Floats = np.full(len(case.kinds), 1e-3)
        with np.errstate(divide="ignore"):
            needed = np.where(case.rate > 0, case.option_devices / case.rate, np.inf)
        self._unit: Floats = needed.min(axis=2)
        """[profile, phase] device-seconds of a unit of work on the best option."""
        self._least: Floats = self._unit.min(axis=1)
        self._evenness: Floats = np.where(
            _one_width(case), self._constants.rigid_evenness, self._constants.evenness
        )
        """[profile]"""
        self._ended: Floats = np.zeros(len(case.profiles))
        self._ended_work: Floats = np.zeros(len(case.profiles))
        self._counted = np.zeros(len(case), np.bool_)

    def decide(self, state: State) -> Int64s:
        """The option of each active job."""
        case, constants, active = self._case, self._constants, state.active
        profile = case.profile[active]
        rate = case.rate[profile, state.phase[active]]
        unit = self._unit[profile, state.phase[active]]
        remaining = self._remaining(state, rate)
        holds = state.option[active]
        restart = case.restart_s[profile]

        weight = self._weight(remaining, rate, unit, self._evenness[profile])
        stood = state.now - state.since_s[active]
        with np.errstate(divide="ignore"):
            horizon = np.minimum(
                remaining[:, None] / rate, (constants.horizon_s + constants.horizon_growth * stood)[:, None]
            )
        kept = horizon / (horizon + restart[:, None])
        running = np.flatnonzero(holds != NONE)
        kept[running, holds[running]] = 1.0
        gain = weight[:, None] * unit[:, None] * rate * kept
        if case.rule.doubling:
            most = np.maximum(2 * state.widest[active], 1)
            gain[case.option_devices > most[:, None]] = 0.0
        gain /= max(float(gain.max()), 1e-300)

        age = state.now - case.submit_s[active]
        undisturbed = (
            (state.delay_s[active] > 0)
            | (stood < constants.least_run_s)
            | (state.moves[active] >= constants.free_moves + age / constants.move_every_s)
        )
        fixed = np.where(undisturbed, holds, NONE)
        chosen: Int64s = kernel_of("twin", "shares").most_gain(
            gain,
            fixed,
            case.option_kind,
            case.option_devices,
            case.capacity,
            self._price,
            constants.price_steps,
        )
        return chosen

    def _remaining(self, state: State, rate: Floats) -> Floats:
        case, active = self._case, state.active
        done = state.done[active]
        if self._given:
            return case.work[active] - done
        new = np.flatnonzero((state.end_s >= 0) & ~self._counted)
        self._counted[new] = True
        np.add.at(self._ended, case.profile[new], 1.0)
        np.add.at(self._ended_work, case.profile[new], state.done[new])
        profile = case.profile[active]
        known = self._ended[profile] > 0
        mean = self._ended_work / np.maximum(self._ended, 1.0)
        all_jobs = (self._ended_work * self._least).sum() / max(float(self._ended.sum()), 1.0) / self._least
        expected = np.where(known, mean[profile], all_jobs[profile]) - done
        # A job that outlived its forecast still has something to do: a tenth of what it has done, or, of a kind that
        # nobody has seen end, as much again and a minute.
        floor = np.where(known, 0.1 * done + 1e-9, done + 60.0 * rate.max(axis=1))
        return np.maximum(expected, floor)

    def _weight(self, remaining: Floats, rate: Floats, unit: Floats, evenness: Floats) -> Floats:
        case = self._case
        area = remaining * unit
        jobs = area.size
        shorter = np.searchsorted(np.sort(area), area, side="left")
        weight = (jobs - shorter) / jobs
        weight **= evenness
        useful = np.zeros(jobs)
        for kind, devices in enumerate(case.capacity):
            here = case.option_kind == kind
            best = (rate[:, here] / case.option_devices[here]).max(axis=1, initial=0.0)
            useful += best * unit * devices
        together = (area / np.maximum(useful, 1e-300)).sum()
        alone = remaining / rate.max(axis=1)
        weight[alone >= together] = 1.01 * weight.max()
        return weight


def _one_width(case: Case) -> NDArray[np.bool_]:
    """[profile] whether all options on which it runs are of one width."""
    runs = (case.rate > 0).any(axis=1)
    widest = np.where(runs, case.option_devices, 0).max(axis=1)
    narrowest = np.where(runs, case.option_devices, np.iinfo(np.int64).max).min(axis=1)
    return np.asarray(widest == narrowest)


def weir(case: Case) -> WeirRounds:
    """Without knowing how long a job will take."""
    return WeirRounds(case)


def weir_given(case: Case) -> WeirRounds:
    """Where the peer's rule gives each job's remaining work, as Gavel's does."""
    return WeirRounds(case, given=True)


__all__ = ["Constants", "WeirRounds", "weir", "weir_given"]
