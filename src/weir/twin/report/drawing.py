"""How the report's plots are drawn: Matplotlib's SVG, in colours that the page decides, so that one file serves light
and dark alike."""

import io
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

# Stand-ins that occur nowhere else: each becomes a colour of the page's style sheet.
INK, MUTED, GRID, SURFACE = "#010203", "#010204", "#010205", "#010206"
FIRST, SECOND = "#010207", "#010208"
WAITS = ("#010211", "#010212", "#010213", "#010214")
"""From no wait to the longest."""
_NAMES = {
    INK: "ink",
    MUTED: "muted",
    GRID: "grid",
    SURFACE: "surface",
    FIRST: "first",
    SECOND: "second",
    **{colour: f"wait-{index}" for index, colour in enumerate(WAITS)},
}
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.image_inline": True,
    "font.family": ["DejaVu Sans"],
    "font.size": 9.5,
    "text.color": INK,
    "axes.edgecolor": GRID,
    "axes.facecolor": "none",
    "axes.labelcolor": MUTED,
    "axes.labelsize": 9.5,
    "axes.titlecolor": INK,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "xtick.color": GRID,
    "ytick.color": GRID,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
    "legend.frameon": False,
    "legend.labelcolor": INK,
    "legend.fontsize": 9.5,
    "lines.linewidth": 1.8,
    "path.simplify": True,
}
WIDTH = 9.6

_DURATIONS = (
    (1, "1 s"),
    (10, "10 s"),
    (60, "1 min"),
    (600, "10 min"),
    (3_600, "1 h"),
    (6 * 3_600, "6 h"),
    (86_400, "1 d"),
    (7 * 86_400, "7 d"),
    (30 * 86_400, "30 d"),
    (365 * 86_400, "1 y"),
)

_UNITS = ((86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1_000, "s"))
_STEPS_S = (60, 300, 900, 1_800, 3_600, 10_800, 21_600, 43_200, 86_400, 172_800, 604_800, 1_209_600)


def svg(name: str, height: float, draw: Callable[[Figure], None], *, width: float = WIDTH) -> str:
    """An inline SVG element of a figure; `name` keeps its inner ids apart from those of other figures."""
    with matplotlib.rc_context({**_STYLE, "svg.hashsalt": f"weir-{name}"}):
        figure = Figure(figsize=(width, height), layout="constrained")
        draw(figure)
        written = io.StringIO()
        figure.savefig(written, format="svg", metadata={"Date": None, "Creator": None})
    text = written.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
    text = re.sub(r"font: ([^;'\"]*?)'[^;]*;", r"font: \1var(--sans);", text)
    for colour, variable in _NAMES.items():
        text = text.replace(colour, f"var(--{variable})")
    # Parts are numbered alike in every figure, and nothing refers to them; what is referred to is named by a hash.
    text = re.sub(r' id="(?!C\d)[A-Za-z][A-Za-z0-9.]*_\d+"', "", text)
    return text.replace("<svg", '<svg role="img"', 1)


def log_durations(axes: Axes, *, longest_s: float) -> None:
    """A logarithmic axis of seconds from 1 s, with the durations that people name."""
    axes.set_xscale("log")
    axes.set_xlim(1, max(longest_s * 1.3, 100))
    ticks = [(at, label) for at, label in _DURATIONS if at <= max(longest_s * 1.3, 100)]
    axes.xaxis.set_major_locator(FixedLocator([at for at, _ in ticks]))
    axes.xaxis.set_minor_locator(NullLocator())
    names = dict(ticks)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: names.get(round(value), "")))


def percent(axes: Axes) -> None:
    """The upright axis shows shares as whole per cents."""
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g} %"))


def over_time(axes: Axes, from_ms: int, until_ms: int, origin_s: int) -> None:
    """The level axis shows milliseconds since the trace's origin: as dates where the origin is known."""
    axes.set_xlim(from_ms, until_ms)
    if origin_s:
        ticks, names = _dates(from_ms, until_ms, origin_s)
    else:
        ticks, names = _elapsed(from_ms, until_ms)
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    shown = dict(zip(ticks, names, strict=True))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: shown.get(value, "")))


def _elapsed(from_ms: int, until_ms: int) -> tuple[list[float], list[str]]:
    unit_ms, unit = next(
        (each for each in _UNITS if until_ms - from_ms >= 2 * each[0]),
        _UNITS[-1],
    )
    steps = MaxNLocator(8, steps=[1, 2, 5, 10], integer=True)
    ticks = list(steps.tick_values(from_ms / unit_ms, until_ms / unit_ms))
    return [float(each * unit_ms) for each in ticks], [f"{each:g} {unit}" for each in ticks]


def _dates(from_ms: int, until_ms: int, origin_s: int) -> tuple[list[float], list[str]]:
    """Days of the calendar, or months over a longer time, in UTC."""
    first, last = (origin_s + each // 1_000 for each in (from_ms, until_ms))
    days = (last - first) / 86_400
    if days > 130:
        moments = _months(first, last)
        moments = moments[:: -(-len(moments) // 10)]
        form = "%b %Y"
    else:
        step = next((each for each in _STEPS_S if (last - first) / each <= 9), _STEPS_S[-1])
        moments = list(range(-(-first // step) * step, last + 1, step))
        form = "%d %b" if step >= 86_400 else "%d %b %H:%M"
    names = [datetime.fromtimestamp(each, UTC).strftime(form) for each in moments]
    return [1_000.0 * (each - origin_s) for each in moments], names


def _months(first_s: int, last_s: int) -> list[int]:
    at = datetime.fromtimestamp(first_s, UTC)
    year, month, found = at.year, at.month, []
    while (begin := int(datetime(year, month, 1, tzinfo=UTC).timestamp())) <= last_s:
        if begin >= first_s:
            found.append(begin)
        year, month = (year + 1, 1) if month == 12 else (year, month + 1)
    return found
