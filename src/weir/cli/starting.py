"""When a job is foretold to start, in words."""

from weir.model.view import StartForecastView
from weir.units import format_duration, format_time

_DAY_MS = 86_400_000
_FAR_MS = 360 * _DAY_MS


def start_words(start: StartForecastView, now_ms: int) -> str:
    """The middle, the three ranges, from what they follow, and how old that is; or why there is no forecast."""
    if not start.start_ms:
        age = f", as of {_ago(start, now_ms)}" if start.as_of_ms else ""
        return f"no forecast yet: {start.none}{age}"
    each = start.start_ms
    ranges = ", ".join(
        f"{percent} % {_instant(each[low], now_ms)} to {_instant(each[-1 - low], now_ms)}"
        for percent, low in ((50, 2), (80, 1), (95, 0))
    )
    how = f"{start.futures} simulated futures" if start.futures else "its place and the pace of jobs like it"
    return f"about {_instant(each[3], now_ms)} ({ranges}; by {how}, {_ago(start, now_ms)})"


def range_words(start: StartForecastView, now_ms: int) -> list[str]:
    """The middle and the three ranges, for columns; or why there is no forecast."""
    if not start.start_ms:
        return [f"none: {start.none}", "", "", ""]
    each = [_instant(at_ms, now_ms) for at_ms in start.start_ms]
    return [each[3], *(f"{each[low]} to {each[-1 - low]}" for low in (2, 1, 0))]


def expected_words(start: StartForecastView | None, now_ms: int) -> str:
    """The middle alone, for a column."""
    if start is None or not start.start_ms:
        return "-"
    left_ms = start.start_ms[3] - now_ms
    return (
        f"in {format_duration(max(60_000, left_ms - left_ms % 60_000))}" if left_ms < _FAR_MS else "in a year"
    )


def _ago(start: StartForecastView, now_ms: int) -> str:
    return f"{format_duration(max(0, (now_ms - start.as_of_ms) // 1_000 * 1_000))} ago"


def _instant(at_ms: int, now_ms: int) -> str:
    """The day is left out where it is within the next 24 hours."""
    if at_ms <= now_ms:
        return "now"
    if at_ms > now_ms + _FAR_MS:
        return "a year from now"
    text = format_time(at_ms)
    return f"{text[11:16]} UTC" if at_ms < now_ms + _DAY_MS else f"{text[:10]} {text[11:16]} UTC"


__all__ = ["expected_words", "range_words", "start_words"]
