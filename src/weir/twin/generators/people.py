"""Who submits: users of unequal activity who work in sessions, so that a user's next job resembles the last one.

Without this, generated jobs are independent of one another and nothing can be learnt from a user's history, which
real logs reward (D. Feitelson, "Locality of sampling and diversity in parallel system workloads", ICS 2007).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from weir.twin.workload import Int64s

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Habits:
    """How jobs belong to users, and how alike a user's jobs are.

    The figures are medians (rounded) over KTH-SP2, CTC-SP2, SDSC-SP2, SDSC-BLUE and HPC2N of the Parallel Workloads
    Archive, measured with a session ending where its user submits nothing for an hour.
    """

    jobs_per_user: float = 130.0
    """So many jobs for each user: 114 to 789 in those logs, 133 in the median of the three smaller ones."""
    activity: float = 0.75
    """The user of rank r makes a share of the sessions that falls as r**-activity (0.57 to 1.02 there)."""
    session_median: float = 1.3
    session_spread: float = 1.25
    """Jobs of a session: the whole part of a log-normal of this median and deviation of the logarithm, at least 1:
    a mean of 3 jobs, 6 at the 90th percentile, 24 at the 99th."""
    pause_median_s: float = 150.0
    pause_spread: float = 1.3
    """Between two submissions of a session; log-normal, at most an hour."""
    applications: int = 4
    """Each user has so many programs; a session runs one of them, the most used one in about half of the cases."""
    run_shares: tuple[float, float, float] = (0.30, 0.30, 0.20)
    size_shares: tuple[float, float, float] = (0.45, 0.30, 0.15)
    """Of the variance of the (normalised) run time and size, what is the user's, the program's and the session's own;
    the rest is the job's. Two jobs of a session so correlate by 0.80 in run time and 0.90 in size, two of one user
    at random by about 0.4 and 0.55, as in those logs."""


@dataclass(frozen=True, slots=True)
class Sessions:
    """Who makes each job, as columns: session by session, in each session in order of submission."""

    user: Int64s
    program: Int64s
    """Numbered over all users."""
    session: Int64s
    first: Int64s
    """Index of the first job of each session."""
    users: int
    programs: int

    def __len__(self) -> int:
        return len(self.user)


def draw_sessions(rng: np.random.Generator, jobs: int, habits: Habits) -> Sessions:
    """Sessions of exactly so many jobs (the last one is cut), each with its user and program."""
    users = max(1, round(jobs / habits.jobs_per_user))
    lengths = np.empty(0, np.int64)
    while lengths.sum() < jobs:
        drawn = rng.lognormal(np.log(habits.session_median), habits.session_spread, jobs // 2 + 16)
        lengths = np.concatenate((lengths, np.clip(drawn.astype(np.int64), 1, max(1, jobs // 20))))
    ends = np.cumsum(lengths)
    count = int(np.searchsorted(ends, jobs)) + 1
    lengths = lengths[:count]
    lengths[-1] -= ends[count - 1] - jobs
    user = ranked(rng, users, habits.activity, count)
    program = user * habits.applications + ranked(rng, habits.applications, 1.0, count)
    session = np.repeat(np.arange(count), lengths)
    return Sessions(
        user=user[session],
        program=program[session],
        session=session,
        first=np.cumsum(lengths) - lengths,
        users=users,
        programs=users * habits.applications,
    )


def ranked(rng: np.random.Generator, things: int, exponent: float, count: int) -> Int64s:
    """So many draws of 0..things-1, where thing r is as likely as (r+1)**-exponent."""
    cumulated = np.cumsum(np.arange(1, things + 1, dtype=np.float64) ** -exponent)
    drawn = np.searchsorted(cumulated, rng.random(count) * cumulated[-1], side="right")
    chosen: Int64s = np.minimum(drawn, things - 1).astype(np.int64)
    return chosen


def likeness(rng: np.random.Generator, sessions: Sessions, shares: tuple[float, float, float]) -> Floats:
    """A standard normal value for each job that its user's, program's and session's jobs have partly in common."""
    user, program, session = shares
    own = max(0.0, 1.0 - user - program - session)
    return np.asarray(
        np.sqrt(user) * rng.standard_normal(sessions.users)[sessions.user]
        + np.sqrt(program) * rng.standard_normal(sessions.programs)[sessions.program]
        + np.sqrt(session) * rng.standard_normal(len(sessions.first))[sessions.session]
        + np.sqrt(own) * rng.standard_normal(len(sessions))
    )


def pauses_s(rng: np.random.Generator, sessions: Sessions, habits: Habits) -> Floats:
    """Seconds since the first submission of its session, for each job."""
    pause = np.minimum(
        rng.lognormal(np.log(habits.pause_median_s), habits.pause_spread, len(sessions)), 3_600.0
    )
    pause[sessions.first] = 0.0
    total = np.cumsum(pause)
    return np.asarray(total - total[sessions.first][sessions.session])


__all__ = ["Floats", "Habits", "Sessions", "draw_sessions", "likeness", "pauses_s", "ranked"]
