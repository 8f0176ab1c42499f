"""Which files a job may hand over: those in its own folder."""

import os
import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weir.agents.outputs import OutputsError, find_outputs


@pytest.fixture
def work(tmp_path: Path) -> Path:
    folder = tmp_path / "attempt" / "work"
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / "a.txt").write_text("a")
    (folder / "deep" / "b.txt").write_text("bb")
    (folder / "deep" / "er" / "c.bin").write_text("ccc")
    (tmp_path / "attempt" / "claim").write_text("private")
    (tmp_path / "secret.txt").write_text("secret")
    return folder


def paths(work: Path, *patterns: str, limit: int = 1 << 20) -> list[str]:
    return [found.path for found in find_outputs(work, patterns, limit)]


def test_patterns_match_files_and_folders_stand_for_their_files(work: Path) -> None:
    assert ["a.txt"] == paths(work, "*.txt")
    assert ["a.txt", "deep/b.txt"] == paths(work, "**/*.txt")
    assert ["deep/b.txt", "deep/er/c.bin"] == paths(work, "deep")
    assert ["a.txt", "deep/b.txt", "deep/er/c.bin"] == paths(work, "**", "*", "a.txt")
    assert [] == paths(work, "none*")


def test_links_inside_are_followed(work: Path) -> None:
    (work / "link.txt").symlink_to("deep/b.txt")
    (work / "nothing.txt").symlink_to("gone")
    found = find_outputs(work, ["*.txt"], 100)
    assert [("a.txt", 1), ("link.txt", 2)] == [(one.path, one.size_bytes) for one in found]
    with found[1].open() as file:
        assert b"bb" == file.read()


@pytest.mark.parametrize("target", ["../../secret.txt", "/etc/hostname", "../claim", "deep/../../claim"])
def test_a_link_that_leads_outside_is_refused(work: Path, target: str) -> None:
    (work / "link.txt").symlink_to(target)
    with pytest.raises(OutputsError, match=r"link\.txt.*leads out of"):
        paths(work, "*.txt")


def test_a_folder_link_that_leads_outside_is_refused(work: Path) -> None:
    (work / "up").symlink_to("..")
    for pattern in ("up", "up/*", "up/claim"):
        with pytest.raises(OutputsError, match="leads out of"):
            paths(work, pattern)
    (work / "deep" / "up").symlink_to("/etc")
    with pytest.raises(OutputsError, match="leads out of"):
        paths(work, "deep")


def test_a_folder_that_becomes_a_link_after_it_was_looked_at_is_not_entered(
    work: Path, tmp_path: Path
) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "c.bin").write_text("secret")
    [found] = find_outputs(work, ["deep/er/c.bin"], 100)
    (work / "deep" / "er").rename(work / "deep" / "was")
    (work / "deep" / "er").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OutputsError, match=r"'deep/er/c\.bin' is not a file of its own user"):
        found.open()


def test_a_file_that_becomes_something_else_after_it_was_looked_at_is_not_read(
    work: Path, tmp_path: Path
) -> None:
    first, second = find_outputs(work, ["a.txt", "deep/b.txt"], 100)
    (work / "a.txt").unlink()
    (work / "a.txt").symlink_to(tmp_path / "secret.txt")
    (work / "deep" / "b.txt").unlink()
    os.mkfifo(work / "deep" / "b.txt")
    for found in (first, second):
        with pytest.raises(OutputsError, match="is not a file of its own user"):
            found.open()


def test_a_work_folder_that_is_a_link_is_refused(work: Path, tmp_path: Path) -> None:
    [found] = find_outputs(work, ["a.txt"], 100)
    work.rename(work.with_name("was"))
    work.symlink_to("was")
    with pytest.raises(OutputsError, match="replaced by a link"):
        paths(work, "*.txt")
    with pytest.raises(OutputsError, match="is not a file of its own user"):
        found.open()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root sees files of several users")
def test_root_hands_over_files_of_the_attempts_own_user_alone(work: Path, tmp_path: Path) -> None:
    (work / "hard.txt").hardlink_to(tmp_path / "secret.txt")
    own, others = find_outputs(work, ["*.txt"], 100)
    with others.open() as file:  # a task that is root itself
        assert b"secret" == file.read()
    os.chown(work, 1234, 1234)
    os.chown(work / "a.txt", 1234, 1234)
    with own.open() as file:
        assert b"a" == file.read()
    with pytest.raises(OutputsError, match=r"'hard\.txt' is not a file of its own user"):
        others.open()


@pytest.mark.parametrize("pattern", ["../*", "/etc/hostname", "deep/../../*", "", "a**b/../.."])
def test_a_pattern_that_leads_outside_is_refused(work: Path, pattern: str) -> None:
    with pytest.raises(OutputsError, match="cannot be used"):
        paths(work, pattern)


def test_what_is_no_file_is_passed_over(work: Path) -> None:
    os.mkfifo(work / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        here = Path.cwd()
        os.chdir(work)
        try:
            listener.bind("socket")
        finally:
            os.chdir(here)
        assert ["a.txt"] == paths(work, "pipe", "socket", "a.txt")


def test_more_than_the_limit_is_refused(work: Path) -> None:
    assert 3 == len(paths(work, "**", limit=6))
    with pytest.raises(OutputsError, match="larger than 5B together"):
        paths(work, "**", limit=5)


@given(pattern=st.text(st.sampled_from("ab./*?[]!-x\\ \0é"), max_size=12))
def test_no_pattern_reaches_outside(tmp_path_factory: pytest.TempPathFactory, pattern: str) -> None:
    outside = tmp_path_factory.getbasetemp() / "patterns"
    inside = outside / "work"
    if not inside.exists():
        inside.mkdir(parents=True)
        (inside / "a").write_text("in")
        (outside / "b").write_text("out")
    try:
        found = find_outputs(inside, [pattern], 100)
    except OutputsError:
        return
    assert all(one.content.is_relative_to(inside) for one in found)
