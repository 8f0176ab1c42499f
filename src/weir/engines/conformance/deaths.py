"""Cases about how attempts end other than well: each kind of death is told apart."""

from weir.engines.conformance.stage import Case, Stage, check
from weir.engines.driver import AttemptOrder
from weir.model.state import Cause, Observed

__all__ = ["CASES"]


def killed_by_itself(stage: Stage) -> None:
    end = stage.run(stage.order("sh", "-c", "kill -SEGV $$"))
    check((end.cause, end.exit_code, end.signal) == (Cause.SIGNAL, None, 11), f"it ended by signal 11: {end}")


def start_failure(stage: Stage) -> None:
    end = stage.run(stage.order("no-such-program"))
    check(end.cause is Cause.START and end.exit_code is None, f"it was never started: {end}")
    check(
        "no-such-program" in end.message and "not found" in end.message,
        f"the message says why: {end.message}",
    )
    order = stage.order("./script")
    (order.folder / "work" / "script").write_text("#!/bin/sh\n")
    end = stage.run(order)
    check(end.cause is Cause.START and "not executable" in end.message, f"the message says why: {end}")


def time_limit(stage: Stage) -> None:
    limit_ms = stage.scale.limit_ms
    order = stage.order("sleep", "600", time_limit_ms=limit_ms, fake=(600_000, 0))
    hastened = _submit_to_its_limit(stage, order)
    end = stage.end(order)
    check(end.cause is Cause.TIME_LIMIT, f"it ended at its time limit, not {end}")
    assert end.started_ms is not None
    check(hastened or end.ended_ms - end.started_ms >= limit_ms, f"and not before it: {end}")


def time_limit_ignored(stage: Stage) -> None:
    text = 'trap "" TERM; sleep 600 & wait; sleep 600'
    order = stage.order("sh", "-c", text, time_limit_ms=stage.scale.limit_ms)
    _submit_to_its_limit(stage, order)
    end = stage.end(order)
    check(end.cause is Cause.TIME_LIMIT and end.signal in (9, None), f"who ignores TERM is killed, not {end}")


def memory_limit(stage: Stage) -> None:
    order = stage.python("x = bytearray(1 << 28); print(len(x))", memory_bytes=1 << 26)
    end = stage.run(order)
    check(end.cause is Cause.OUT_OF_MEMORY, f"it used more memory than it asked for, not {end}")
    order = stage.python("x = bytearray(1 << 25); print(len(x))", memory_bytes=1 << 26)
    check(stage.run(order).cause is None, "less than it asked for is no reason to end")


def out_of_memory_or_not(stage: Stage) -> None:
    """A crash, a kill from elsewhere and a code that looks like one are no want of memory."""
    for text, wanted in (("kill -ABRT $$", 6), ("kill -KILL $$", 9)):
        end = stage.run(stage.order("sh", "-c", text))
        check((end.cause, end.signal) == (Cause.SIGNAL, wanted), f"it ended by signal {wanted}: {end}")
    end = stage.run(stage.order("sh", "-c", "exit 137"))
    check((end.cause, end.exit_code) == (Cause.EXIT, 137), f"a code is a code, whatever it means: {end}")


def memory_of_a_child(stage: Stage) -> None:
    text = f"import subprocess, sys; sys.exit(subprocess.run([sys.executable, '-c', {_GREEDY!r}]).returncode != 0)"
    end = stage.run(stage.python(text, memory_bytes=1 << 26))
    check(end.cause is Cause.OUT_OF_MEMORY, f"what its children use is its own: {end}")


def node_failed(stage: Stage) -> None:
    fail = stage.provocations.fail_node
    assert fail
    order = _running(stage)
    fail(order.attempt)
    end = stage.end(order)
    check(end.cause in (Cause.NODE_FAILED, Cause.LOST), f"its node failed: {end}")
    check(end.message, "and the message says so")


def preempted(stage: Stage) -> None:
    preempt = stage.provocations.preempt
    assert preempt
    order = _running(stage)
    preempt(order.attempt)
    check(stage.end(order).cause is Cause.PREEMPTED, f"it had to give way: {stage.state(order)}")


def requeued(stage: Stage) -> None:
    requeue = stage.provocations.requeue
    assert requeue
    text = f"echo run >> runs; [ $(wc -l < runs) = 2 ] && exit 0; {stage.shell_gate()}; sleep 600"
    order = stage.order("sh", "-c", text, restartable=True)
    stage.submit(order)
    stage.reach(order, Observed.RUNNING)
    stage.until((order.folder / "work" / "runs").exists, "it to write")
    requeue(order.attempt)
    check(stage.state(order).observed is Observed.RUNNING, "a state never goes down")
    end = stage.end(order)
    check(end.cause is None, f"what may be run again is, as the same attempt: {end}")
    check((order.folder / "work" / "runs").read_text() == "run\nrun\n", "it ran twice")


def vanished(stage: Stage) -> None:
    vanish = stage.provocations.vanish
    assert vanish
    order = _running(stage)
    vanish(order.attempt)

    def definite() -> bool:
        state = stage.state(order)
        return state.observed is Observed.NOTHING or bool(state.end and state.end.cause is Cause.LOST)

    stage.until(definite, "what the engine has lost to be known as lost")


def _running(stage: Stage) -> AttemptOrder:
    order = stage.order("sleep", "600", fake=(600_000, 0))
    stage.submit(order)
    stage.reach(order, Observed.RUNNING)
    return order


def _submit_to_its_limit(stage: Stage, order: AttemptOrder) -> bool:
    """Submit, and bring it to its time limit where that can be done; whether it was."""
    stage.submit(order)
    if stage.provocations.reach_limit is None:
        return False
    stage.reach(order, Observed.RUNNING)
    stage.provocations.reach_limit(order.attempt)
    return True


_GREEDY = "x = bytearray(1 << 28)"
_COMMANDS = frozenset({"commands"})

CASES = (
    Case("killed by itself", _COMMANDS, killed_by_itself),
    Case("start failure", _COMMANDS, start_failure),
    Case("time limit", frozenset({"time-limit"}), time_limit),
    Case("time limit ignored", _COMMANDS | {"time-limit"}, time_limit_ignored),
    Case("memory limit", _COMMANDS | {"memory-limit"}, memory_limit),
    Case("memory of a child", _COMMANDS | {"memory-limit"}, memory_of_a_child),
    Case("not out of memory", _COMMANDS, out_of_memory_or_not),
    Case("a node fails", frozenset(), node_failed, frozenset({"fail_node"})),
    Case("preempted", frozenset(), preempted, frozenset({"preempt"})),
    Case("requeued by the engine", _COMMANDS | {"shared-folder"}, requeued, frozenset({"requeue"})),
    Case("lost by the engine", frozenset(), vanished, frozenset({"vanish"})),
)
