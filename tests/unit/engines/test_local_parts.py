"""Small parts of the local engine: settings, launches, ends of gangs, control groups, processes."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import weir
from weir.engines.driver import AttemptOrder
from weir.engines.local.allocation import Allocation, TaskPlace
from weir.engines.local.cgroup import NO_GROUPS, Groups, TaskGroups, find_groups
from weir.engines.local.launch import Site, launch_of, read_order, stop_number, write_order
from weir.engines.local.process import alive, children, identity, signal_process
from weir.engines.local.settings import Settings
from weir.engines.local.tracked import end_of, state_of
from weir.engines.names import driver_names, load_driver
from weir.model.agent import NodeShare, Work
from weir.model.problem import ProblemError
from weir.model.state import Cause, Observed


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("colour", "red"),
        ("isolation", "perhaps"),
        ("private_root", "relative/folder"),
        ("private_root", "/"),
        ("process_limit", "-1"),
        ("limits", "on"),
    ],
)
def test_settings_refuse_by_name(name: str, value: str) -> None:
    with pytest.raises(ProblemError, match=rf"engine\.options\.{name}"):
        Settings.read({name: value})


def test_settings_hide_nothing_when_isolation_is_off() -> None:
    assert "/srv/province" == Settings.read({"private_root": "/srv/province"}).hidden
    assert "" == Settings.read({"private_root": "/srv/province", "isolation": "off"}).hidden


def test_local_is_the_driver_that_is_always_there() -> None:
    assert "local" in driver_names()
    assert "LocalDriver" == getattr(load_driver("local"), "__name__", "")


def test_other_drivers_are_refused_with_the_list() -> None:
    with pytest.raises(ProblemError, match=f"known are {', '.join(driver_names())}"):
        load_driver("nomad")


@pytest.mark.parametrize("name", ["TERM", "SIGTERM"])
def test_signals_are_named_either_way(name: str) -> None:
    assert signal.SIGTERM == stop_number(name)


def order(folder: Path) -> AttemptOrder:
    variable = "ASCEND_RT_VISIBLE_DEVICES"
    environment = {"MINE": "1", "WEIR_ATTEMPT": "forged", "PATH": "/opt/bin"}
    work = Work(
        "s", "p", ("run", "it"), environment, 2, 1, 2, 1_000, "m", variable, 5, "INT", 6, False, ("*",), 7, 8
    )
    return AttemptOrder("s.3-2", "s.3", 2, 3, work, (NodeShare(0, 1), NodeShare(1, 1)), folder)


PLACES = Allocation((TaskPlace(0, 0, (1,), ()), TaskPlace(1, 0, (4,), (7,))))


def test_a_launch_says_everything_that_a_task_may_know(tmp_path: Path) -> None:
    site = Site(Settings(), NO_GROUPS, False, "/agent/poke", {"LANG": "zh_CN.UTF-8", "TOKEN": "secret"})
    launch = launch_of(order(tmp_path), PLACES, 4_711, site)
    second = launch["environment"] | launch["tasks"][1]["environment"]
    assert {
        "PATH": "/opt/bin",
        "LANG": "zh_CN.UTF-8",
        "HOME": f"{tmp_path}/scratch",
        "TMPDIR": f"{tmp_path}/scratch",
        "MINE": "1",
        "WEIR_JOB_ID": "s.3",
        "WEIR_ATTEMPT": "s.3-2",
        "WEIR_ARRAY_INDEX": "3",
        "WEIR_TASK_INDEX": "1",
        "WEIR_TASK_COUNT": "2",
        "WEIR_HOSTS": "127.0.0.1,127.0.0.1",
        "WEIR_DEVICES": "4",
        "ASCEND_RT_VISIBLE_DEVICES": "4",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": "4711",
        "RANK": "1",
        "WORLD_SIZE": "2",
        "LOCAL_RANK": "0",
    } == second
    assert ([7], 2, 5, 6) == (
        launch["tasks"][1]["cores"],
        launch["stop_signal"],
        launch["time_limit_ms"],
        launch["stop_grace_ms"],
    )


def test_an_order_is_read_back_as_it_was(tmp_path: Path) -> None:
    assert read_order(tmp_path) is None
    write_order(order(tmp_path), None, None)
    assert (order(tmp_path), None, NO_GROUPS) == read_order(tmp_path)
    write_order(order(tmp_path), PLACES, {"groups": ["/groups/weir", ""]})
    assert (order(tmp_path), PLACES, Groups("/groups/weir")) == read_order(tmp_path)


def test_half_an_order_is_none(tmp_path: Path) -> None:
    write_order(order(tmp_path), None, None)
    (tmp_path / "control").write_bytes((tmp_path / "control").read_bytes()[:-1])
    assert read_order(tmp_path) is None


def ended(task: int, cause: str | None, ended_ms: int, code: int | None = None) -> dict[str, Any]:
    number = None if code is not None else 15
    return {
        "task": task,
        "state": "ended",
        "cause": cause,
        "code": code,
        "signal": number,
        "message": f"says {task}",
        "started_ms": 100 + task,
        "ended_ms": ended_ms,
    }


def test_a_gang_ends_by_its_first_failure() -> None:
    records = [
        ended(0, "gang", 205),
        ended(1, "exit", 210, 3),
        ended(2, "signal", 220),
        ended(3, None, 190, 0),
    ]
    end = end_of(records)
    assert (Cause.EXIT, 3, None) == (end.cause, end.exit_code, end.signal)
    assert (100, 220, "task 1: says 1") == (end.started_ms, end.ended_ms, end.message)


def test_a_gang_succeeds_when_all_its_tasks_do() -> None:
    end = end_of([ended(0, None, 205, 0), ended(1, None, 210, 0)])
    assert (None, 0, "", 210) == (end.cause, end.exit_code, end.message, end.ended_ms)


def test_a_gang_that_was_stopped_for_a_reason_unknown_is_lost() -> None:
    assert Cause.LOST is end_of([ended(0, "gang", 205), ended(1, None, 210, 0)]).cause


def test_an_attempt_runs_from_its_first_task_to_its_last() -> None:
    starting = {"task": 1, "state": "starting"}
    assert Observed.QUEUED is state_of("a", [None, starting]).observed
    assert Observed.RUNNING is state_of("a", [ended(0, None, 3, 0), None]).observed
    assert Observed.ENDED is state_of("a", [ended(0, None, 3, 0)]).observed


def test_no_control_group_is_found_where_none_can_be_written(tmp_path: Path) -> None:
    assert not find_groups("weir-test", str(tmp_path)).usable


def test_groups_that_are_found_can_be_used_and_removed() -> None:
    groups = find_groups(f"weir-test-{os.getpid()}", limit_processes=True)
    task = TaskGroups(groups, "a-1.0")
    entered = os.fork()
    if entered == 0:
        inside = False
        try:
            task.enter(1 << 30, 100)
            inside = not groups.usable or os.getpid() in task.members()
        finally:
            os._exit(0 if inside else 1)
    assert 0 == os.waitpid(entered, 0)[1]
    assert set() == task.members()
    assert task.kill()
    assert not task.out_of_memory()
    task.remove()
    groups.remove()
    assert [] == [folder for folder in groups.folders() if Path(folder).exists()]


@pytest.mark.parametrize("name", ["memory.oom_control", "memory.events"])
def test_out_of_memory_is_read_from_either_version(tmp_path: Path, name: str) -> None:
    task = TaskGroups(Groups(memory=str(tmp_path)), "a")
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / name).write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 0\n")
    assert not task.out_of_memory()
    (tmp_path / "a" / name).write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 2\n")
    assert task.out_of_memory()


def test_a_process_is_known_by_its_start_too() -> None:
    with subprocess.Popen(["sleep", "60"]) as process:
        known = identity(process.pid)
        assert known is not None
        assert alive(known)
        assert process.pid in children(os.getpid())
        assert not alive([process.pid, known[1] - 1])
        assert not signal_process([process.pid, known[1] - 1], signal.SIGKILL)
        assert signal_process(known, signal.SIGTERM)
    assert -signal.SIGTERM == process.returncode
    assert not alive(known)
    assert not signal_process(known, signal.SIGTERM)


def test_engines_need_the_standard_library_alone() -> None:
    source = Path(weir.__file__).parents[1]
    modules = [
        ".".join(path.relative_to(source).with_suffix("").parts)
        for path in (source / "weir" / "engines").rglob("*.py")
        if path.name != "__init__.py"
    ]
    text = f"import sys; sys.path.insert(0, {str(source)!r}); import {', '.join(modules)}"
    subprocess.run([sys.executable, "-I", "-S", "-c", text], check=True, timeout=60)
    assert "weir.engines.local.supervisor" in modules


def test_the_zygote_stays_small() -> None:
    # Every fork pays for what is imported: nothing of dataclasses (and so inspect), pathlib, subprocess.
    source = Path(weir.__file__).parents[1]
    text = (
        f"import sys; sys.path.insert(0, {str(source)!r}); import weir.engines.local.zygote; "
        "print(*sorted({'dataclasses', 'inspect', 'pathlib', 'subprocess', 'threading'} & set(sys.modules)))"
    )
    answer = subprocess.run(
        [sys.executable, "-I", "-S", "-c", text], capture_output=True, text=True, check=True
    )
    assert "" == answer.stdout.strip()
