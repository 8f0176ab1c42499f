"""The report's plots, each an inline SVG element."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from weir.twin.metrics import amount_milli, bounded_slowdown, capacity_milli, measure
from weir.twin.report.drawing import (
    FIRST,
    INK,
    MUTED,
    SECOND,
    SURFACE,
    WAITS,
    log_durations,
    over_time,
    percent,
    svg,
)
from weir.twin.report.window import Lane, Window, busiest_window, lanes, rows_within, telling_pools
from weir.twin.results import Results
from weir.twin.timeline import edges, mean_amount

Float64s = NDArray[np.float64]

MOST_POINTS = 700
"""Of one curve: more than a screen shows."""
BINS, FEW_POOLS, MOST_POOLS, GANTT_POOLS = 240, 6, 40, 2
WAIT_CLASSES = ((0, "started at once"), (3_600_000, "waited up to 1 h"), (86_400_000, "up to 1 d"))
LONGER = "longer"


def wait_distributions(runs: Sequence[tuple[str, Results]]) -> str:
    """Of the wait: which share of jobs waited at most so long, and the tail, which share at least so long."""
    curves = [(name, _waits_s(run)) for name, run in runs]
    longest = max(float(each.max()) for _, each in curves)

    def draw(figure: Figure) -> None:
        left, right = figure.subplots(1, 2)
        left.set_title("Jobs that waited at most so long")
        right.set_title("Jobs that waited at least so long (the tail)")
        _distributions(left, right, curves, least=1.0)
        for axes in (left, right):
            log_durations(axes, longest_s=longest)
            axes.set_xlabel("wait")

    return svg("waits", 3.1, draw)


def slowdown_distributions(runs: Sequence[tuple[str, Results]]) -> str:
    """The same of the bounded slowdown."""
    curves = [(name, _slowdowns(run)) for name, run in runs]
    largest = max(float(each.max()) for _, each in curves)

    def draw(figure: Figure) -> None:
        left, right = figure.subplots(1, 2)
        left.set_title("Jobs slowed down at most so much")
        right.set_title("Jobs slowed down at least so much (the tail)")
        _distributions(left, right, curves, least=1.0)
        for axes in (left, right):
            axes.set_xscale("log")
            axes.set_xlim(1, max(10.0, largest * 1.3))
            axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
            axes.set_xlabel("bounded slowdown")

    return svg("slowdowns", 3.1, draw)


def utilisation_over_time(runs: Sequence[tuple[str, Results]]) -> str:
    """How much of each pool is occupied over time, and how many jobs wait; a second run is drawn as a line."""
    run = runs[0][1]
    first = int(run.submit_ms.min())
    own, *longer = (int(each.end_ms[each.started].max()) for _, each in runs)
    # A second run that drains for very long is cut off, lest it squeeze this one.
    marks = edges(first, min(max([own, *longer]), first + 3 * (own - first) // 2), BINS)
    shares = pool_shares(run, marks)
    others = dict(pool_shares(runs[1][1], marks)) if len(runs) > 1 else {}
    many = len(shares) > FEW_POOLS
    panels = 1 if many else len(shares)
    tall = 0.22 * min(len(shares), MOST_POOLS) + 0.9 if many else 1.25

    def draw(figure: Figure) -> None:
        panel_heights = [*[tall] * panels, 1.25]
        axes = figure.subplots(panels + 1, 1, sharex=True, squeeze=False, height_ratios=panel_heights)[:, 0]
        if many:
            _heat_map(axes[0], shares[:MOST_POOLS], marks)
        else:
            for (name, share), each in zip(shares, axes, strict=False):
                _over_time(each, marks, share, others.get(name))
                each.set_ylim(0, max(1.0, float(share.max())))
                percent(each)
                each.set_title(f"{name}: occupied" if len(shares) > 1 else "Occupied")
        queues = [_waiting(each, marks) for _, each in runs]
        _over_time(axes[-1], marks, queues[0], queues[1] if len(queues) > 1 else None)
        axes[-1].set_ylim(0, max(1.0, *(float(each.max()) * 1.08 for each in queues)))
        axes[-1].yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        axes[-1].set_title("Jobs waiting")
        over_time(axes[-1], int(marks[0]), int(marks[-1]), run.origin_s)
        if len(runs) > 1:
            handles = [
                Patch(color=each, label=name) for each, (name, _) in zip((FIRST, SECOND), runs, strict=True)
            ]
            figure.legend(handles=handles, loc="outside lower left", ncols=2)

    return svg("utilisation", tall * panels + (2.0 if len(runs) > 1 else 1.6), draw)


def gantt(run: Results) -> str:
    """Which job ran on how many processors or accelerators when, in the pools that tell most."""
    drawn = [
        (pool, window, rows_within(run, window, pool))
        for pool in telling_pools(run, GANTT_POOLS)
        for window in (busiest_window(run, pool),)
    ]
    wait_ms = run.wait_ms

    def draw(figure: Figure) -> None:
        axes = figure.subplots(len(drawn), 1, squeeze=False)[:, 0]
        for (pool, window, rows), each in zip(drawn, axes, strict=True):
            unit = _unit(run, pool)
            amounts = [-(-amount // 1_000) for amount in amount_milli(run, unit)[rows].tolist()]
            boxes = lanes(rows, run.start_ms[rows].tolist(), run.end_ms[rows].tolist(), amounts)
            _boxes(each, run, window, boxes, wait_ms)
            highest = max((box.high for box in boxes), default=1)
            each.set_ylim(0, max(capacity_milli(run.pools[pool], unit) / 1_000, highest))
            each.grid(visible=False)
            each.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
            what = "accelerators" if unit == "device" else "processors"
            each.set_title(what.capitalize() if len(run.pools) == 1 else f"{run.pools[pool].key}: {what}")
            over_time(each, window.from_ms, window.until_ms, run.origin_s)
        names = [*(name for _, name in WAIT_CLASSES), LONGER]
        handles = [Patch(color=colour, label=name) for colour, name in zip(WAITS, names, strict=True)]
        figure.legend(handles=handles, loc="outside lower left", ncols=4)

    return svg("gantt", 1.0 + (3.4 if len(drawn) == 1 else 2.7 * len(drawn)), draw)


def by_pool(runs: Sequence[tuple[str, Results]]) -> str:
    """Cost, energy and carbon of each pool; empty when there is none of any."""
    figures = [(name, measure(run).pools) for name, run in runs]
    kinds = [
        ("Cost (yuan)", [{p.pool: p.cost_micro_yuan / 1e6 for p in pools} for _, pools in figures]),
        ("Energy (kWh)", [{p.pool: p.energy_kwh for p in pools} for _, pools in figures]),
        ("CO2 (kg)", [{p.pool: p.carbon_kg for p in pools} for _, pools in figures]),
    ]
    shown = [(title, values) for title, values in kinds if any(any(each.values()) for each in values)]
    if not shown:
        return ""
    total = {p.pool: p.cost_micro_yuan / 1e6 + p.energy_kwh for p in figures[0][1]}
    keys = sorted(total, key=lambda key: (-total[key], key))[:15][::-1]

    def draw(figure: Figure) -> None:
        for axes, (title, values) in zip(
            figure.subplots(1, len(shown), sharey=True, squeeze=False)[0], shown, strict=True
        ):
            places = np.arange(len(keys))
            thickness = 0.7 / len(values)
            for which, (each, colour) in enumerate(zip(values, (FIRST, SECOND), strict=False)):
                offset = (len(values) - 1) / 2 * thickness - which * thickness
                axes.barh(
                    places + offset, [each.get(key, 0.0) for key in keys], thickness * 0.9, color=colour
                )
            axes.set_yticks(places, keys)
            axes.grid(axis="y", visible=False)
            axes.xaxis.set_major_formatter(_short)
            axes.xaxis.set_major_locator(MaxNLocator(4))
            axes.set_title(title)

    return svg("pools", 1.0 + 0.3 * len(keys), draw)


def differences(rows: Sequence[tuple[str, float, float, float]]) -> str:
    """(tenant, difference in mean wait in hours, low, high): whose wait fell and whose rose, with intervals."""

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        places = np.arange(len(rows))[::-1]
        middle = np.array([each[1] for each in rows])
        colours = [FIRST if value <= 0 else SECOND for value in middle]
        axes.barh(places, middle, 0.62, color=colours)
        axes.hlines(places, [each[2] for each in rows], [each[3] for each in rows], color=INK, linewidth=1.1)
        axes.axvline(0, color=MUTED, linewidth=1)
        axes.set_yticks(places, [each[0] for each in rows])
        axes.grid(axis="y", visible=False)
        axes.set_xlabel("mean wait, hours less (left) or more (right), with 95 % intervals")

    return svg("tenants", 0.9 + 0.27 * len(rows), draw)


def pool_shares(run: Results, marks: NDArray[np.int64]) -> list[tuple[str, Float64s]]:
    """(pool, occupied share in each bin) of the pools that anything ran on, the largest first."""
    found = []
    for index, row in enumerate(run.pools):
        rows = np.flatnonzero(run.pool == index)
        unit = _unit(run, index)
        capacity = capacity_milli(row, unit)
        if len(rows) and capacity:
            amounts = amount_milli(run, unit)[rows]
            share = mean_amount(run.start_ms[rows], run.end_ms[rows], amounts, marks) / capacity
            found.append((capacity, row.key, share))
    found.sort(key=lambda each: (-each[0], each[1]))
    return [(key, share) for _, key, share in found]


def _waiting(run: Results, marks: NDArray[np.int64]) -> Float64s:
    started = run.started
    ones = np.ones(int(np.count_nonzero(started)), np.int64)
    return mean_amount(run.submit_ms[started], run.start_ms[started], ones, marks)


def _over_time(axes: Axes, marks: NDArray[np.int64], this: Float64s, that: Float64s | None) -> None:
    axes.stairs(this, marks, fill=True, color=FIRST, alpha=0.8, linewidth=0)
    if that is not None:
        axes.stairs(that, marks, color=SECOND, linewidth=1.3)


def _unit(run: Results, index: int) -> str:
    there = run.pool == index
    return "device" if run.pools[index].devices_per_node and run.devices_milli[there].any() else "core"


def _waits_s(run: Results) -> Float64s:
    waits: Float64s = np.sort(run.wait_ms[run.started]) / 1_000
    return waits


def _slowdowns(run: Results) -> Float64s:
    some = run.started
    return np.sort(bounded_slowdown(run.wait_ms[some], run.run_ms[some]))


def _distributions(left: Axes, right: Axes, curves: Sequence[tuple[str, Float64s]], *, least: float) -> None:
    lowest = 1.0
    rightmost = 2 * max(least, *(float(values[-1]) for _, values in curves))
    for (name, values), colour in zip(curves, (FIRST, SECOND), strict=False):
        count = len(values)
        # What lies at or below `least` is one point there, not a line up the edge of the plot.
        below = int(np.searchsorted(values, least, "right"))
        body = _thinned(count)
        body = body[body >= below]
        left.step(
            np.concatenate([[least], values[body], [rightmost]]),
            np.concatenate([[below], body + 1, [count]]) / count,
            where="post",
            color=colour,
            label=name,
        )
        tail = count - 1 - _thinned_by_log(count)[::-1]
        tail = tail[tail >= below]
        if len(tail):
            above = np.append(count - below, count - tail) / count
            right.step(np.append(least, values[tail]), above, where="pre", color=colour, label=name)
        lowest = min(lowest, 1 / count)
    left.set_ylim(0, 1.01)
    percent(left)
    right.set_ylim(lowest * 0.8, 1.2)
    right.set_yscale("log")
    percent(right)
    if len(curves) > 1:
        left.legend(loc="lower right")


def _thinned(count: int) -> NDArray[np.int64]:
    return np.unique(np.linspace(0, count - 1, MOST_POINTS).astype(np.int64))


def _thinned_by_log(count: int) -> NDArray[np.int64]:
    return np.unique(np.geomspace(1, count, MOST_POINTS).astype(np.int64)) - 1


def _heat_map(axes: Axes, shares: Sequence[tuple[str, Float64s]], marks: NDArray[np.int64]) -> None:
    # Opacity carries the share, so that the colour stays the page's.
    steps = 20
    for level in range(1, steps + 1):
        boxes: list[list[tuple[float, float]]] = []
        for row, (_, share) in enumerate(shares):
            rounded = np.ceil(np.minimum(share, 1) * steps - 1e-9).astype(int)
            there = np.flatnonzero(rounded == level)
            stretches = np.split(there, np.flatnonzero(np.diff(there) > 1) + 1)
            boxes += [
                _box(marks[each[0]], marks[each[-1] + 1], row - 0.42, row + 0.42)
                for each in stretches
                if len(each)
            ]
        if boxes:
            axes.add_collection(
                PolyCollection(boxes, facecolor=FIRST, alpha=level / steps, linewidth=0, antialiased=False)
            )
    axes.set_ylim(len(shares) - 0.4, -0.6)
    axes.set_yticks(range(len(shares)), [name for name, _ in shares])
    axes.grid(visible=False)
    axes.set_title("Occupied (full colour: all of the pool)")


def _boxes(
    axes: Axes, run: Results, window: Window, boxes: Sequence[Lane], wait_ms: NDArray[np.int64]
) -> None:
    by_class: dict[int, list[list[tuple[float, float]]]] = {}
    for box in boxes:
        begin = max(int(run.start_ms[box.row]), window.from_ms)
        end = min(int(run.end_ms[box.row]), window.until_ms)
        longest = [most for most, _ in WAIT_CLASSES]
        of_class = int(np.searchsorted(longest, wait_ms[box.row]))
        by_class.setdefault(of_class, []).append(_box(begin, end, box.low, box.high))
    for of_class, polygons in sorted(by_class.items()):
        axes.add_collection(
            PolyCollection(polygons, facecolor=WAITS[of_class], edgecolor=SURFACE, linewidth=0.6)
        )


def _box(left: float, right: float, low: float, high: float) -> list[tuple[float, float]]:
    return [(left, low), (right, low), (right, high), (left, high)]


def _short(value: float, _: object = None) -> str:
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:g} {letter}"
    return f"{value:g}"
