"""The program on a compute node: what it reads and writes by itself, how it starts a task, and what it leaves out."""

import errno
import json
import os
import posix
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weir.engines.slurm.folder import packed_program
from weir.engines.slurm.node import process
from weir.engines.slurm.node.plain import read_plain, written_plain
from weir.engines.slurm.node.run import START

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text(),
    lambda each: st.lists(each, max_size=4) | st.dictionaries(st.text(), each, max_size=4),
    max_leaves=12,
)


@given(PLAIN)
def test_what_it_writes_and_reads_is_json(value: object) -> None:
    assert json.dumps(value) == written_plain(value)
    assert value == read_plain(json.dumps(value))
    assert value == read_plain(json.dumps(value, ensure_ascii=False))


@pytest.mark.parametrize("text", ["", "{", '{"a": ', "[1, 2", '"half'])
def test_half_a_text_is_no_value(text: str) -> None:
    with pytest.raises(ValueError):
        read_plain(text)


@pytest.fixture(params=["spawn", "fork"])
def either_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Python that can have the system start a program, and an old one that cannot."""
    if request.param == "fork":
        monkeypatch.delattr(posix, "posix_spawn")


def run(tmp_path: Path, *command: str, **environment: str) -> tuple[int, str, str]:
    """A task's exit code, its session and what it said."""
    outputs = [os.open(tmp_path / name, os.O_CREAT | os.O_RDWR | os.O_TRUNC) for name in ("stdout", "stderr")]
    given_ = {name.encode(): value.encode() for name, value in environment.items()}
    try:
        pid = process.start("/bin/sh", ["sh", "-c", *command], given_, outputs)
        status = os.waitpid(pid, 0)[1]
    finally:
        for descriptor in outputs:
            os.close(descriptor)
    return os.waitstatus_to_exitcode(status), str(pid), (tmp_path / "stdout").read_text(encoding="utf-8")


@pytest.mark.usefixtures("either_way")
def test_a_task_is_a_session_of_its_own_with_its_own_words_and_outputs_alone(tmp_path: Path) -> None:
    stray = os.open("/dev/null", os.O_RDONLY)
    os.set_inheritable(stray, True)
    try:
        said = 'read -r _ _ _ _ _ session _ </proc/$$/stat; echo "$session $1 $WORD"; ls /proc/$$/fd; exit 3'
        code, pid, text = run(tmp_path, said, "sh", "a b ü", WORD="wörtlich", PATH=os.environ["PATH"])
    finally:
        os.close(stray)
    first, *descriptors = text.splitlines()
    assert (3, f"{pid} a b ü wörtlich") == (code, first)
    assert {"0", "1", "2"} >= set(descriptors) - {"10"}, "a shell keeps a copy at 10"


@pytest.mark.usefixtures("either_way")
def test_a_task_hears_every_signal_whatever_its_runner_waits_for(tmp_path: Path) -> None:
    before = process.signal.pthread_sigmask(process.signal.SIG_BLOCK, process.HEARD)
    try:
        lines = run(tmp_path, "grep -E 'Sig(Blk|Ign)' /proc/self/status", PATH=os.environ["PATH"])[2]
    finally:
        process.signal.pthread_sigmask(process.signal.SIG_SETMASK, before)
    own = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    [ignored] = [_signals(line) for line in own if line.startswith("SigIgn:")]
    by_python = {process.signal.SIGPIPE, process.signal.SIGXFSZ}
    assert [set(), ignored - by_python] == [_signals(line) for line in lines.splitlines()]


def _signals(line: str) -> set[int]:
    """What a line of a process's status names, but for 32 and 33, which are the C library's own."""
    mask = int(line.split()[1], 16)
    return {number for number in range(1, 32) if mask >> (number - 1) & 1}


@pytest.mark.usefixtures("either_way")
def test_what_is_no_program_is_said_by_its_number(tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_text("no program\n")
    text.chmod(0o755)
    for path, number in ((str(text), errno.ENOEXEC), ("/nowhere", errno.ENOENT), ("/tmp", errno.EACCES)):
        with pytest.raises(OSError) as caught:
            process.start(path, [path], {}, [1, 2])
        assert number == caught.value.errno


def test_a_single_task_costs_its_node_no_module_that_is_written_in_python(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_bytes(packed_program())
    told = START.replace("begin()", "print(sorted(sys.modules))")
    listed = subprocess.run(
        [sys.executable, "-I", "-S", "-c", told, str(program)], capture_output=True, text=True, check=True
    )
    dear = {
        "os",
        "re",
        "enum",
        "json",
        "signal",
        "typing",
        "runpy",
        "contextlib",
        "subprocess",
        "collections",
    }
    assert not dear & set(eval(listed.stdout))  # noqa: S307 (a list of names)
