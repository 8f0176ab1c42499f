"""A case: devices of unlike kinds, jobs that can be moved between them, and the rule of the rounds."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from weir.model.problem import refused

Floats = NDArray[np.float64]
Int64s = NDArray[np.int64]

NONE = -1
"""No option: the job holds no device."""


@dataclass(frozen=True, slots=True)
class Rule:
    """How time goes on; each published peer has its own.

    A round starts with a decision over the jobs submitted by then and lasts `round_s`. What ends within it is seen,
    and its devices are given away, at the next one.
    """

    round_s: float
    until_last: bool = False
    """The round ends with the last run in it, if that is earlier, so that the next one need not lie on a grid."""
    whole_steps: bool = False
    """A run makes only the whole units of work that fit into the round, and ends with the last of them."""
    whole_seconds: bool = False
    """A phase of a job ends at the nearest whole second."""
    first_s: float = 0.0
    """When the first decision may be made."""
    doubling: bool = False
    """A job may hold one device at first and then at most twice as many as it has already worked on: until it has
    run, nobody knows how it scales."""


@dataclass(frozen=True, slots=True)
class Case:
    """What is simulated. Units of work are the trace's own: steps, iterations or samples.

    A job does its `work` on one option at a time: so many devices of one kind. How fast depends on its profile, the
    option and the phase of its work that it has reached. A job on a new option, or on one again after a break, first
    stands still for its profile's `restart_s`: saving is part of that.
    """

    name: str
    kinds: tuple[str, ...]
    capacity: Int64s
    """[kind] devices."""
    node_devices: Int64s
    """[kind] devices of one node, in which a job takes as few nodes as can be; 1 where only devices count. A policy is
    not asked to pack: within a node options should be powers of two, and above it whole nodes, which always fit."""
    option_kind: Int64s
    """[option]"""
    option_devices: Int64s
    """[option]"""
    profiles: tuple[str, ...]
    rate: Floats
    """[profile, phase, option] units of work a second; 0: cannot run there."""
    phase_end: Floats
    """[profile, phase] work done when the phase ends, rising; the last one is never reached before the job's end."""
    restart_s: Floats
    """[profile]"""
    jobs: tuple[str, ...]
    """Names, in order of submission."""
    submit_s: Floats
    """[job] rising."""
    profile: Int64s
    """[job] index into `profiles`."""
    work: Floats
    """[job] units of work in all."""
    rule: Rule

    def __len__(self) -> int:
        return len(self.jobs)

    def __post_init__(self) -> None:
        if np.any(np.diff(self.submit_s) < 0):
            raise refused("submit_s", "falling", "times of submission that never fall")
        if self.rule.round_s <= 0:
            raise refused("round_s", self.rule.round_s, "more than 0 seconds")
        if np.any(self.option_devices < 1) or np.any(self.option_devices > self.capacity[self.option_kind]):
            raise refused("option_devices", self.option_devices.tolist(), "1 to the devices of the kind")
        if np.any(self.work <= 0):
            first = int(np.flatnonzero(self.work <= 0)[0])
            raise refused(f"work of {self.jobs[first]}", self.work[first], "more than 0 units of work")
        runnable = self.rate.max(axis=(1, 2)) > 0
        if not runnable[self.profile].all():
            first = int(np.flatnonzero(~runnable[self.profile])[0])
            raise refused(
                f"profile of {self.jobs[first]}",
                self.profiles[int(self.profile[first])],
                "a profile that can run on some devices of the case",
            )

    @property
    def fastest(self) -> Floats:
        """[job] seconds of work on its fastest option with everything to itself, without a restart."""
        best = self.rate.max(axis=2)
        starts = np.concatenate([np.zeros((len(self.profiles), 1)), self.phase_end[:, :-1]], axis=1)
        seconds = np.zeros(len(self))
        for phase in range(best.shape[1]):
            share = np.minimum(self.work, self.phase_end[self.profile, phase]) - starts[self.profile, phase]
            seconds += np.maximum(share, 0) / np.maximum(best[self.profile, phase], 1e-300)
        return seconds


__all__ = ["NONE", "Case", "Floats", "Int64s", "Rule"]
