"""Cases about ending what runs: cancelling in every state, and leaving nothing behind."""

from dataclasses import replace
from pathlib import Path

from weir.engines.conformance.stage import NARROW, Case, Stage, check
from weir.model.state import Cause, Observed

__all__ = ["CASES"]

_BEATING = """
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        while True:
            open("beats", "a").write("x")
            time.sleep(0.02)
    os._exit(0)
while not os.path.exists("beats"):
    time.sleep(0.01)
print("supervisor", os.getppid(), flush=True)
"""


def cancel_queued(stage: Stage) -> None:
    first = stage.blocking()
    second = stage.order("touch", "ran", pool=NARROW)
    stage.submit(first)
    stage.reach(first, Observed.RUNNING)  # not every engine takes them in their order
    stage.submit(second)
    stage.driver.wait(stage.scale.step_s)
    check(stage.state(second).observed is Observed.QUEUED, "what has no room waits")
    check(stage.state(second).message, "and says why")
    stage.driver.cancel([second.attempt])
    end = stage.end(second)
    check((end.cause, end.started_ms) == (Cause.CANCELLED, None), f"it is cancelled and never started: {end}")
    stage.driver.cancel([first.attempt])
    check(stage.end(first).cause is Cause.CANCELLED, "the first is cancelled too")
    check(not (second.folder / "work" / "ran").exists(), "what was cancelled in the queue never runs")


def withdraw(stage: Stage) -> None:
    first = stage.blocking()
    second = stage.order("touch", "ran", pool=NARROW)
    stage.submit(first)
    stage.reach(first, Observed.RUNNING)
    stage.submit(second)
    stage.driver.wait(stage.scale.step_s)
    for _ in range(2):
        stage.driver.withdraw([first.attempt, second.attempt])
    end = stage.end(second)
    check((end.cause, end.started_ms) == (Cause.CANCELLED, None), f"what waits is taken back: {end}")
    check(stage.state(first).observed is Observed.RUNNING, "what has started goes on")
    stage.driver.cancel([first.attempt])
    stage.end(first)
    check(not (second.folder / "work" / "ran").exists(), "what was taken back never runs")


def cancel_at_once(stage: Stage) -> None:
    few = min(10, max(2, stage.scale.many // 4))
    orders = [stage.order("sleep", "600", cores_milli=10, fake=(600_000, 0)) for _ in range(few)]
    stage.submit(*orders)
    stage.driver.cancel([order.attempt for order in orders])
    causes = {end.cause for end in stage.ends(orders)}
    check(causes == {Cause.CANCELLED}, f"cancelled right after the order, all are: {causes}")


def cancel_running(stage: Stage) -> None:
    order = stage.order("sh", "-c", 'trap "echo bye; exit 0" TERM; echo up; while :; do sleep 0.02; done')
    stage.submit(order)
    stage.until(lambda: stage.lines(order) == ["up"], "it to run")
    for _ in range(3):
        stage.driver.cancel([order.attempt])
    end = stage.end(order)
    check(end.cause is Cause.CANCELLED, f"it is cancelled, whatever its own code: {end}")
    check(stage.lines(order) == ["up", "bye"], "it was told, and could finish")
    stage.driver.cancel([order.attempt])
    check(stage.state(order).end == end, "cancelling what has ended changes nothing")


def cancel_signal(stage: Stage) -> None:
    text = 'trap "echo told; exit 0" USR1; echo up; while :; do sleep 0.02; done'
    order = stage.order("sh", "-c", text, stop_signal="USR1")
    stage.submit(order)
    stage.until(lambda: stage.lines(order) == ["up"], "it to run")
    stage.driver.cancel([order.attempt])
    stage.end(order)
    check(stage.lines(order) == ["up", "told"], "the stop signal that was ordered is the one sent")


def cancel_ignored(stage: Stage) -> None:
    order = stage.order("sh", "-c", 'trap "" TERM; echo up; while :; do sleep 0.02; done')
    stage.submit(order)
    stage.until(lambda: stage.lines(order) == ["up"], "it to run")
    stage.driver.cancel([order.attempt])
    end = stage.end(order)
    check(end.cause is Cause.CANCELLED and end.signal in (9, None), f"after its grace it is killed: {end}")


def nothing_outlives(stage: Stage) -> None:
    order = stage.python(_BEATING)
    stage.run(order)
    check(_is_still(stage, order.folder), "what a command left in a session of its own ends with it")
    order = stage.python(_BEATING + "time.sleep(600)")
    stage.submit(order)
    stage.until(lambda: bool(stage.lines(order)), "it to run")
    stage.driver.cancel([order.attempt])
    stage.end(order)
    check(_is_still(stage, order.folder), "and so when it is cancelled")


def supervisor_killed(stage: Stage) -> None:
    order = stage.python(_BEATING + "time.sleep(600)")
    stage.submit(order)
    stage.until(lambda: bool(stage.lines(order)), "it to run")
    stage.reach(order, Observed.RUNNING)
    kill = stage.provocations.kill_process
    assert kill
    kill(int(stage.lines(order)[0].split()[1]))
    end = stage.end(order)
    check(end.cause in (Cause.LOST, Cause.NODE_FAILED), f"without its supervisor it is lost: {end}")
    check(_is_still(stage, order.folder), "and nothing of it runs on")


def refused(stage: Stage) -> None:
    order = stage.order("true", cores_milli=10**9)
    [outcome] = stage.driver.submit([order], 0)
    check(not outcome.accepted and outcome.message, "what can never fit is refused, with the reason")
    check(stage.state(order).observed is Observed.NOTHING, "and nothing is kept of it")
    order = stage.order("true")
    order = replace(order, work=replace(order.work, pool="nowhere"))
    [outcome] = stage.driver.submit([order], 0)
    check(not outcome.accepted and "nowhere" in outcome.message, f"so is a pool that is not here: {outcome}")


def ended_is_left_alone(stage: Stage) -> None:
    order = stage.order("sh", "-c", "exit 3", fake=(20, 3))
    before = stage.run(order)
    stage.driver.cancel([order.attempt])
    stage.driver.cancel([order.attempt])
    check(stage.state(order).end == before, "cancelling what has ended changes nothing")
    left = stage.order("sleep", "600", fake=(600_000, 0))
    stage.submit(left)
    stage.driver.forget([left.attempt])
    check(stage.state(left).observed is not Observed.NOTHING, "what has not ended is not forgotten")


def cleaned(stage: Stage) -> None:
    left = stage.provocations.left
    assert left
    order = stage.order("true")
    stage.run(order)
    check(left(), "what has ended stays in the engine until it is forgotten")
    stage.driver.forget([order.attempt])
    stage.until(lambda: not left(), "the engine to be clean after what was forgotten")


def _is_still(stage: Stage, folder: Path) -> bool:
    beats = folder / "work" / "beats"
    before = beats.stat().st_size
    stage.driver.wait(0.01)
    for _ in range(10):
        stage.driver.wait(0.02)
    return before == beats.stat().st_size


_COMMANDS = frozenset({"commands"})
_FOLLOWED = frozenset({"commands", "output-live", "shared-folder"})

CASES = (
    Case("cancel what waits", frozenset({"queue"}), cancel_queued),
    Case("take back what waits", frozenset({"queue", "withdraw"}), withdraw),
    Case("cancel at once", frozenset(), cancel_at_once),
    Case("cancel what runs", _COMMANDS | {"output-live"}, cancel_running),
    Case("cancel by its own signal", _COMMANDS | {"output-live", "stop-signal"}, cancel_signal),
    Case("cancel what ignores it", _COMMANDS | {"output-live"}, cancel_ignored),
    Case("cancel what has ended", frozenset(), ended_is_left_alone),
    Case("nothing outlives its command", _FOLLOWED | {"kill-all"}, nothing_outlives),
    Case("a killed supervisor", _FOLLOWED | {"kill-all"}, supervisor_killed, frozenset({"kill_process"})),
    Case("refused", frozenset(), refused),
    Case("cleaned up when forgotten", frozenset(), cleaned, frozenset({"left"})),
)
