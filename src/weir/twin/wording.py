"""A run's settings, figures and differences in words, for the report and for the terminal alike."""

from collections.abc import Iterable, Sequence

from weir.twin.comparison import Difference
from weir.twin.description import Description
from weir.twin.metrics import Measures
from weir.twin.results import Results
from weir.units import format_time, format_yuan

_SLOWDOWN = """max(1, flow / max(run, 10 s)), as a plain mean over jobs; the root mean square and the maximum beside
it show what a mean hides."""
_OCCUPIED = """Run time times accelerators (where any job asks for one, else processors), summed over jobs, over the
capacity times the time from the first submission to the last end. Below saturation the trace fixes it, not the
policy."""
_FAIRNESS = """Jain's index over the tenants' mean bounded slowdowns: 1 when all fare alike, 1/n when one bears it all.
A tenant is a user of the trace."""
_INTERVALS = """95 %, paired by job: a bootstrap over blocks of jobs that follow each other, since they share a queue.
They speak of this trace, not of another machine."""

DEFINITIONS = (
    (
        "Wait",
        "Start minus submission; of a preempted job, flow minus run. Flow (response time, JCT) is wait plus run.",
    ),
    ("Bounded slowdown", _SLOWDOWN),
    ("Percentiles", "Interpolated linearly between the two nearest jobs."),
    ("Occupied (utilisation)", _OCCUPIED),
    ("Fairness", _FAIRNESS),
    ("Cost", "List price of what each job held, for as long as it ran, rounded to a micro-yuan a job."),
    (
        "Energy, CO2",
        "Rated power of the accelerators that jobs held; that energy at the pool's carbon intensity.",
    ),
    ("Intervals", _INTERVALS),
)
_ESTIMATES = {
    "user": "as the users gave them",
    "exact": "exact run times, known beforehand",
    "predicted": "predicted from each user's history, under the users' limits",
}


def setting_rows(results: Results) -> list[tuple[str, str]]:
    """What was run, a row a setting."""
    estimates = _ESTIMATES.get(results.estimates, results.estimates)
    if results.estimates == "user" and not results.has_estimates:
        estimates = "exact: the trace has no estimates"
    rows = [
        ("trace", results.trace),
        ("policy", results.policy),
        ("run-time estimates", estimates),
        ("tenants", "told apart by user" if results.tenancy == "user" else "one queue for all"),
        ("a pass", f"each {results.passes}"),
        ("pools", _pools(results)),
    ]
    rows += [("changed", note) for note in results.notes]
    return rows + cleaning_rows(results.dropped)


def cleaning_rows(dropped: Sequence[tuple[str, int]]) -> list[tuple[str, str]]:
    """What cleaning left out or cut, a row a rule that met any job."""
    return [(f"cleaning: {rule}", f"{count:,}") for rule, count in dropped if count]


def figure_rows(results: Results, measures: Measures) -> list[tuple[str, str]]:
    """What came of it, a row a figure."""
    worst = measures.worst_tenant
    rows = [
        ("jobs", f"{measures.jobs:,}"),
        *([("never started", f"{measures.unstarted:,}")] if measures.unstarted else []),
        ("mean wait", format_value(measures.mean_wait_s, "s")),
        ("median wait", format_value(measures.median_wait_s, "s")),
        ("95th percentile of wait", format_value(measures.p95_wait_s, "s")),
        ("99.9th percentile of wait", format_value(measures.p999_wait_s, "s")),
        ("longest wait", format_value(measures.max_wait_s, "s")),
        ("mean flow", format_value(measures.mean_flow_s, "s")),
        ("mean bounded slowdown", format_value(measures.mean_bounded_slowdown)),
        ("RMS bounded slowdown", format_value(measures.rms_bounded_slowdown)),
        ("largest bounded slowdown", format_value(measures.max_bounded_slowdown)),
        ("occupied", format_percent(measures.utilisation)),
        ("makespan", format_value(measures.makespan_s, "s")),
        ("fairness (Jain)", format_value(measures.jain_fairness)),
    ]
    if measures.preemptions:
        rows.append(("gave way", f"{measures.preemptions:,} times"))
    if measures.deadlines:
        rows.append(("late", f"{measures.late:,} of {measures.deadlines:,} jobs with a deadline"))
    if worst is not None and len(results.tenants) > 1:
        over = f"{worst.jobs:,} job{'s' * (worst.jobs != 1)}"
        rows.append(
            ("worst tenant", f"{worst.tenant}: {format_value(worst.mean_bounded_slowdown)} over {over}")
        )
    if measures.cost_micro_yuan:
        rows.append(("cost", format_yuan(measures.cost_micro_yuan)))
    if measures.energy_kwh:
        rows += [("energy", f"{measures.energy_kwh:,.1f} kWh"), ("CO2", f"{measures.carbon_kg:,.1f} kg")]
    if results.simulated_s > 0:
        speed = measures.jobs / results.simulated_s
        rows.append(("simulated in", f"{results.simulated_s:.3f} s, {speed:,.0f} jobs a second"))
    return rows


def description_rows(found: Description) -> list[tuple[str, str]]:
    """What a trace holds, a row a figure."""
    things = "accelerators" if found.asks_for_accelerators else "processors"
    first = format_time(found.first_submit_s * 1_000)[:10] if found.first_submit_s else "not known"
    limits = (
        f"the users'; run over limit is {found.mean_run_over_limit:.2f} on average"
        if found.has_estimates
        else "none in the trace, so each job's run time stands in"
    )
    mean, median, longest = (
        format_span(each) for each in (found.mean_run_s, found.median_run_s, found.longest_run_s)
    )
    runs = f"mean {mean}, median {median}, longest {longest}"
    return [
        ("trace", found.trace),
        ("jobs", f"{found.jobs:,}, of {found.classes:,} kinds"),
        ("users", f"{found.users:,}, in {found.groups:,} groups"),
        ("submitted", f"over {found.span_days:,.1f} d, from {first}"),
        ("machine", f"{found.machine_size:,} {things}" if found.machine_size else "the trace does not say"),
        (
            "offered load",
            "-" if found.offered_load is None else f"{found.offered_load:.3f} of that machine",
        ),
        ("work", f"{found.work_hours:,.0f} {things[:-1]}-hours"),
        (
            "sizes",
            f"median {found.median_size:g}, largest {found.largest_size:,}; {100 * found.serial_share:.1f} % take one",
        ),
        ("run times", runs),
        ("limits", limits),
        *cleaning_rows(tuple(found.cleaning.items())),
    ]


def lines(rows: Iterable[tuple[str, str]]) -> list[str]:
    """Rows as text, the values under each other."""
    whole = list(rows)
    width = max((len(label) for label, _ in whole), default=0)
    return [f"  {label:<{width}}  {value}" for label, value in whole]


def format_value(value: float | None, unit: str = "") -> str:
    """Seconds with their duration beside them, yuan before the number, and at most two decimals."""
    if value is None:
        return "-"
    if unit == "s":
        return (
            f"{_number(value, unit)} s ({format_span(value)})" if abs(value) >= 120 else f"{_number(value)} s"
        )
    if unit == "¥":
        return f"{'-' if value < 0 else ''}¥{_number(abs(value))}"
    return f"{_number(value)} {unit}".rstrip()


def format_span(seconds: float | None) -> str:
    """A time as people say it: 4.2 s, 12 min, 3.4 h, 2.1 d."""
    if seconds is None:
        return "-"
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if abs(seconds) >= 2 * size:
            return f"{seconds / size:,.1f} {unit}"
    return f"{seconds:,.1f} s"


def format_percent(share: float | None) -> str:
    """A share as per cent with one decimal."""
    return "-" if share is None else f"{100 * share:.1f} %"


def format_interval(difference: Difference) -> str:
    """`-12.3 [-20.1, -4.2] s, -8.1 % [-13.0, -2.8]`: never without its bounds."""
    middle, low, high = (
        _signed(each, difference.unit) for each in (difference.difference, difference.low, difference.high)
    )
    text = f"{middle} [{low}, {high}] {difference.unit}".rstrip()
    if difference.percent is not None:
        bounds = f"{difference.percent_low:+.1f}, {difference.percent_high:+.1f}"
        text += f", {difference.percent:+.1f} % [{bounds}]"
    return text


def _pools(results: Results) -> str:
    if len(results.pools) == 1:
        row = results.pools[0]
        devices = f", {row.devices_per_node} accelerators each" if row.devices_per_node else ""
        if not devices and row.cores_milli_per_node == 1_000:
            return f"one, of {row.nodes:,} processors"
        return f"one, of {row.nodes:,} nodes{devices}"
    centres = len({row.centre for row in results.pools})
    return f"{len(results.pools):,} at {centres:,} centres"


def _number(value: float, unit: str = "") -> str:
    if value == int(value) or (unit == "s" and abs(value) >= 1_000):
        return f"{round(value):,}"
    return f"{value:,.2f}" if abs(value) >= 0.1 else f"{value:.3g}"


def _signed(value: float, unit: str) -> str:
    return ("+" if value > 0 else "") + _number(value, unit)
