"""A bar for what takes its time: how much is done, how fast, and how long it will take yet."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def progress_bar(name: str, what: str) -> Iterator[Callable[[int, int], None]]:
    """Gives a function to be told how many of how many are done, and draws a bar of it on standard error.

    `what` is counted, such as jobs. Where standard error is no terminal, nothing is drawn.
    """
    if not sys.stderr.isatty():
        yield lambda done, of: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[count]}"),
        TimeRemainingColumn(),
    )
    begun = time.perf_counter()
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(name, total=None, count="")

        def advance(done: int, of: int) -> None:
            passed = time.perf_counter() - begun
            rate = f", {done / passed:,.0f} {what}/s" if passed > 0 else ""
            bar.update(task, completed=done, total=of, count=f"{done:,} of {of:,}{rate}")

        yield advance
