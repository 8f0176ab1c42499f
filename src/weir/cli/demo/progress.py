"""Live progress of a demonstration on standard error: bars on a terminal, a line a change elsewhere."""

import contextlib
import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

_DONE = ("succeeded", "failed", "cancelled")


class Progress(Protocol):
    """What is shown while a demonstration runs."""

    def say(self, what: str) -> None:
        """Show what is being done now."""

    def show(self, trainings: Mapping[str, int], report: Mapping[str, int]) -> None:
        """Show how the jobs stand: counts by state."""


@contextlib.contextmanager
def open_progress(quiet: bool) -> Iterator[Progress]:
    """Bars on a terminal; without one, or `quiet`, at most one line a change."""
    if quiet:
        yield _Silent()
    elif sys.stderr.isatty():
        with _bars() as bars:
            yield bars
    else:
        yield _Lines()


def in_words(states: Mapping[str, int]) -> str:
    """`20 succeeded, 4 running`."""
    return ", ".join(f"{count} {state}" for state, count in states.items() if count) or "nothing yet"


class _Silent:
    def say(self, what: str) -> None:
        del what

    def show(self, trainings: Mapping[str, int], report: Mapping[str, int]) -> None:
        del trainings, report


class _Lines:
    def __init__(self) -> None:
        self._last = ""

    def say(self, what: str) -> None:
        if what != self._last:
            self._last = what
            print(what, file=sys.stderr, flush=True)

    def show(self, trainings: Mapping[str, int], report: Mapping[str, int]) -> None:
        self.say(f"trainings: {in_words(trainings)}; report: {in_words(report)}")


@contextlib.contextmanager
def _bars() -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as RichProgress

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description:<10}"),
        BarColumn(bar_width=30),
        TextColumn("{task.completed:.0f}/{task.total:.0f}"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[states]}"),
    )
    with RichProgress(*columns, console=Console(stderr=True)) as rich:
        yield _Bars(rich)


class _Bars:
    def __init__(self, rich: "RichProgress") -> None:
        self._rich = rich
        self._start = rich.add_task("province", total=1, states="")
        self._bars: dict[str, TaskID] = {}

    def say(self, what: str) -> None:
        self._rich.update(self._start, states=what)

    def show(self, trainings: Mapping[str, int], report: Mapping[str, int]) -> None:
        self._rich.update(self._start, completed=1, states="up")
        self._bar("trainings", trainings)
        self._bar("report", report)

    def _bar(self, name: str, states: Mapping[str, int]) -> None:
        if name not in self._bars:
            self._bars[name] = self._rich.add_task(name, total=sum(states.values()) or 1, states="")
        done = sum(states.get(state, 0) for state in _DONE)
        self._rich.update(
            self._bars[name], completed=done, total=sum(states.values()) or 1, states=in_words(states)
        )
