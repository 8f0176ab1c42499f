"""What the agent reads and writes in a folder that a task's user owns, and what goes on when a part of it fails."""

import errno
import os
import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.unit.engines.kubernetes.test_judging import JOB, POD, ended
from tests.unit.engines.kubernetes.test_manifest import ENTRY, order
from weir.engines.driver import AttemptOrder, EngineState, SubmitOutcome
from weir.engines.kubernetes.chores import STOP_FILE, Chores
from weir.engines.kubernetes.driver import KubernetesDriver, _give_below
from weir.engines.kubernetes.manifest import job_manifest
from weir.engines.kubernetes.mirror import Mirror
from weir.engines.kubernetes.output import Output
from weir.engines.kubernetes.settings import Settings, read_pool
from weir.engines.kubernetes.tracked import Tracked
from weir.model.state import Cause, Observed

SHARED = Settings(shared_root=Path("/"), shared_host_path="/")


def tracked_in(folder: Path, observed: Observed = Observed.RUNNING) -> Tracked:
    return Tracked("a", replace(JOB, folder=str(folder)), EngineState("a", observed))


def known(tracked: Tracked) -> Any:
    """A mirror that knows one attempt."""
    return SimpleNamespace(
        get=lambda _: tracked,
        changed_state=threading.Condition(threading.RLock()),
        doubts={},
        unsealed={},
        waiting=list,
        jobs_path="",
        pods_path="",
        stop_told=lambda *_: None,
    )


def plant(kind: str, path: Path, secret: Path) -> None:
    if kind == "link":
        path.symlink_to(secret)
    elif kind == "folder":
        path.mkdir()
    else:
        os.mkfifo(path)


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text("weir1 - 0 1 2 secret")
    return path


kinds = pytest.mark.parametrize("kind", ["link", "folder", "fifo"])


@kinds
@pytest.mark.timeout(20)
def test_output_that_is_no_plain_file_of_the_task_is_empty(kind: str, tmp_path: Path, secret: Path) -> None:
    folder = tmp_path / "attempt"
    folder.mkdir()
    plant(kind, folder / "0.stdout", secret)
    (folder / "0.stderr").write_text("words")
    driver = KubernetesDriver(tmp_path)
    driver._settings, driver._attached = SHARED, True
    driver._output = Output(cast(Any, None), known(tracked_in(folder)), SHARED, tmp_path)
    assert (b"", 0) == (driver.output("a", 0, "stdout", 0, 100), driver.output_size("a", 0, "stdout"))
    assert (b"ords", 5) == (driver.output("a", 0, "stderr", 1, 100), driver.output_size("a", 0, "stderr"))
    if os.geteuid() == 0:
        driver._settings = replace(SHARED, run_as=(1_000, 1_000))
        assert b"" == driver.output("a", 0, "stderr", 0, 100), "another user's"
        os.chown(folder / "0.stderr", 1_000, 1_000)
        assert b"words" == driver.output("a", 0, "stderr", 0, 100)


@kinds
@pytest.mark.timeout(20)
def test_last_words_that_are_no_plain_file_of_the_task_are_none(
    kind: str, tmp_path: Path, secret: Path
) -> None:
    plant(kind, tmp_path / "0.end", secret)
    mirror = Mirror.__new__(Mirror)
    mirror._task_uid = os.geteuid()
    pod = ended(last_words="")
    assert "" == mirror._with_words(tracked_in(tmp_path), pod).last_words
    plain = replace(pod, index=1)
    (tmp_path / "1.end").write_bytes(b"weir1 - 0 1 2 \xff" + b"x" * 9_000)
    words = mirror._with_words(tracked_in(tmp_path), plain).last_words
    assert (True, True) == (words.startswith("weir1 - 0 1 2 "), len(words) <= 4_096)


@kinds
@pytest.mark.timeout(20)
def test_a_stop_is_marked_through_no_link_and_waits_for_no_reader(
    kind: str, tmp_path: Path, secret: Path
) -> None:
    secret.unlink()
    plant(kind, tmp_path / STOP_FILE, secret)
    told: list[str] = []
    chores = Chores.__new__(Chores)
    chores._settings, chores._clock = SHARED, lambda: 1
    chores._mirror = known(tracked_in(tmp_path))
    chores._api = cast(Any, SimpleNamespace(patch=lambda path, _: told.append(path)))
    chores.stop("a", Cause.CANCELLED, "")
    assert 1 == len(told)
    assert not secret.exists()
    if kind == "link":
        (tmp_path / STOP_FILE).unlink()
        chores.stop("a", Cause.CANCELLED, "")
        assert (tmp_path / STOP_FILE).is_file()


@pytest.mark.timeout(20)
def test_an_attempt_that_cannot_be_judged_keeps_no_other_from_it(tmp_path: Path) -> None:
    mirror = known(tracked_in(tmp_path))
    sealed = threading.Event()
    failures: list[str] = []

    def listed(*_: object, **query: str) -> tuple[list[object], str]:
        return [], ""

    def certain(attempt: str, _: object) -> None:
        if attempt == "odd" and len(failures) < 2:
            failures.append(attempt)
            raise ValueError("an odd pod")
        if attempt == "odd":
            sealed.set()

    mirror.pods_certain = certain
    mirror.seal = lambda attempt: None
    mirror.doubts.update({"odd": None, "other": None})
    api = cast(Any, SimpleNamespace(list=listed, delete=lambda *_: None))
    chores = Chores(api, mirror, cast(Any, None), Settings(), lambda: 1)
    try:
        assert sealed.wait(10), "it is tried again"
    finally:
        chores.close()
    assert {} == mirror.doubts


def test_what_is_forgotten_is_dropped_from_what_was_copied(tmp_path: Path) -> None:
    tracked = tracked_in(tmp_path)
    tracked.pods["x"] = POD
    api = cast(Any, SimpleNamespace(text=lambda *_, **__: b""))
    output = Output(api, known(tracked), Settings(), tmp_path)
    output.file("a", 0, "stdout")
    tracked.state = EngineState("a", Observed.ENDED)
    output.file("a", 1, "stdout")
    assert 1 == len(output._copies["a"]) == len(output._whole["a"])
    output.forget("a")
    assert ({}, {}) == (output._copies, output._whole)


@pytest.mark.parametrize("exists", [False, True])
def test_a_folder_that_cannot_be_given_to_its_user_is_a_refusal(
    exists: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "x" / "work").mkdir(parents=True)
    driver = KubernetesDriver(tmp_path)
    driver._settings = Settings.read(
        {"image": "base:1", "shared_root": str(tmp_path), "shared_claim": "c", "run_as": "1000:1000"}
    )
    driver._pools = {"npu": (ENTRY, read_pool(ENTRY, driver._settings.defaults))}
    given = order(folder=str(tmp_path / "x"))
    found: Any = job_manifest(given, *driver._pools["npu"], driver._settings, (1_000, 1_000))
    found["metadata"]["uid"] = "u"
    driver._api = cast(Any, SimpleNamespace(find=lambda _: found if exists else None))
    driver._mirror = cast(
        Any,
        SimpleNamespace(get=lambda _: None, jobs_path="", is_own=lambda *_: True, job_found=lambda _: None),
    )

    def squashed(*_: object, **__: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "chown", squashed)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    [outcome] = _submitted(driver, given)
    assert exists is outcome.accepted, "what was made before is not refused"
    if not exists:
        assert "its folder cannot be given to its user: Operation not permitted" == outcome.message


def _submitted(driver: KubernetesDriver, given: AttemptOrder) -> list[SubmitOutcome]:
    driver._attached = True
    driver._services = ""
    return driver.submit([given], 0)


def test_all_that_is_in_a_folder_is_given_and_nothing_behind_a_link(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "work" / "a" / "b").mkdir(parents=True)
    (tmp_path / "work" / "a" / "file").touch()
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "token").touch()
    (tmp_path / "work" / "link").symlink_to(tmp_path / "outside")
    given: list[str] = []

    def chown(name: str, *user: int, dir_fd: int, follow_symlinks: bool) -> None:
        assert ((7, 8), False) == (user, follow_symlinks)
        given.append(name)

    monkeypatch.setattr(os, "chown", chown)
    _give_below(tmp_path / "work", (7, 8))
    assert ["a", "b", "file", "link"] == sorted(given)
