"""Cases about running one command: how it starts, what it sees, what it writes, how it ends."""

import json

from weir.engines.conformance.stage import Case, Stage, check
from weir.model.agent import NodeShare
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


def output_live(stage: Stage) -> None:
    order = stage.order("sh", "-c", f"echo first; {stage.shell_gate()}; echo second")
    stage.submit(order)
    stage.until(lambda: stage.lines(order) == ["first"], "output while it runs")
    # What it writes may be seen a moment before it is told that it has started.
    check(stage.reach(order, Observed.RUNNING).observed is Observed.RUNNING, "it still runs")
    stage.open_gate(order)
    stage.end(order)
    check(stage.lines(order) == ["first", "second"], "all of the output")
    check(stage.driver.output(order.attempt, 0, "stdout", 6, 3) == b"sec", "a piece of it")
    check(stage.driver.output(order.attempt, 0, "stdout", 99, 3) == b"", "nothing past its end")


def streams(stage: Stage) -> None:
    order = stage.order("sh", "-c", "echo one; echo other >&2")
    stage.run(order)
    found = [stage.output(order, stream=stream) for stream in ("stdout", "stderr")]
    check(found == [b"one\n", b"other\n"], f"each stream for itself: {found}")


def output_unicode(stage: Stage) -> None:
    text = "合肥 → 芜湖: ½ Å 🚀 ﷽"
    order = stage.order("printf", "%s\\n", text)
    stage.run(order)
    check(stage.output(order) == f"{text}\n".encode(), "arguments and output keep every character")


def output_large(stage: Stage) -> None:
    lines = stage.scale.output_bytes // 1_000
    order = stage.python(f"import sys; [sys.stdout.write('x' * 999 + chr(10)) for _ in range({lines})]")
    end = stage.run(order)
    check(end.cause is None, f"megabytes are nothing special: {end}")
    check(stage.driver.output_size(order.attempt, 0, "stdout") == lines * 1_000, "the size of the output")
    check(stage.output(order) == (b"x" * 999 + b"\n") * lines, "every byte of it")


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
        inside = "shared-folder" not in stage.driver.capabilities or f"{order.folder}/" in seen.get(name, "")
        check(seen.get(name) and inside, f"{name} lies in the attempt's folder")


def working_files(stage: Stage) -> None:
    text = 'cat in.txt sub/in.txt; mkdir -p a/b; echo made > a/b/out.txt; echo t > "$TMPDIR/t"; pwd; ./run.sh'
    order = stage.order("sh", "-c", text, outputs=("a", "*.big"), output_limit_bytes=1 << 23)
    work = order.folder / "work"
    (work / "in.txt").write_text("given\n")
    (work / "sub").mkdir()
    (work / "sub" / "in.txt").write_bytes("也是\n".encode())
    (work / "run.sh").write_text("#!/bin/sh\ncat large.in large.in > made.big\n")
    (work / "run.sh").chmod(0o700)
    (work / "large.in").write_bytes(large := bytes(range(256)) * 10_001)
    end = stage.run(order)
    check(end.cause is None, f"it can read, write and use its TMPDIR: {end}")
    seen = stage.lines(order)
    check(seen[:2] == ["given", "也是"], f"what was laid into the work folder is there: {seen}")
    if "shared-folder" in stage.driver.capabilities:
        check(seen[2:] == [f"{order.folder}/work"], f"it runs in its work folder: {seen}")
    made = work / "a" / "b" / "out.txt"
    check(made.read_text() == "made\n", "what it made is there when its end is seen")
    check((work / "made.big").read_bytes() == large * 2, "and every byte of what is large")


def files_of_a_failure(stage: Stage) -> None:
    order = stage.order("sh", "-c", "echo left > left; exit 3", outputs=("left",), output_limit_bytes=100)
    end = stage.run(order)
    check((end.cause, end.exit_code) == (Cause.EXIT, 3), f"it ended with code 3, not {end}")
    check((order.folder / "work" / "left").read_text() == "left\n", "what a failure leaves is there too")


def many(stage: Stage) -> None:
    orders = [
        stage.order("sh", "-c", f"exit {n % 3}", fake=(20, n % 3), cores_milli=10)
        for n in range(stage.scale.many)
    ]
    stage.submit(*orders)
    ends = stage.ends(orders)
    wrong = [(n, end) for n, end in enumerate(ends) if end.exit_code != n % 3]
    check(not wrong, f"each has its own code, but for {wrong}")


def devices(stage: Stage) -> None:
    show = f"echo $WEIR_HOSTS ${stage.device_variable or 'WEIR_DEVICES'} $WEIR_DEVICES"
    orders = [stage.order("sh", "-c", f"{show}; {stage.shell_gate()}", devices_milli=2_000) for _ in range(2)]
    stage.submit(*orders)
    stage.until(lambda: all(stage.lines(order) for order in orders), "both to run side by side")
    seen = [stage.lines(order)[0].split() for order in orders]
    stage.open_gate(*orders)
    stage.ends(orders)
    check(all(len(words) == 3 for words in seen), f"host and devices are shown: {seen}")
    check(all(mine == own for _, mine, own in seen), f"WEIR_DEVICES and the stack's variable agree: {seen}")
    taken = [(host, index) for host, mine, _ in seen for index in mine.split(",")]
    check(len(taken) == len(set(taken)) == 4, f"no device is given twice: {seen}")


def no_devices(stage: Stage) -> None:
    order = stage.order("sh", "-c", 'echo "[$WEIR_DEVICES]"')
    stage.run(order)
    check(stage.lines(order) == ["[]"], "who asks for none is given none")


def cores(stage: Stage) -> None:
    text = "import os, time; print(sorted(os.sched_getaffinity(0)), flush=True)\n"
    text += "while not os.path.exists('go'): time.sleep(0.02)"
    orders = [stage.python(text, nodes=(NodeShare(node, 1),)) for node in range(2)]
    stage.submit(*orders)
    stage.until(lambda: all(stage.lines(order) for order in orders), "both to run side by side")
    stage.open_gate(*orders)
    stage.ends(orders)
    seen = [set(json.loads(stage.lines(order)[0])) for order in orders]
    check(all(len(bound) == 1 for bound in seen), f"each is bound to as many cores as it asked for: {seen}")
    check(not seen[0] & seen[1], f"and to none of the other's: {seen}")


def shares(stage: Stage) -> None:
    text = f"echo $WEIR_DEVICES; {stage.shell_gate()}"
    orders = [stage.order("sh", "-c", text, devices_milli=500) for _ in range(2)]
    stage.submit(*orders)
    stage.until(lambda: all(stage.lines(order) for order in orders), "both to run side by side")
    stage.open_gate(*orders)
    stage.ends(orders)
    check(stage.lines(orders[0]) == stage.lines(orders[1]), "two halves lie on one device")


def strangers(stage: Stage) -> None:
    known = stage.order("true")
    stage.run(known)
    unknown = "nobody000000-1"
    states = stage.driver.observe([unknown, known.attempt, unknown])
    check(
        [state.observed for state in states] == [Observed.NOTHING, Observed.ENDED, Observed.NOTHING],
        f"one answer each, in the order asked: {states}",
    )
    stage.driver.cancel([unknown])
    stage.driver.forget([unknown])
    check(stage.driver.output(unknown, 0, "stdout", 0, 10) == b"", "no output of what is unknown")
    check(stage.driver.output_size(unknown, 0, "stderr") == 0, "nor a size")


_COMMANDS = frozenset({"commands"})

CASES = (
    Case("success", frozenset(), success),
    Case("failure", frozenset(), failure),
    Case("output while it runs", _COMMANDS | {"output-live"}, output_live),
    Case("two streams", _COMMANDS | {"streams"}, streams),
    Case("output in unicode", _COMMANDS, output_unicode),
    Case("output of megabytes", _COMMANDS, output_large),
    Case("arguments", _COMMANDS, arguments),
    Case("environment", _COMMANDS, environment),
    Case("working files", _COMMANDS | {"files"}, working_files),
    Case("files of a failure", _COMMANDS | {"files"}, files_of_a_failure),
    Case("many at once", frozenset(), many),
    Case("strangers", frozenset(), strangers),
    Case("devices", _COMMANDS | {"devices"}, devices),
    Case("no devices", _COMMANDS | {"devices"}, no_devices),
    Case("bound to cores", _COMMANDS | {"cpu-affinity", "shared-folder"}, cores),
    Case("shares of a device", _COMMANDS | {"shares"}, shares),
)
