"""The wrapper that runs first in every container, in the shells that this machine has."""

import os
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from weir.engines.kubernetes.wrapper import LOG_PATH, SCRIPT, TaskEndRecord, read_end, wrapper_arguments

SHELLS = [shell for shell in ("sh", "dash", "bash", "busybox") if shutil.which(shell)]


@dataclass
class Ran:
    code: int
    end: TaskEndRecord
    out: str


def run(
    shell: str,
    folder: Path,
    *command: str,
    stop_when_up: bool = False,
    limit_ms: int = 60_000,
    path: str = os.environ["PATH"],
) -> Ran:
    (folder / "work").mkdir(parents=True, exist_ok=True)
    words = folder / "words"
    arguments = wrapper_arguments(
        str(folder), shared=True, stop_signal="TERM", grace_ms=300, limit_ms=limit_ms, stack_variable="STACK"
    )
    assert LOG_PATH == arguments[0]
    start = ["busybox", "sh"] if shell == "busybox" else [shell]
    with subprocess.Popen(
        [*start, "-c", SCRIPT, "weir", str(words), *arguments[1:], *command],
        start_new_session=True,
        env={"PATH": path, "WEIR_DEVICES": "0,1"},
    ) as process:
        out = folder / "0.stdout"
        while stop_when_up and not (out.exists() and out.read_text()):
            time.sleep(0.01)
        if stop_when_up:
            process.terminate()
        code = process.wait(20)
    end = read_end(words.read_text())
    assert end is not None
    assert words.read_text() == (folder / "0.end").read_text() or end.told == "duplicate"
    return Ran(code, end, out.read_text() if out.exists() else "")


@pytest.mark.parametrize("shell", SHELLS)
def test_codes_and_signals_are_told_apart(shell: str, tmp_path: Path) -> None:
    for number, (text, code, killed) in enumerate(
        [
            ("exit 0", 0, None),
            ("exit 137", 137, None),
            ("kill -SEGV $$", None, 11),
            ("kill -KILL $$", None, 9),
        ]
    ):
        end = run(shell, tmp_path / str(number), "sh", "-c", text).end
        assert ("", code, killed) == (end.told, end.code, end.signal), text
        assert end.started_ms is not None
        assert end.started_ms <= end.ended_ms


@pytest.mark.parametrize("shell", SHELLS)
def test_who_is_told_to_stop_may_finish(shell: str, tmp_path: Path) -> None:
    text = 'trap "echo bye; exit 0" TERM; echo up; while :; do sleep 0.02; done'
    ran = run(shell, tmp_path / "told", "sh", "-c", text, stop_when_up=True)
    assert ("stop", 0, "up\nbye\n") == (ran.end.told, ran.end.code, ran.out)
    assert ran.code, "a pod that was stopped has not succeeded"
    text = 'trap "" TERM; echo up; while :; do sleep 0.02; done'
    ran = run(shell, tmp_path / "deaf", "sh", "-c", text, stop_when_up=True)
    assert ("stop", 9) == (ran.end.told, ran.end.signal)


@pytest.mark.parametrize("shell", SHELLS)
def test_the_time_limit_holds(shell: str, tmp_path: Path) -> None:
    end = run(shell, tmp_path, "sleep", "60", limit_ms=200).end
    assert ("limit", 15) == (end.told, end.signal)
    assert end.started_ms is not None
    # Busybox tells the time in whole seconds.
    assert end.ended_ms - end.started_ms >= (0 if shell == "busybox" else 200)


@pytest.mark.parametrize("shell", SHELLS)
def test_programs_of_the_orders_path_are_the_commands_alone(shell: str, tmp_path: Path) -> None:
    own = tmp_path / "bin"
    own.mkdir()
    for name, text in (("date", "echo 1000000000"), ("sleep", "exit 0"), ("mine", 'date; echo "$PATH"')):
        (own / name).write_text(f"#!/bin/sh\n{text}\n")
        (own / name).chmod(0o755)
    path = f"{own}:{os.environ['PATH']}"
    ran = run(shell, tmp_path, "mine", path=path)
    assert f"1000000000\n{path}\n" == ran.out
    assert ran.end.ended_ms > 1_700_000_000_000


@pytest.mark.parametrize("shell", SHELLS)
def test_what_cannot_start_says_why(shell: str, tmp_path: Path) -> None:
    for command, words in (
        ("nope", "nope: not found"),
        ("/etc", "/etc: not executable"),
        ("exit", "exit: not found"),
    ):
        end = run(shell, tmp_path / command.strip("/"), command, "3").end
        assert ("start", None) == (end.told, end.started_ms)
        assert words in end.message


@pytest.mark.parametrize("shell", SHELLS)
def test_the_second_to_come_does_nothing(shell: str, tmp_path: Path) -> None:
    first = run(shell, tmp_path, "sh", "-c", 'echo run >> ran; echo "$STACK $WEIR_DEVICES"')
    assert "0,1 0,1\n" == first.out
    second = run(shell, tmp_path, "sh", "-c", "echo run >> ran")
    assert ("duplicate", 75) == (second.end.told, second.code)
    assert "run\n" == (tmp_path / "work" / "ran").read_text()
    assert read_end((tmp_path / "0.end").read_text()) == first.end, "the first one's end is left as it is"


def test_what_was_stopped_before_never_starts(tmp_path: Path) -> None:
    tmp_path.joinpath("stop").touch()
    end = run("sh", tmp_path, "touch", "ran").end
    assert ("stop", None) == (end.told, end.started_ms)
    assert not (tmp_path / "work" / "ran").exists()


def test_other_last_words_are_no_record() -> None:
    for text in ("", "panic: no space", "weir1", "weir1 - x 1 2 ", "weir2 - 0 1 2 "):
        assert None is read_end(text)
