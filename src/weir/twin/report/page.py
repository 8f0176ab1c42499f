"""The report of a run: one HTML file that asks the network for nothing."""

from collections.abc import Iterable, Sequence
from html import escape
from string import Template

import numpy as np

from weir.model.problem import refused
from weir.twin.comparison import Comparison, compare_jobs, mean_with_interval
from weir.twin.metrics import Measures, by_tenant, measure
from weir.twin.report import plots
from weir.twin.report.style import PAGE
from weir.twin.results import Results
from weir.twin.wording import (
    DEFINITIONS,
    figure_rows,
    format_interval,
    format_percent,
    format_span,
    format_value,
    setting_rows,
)

MOST_TENANTS = 10
"""Of those who gained, and of those who lost."""
FEWEST_JOBS = 10
"""A tenant with fewer jobs in both runs is in the totals alone."""


def report_html(
    results: Results,
    other: Results | None,
    *,
    random: np.random.Generator,
    name: str = "",
    other_name: str = "",
) -> str:
    """The page about `results`, against a second run of the same jobs where there is one.

    `random` draws the resamples of the intervals. Raises ProblemError when the second run is of other jobs, and for
    runs whose jobs were preempted: where each was when is not kept, so that plots over time would be wrong.
    """
    for each in (results, other):
        if each is not None and each.preempted:
            raise refused(
                "--report", each.policy, "a run whose jobs keep their devices; look at such runs with compare"
            )
    measures = measure(results)
    this, that = _names(results, other, name, other_name)
    if not results.started.any():
        body = ["<p>No job of this run ever started, so there is nothing to plot.</p>"]
        return _page(results, this, measures, body)
    runs = [(this, results)] if other is None or not other.started.any() else [(this, results), (that, other)]
    body = []
    if other is not None and len(runs) == 2:
        comparison = compare_jobs(other, results, names=(that, this), random=random)
        body += [_compared(comparison), _tenants_compared(results, other, this, that, random)]
    body += [
        _section(
            "How long jobs waited",
            plots.wait_distributions(runs),
            plots.slowdown_distributions(runs),
            note="Waits below a second are drawn at one second. Bounded slowdown is the time from submission to the "
            "end over the run time, which counts as at least 10 s.",
        ),
        _section(
            "How full the pools were" if len(results.pools) > 1 else "How full the machine was",
            plots.utilisation_over_time(runs),
        ),
        _pools(runs, measures),
        _section(
            "Around the longest queue",
            plots.gantt(results),
            note="Each box is a job, as long as it ran and as high as it was wide. Which processors it is drawn on "
            "is for the drawing alone.",
        ),
    ]
    if other is None:
        body.append(_tenants(results))
    return _page(results, this, measures, body)


def _names(results: Results, other: Results | None, name: str, other_name: str) -> tuple[str, str]:
    if other is None:
        return name or results.policy, ""
    if results.policy != other.policy:
        return results.policy, other.policy
    return name or "this run", other_name or "the other run"


def _page(results: Results, this: str, measures: Measures, body: Sequence[str]) -> str:
    tiles = "".join(
        f'<div class="tile"><div class="value">{escape(value)}</div><div class="label">{escape(label)}</div></div>'
        for label, value in _tiles(measures)
    )
    definitions = "".join(f"<dt>{escape(term)}</dt><dd>{escape(text)}</dd>" for term, text in DEFINITIONS)
    return Template(PAGE).substitute(
        title=escape(f"{results.trace} under {results.policy}"),
        tiles=tiles,
        settings=_rows_table(setting_rows(results)),
        figures=_rows_table(figure_rows(results, measures)),
        body="\n".join(body),
        definitions=definitions,
    )


def _tiles(measures: Measures) -> Iterable[tuple[str, str]]:
    yield "jobs", f"{measures.jobs:,}"
    yield "mean wait", format_span(measures.mean_wait_s)
    yield "95 % waited at most", format_span(measures.p95_wait_s)
    yield "longest wait", format_span(measures.max_wait_s)
    yield "mean bounded slowdown", format_value(measures.mean_bounded_slowdown)
    yield "occupied", format_percent(measures.utilisation)


def _compared(comparison: Comparison) -> str:
    rows = [
        (
            each.figure,
            format_value(each.first, each.unit),
            format_value(each.second, each.unit),
            format_interval(each),
            "told apart" if each.told_apart else "not told apart",
        )
        for each in comparison.differences
    ]
    heads = ("", comparison.first, comparison.second, "difference, with its 95 % interval", "")
    left_out = f" {comparison.left_out:,} jobs did not start in both and are left out." * bool(
        comparison.left_out
    )
    return _section(
        f"{comparison.second} against {comparison.first}",
        _table(heads, rows),
        note=f"Paired by job over {comparison.pairs:,} jobs, with a bootstrap over blocks of {comparison.block:,} "
        f"jobs that follow each other.{left_out}",
    )


def _tenants_compared(
    results: Results, other: Results, this: str, that: str, random: np.random.Generator
) -> str:
    both = results.started & other.started
    moved_h = ((results.start_ms - other.start_ms)[both]) / 3_600_000
    tenant = results.tenant[both]
    order = np.argsort(tenant, kind="stable")
    names, first = np.unique(tenant[order], return_index=True)
    of_each = dict(zip(names.tolist(), np.split(moved_h[order], first[1:]), strict=True))
    known = {each: values for each, values in of_each.items() if len(values) >= FEWEST_JOBS}
    ranked = sorted(known, key=lambda each: (float(known[each].mean()), each))
    gained = [each for each in ranked if known[each].mean() < 0][:MOST_TENANTS]
    lost = [each for each in ranked[::-1] if known[each].mean() > 0][:MOST_TENANTS][::-1]
    if not gained and not lost:
        return _section("Who gained and who lost", note="Nobody's mean wait differs.")
    rows = [(results.tenants[each], *mean_with_interval(known[each], random)) for each in (*gained, *lost)]
    fell = sum(1 for values in known.values() if values.mean() < 0)
    rose = sum(1 for values in known.values() if values.mean() > 0)
    table = _table(
        ("tenant", "jobs", "mean wait less or more", "95 % interval"),
        [
            (name, f"{len(known[each]):,}", _hours(middle), f"{_hours(low)} to {_hours(high)}")
            for each, (name, middle, low, high) in zip((*gained, *lost), rows, strict=True)
        ],
    )
    return _section(
        "Who gained and who lost",
        plots.differences(rows),
        _folded("As a table", table),
        note=f"Under {this}, {fell:,} tenants waited less on average than under {that} and {rose:,} more, of "
        f"{len(known):,} with {FEWEST_JOBS} jobs or more. Shown are those whose mean wait moved most, which makes "
        "extremes by chance likely among those with few jobs.",
    )


def _tenants(results: Results) -> str:
    figures = by_tenant(results)
    order = np.argsort(-figures.occupied_hours, kind="stable")[: 2 * MOST_TENANTS]
    hours = figures.occupied_hours.sum() or 1.0
    rows = [
        (
            results.tenants[figures.tenant[each]],
            f"{figures.jobs[each]:,}",
            format_percent(float(figures.occupied_hours[each] / hours)),
            format_span(float(figures.mean_wait_s[each])),
            format_value(float(figures.mean_bounded_slowdown[each])),
        )
        for each in order
    ]
    heads = ("tenant", "jobs", "share of what was occupied", "mean wait", "mean bounded slowdown")
    return _section(
        "How tenants fared",
        _table(heads, rows),
        note=f"The {len(rows)} of {len(figures.tenant):,} that occupied most. Give a second run with --against to see "
        "who gained and who lost.",
    )


def _pools(runs: Sequence[tuple[str, Results]], measures: Measures) -> str:
    drawn = plots.by_pool(runs)
    rows = [
        (
            each.pool,
            f"{each.capacity:,.0f} {'accelerators' if each.unit == 'device' else 'processors'}",
            f"{each.jobs:,}",
            format_percent(each.utilisation),
            format_value(each.cost_micro_yuan / 1e6, "¥"),
            f"{each.energy_kwh:,.0f} kWh",
            f"{each.carbon_kg:,.0f} kg",
        )
        for each in sorted(measures.pools, key=lambda each: (-each.jobs, each.pool))
    ]
    table = _table(("pool", "size", "jobs", "occupied", "cost", "energy", "CO2"), rows)
    if not drawn:
        return _section(
            "Cost, energy, carbon",
            note="The pools of this run have no prices and no accelerators with a known power, so nothing is counted.",
        )
    return _section(
        "Cost, energy, carbon",
        drawn if len(rows) > 1 else "",
        table if len(rows) <= 12 else _folded(f"All {len(rows)} pools", table),
        note="At list prices, before vouchers; energy is what the accelerators are rated at while jobs hold them.",
    )


def _section(title: str, *parts: str, note: str = "") -> str:
    said = f'<p class="note">{escape(note)}</p>' if note else ""
    inner = "".join(
        f'<div class="plot" aria-label="{escape(title)}">{each}</div>' if each.startswith("<svg") else each
        for each in parts
        if each
    )
    return f"<section><h2>{escape(title)}</h2>{said}{inner}</section>"


def _folded(title: str, inner: str) -> str:
    return f"<details><summary>{escape(title)}</summary>{inner}</details>"


def _rows_table(rows: Iterable[tuple[str, str]]) -> str:
    lines = "".join(f"<tr><th>{escape(label)}</th><td>{escape(value)}</td></tr>" for label, value in rows)
    return f'<table class="facts">{lines}</table>'


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(each)}</th>" for each in heads)
    lines = "".join("<tr>" + "".join(f"<td>{escape(each)}</td>" for each in row) + "</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table></div>'


def _hours(value: float) -> str:
    return f"{value:+,.2f} h"
