"""Limits as users give them: few round values, mostly far too long, equal within a session.

The distribution is the model of D. Tsafrir, Y. Etsion and D. Feitelson, "Modeling user runtime estimates", JSSPP
2005, with its published constants: twenty popular values hold 89 % of the jobs, the longest allowed value being the
most popular one; the others hold what a power law gives them. The model says which values occur how often, and that
a job's is not shorter than its run; here the jobs of one session share one value, as 77 to 91 % do in real logs.
"""

from dataclasses import dataclass

import numpy as np

from weir.model.problem import refused
from weir.twin.generators.people import Floats
from weir.twin.workload import Int64s

MINUTE = 60
HOUR = 3_600
DAY = 86_400

POPULAR_S = tuple(MINUTE * m for m in (5, 10, 15, 20, 30)) + tuple(
    HOUR * h for h in (1, 2, 3, 4, 5, 6, 8, 10, 12, 18)
)
"""Values that are popular in all four logs that the model was made from."""
ROUND_S = tuple(HOUR * h for h in (200, 100, 50, 10, 5, 2, 1)) + tuple(MINUTE * m for m in (20, 10, 5))
"""Multiples of these, from the longest value down, complete the twenty."""
POPULAR = 20
HEAD_PERCENT = 89.0
HEAD = (14.0491, -0.177531, 0.462513)
"""Percent of the jobs at popularity rank r from 2 to 20: a * exp(b * r) + c; rank 1 has the rest of the 89."""
TAIL = (795.6, -2.267)
"""From rank 21 on: a * r**b, scaled to the other 11 percent."""
TAIL_TIMES = (12.1039, -0.6026)
"""With K values in all and a = 1 + p * K**q, the value at relative rank x is (a - 1) * x / (a - x) of the longest."""
VALUES_BY_JOBS = ((0, 20, 200, 1_000, 10_000, 70_000, 250_000), (0, 10, 20, 35, 90, 340, 565))
"""How many distinct values so many jobs use; linear between these points, constant beyond."""
USUAL_LONGEST_S = tuple(HOUR * h for h in (1, 2, 4, 6, 12, 18, 24, 36, 48, 72, 96, 120, 168))


@dataclass(frozen=True, slots=True)
class Estimates:
    """What to choose in the model of estimates."""

    longest_s: int = 0
    """The longest limit that may be given, at least an hour; 0 takes the first usual one that holds every run."""
    cut: float = 0.0
    """Share of the sessions whose users take less than they need into account (between a fifth and all of it), so
    that some of their jobs are killed at the limit. At 0 the runs stay as they were."""
    attention: float = 0.0
    """Share of the sessions whose users know their run time and take the next popular value above it and a margin
    (exponential, half of it in the mean). 0 is the published model, in which any value that suffices is as likely.
    In KTH-SP2, CTC-SP2, SDSC-SP2, SDSC-BLUE and HPC2N limit and run time correlate by rank from 0.35 to 0.75, the
    mean of run / limit is 0.31 to 0.47, and 2 to 10 % of the jobs reach the limit: ATTENTIVE comes near that
    (0.6, 0.2 and 3 % on jobs of the Lublin-Feitelson model, half of which run for less than three minutes)."""


ATTENTIVE = Estimates(cut=0.3, attention=0.8)
"""Nearer to real logs in how far limits lie from runs."""


def draw_limits(rng: np.random.Generator, run_s: Int64s, session: Int64s, model: Estimates) -> Int64s:
    """A limit in seconds for each job, one for all jobs of a session (numbered from 0 without gaps).

    Without `cut` none is shorter than a run. Raises ProblemError for a longest limit below an hour, or below the
    longest run where nothing is cut.
    """
    longest_run = int(run_s.max(initial=1))
    longest = model.longest_s or _usual_longest(longest_run)
    if longest < HOUR or (longest < longest_run and not model.cut):
        raise refused("longest_s", longest, f"give at least an hour and the longest run ({longest_run} s)")
    needed = np.zeros(int(session.max(initial=-1)) + 1, np.int64)
    np.maximum.at(needed, session, run_s)
    careless = rng.random(len(needed)) < model.cut
    taken = np.where(careless, rng.uniform(0.2, 1.0, len(needed)), 1.0)
    needed = np.clip((needed * taken).astype(np.int64), 1, longest)
    values, percent = distribution(rng, len(run_s), longest)
    limits = np.empty_like(needed)
    knowing = rng.random(len(needed)) < model.attention
    wanted = needed[knowing] * (1.0 + rng.exponential(0.5, int(knowing.sum())))
    popular = np.sort(_popular_values(longest))
    limits[knowing] = popular[np.minimum(np.searchsorted(popular, wanted), len(popular) - 1)]
    limits[~knowing] = _matched(rng, needed[~knowing], values, percent)
    return limits[session]


def distribution(rng: np.random.Generator, jobs: int, longest_s: int) -> tuple[Int64s, Floats]:
    """The values that so many jobs use, ascending, and percent of the jobs at each.

    Which of the popular values is how popular differs from log to log, and so is drawn; the longest comes first.
    """
    count = max(POPULAR + 1, round(float(np.interp(jobs, *VALUES_BY_JOBS))))
    head = _popular_values(longest_s)
    ranks = np.arange(2, len(head) + 1, dtype=np.float64)
    a, b, c = HEAD
    others = a * np.exp(b * ranks) + c
    head_percent = np.concatenate(([HEAD_PERCENT - others.sum()], rng.permutation(others)))
    curve = 1.0 + TAIL_TIMES[0] * count ** TAIL_TIMES[1]
    x = np.arange(1, count - len(head) + 1) / (count - len(head))
    tail = np.unique(np.round((curve - 1.0) * x / (curve - x) * longest_s / MINUTE).astype(np.int64) * MINUTE)
    tail = tail[(tail > 0) & (tail < longest_s) & ~np.isin(tail, head)]
    tail_percent = TAIL[0] * np.arange(POPULAR + 1, POPULAR + 1 + len(tail), dtype=np.float64) ** TAIL[1]
    tail_percent = rng.permutation(tail_percent * (100.0 - HEAD_PERCENT) / max(tail_percent.sum(), 1e-9))
    values = np.concatenate((head, tail))
    percent = np.concatenate((head_percent, tail_percent))
    order = np.argsort(values)
    return values[order], percent[order] * (100.0 / percent.sum())


def _popular_values(longest_s: int) -> Int64s:
    """The longest value and up to nineteen popular shorter ones."""
    chosen = [longest_s, *(value for value in POPULAR_S if value < longest_s)]
    for step in ROUND_S:
        for value in range(longest_s // step * step, 0, -step):
            if len(chosen) < POPULAR and value not in chosen:
                chosen.append(value)
    return np.array(chosen, np.int64)


def _matched(rng: np.random.Generator, needed: Int64s, values: Int64s, percent: Floats) -> Int64s:
    """One value for each need, not below it, so that the values keep their frequencies.

    Longest need first, each takes any of the values left that suffice; where none is left, the least that does.
    """
    exact = percent / percent.sum() * len(needed)
    counts = np.floor(exact).astype(np.int64)
    counts[np.argsort(exact - counts)[::-1][: len(needed) - int(counts.sum())]] += 1
    waiting = np.repeat(values, counts)[::-1].tolist()
    draws = rng.random(len(needed)).tolist()
    order = np.argsort(-needed, kind="stable")
    least = values[np.minimum(np.searchsorted(values, needed), len(values) - 1)].tolist()
    result = [0] * len(needed)
    left: list[int] = []
    next_value = 0
    for place, need, draw in zip(order.tolist(), needed[order].tolist(), draws, strict=True):
        while next_value < len(waiting) and waiting[next_value] >= need:
            left.append(waiting[next_value])
            next_value += 1
        if not left:
            result[place] = least[place]
            continue
        chosen = int(draw * len(left))
        left[chosen], left[-1] = left[-1], left[chosen]
        result[place] = left.pop()
    return np.array(result, np.int64)


def _usual_longest(longest_run_s: int) -> int:
    usual = (value for value in USUAL_LONGEST_S if value >= longest_run_s)
    return next(usual, -(-longest_run_s // DAY) * DAY)


__all__ = ["ATTENTIVE", "Estimates", "distribution", "draw_limits"]
