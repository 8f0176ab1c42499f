"""A window of a run for its Gantt chart: which stretch of time, and which processors each job is drawn on."""

from bisect import insort
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from weir.twin.metrics import exact_sum
from weir.twin.results import Results
from weir.twin.timeline import most_at_once

MINUTE_MS = 60_000
WIDTHS_MS = tuple(
    MINUTE_MS * each for each in (1, 5, 15, 60, 180, 360, 720, 1_440, 2_880, 5_760, 10_080, 20_160, 43_200)
)
MOST_JOBS = 500
LEGIBLE_JOBS = 150
"""At one instant: more are finer than a line."""


@dataclass(frozen=True, slots=True)
class Window:
    """From when until when, in milliseconds since the trace's origin."""

    from_ms: int
    until_ms: int


@dataclass(frozen=True, slots=True)
class Lane:
    """A stretch of processors [low, high) that a job (by row) is drawn on; a job may have several."""

    row: int
    low: int
    high: int


def telling_pools(results: Results, most: int) -> list[int]:
    """The pools whose jobs waited longest in total, first those in which few enough ran at once to be told apart."""
    started = results.started
    ranked = []
    for pool in range(len(results.pools)):
        rows = np.flatnonzero(started & (results.pool == pool))
        if not len(rows):
            continue
        ones = np.ones(len(rows), np.int64)
        _, at_once = most_at_once(results.start_ms[rows], results.end_ms[rows], ones)
        waited = exact_sum(results.start_ms[rows] - results.submit_ms[rows])
        ranked.append((at_once > LEGIBLE_JOBS, -waited, -len(rows), pool))
    return [each[-1] for each in sorted(ranked)[:most]]


def busiest_window(results: Results, pool: int, most_jobs: int = MOST_JOBS) -> Window:
    """The widest window around the longest queue for a pool in which at most so many jobs run there (at least the
    narrowest window)."""
    there = results.started & (results.pool == pool)
    submit_ms, start_ms, end_ms = (
        each[there] for each in (results.submit_ms, results.start_ms, results.end_ms)
    )
    first, last = int(submit_ms.min()), int(end_ms.max())
    waited = start_ms > submit_ms
    ones = np.ones(int(np.count_nonzero(waited)), np.int64)
    peak_ms, _ = most_at_once(submit_ms[waited], start_ms[waited], ones)
    if not len(ones):
        peak_ms, _ = most_at_once(start_ms, end_ms, results.size[there])
    chosen = Window(first, min(last, first + WIDTHS_MS[0]))
    for width in WIDTHS_MS:
        begin = max(first, min(peak_ms - width // 2, last - width))
        window = Window(begin, min(last, begin + width))
        inside = np.count_nonzero((start_ms < window.until_ms) & (end_ms > window.from_ms))
        if inside > most_jobs and width != WIDTHS_MS[0]:
            break
        chosen = window
        if width >= last - first:
            break
    return chosen


def rows_within(results: Results, window: Window, pool: int) -> list[int]:
    """The jobs that run on a pool at some instant of the window, in order of start."""
    there = (results.pool == pool) & (results.start_ms < window.until_ms) & (results.end_ms > window.from_ms)
    rows = np.flatnonzero(there & results.started)
    return [int(row) for row in rows[np.argsort(results.start_ms[rows], kind="stable")]]


def lanes(
    rows: Sequence[int], starts: Sequence[int], ends: Sequence[int], amounts: Sequence[int]
) -> list[Lane]:
    """Lowest free processors first, for drawing alone: what the run counted, it did not number.

    Rows are in order of start; a job that ends at an instant makes room for one that starts then.
    """
    free: list[tuple[int, int]] = []
    top = 0
    running: list[tuple[int, int]] = []  # (end, which)
    taken: dict[int, list[tuple[int, int]]] = {}
    drawn = []
    for which, row in enumerate(rows):
        while running and running[0][0] <= starts[which]:
            _, ended = running.pop(0)
            free = _joined([*free, *taken.pop(ended)])
        needed, pieces = amounts[which], []
        while needed and free:
            low, high = free.pop(0)
            cut = min(high, low + needed)
            pieces.append((low, cut))
            needed -= cut - low
            if cut < high:
                free.insert(0, (cut, high))
        if needed:
            pieces.append((top, top + needed))
            top += needed
        taken[which] = _joined(pieces)
        insort(running, (ends[which], which))
        drawn += [Lane(row, low, high) for low, high in taken[which]]
    return drawn


def _joined(pieces: list[tuple[int, int]]) -> list[tuple[int, int]]:
    joined: list[tuple[int, int]] = []
    for low, high in sorted(pieces):
        if joined and joined[-1][1] == low:
            joined[-1] = (joined[-1][0], high)
        else:
            joined.append((low, high))
    return joined
