"""Cases about work in a container image. They are played where the stage has one; it needs `sh`, `sleep` and `cat`."""

import tempfile
from pathlib import Path

from weir.engines.conformance.stage import Case, Stage, check
from weir.model.state import Cause, Observed

__all__ = ["CASES"]

_LONG_GRACE_MS = 20_000


def in_its_image(stage: Stage) -> None:
    with tempfile.TemporaryDirectory() as outside:
        Path(outside, "here").touch()
        text = 'printf "%s|" "$A" "$WEIR_TASK_INDEX"; [ -e "$OUTSIDE/here" ] && echo seen; cat given; echo e >&2;exit 3'
        environment = {"A": "two words\nand lines: ü", "OUTSIDE": outside}
        order = stage.order("sh", "-c", text, image=stage.image, environment=environment)
        (order.folder / "work" / "given").write_text("an input")
        end = stage.run(order)
    check((end.cause, end.exit_code) == (Cause.EXIT, 3), f"its own code comes back: {end}")
    wanted = "two words\nand lines: ü|0|an input"
    check(stage.output(order).decode() == wanted, f"environment, inputs and no more: {stage.output(order)!r}")
    if "streams" in stage.driver.capabilities:
        check(stage.output(order, stream="stderr") == b"e\n", "and the streams are kept apart")


def stopped(stage: Stage) -> None:
    heeding = 'trap "echo stopping; exit 7" TERM; while :; do sleep 0.05; done'
    orders = [
        stage.order("sh", "-c", heeding, image=stage.image, stop_grace_ms=_LONG_GRACE_MS),
        stage.order("sleep", "600", image=stage.image, stop_grace_ms=_LONG_GRACE_MS),
        stage.order("sh", "-c", 'trap "" TERM; while :; do sleep 0.05; done', image=stage.image),
    ]
    stage.submit(*orders)
    for order in orders:
        stage.reach(order, Observed.RUNNING)
    stage.driver.wait(stage.scale.step_s)
    stage.driver.cancel([order.attempt for order in orders])
    ends = stage.ends(orders)
    check({end.cause for end in ends} == {Cause.CANCELLED}, f"all are cancelled: {ends}")
    if "stop-signal" in stage.driver.capabilities:
        check(b"stopping" in stage.output(orders[0]), "who handles the stop signal hears it")
        took_ms = ends[1].ended_ms - (ends[1].started_ms or 0)
        check(took_ms < _LONG_GRACE_MS, "who does not is ended by it, and not by the end of the grace")


def memory(stage: Stage) -> None:
    order = stage.order("sh", "-c", "a=x; while :; do a=$a$a; done", image=stage.image, memory_bytes=1 << 26)
    end = stage.run(order)
    check(end.cause is Cause.OUT_OF_MEMORY, f"it used more memory than it asked for, not {end}")


def driver_restarted(stage: Stage) -> None:
    text = f"echo first; {stage.shell_gate()}; echo second; sleep 600 & exit 4"
    order = stage.order("sh", "-c", text, image=stage.image)
    stage.submit(order)
    stage.until(lambda: b"first" in stage.output(order), "output while it runs")
    stage.restart_driver()
    check(stage.state(order).observed is Observed.RUNNING, "the new driver finds the container")
    stage.submit(order)
    stage.open_gate(order)
    end = stage.end(order)
    check((end.cause, end.exit_code) == (Cause.EXIT, 4), f"and is told how it ended: {end}")
    check(stage.lines(order) == ["first", "second"], f"it ran once: {stage.lines(order)}")


CASES = (
    Case("in an image", frozenset({"commands", "containers", "files"}), in_its_image),
    Case("stopped in an image", frozenset({"commands", "containers"}), stopped),
    Case("memory limit in an image", frozenset({"commands", "containers", "memory-limit"}), memory),
    Case("in an image while the driver restarts", frozenset({"containers", "output-live"}), driver_restarted),
)
