"""Cases about running one command: how it starts, what it sees, what it writes, how it ends."""

from weir.engines.conformance.stage import Case, Stage, check
from weir.model.state import Cause, Observed

__all__ = ["CASES"]


def success(stage: Stage) -> None:
    order = stage.order("true")
    check(stage.state(order).observed is Observed.NOTHING, "nothing is known of it before it is submitted")
    end = stage.run(order)
    check((end.cause, end.exit_code, end.signal) == (None, 0, None), f"success ends with code 0, not {end}")
    check(end.started_ms is not None, "the start is known")
    check(order.attempt not in stage.driver.live(), "what has ended is not live")
    stage.driver.forget([order.attempt])
    stage.driver.forget([order.attempt])
    check(stage.state(order).observed is Observed.NOTHING, "nothing is known of it after it was forgotten")


def failure(stage: Stage) -> None:
    end = stage.run(stage.order("sh", "-c", "exit 7", fake=(20, 7)))
    check((end.cause, end.exit_code, end.signal) == (Cause.EXIT, 7, None), f"it ended with code 7, not {end}")


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
    end = stage.run(stage.order("sleep", "600", time_limit_ms=300, fake=(600_000, 0)))
    check(end.cause is Cause.TIME_LIMIT, f"it ended at its time limit, not {end}")
    assert end.started_ms is not None
    check(end.ended_ms - end.started_ms >= 300, f"and not before it: {end}")


def time_limit_ignored(stage: Stage) -> None:
    end = stage.run(stage.order("sh", "-c", 'trap "" TERM; sleep 600 & wait; sleep 600', time_limit_ms=300))
    check((end.cause, end.signal) == (Cause.TIME_LIMIT, 9), f"who ignores TERM is killed, not {end}")


def output_live(stage: Stage) -> None:
    order = stage.order(
        "sh", "-c", "echo first; echo other >&2; while [ ! -e go ]; do sleep 0.02; done; echo second"
    )
    stage.submit(order)
    stage.until(lambda: stage.lines(order) == ["first"], "output while it runs")
    check(stage.output(order, stream="stderr") == b"other\n", "each stream for itself")
    check(stage.state(order).observed is Observed.RUNNING, "it still runs")
    (order.folder / "work" / "go").touch()
    stage.end(order)
    check(stage.lines(order) == ["first", "second"], "all of the output")
    check(stage.driver.output(order.attempt, 0, "stdout", 6, 3) == b"sec", "a piece of it")
    check(stage.driver.output(order.attempt, 0, "stdout", 99, 3) == b"", "nothing past its end")


def output_unicode(stage: Stage) -> None:
    text = "合肥 → 芜湖: ½ Å 🚀 ﷽"
    order = stage.order("printf", "%s\\n", text)
    stage.run(order)
    check(stage.output(order) == f"{text}\n".encode(), "arguments and output keep every character")


def output_large(stage: Stage) -> None:
    order = stage.python("import sys; [sys.stdout.write('x' * 999 + chr(10)) for _ in range(10_000)]")
    end = stage.run(order)
    check(end.cause is None, f"ten megabytes are nothing special: {end}")
    check(stage.driver.output_size(order.attempt, 0, "stdout") == 10_000_000, "the size of the output")
    check(stage.output(order) == (b"x" * 999 + b"\n") * 10_000, "every byte of it")


def arguments(stage: Stage) -> None:
    words = ["", " ", "$HOME", "`id`", "a'b\"c", "*", "-n", "line\nbreak"]
    order = stage.python("import sys; print(ascii(sys.argv[1:]))")
    work = stage.order(*order.work.command, *words)
    stage.run(work)
    check(stage.lines(work) == [ascii(words)], "no shell touches the arguments")


def environment(stage: Stage) -> None:
    order = stage.order("env", environment={"MINE": "a b"}, array_index=7)
    stage.run(order)
    seen = dict(line.partition("=")[::2] for line in stage.lines(order))
    wanted = {
        "MINE": "a b",
        "WEIR_JOB_ID": order.job,
        "WEIR_ATTEMPT": order.attempt,
        "WEIR_ARRAY_INDEX": "7",
        "WEIR_TASK_INDEX": "0",
        "WEIR_TASK_COUNT": "1",
        "WEIR_DEVICES": "",
    }
    for name, value in wanted.items():
        check(seen.get(name) == value, f"{name} is {value!r}, not {seen.get(name)!r}")
    check(seen.get("WEIR_HOSTS"), "WEIR_HOSTS names the host")
    for name in ("HOME", "TMPDIR"):
        check(seen.get(name, "").startswith(f"{order.folder}/"), f"{name} lies in the attempt's folder")


def working_files(stage: Stage) -> None:
    order = stage.order("sh", "-c", 'cat in.txt; echo made > out.txt; echo t > "$TMPDIR/t"; pwd')
    (order.folder / "work" / "in.txt").write_text("given\n")
    end = stage.run(order)
    check(end.cause is None, f"it can read, write and use its TMPDIR: {end}")
    check(stage.lines(order) == ["given", f"{order.folder}/work"], "it runs in its work folder")
    check((order.folder / "work" / "out.txt").read_text() == "made\n", "what it made is there")


def many(stage: Stage) -> None:
    orders = [
        stage.order("sh", "-c", f"exit {n % 3}", fake=(20, n % 3), cores_milli=10) for n in range(stage.many)
    ]
    stage.submit(*orders)
    ends = stage.ends(orders)
    check([end.exit_code for end in ends] == [n % 3 for n in range(stage.many)], "each has its own code")


def memory_limit(stage: Stage) -> None:
    order = stage.python("x = bytearray(1 << 28); print(len(x))", memory_bytes=1 << 26)
    end = stage.run(order)
    check(end.cause is Cause.OUT_OF_MEMORY, f"it used more memory than it asked for, not {end}")
    order = stage.python("x = bytearray(1 << 25); print(len(x))", memory_bytes=1 << 26)
    check(stage.run(order).cause is None, "less than it asked for is no reason to end")


def devices(stage: Stage) -> None:
    text = "echo $CUDA_VISIBLE_DEVICES $WEIR_DEVICES; while [ ! -e go ]; do sleep 0.02; done"
    orders = [stage.order("sh", "-c", text, devices_milli=2_000) for _ in range(2)]
    stage.submit(*orders)
    stage.until(lambda: all(stage.lines(order) for order in orders), "both to run side by side")
    seen = [stage.lines(order)[0].split() for order in orders]
    for order in orders:
        (order.folder / "work" / "go").touch()
    stage.ends(orders)
    check(all(mine == own for mine, own in seen), f"WEIR_DEVICES and the stack's variable agree: {seen}")
    taken = [index for mine, _ in seen for index in mine.split(",")]
    check(len(taken) == len(set(taken)) == 4, f"no device is given twice: {seen}")


def shares(stage: Stage) -> None:
    text = "echo $WEIR_DEVICES; while [ ! -e go ]; do sleep 0.02; done"
    orders = [stage.order("sh", "-c", text, devices_milli=500) for _ in range(2)]
    stage.submit(*orders)
    stage.until(lambda: all(stage.lines(order) for order in orders), "both to run side by side")
    for order in orders:
        (order.folder / "work" / "go").touch()
    stage.ends(orders)
    check(stage.lines(orders[0]) == stage.lines(orders[1]), "two halves lie on one device")


_COMMANDS = frozenset({"commands"})

CASES = (
    Case("success", frozenset(), success),
    Case("failure", frozenset(), failure),
    Case("killed by itself", _COMMANDS, killed_by_itself),
    Case("start failure", _COMMANDS, start_failure),
    Case("time limit", frozenset({"time-limit"}), time_limit),
    Case("time limit ignored", _COMMANDS | {"time-limit"}, time_limit_ignored),
    Case("output while it runs", _COMMANDS | {"output-live"}, output_live),
    Case("output in unicode", _COMMANDS, output_unicode),
    Case("output of ten megabytes", _COMMANDS, output_large),
    Case("arguments", _COMMANDS, arguments),
    Case("environment", _COMMANDS, environment),
    Case("working files", _COMMANDS, working_files),
    Case("many at once", frozenset(), many),
    Case("memory limit", _COMMANDS | {"memory-limit"}, memory_limit),
    Case("devices", _COMMANDS | {"devices"}, devices),
    Case("shares of a device", _COMMANDS | {"shares"}, shares),
)
