"""What the local engine promises beyond the suite: isolation, full disks, restarts, and what it survives."""

import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import weir
from weir.engines.conformance.stage import NARROW, PYTHON, Stage
from weir.engines.driver import Driver
from weir.engines.local.control import Control
from weir.engines.local.driver import LocalDriver
from weir.engines.local.process import alive
from weir.model.state import Cause, Observed

SOURCES = Path(weir.__file__).parents[1]


@pytest.fixture
def stage_at(tmp_path: Path) -> Iterator[Callable[..., Stage]]:
    """Makes a stage with a local driver on a folder, and clears it at the end."""
    stages: list[Stage] = []

    def make(folder: Path = tmp_path / "agent", **options: str) -> Stage:
        stage = Stage(LocalDriver(folder), folder, LocalDriver, options)
        stage.attach()
        stages.append(stage)
        return stage

    yield make
    for stage in stages:
        stage.clear()
        stage.driver.close()


@pytest.fixture
def stage(stage_at: Callable[..., Stage]) -> Stage:
    return stage_at()


def again(stage: Stage) -> Driver:
    """A new driver takes over, as after a restart of the agent."""
    stage.restart_driver()
    return stage.driver


def test_a_task_sees_nothing_of_the_private_folder_but_its_own(
    tmp_path: Path, stage_at: Callable[..., Stage]
) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "secret").write_text("of another centre")
    stage = stage_at(tmp_path / "mine", private_root=str(tmp_path), isolation="required")
    neighbour = stage.order("sleep", "600")
    stage.submit(neighbour)
    stage.reach(neighbour, Observed.RUNNING)
    order = stage.order(
        "sh",
        "-c",
        f"""
        cat {tmp_path}/other/secret
        ls -A {tmp_path} {tmp_path}/mine {tmp_path}/mine/attempts
        cat ../control ../0.stdout
        for p in /proc/[0-9]*; do cat $p/root{tmp_path}/other/secret; done 2>/dev/null
        umount {tmp_path}; unshare -rm umount {tmp_path}
        cat {tmp_path}/other/secret
        grep -E 'CapEff|CapBnd|NoNewPrivs' /proc/self/status
        echo made > out; echo made > $TMPDIR/out
        """,
    )
    stage.run(order)
    # In one line each: what the folders show (their names are printed as headings), then the rights.
    shown = [line for line in stage.lines(order) if line and not line.endswith(":")]
    rights = ["CapBnd:\t0000000000000000", "CapEff:\t0000000000000000", "NoNewPrivs:\t1"]
    assert sorted(["mine", "attempts", order.attempt, *rights]) == sorted(shown)
    assert "made\n" == (order.folder / "work" / "out").read_text()
    assert 0o700 == (stage.folder.stat().st_mode & 0o777)


def test_isolation_that_is_required_and_not_to_be_had_refuses(stage_at: Callable[..., Stage]) -> None:
    stage = stage_at(isolation="required")
    [outcome] = stage.driver.submit([stage.order("true")], 0)
    assert not outcome.accepted
    assert "private_root" in outcome.message


def test_a_gigabyte_of_output_is_taken_as_it_is(stage: Stage) -> None:
    order = stage.order("head", "-c", "1000000000", "/dev/zero")
    end = stage.run(order)
    assert (None, 0) == (end.cause, end.exit_code)
    assert 1_000_000_000 == stage.driver.output_size(order.attempt, 0, "stdout")
    assert bytes(10) == stage.driver.output(order.attempt, 0, "stdout", 999_999_990, 1_000)


# On a file system of its own that is soon full; run in a namespace, so that it takes no right to mount one.
FULL_DISK = """
import os, sys
from pathlib import Path
from weir.engines.conformance import Stage
from weir.engines.local import namespace
from weir.engines.local.driver import LocalDriver

folder = Path(sys.argv[1])
uid, gid = os.geteuid(), os.getegid()
namespace._call("unshare", namespace._CLONE_NEWUSER | namespace._CLONE_NEWNS)
namespace._map_identities(uid, gid)
namespace._mount("none", "/", "", namespace._MS_REC | namespace._MS_PRIVATE)
namespace._mount("small", str(folder), "tmpfs", 0, "size=1m,mode=0700")
options = {"limits": "off"}
stage = Stage(LocalDriver(folder), folder, LocalDriver, options)
stage.attach()
order = stage.order("sh", "-c", "cat /dev/zero > filling; echo unheard; exit 7")
print(stage.run(order).exit_code, stage.output(order))
late = stage.order("true")
end = stage.run(late)
print(end.cause, "|", end.message)
(order.folder / "work" / "filling").unlink()
print(stage.run(stage.order("true")).cause)
stage.clear()
stage.driver.close()
"""


def test_a_full_disk_loses_no_exit_code(tmp_path: Path) -> None:
    answer = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "" == answer.stderr
    assert ["7 b''", "Cause.NODE_FAILED | ", "None"] == [
        line.partition("the attempt")[0] for line in answer.stdout.splitlines()
    ]


def test_a_record_of_another_boot_is_lost_and_nobody_is_signalled(stage: Stage) -> None:
    order = stage.order("sleep", "600")
    stage.submit(order)
    stage.reach(order, Observed.RUNNING)
    stage.driver.close()
    with Control(str(order.folder), write=True) as control:
        record = control.record(0)
        assert record is not None
        control.write(0, boot="another")
    again(stage)
    end = stage.end(order)
    assert Cause.LOST is end.cause
    assert "restarted" in end.message
    assert alive(record["supervisor"])
    os.kill(record["supervisor"][0], signal.SIGTERM)


def test_a_pid_that_was_given_to_another_process_is_not_taken_for_the_supervisor(stage: Stage) -> None:
    order = stage.order("sleep", "600")
    stage.submit(order)
    stage.reach(order, Observed.RUNNING)
    stage.driver.close()
    bystander = subprocess.Popen(["sleep", "600"])
    with Control(str(order.folder), write=True) as control:
        record = control.record(0)
        assert record is not None
        os.kill(record["supervisor"][0], signal.SIGKILL)
        control.write(0, supervisor=[bystander.pid, 1])
    again(stage)
    assert Cause.LOST is stage.end(order).cause
    assert not alive(record["process"])
    assert bystander.poll() is None
    bystander.kill()
    bystander.wait()


def test_what_waits_for_room_is_kept_over_a_restart_with_what_the_others_hold(stage: Stage) -> None:
    first = stage.order("sh", "-c", "while [ ! -e go ]; do sleep 0.02; done", pool=NARROW)
    second = stage.order("true", pool=NARROW)
    stage.submit(first, second)
    stage.reach(first, Observed.RUNNING)
    again(stage)
    third = stage.order("true", pool=NARROW)
    stage.submit(third)
    assert [Observed.RUNNING, Observed.QUEUED, Observed.QUEUED] == [
        state.observed for state in stage.driver.observe([o.attempt for o in (first, second, third)])
    ]
    (first.folder / "work" / "go").touch()
    ends = stage.ends([first, second, third])
    assert [None, None, None] == [end.cause for end in ends]


def test_a_cancelled_attempt_stays_so_over_a_restart(stage: Stage) -> None:
    first = stage.order("sleep", "600", pool=NARROW)
    second = stage.order("touch", "ran", pool=NARROW)
    stage.submit(first, second)
    stage.driver.cancel([second.attempt])
    again(stage)
    assert Cause.CANCELLED is stage.end(second).cause
    stage.driver.cancel([first.attempt])
    stage.end(first)
    assert not (second.folder / "work" / "ran").exists()


def test_a_killed_zygote_is_replaced(stage: Stage) -> None:
    running = stage.order("sh", "-c", "while [ ! -e go ]; do sleep 0.02; done; exit 3")
    stage.submit(running)
    stage.reach(running, Observed.RUNNING)
    driver = stage.driver
    assert isinstance(driver, LocalDriver)
    os.kill(driver._warm._process.pid, signal.SIGKILL)
    orders = [stage.order("true") for _ in range(5)]
    stage.submit(*orders)
    assert {None} == {end.cause for end in stage.ends(orders)}
    (running.folder / "work" / "go").touch()
    assert 3 == stage.end(running).exit_code


def test_a_second_supervisor_of_a_task_leaves_it_alone(stage: Stage) -> None:
    order = stage.order("sh", "-c", "echo run >> runs; sleep 0.3")
    stage.submit(order)
    driver = stage.driver
    assert isinstance(driver, LocalDriver)
    for _ in range(5):
        driver._warm.fork(order.folder, order.attempt, 0)
    driver._warm.flush()
    assert stage.end(order).cause is None
    again(stage)
    assert "run\n" == (order.folder / "work" / "runs").read_text()


def test_a_folder_that_disappears_ends_its_attempt(stage: Stage) -> None:
    order = stage.order("sleep", "0.3")
    stage.submit(order)
    stage.reach(order, Observed.RUNNING)
    shutil.rmtree(order.folder)
    assert Cause.NODE_FAILED is stage.end(order).cause


def test_forgotten_folders_are_gone_at_once_and_swept_later(stage: Stage) -> None:
    order = stage.order("true")
    stage.run(order)
    stage.driver.forget([order.attempt])
    assert not order.folder.exists()
    stage.driver.close()
    assert [] == list((stage.folder / "attempts").iterdir())
    again(stage)


def test_what_an_earlier_agent_had_forgotten_is_swept(stage: Stage) -> None:
    stage.driver.close()
    for name in (".forgotten", ".removing"):
        (stage.folder / "attempts" / name / "old").mkdir(parents=True)
    again(stage)
    for _ in range(200):
        stage.driver.wait(0.05)
        if not list((stage.folder / "attempts").iterdir()):
            break
    assert [] == list((stage.folder / "attempts").iterdir())


def test_names_need_not_be_ascii(tmp_path: Path, stage_at: Callable[..., Stage]) -> None:
    stage = stage_at(tmp_path / "合肥", private_root=str(tmp_path))
    order = stage.order("sh", "-c", "pwd; echo $NAME", environment={"NAME": "值"})
    assert stage.run(order).cause is None
    assert [f"{order.folder}/work", "值"] == stage.lines(order)


def test_environment_is_little_and_its_own(tmp_path: Path, stage_at: Callable[..., Stage]) -> None:
    stage = stage_at(pass_environment="PASSED")
    driver = LocalDriver(stage.folder)
    stage.driver.close()
    stage.driver = driver
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PASSED", "on")
        patch.setenv("AGENT_SECRET", "no")
        driver.attach(stage.pools, stage.options)
    order = stage.order("env")
    stage.run(order)
    assert "PASSED=on" in stage.lines(order)
    assert not [line for line in stage.lines(order) if line.startswith("AGENT_SECRET")]


def test_output_of_an_unknown_attempt_is_empty(stage: Stage) -> None:
    assert b"" == stage.driver.output("nobody000000-1", 0, "stdout", 0, 10)
    assert 0 == stage.driver.output_size("nobody000000-1", 0, "stderr")


def test_wait_wakes_for_news_and_for_a_call(stage: Stage) -> None:
    while stage.driver.wait(0):
        pass
    assert not stage.driver.wait(0.01)
    stage.driver.wake()
    began = time.monotonic()
    assert stage.driver.wait(20)
    order = stage.order("sleep", "0.2")
    stage.submit(order)
    while stage.state(order).observed is not Observed.ENDED:
        assert stage.driver.wait(20)
    assert time.monotonic() - began < 20  # it was told, rather than timed out
    assert order.attempt in stage.driver.changed()
    assert [] == stage.driver.changed()


FROM_ARCHIVE = """
import sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from weir.engines.conformance import run_conformance
from weir.engines.names import load_driver
report = run_conformance(load_driver("local"), Path(sys.argv[2]), only=["success", "a gang meets"])
print(report.passed, report)
assert "weir.zip" in sys.modules["weir"].__file__
"""


def test_it_runs_from_an_archive_with_python_alone(tmp_path: Path) -> None:
    archive = tmp_path / "weir.zip"
    with zipfile.ZipFile(archive, "w") as written:
        for room in ("", "engines", "model", "units"):
            for path in (SOURCES / "weir" / room).glob("**/*.py" if room else "*.py"):
                written.write(path, path.relative_to(SOURCES))
    answer = subprocess.run(
        [PYTHON, "-I", "-S", "-c", FROM_ARCHIVE, str(archive), str(tmp_path / "agent")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "" == answer.stderr
    assert answer.stdout.startswith("True")
