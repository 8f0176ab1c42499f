"""Cases about an engine that goes away, comes back, or has another idea of the time."""

import time
from collections.abc import Callable
from typing import TypeVar

from weir.engines.conformance.stage import Case, Stage, check
from weir.engines.driver import EngineUnreachableError
from weir.model.state import Cause, Observed

__all__ = ["CASES"]

T = TypeVar("T")
_HOUR_MS = 3_600_000


def engine_restarted(stage: Stage) -> None:
    restart = stage.provocations.restart_engine
    assert restart
    running = stage.order("sh", "-c", f"echo run >> runs; {stage.shell_gate()}; exit 5", fake=(2_000, 5))
    ended = stage.order("sh", "-c", "exit 6", fake=(20, 6))
    stage.submit(running, ended)
    stage.end(ended)
    stage.reach(running, Observed.RUNNING)
    restart()
    stage.until(lambda: _answers(stage), "the engine to answer again")
    check(stage.state(running).observed is Observed.RUNNING, "what ran runs on")
    check(stage.state(ended).end is not None, "what had ended is still known")
    stage.submit(running)
    stage.open_gate(running)
    end = stage.end(running)
    check((end.cause, end.exit_code) == (Cause.EXIT, 5), f"and ends as it would have: {end}")
    if "commands" in stage.driver.capabilities:
        check((running.folder / "work" / "runs").read_text() == "run\n", "it ran once")
    check(stage.run(stage.order("true")).cause is None, "new work runs")


def unreachable(stage: Stage) -> None:
    cut = stage.provocations.unreachable
    assert cut
    outage_s = stage.scale.outage_s
    text = f"sleep {outage_s / 2}; exit 5"
    running = stage.order("sh", "-c", text, fake=(round(outage_s * 500), 5))
    late = stage.order("sh", "-c", "echo run >> runs")
    stage.submit(running)
    stage.reach(running, Observed.RUNNING)
    with cut():
        until = time.monotonic() + outage_s
        refusals = 0
        while time.monotonic() < until:
            _forgiving(lambda: stage.driver.cancel(["nobody000000-1"]))
            _forgiving(lambda: stage.driver.describe(_now_ms()))
            _forgiving(stage.driver.live)
            # A driver that can tell from what it knows already may do so, and may not guess an end.
            state = _forgiving(lambda: stage.state(running))
            known = state is None or state.observed is not Observed.NOTHING
            check(known, f"what cannot be asked is not said to be gone: {state}")
            given = _forgiving(lambda: stage.driver.submit([late], _now_ms()))
            check(given is None or given[0].accepted, f"what cannot be asked refuses nothing: {given}")
            refusals += given is None
            stage.driver.wait(min(0.2, outage_s / 10))
            time.sleep(0.05)
        check(refusals, "who gives work to an engine that does not answer learns of it")
    stage.until(lambda: _answers(stage), "the engine to answer again")
    end = stage.end(running)
    check((end.cause, end.exit_code) == (Cause.EXIT, 5), f"what ended meanwhile is known: {end}")
    stage.until(lambda: bool(_forgiving(lambda: stage.driver.submit([late], _now_ms()))), "work to be taken")
    check(stage.end(late).cause is None, "and to run")
    if "commands" in stage.driver.capabilities:
        check(
            (late.folder / "work" / "runs").read_text() == "run\n", "it ran once, however often it was given"
        )


def reply_lost(stage: Stage) -> None:
    lose = stage.provocations.lose_reply
    assert lose
    stage.run(stage.order("true"))  # so that the submission is all that it has to ask for
    order = stage.order("sh", "-c", "echo run >> runs; exit 4", fake=(20, 4))
    with lose():
        answered = _forgiving(lambda: stage.driver.submit([order], _now_ms()))
    check(answered is None, "a submission without an answer is no success")
    stage.restart_driver()
    stage.until(lambda: stage.state(order).observed is not Observed.NOTHING, "what was taken to be found")
    stage.submit(order)
    end = stage.end(order)
    check((end.cause, end.exit_code) == (Cause.EXIT, 4), f"it ends as if nothing had been: {end}")
    if "commands" in stage.driver.capabilities:
        check((order.folder / "work" / "runs").read_text() == "run\n", "it ran once")


def caller_skewed(stage: Stage) -> None:
    """The agent's clock is an hour wrong, either way."""
    for skew_ms in (_HOUR_MS, -_HOUR_MS):
        order = stage.order("sh", "-c", f"sleep {stage.scale.step_s}", fake=(200, 0))
        began = time.monotonic()
        [outcome] = stage.driver.submit([order], _now_ms() + skew_ms)
        check(outcome.accepted, f"it is accepted: {outcome}")
        end = stage.end(order)
        check(end.cause is None, f"a wrong clock is no time limit: {end}")
        assert end.started_ms is not None
        took_ms = (time.monotonic() - began) * 1_000
        check(0 <= end.ended_ms - end.started_ms <= took_ms + 1_000, f"it took as long as it took: {end}")
        observations = stage.driver.describe(_now_ms() + skew_ms)
        check(len(observations) == len(stage.pools), "each pool is described all the same")


def engine_skewed(stage: Stage) -> None:
    skew = stage.provocations.skew_clock
    assert skew
    for skew_ms in (_HOUR_MS, -_HOUR_MS):
        before = stage.order("sh", "-c", stage.shell_gate(), fake=(500, 0))
        stage.submit(before)
        stage.reach(before, Observed.RUNNING)
        with skew(skew_ms):
            inside = stage.order("true")
            check(stage.run(inside).cause is None, "an attempt runs, whatever the engine's clock says")
            stage.open_gate(before)
            end = stage.end(before)
        check(end.cause is None, f"a step of the clock ends nothing: {end}")


def _answers(stage: Stage) -> bool:
    return _forgiving(stage.driver.live) is not None


def _forgiving(ask: Callable[[], T]) -> T | None:
    """The answer, or None where the engine gave none."""
    try:
        return ask()
    except EngineUnreachableError:
        return None


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


_NOTHING: frozenset[str] = frozenset()

CASES = (
    Case("the engine is restarted", _NOTHING, engine_restarted, frozenset({"restart_engine"})),
    Case("the engine cannot be reached", _NOTHING, unreachable, frozenset({"unreachable"})),
    Case("an answer is lost", _NOTHING, reply_lost, frozenset({"lose_reply"})),
    Case("the agent's clock is wrong", _NOTHING, caller_skewed),
    Case("the engine's clock is wrong", _NOTHING, engine_skewed, frozenset({"skew_clock"})),
)
