"""Two runs of the same jobs, compared: every difference with a paired 95 % confidence interval.

Within one pair of runs, jobs are paired with themselves, and the interval comes from a moving-block bootstrap over the
order of submission: jobs near each other share a queue, so resampling single jobs would call chance a difference. The
block length is Politis and White's automatic choice ("Automatic Block-Length Selection for the Dependent Bootstrap",
2004, as corrected in 2009) for the per-job differences, but for how far it looks: between the cube root and a tenth of
their number, and the interval is widened for how few blocks there are. It covers what another stretch of the same trace
would have shown, not another machine or another year; where queues last for a large part of a trace, it is still too
narrow, and several traces or seeds say more.

Over several pairs (the same two policies on several seeds or logs) each pair is one observation, and the interval is
Student's t over the pairs' differences.

Maximum wait, makespan and utilisation hang on single jobs, for which no bootstrap over jobs is valid; they are
compared over pairs alone.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from weir.model.problem import refused
from weir.twin.metrics import Measures, bounded_slowdown, mean, mean_s, percentile_s, rms
from weir.twin.results import Results
from weir.twin.workload import Int64s

Float64s = NDArray[np.float64]

CONFIDENCE = 0.95
ROUNDS = 2_000
FEWEST_JOBS = 30
"""With fewer than this a bootstrap over blocks says nothing."""
FEWEST_PAIRS = 3
FEWEST_BLOCKS = 10
"""Blocks grow no longer than leaves so many of them."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One figure of two runs: `second` minus `first`, with the bounds of its interval, and the same in per cent.

    Per cent of `first`; None where that is not above zero, or in a resample was not.
    """

    figure: str
    unit: str
    first: float
    second: float
    difference: float
    low: float
    high: float
    percent: float | None
    percent_low: float | None
    percent_high: float | None

    @property
    def told_apart(self) -> bool:
        """Whether the interval leaves zero out."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True, slots=True)
class Comparison:
    """`second` against `first`: names, how many jobs or pairs it rests on, and the differences."""

    first: str
    second: str
    method: str
    """blocks of jobs, or pairs of runs."""
    pairs: int
    """Jobs that started in both, or pairs of runs."""
    left_out: int
    """Jobs that started in one run or none, and so have no pair."""
    block: int
    """Jobs in one block of the bootstrap; 0 with pairs of runs."""
    differences: tuple[Difference, ...]


def compare_jobs(
    first: Results,
    second: Results,
    *,
    names: tuple[str, str],
    random: np.random.Generator,
    rounds: int = ROUNDS,
) -> Comparison:
    """Compare two runs of the same jobs, job by job. Raises ProblemError when they are not of the same jobs."""
    _must_be_of_same_jobs(first, second, names)
    both = np.flatnonzero(first.started & second.started)
    if len(both) < FEWEST_JOBS:
        raise refused(
            names[1], f"{len(both)} jobs", f"compare runs with at least {FEWEST_JOBS} jobs that start in both"
        )
    wait_ms = [each.wait_ms[both] for each in (first, second)]
    run_ms = [each.run_ms[both] for each in (first, second)]
    slowdown = [bounded_slowdown(wait, run) for wait, run in zip(wait_ms, run_ms, strict=True)]
    block = max(_block(wait_ms[1] - wait_ms[0]), _block(slowdown[1] - slowdown[0]))
    sampler = _Blocks(len(both), block, rounds, random)
    cost = [each.cost_micro_yuan[both] / 1e6 for each in (first, second)]
    carbon = [each.carbon_mg[both] / 1e6 for each in (first, second)]

    def of_means(values: list[Float64s], figure: str, unit: str, shown: Sequence[float]) -> Difference:
        a, b = (sampler.means(each) for each in values)
        return _difference(figure, unit, shown[0], shown[1], a, b, sampler.tails)

    found = [
        of_means([each / 1_000 for each in wait_ms], "mean wait", "s", [mean_s(each) for each in wait_ms]),
        *_percentiles(wait_ms, sampler),
        of_means(slowdown, "mean bounded slowdown", "", [mean(each) for each in slowdown]),
        _rms(slowdown, sampler),
        of_means(
            [(w + r) / 1_000 for w, r in zip(wait_ms, run_ms, strict=True)],
            "mean flow",
            "s",
            [mean_s(w + r) for w, r in zip(wait_ms, run_ms, strict=True)],
        ),
    ]
    if any(each.any() for each in cost):
        found.append(of_means(cost, "mean cost of a job", "¥", [mean(each) for each in cost]))
    if any(each.any() for each in carbon):
        found.append(of_means(carbon, "mean CO2 of a job", "kg", [mean(each) for each in carbon]))
    return Comparison(
        first=names[0],
        second=names[1],
        method="blocks of jobs",
        pairs=len(both),
        left_out=len(first) - len(both),
        block=block,
        differences=tuple(found),
    )


def compare_pairs(pairs: Sequence[tuple[Measures, Measures]], *, names: tuple[str, str]) -> Comparison:
    """Compare two policies over several pairs of runs. Raises ProblemError with fewer than three pairs."""
    if len(pairs) < FEWEST_PAIRS:
        raise refused(
            names[1], f"{len(pairs)} pairs of runs", f"an interval over pairs needs {FEWEST_PAIRS} or more"
        )
    found = []
    for attribute, figure, unit, scale in _OF_PAIRS:
        values = [(getattr(a, attribute), getattr(b, attribute)) for a, b in pairs]
        known = np.array([each for each in values if None not in each], np.float64) / scale
        if len(known) >= FEWEST_PAIRS and known.any():
            found.append(_over_pairs(figure, unit, known))
    return Comparison(
        first=names[0],
        second=names[1],
        method="pairs of runs",
        pairs=len(pairs),
        left_out=0,
        block=0,
        differences=tuple(found),
    )


def mean_with_interval(values: Float64s, random: np.random.Generator) -> tuple[float, float, float]:
    """(mean, low, high) of a sequence whose neighbours are alike, by the same bootstrap; needs one value."""
    sampler = _Blocks(len(values), _block(values), ROUNDS, random)
    low, high = np.percentile(sampler.means(values), sampler.tails)
    return mean(values), float(low), float(high)


def block_length(values: NDArray[np.float64] | Int64s) -> int:
    """How many following jobs a block of the bootstrap holds, by Politis and White's rule; at least 1."""
    count = len(values)
    centred = np.asarray(values, np.float64) - np.mean(values)
    if count < 4 or not centred.any():
        return max(1, round(math.cbrt(count)))
    run = max(5, math.ceil(math.sqrt(math.log10(count))))
    # Queues remember for weeks: looking at sqrt(n) lags alone, as is usual, would call that half as much.
    most_lags = max(count // 4, min(count - 1, run))
    covariance = _autocovariance(centred, most_lags)
    quiet = np.abs(covariance[1:] / covariance[0]) < 2 * math.sqrt(math.log10(count) / count)
    # The last lag before `run` quiet ones in a row; without such a stretch the largest lag that counts.
    stretches = np.convolve(quiet, np.ones(run), "valid") == run
    last = int(np.argmax(stretches)) if stretches.any() else most_lags
    lags = np.arange(min(2 * max(last, 1), most_lags) + 1)
    weight = np.clip(2 * (1 - lags / lags[-1]), 0, 1)  # flat to the middle, then down to 0
    mass = weight * covariance[: len(lags)]
    spread = float(mass[0] + 2 * mass[1:].sum())
    slope = float(2 * (mass[1:] * lags[1:]).sum())
    if spread <= 0:
        length = math.sqrt(count)
    else:
        length = math.cbrt(1.5 * (slope / spread) ** 2 * count)
    most = math.ceil(count / FEWEST_BLOCKS)
    return max(1, min(math.ceil(length), most))


def student_quantile(probability: float, freedom: int) -> float:
    """The quantile of Student's t, for probabilities above one half: bisection on its integrated density."""
    low, high = 0.0, 1e6
    for _ in range(100):
        middle = (low + high) / 2
        if 0.5 + _student_area(middle, freedom) < probability:
            low = middle
        else:
            high = middle
    return high


_OF_PAIRS = (
    ("mean_wait_s", "mean wait", "s", 1),
    ("p95_wait_s", "95th percentile of wait", "s", 1),
    ("p999_wait_s", "99.9th percentile of wait", "s", 1),
    ("max_wait_s", "longest wait", "s", 1),
    ("mean_bounded_slowdown", "mean bounded slowdown", "", 1),
    ("rms_bounded_slowdown", "RMS bounded slowdown", "", 1),
    ("mean_flow_s", "mean flow", "s", 1),
    ("utilisation", "utilisation", "", 1),
    ("makespan_s", "makespan", "s", 1),
    ("jain_fairness", "Jain fairness", "", 1),
    ("cost_micro_yuan", "cost", "¥", 1_000_000),
    ("energy_kwh", "energy", "kWh", 1),
    ("carbon_kg", "CO2", "kg", 1),
)


class _Blocks:
    """Resamples of one sequence by moving blocks, the same for every figure, so that figures stay paired."""

    def __init__(self, count: int, block: int, rounds: int, random: np.random.Generator) -> None:
        self.count, self.block = count, block
        blocks = math.ceil(count / block)
        self.starts = random.integers(0, count - block + 1, (rounds, blocks), dtype=np.int32)
        self.tails = _expanded(blocks)
        # The last block is cut so that each resample has as many jobs as the sequence.
        self.last = count - (self.starts.shape[1] - 1) * block

    def means(self, values: Float64s) -> Float64s:
        """The mean of each resample, from running sums."""
        shift = float(values.mean())  # keeps the running sums small
        total = np.concatenate([[0.0], np.cumsum(values - shift)])
        # Of a whole block from each place; the resample's last block has sums of its own.
        of_block = total[self.block :] - total[: -self.block]
        of_last = total[self.last :] - total[: -self.last]
        sums = np.array([of_block[each].sum() for each in self.starts[:, :-1]])
        means: Float64s = shift + (sums + of_last[self.starts[:, -1]]) / self.count
        return means

    def copies(self, round_: int) -> Int64s:
        """How often each place of the sequence is in one resample."""
        steps = np.zeros(self.count + 1, np.int64)
        np.add.at(steps, self.starts[round_, :-1], 1)
        np.subtract.at(steps, self.starts[round_, :-1] + self.block, 1)
        steps[self.starts[round_, -1]] += 1
        steps[self.starts[round_, -1] + self.last] -= 1
        copies: Int64s = np.cumsum(steps[:-1])
        return copies


def _expanded(blocks: int) -> tuple[float, float]:
    """The two percentiles of an interval from so few blocks: as much farther out as Student's t lies than the normal.

    T. Hesterberg, "What Teachers Should Know About the Bootstrap", The American Statistician 69(4), 2015.
    """
    if blocks < 2:
        return 0.0, 100.0
    reach = student_quantile((1 + CONFIDENCE) / 2, blocks - 1) * math.sqrt(blocks / (blocks - 1))
    tail = 100 * NormalDist().cdf(-reach)
    return tail, 100 - tail


def _block(values: NDArray[np.float64] | Int64s) -> int:
    """Politis and White's length, and at least the cube root that any dependence would call for."""
    return max(block_length(values), math.ceil(math.cbrt(len(values))))


def _percentiles(wait_ms: list[Int64s], sampler: _Blocks) -> list[Difference]:
    """95th and 99.9th, by nearest rank in each resample; only the upper tail is looked at."""
    ranks = {950: "95th percentile of wait", 999: "99.9th percentile of wait"}
    rounds, count = len(sampler.starts), sampler.count
    tails = []
    for wait in wait_ms:
        rows = np.argsort(wait, kind="stable")[::-1]
        tails.append((rows, wait[rows]))
    found = np.zeros((2, len(ranks), rounds))
    for round_ in range(rounds):
        copies = sampler.copies(round_)
        for which, (rows, ordered) in enumerate(tails):
            reach = min(count, max(64, count // 8))
            above = np.cumsum(copies[rows[:reach]])
            while above[-1] < count - count * 950 // 1_000 and reach < count:
                reach = min(count, 2 * reach)
                above = np.cumsum(copies[rows[:reach]])
            for row, thousandths in enumerate(ranks):
                beyond = count - math.ceil(count * thousandths / 1_000) + 1
                found[which, row, round_] = ordered[np.searchsorted(above, beyond)] / 1_000
    return [
        _difference(
            name,
            "s",
            percentile_s(wait_ms[0], thousandths),
            percentile_s(wait_ms[1], thousandths),
            found[0, row],
            found[1, row],
            sampler.tails,
        )
        for row, (thousandths, name) in enumerate(ranks.items())
    ]


def _rms(slowdown: list[Float64s], sampler: _Blocks) -> Difference:
    a, b = (np.sqrt(np.maximum(sampler.means(each * each), 0)) for each in slowdown)
    return _difference("RMS bounded slowdown", "", rms(slowdown[0]), rms(slowdown[1]), a, b, sampler.tails)


def _difference(
    figure: str,
    unit: str,
    first: float,
    second: float,
    firsts: Float64s,
    seconds: Float64s,
    tails: tuple[float, float],
) -> Difference:
    """Percentile intervals of the resampled difference and of its ratio to the first run's figure."""
    low, high = np.percentile(seconds - firsts, tails)
    percent: tuple[float | None, float | None, float | None] = (None, None, None)
    if first > 0 and (firsts > 0).all():
        bounds = np.percentile(100 * (seconds / firsts - 1), tails)
        percent = (100 * (second / first - 1), float(bounds[0]), float(bounds[1]))
    return Difference(figure, unit, first, second, second - first, float(low), float(high), *percent)


def _over_pairs(figure: str, unit: str, values: Float64s) -> Difference:
    first, second = values.mean(axis=0)
    factor = student_quantile((1 + CONFIDENCE) / 2, len(values) - 1) / math.sqrt(len(values))
    apart = values[:, 1] - values[:, 0]
    reach = float(factor * apart.std(ddof=1))
    percent: tuple[float | None, float | None, float | None] = (None, None, None)
    if (values > 0).all():
        # Ratios multiply, so their interval is Student's on logarithms: the geometric mean of the ratios.
        logs = np.log(values[:, 1] / values[:, 0])
        around = factor * logs.std(ddof=1)
        percent = tuple(  # type: ignore[assignment]  # three of them
            float(100 * math.expm1(logs.mean() + each)) for each in (0, -around, around)
        )
    middle = float(apart.mean())
    return Difference(
        figure, unit, float(first), float(second), middle, middle - reach, middle + reach, *percent
    )


def _must_be_of_same_jobs(first: Results, second: Results, names: tuple[str, str]) -> None:
    if len(first) != len(second):
        raise refused(
            names[1],
            f"{len(second)} jobs",
            f"compare runs of the same jobs; {names[0]} has {len(first)}",
        )
    for name in ("job", "submit_ms", "size"):
        unlike = np.flatnonzero(getattr(first, name) != getattr(second, name))
        if len(unlike):
            row = int(unlike[0])
            raise refused(
                names[1],
                f"{name.removesuffix('_ms')} of row {row + 1}",
                f"compare runs of the same jobs; it differs from {names[0]}",
            )


def _autocovariance(centred: Float64s, lags: int) -> Float64s:
    """At lags 0 to `lags`, by the fast Fourier transform."""
    padded = 1 << (2 * len(centred) - 1).bit_length()
    spectrum = np.fft.rfft(centred, padded)
    return np.fft.irfft(spectrum * np.conj(spectrum), padded)[: lags + 1] / len(centred)


def _student_area(limit: float, freedom: int) -> float:
    """The density's integral from 0 to `limit`. With t = sqrt(n) tan(a) it is that of cos(a)**(n - 1), by Simpson."""
    steps = 2_000
    angle = np.linspace(0.0, math.atan(limit / math.sqrt(freedom)), steps + 1)
    height = np.cos(angle) ** (freedom - 1)
    inner = 4 * height[1:-1:2].sum() + 2 * height[2:-1:2].sum()
    log_scale = math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2) - 0.5 * math.log(math.pi)
    return float(math.exp(log_scale) * angle[-1] / steps / 3 * (height[0] + inner + height[-1]))


__all__ = [
    "CONFIDENCE",
    "Comparison",
    "Difference",
    "block_length",
    "compare_jobs",
    "compare_pairs",
    "mean_with_interval",
    "student_quantile",
]
