"""Cases about doing a thing again: orders that come twice, and drivers that are killed and come back."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from weir.engines.conformance.stage import Case, Stage, check
from weir.engines.driver import AttemptOrder
from weir.model.agent import NodeShare, PoolEntry, Work
from weir.model.codec import from_plain, to_plain
from weir.model.state import Cause, Observed

__all__ = ["CASES", "submit_and_die"]


def ten_times(stage: Stage) -> None:
    order = stage.order("sh", "-c", "echo run >> runs; sleep 0.2", fake=(200, 0))
    for _ in range(5):
        stage.submit(order, order)
    stage.end(order)
    stage.submit(order)
    check(stage.state(order).observed is Observed.ENDED, "what has ended stays ended, ordered again")
    if "commands" in stage.driver.capabilities:
        check((order.folder / "work" / "runs").read_text() == "run\n", "it ran once")


def killed_before_the_answer(stage: Stage) -> None:
    order = stage.order("sh", "-c", "echo run >> runs; sleep 0.5; exit 4")
    other = _of_another_driver(stage, order)
    stage.submit(order)
    end = stage.end(order)
    check((end.cause, end.exit_code) == (Cause.EXIT, 4), f"it ends as if nothing had been: {end}")
    check((order.folder / "work" / "runs").read_text() == "run\n", "it ran once")
    check(other == -signal.SIGKILL, "the driver's process was killed")


def killed_while_submitting(stage: Stage) -> None:
    for kill in range(stage.scale.kills):
        order = stage.order("sh", "-c", "echo run >> runs; exit 4")
        # From at once to well after the whole of it, ever more slowly.
        _of_another_driver(stage, order, stage.scale.step_s * (kill / stage.scale.kills) ** 3)
        known = stage.state(order).observed is not Observed.NOTHING
        stage.submit(order)
        end = stage.end(order)
        check((end.cause, end.exit_code) == (Cause.EXIT, 4), f"it runs (known before: {known}): {end}")
        check((order.folder / "work" / "runs").read_text() == "run\n", f"it ran once (known before: {known})")


def ended_is_remembered(stage: Stage) -> None:
    order = stage.order("sh", "-c", "echo said; exit 3", fake=(20, 3))
    before = stage.run(order)
    stage.restart_driver()
    check(stage.end(order) == before, "a new driver knows how it ended")
    check(order.attempt in stage.driver.changed(), "and names it")
    if "commands" in stage.driver.capabilities:
        check(stage.lines(order) == ["said"], "and has its output")


def killed_while_running(stage: Stage) -> None:
    order = stage.order("sh", "-c", f"echo up; {stage.shell_gate()}; echo done; exit 5")
    stage.driver.close()
    _of_another_driver(stage, order)
    stage.restart_driver()
    check(order.attempt in stage.driver.live(), "a new driver finds what runs")
    check(order.attempt in stage.driver.changed(), "and names it")
    stage.until(lambda: bool(stage.lines(order)), "it to run")
    stage.driver.close()
    stage.open_gate(order)
    stage.restart_driver()
    end = stage.end(order)
    check((end.cause, end.exit_code) == (Cause.EXIT, 5), f"it ended while nobody looked: {end}")
    check(stage.lines(order) == ["up", "done"], "its output is all there")
    order = stage.order("sleep", "600")
    stage.driver.close()
    _of_another_driver(stage, order)
    stage.restart_driver()
    stage.reach(order, Observed.RUNNING)
    stage.driver.cancel([order.attempt])
    check(stage.end(order).cause is Cause.CANCELLED, "what was taken up again can be cancelled")


def limit_without_driver(stage: Stage) -> None:
    order = stage.order("sleep", "600", time_limit_ms=stage.scale.limit_ms)
    stage.driver.close()
    _of_another_driver(stage, order)
    stage.restart_driver()
    if stage.provocations.reach_limit is not None:
        stage.reach(order, Observed.RUNNING)
        stage.provocations.reach_limit(order.attempt)
    check(stage.end(order).cause is Cause.TIME_LIMIT, "the time limit holds when no driver runs")


def submit_and_die(text: str) -> None:
    """Run by another process: submit an order, and be killed before the answer is used."""
    plain = json.loads(text)
    sys.path[:] = plain["path"]
    module, _, name = plain["factory"].partition(":")
    factory = getattr(__import__(module, fromlist=[name]), name)
    folder = Path(plain["folder"])
    driver = factory(folder)
    driver.attach(tuple(from_plain(PoolEntry, entry) for entry in plain["pools"]), plain["options"])
    attempt = plain["attempt"]
    work = from_plain(Work, plain["work"])
    place = folder / "attempts" / attempt
    order = AttemptOrder(attempt, plain["job"], 1, None, work, (NodeShare(0, work.tasks),), place)
    print("ready", flush=True)
    driver.submit([order], 0)
    os.kill(os.getpid(), signal.SIGKILL)


def _of_another_driver(stage: Stage, order: AttemptOrder, after_s: float | None = None) -> int:
    """Have the order submitted by a driver in another process, which is then killed; its exit status.

    It is killed right after the answer, or `after_s` after it began to submit.
    """
    stage.driver.close()
    plain = {
        "path": sys.path,
        "factory": f"{stage.make_driver.__module__}:{stage.make_driver.__qualname__}",
        "folder": os.fspath(stage.folder),
        "options": dict(stage.options),
        "pools": [to_plain(entry) for entry in stage.pools],
        "attempt": order.attempt,
        "job": order.job,
        "work": to_plain(order.work),
    }
    text = (
        f"import sys; sys.path[:] = {sys.path!r}\n"
        f"from weir.engines.conformance.repeating import submit_and_die\nsubmit_and_die({json.dumps(plain)!r})"
    )
    with subprocess.Popen([sys.executable, "-c", text], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        check(other.stdout.readline() == "ready\n", "another process makes and attaches the driver")
        if after_s is not None:
            time.sleep(after_s)
            other.kill()
        status = other.wait(stage.scale.patience_s)
    stage.restart_driver()
    return status


CASES = (
    Case("ordered ten times", frozenset(), ten_times),
    Case("driver killed before its answer", frozenset({"commands"}), killed_before_the_answer),
    Case("driver killed while it submits", frozenset({"commands"}), killed_while_submitting),
    Case("an end is remembered", frozenset(), ended_is_remembered),
    Case("driver killed while it runs", frozenset({"commands", "output-live"}), killed_while_running),
    Case("time limit without a driver", frozenset({"commands", "time-limit"}), limit_without_driver),
)
