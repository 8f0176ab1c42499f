"""The control file: claims are made once, and a record survives whatever half of a write."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weir.engines.local.control import CONTROL_NAME, RECORD_BYTES, Control, write_control


@pytest.fixture
def folder(tmp_path: Path) -> str:
    write_control(str(tmp_path), {"attempt": "a-1"}, 2)
    return str(tmp_path)


def test_order_is_read_as_written(folder: str) -> None:
    with Control(folder) as control:
        assert {"attempt": "a-1"} == control.order()
        assert control.record(0) is None


@pytest.mark.parametrize("write", [False, True])
@pytest.mark.parametrize("put", ["link", "pipe", "folder"])
def test_what_is_no_plain_file_is_no_control_file(folder: str, put: str, write: bool) -> None:
    place = Path(folder) / CONTROL_NAME
    elsewhere = place.rename(Path(folder) / "elsewhere")
    if put == "link":
        place.symlink_to(elsewhere)
    elif put == "pipe":
        os.mkfifo(place)
    else:
        place.mkdir()
    with pytest.raises(FileNotFoundError):
        Control(folder, write=write)


def test_a_task_is_claimed_once(folder: str) -> None:
    with Control(folder) as control:
        assert [True, False, True] == [control.claim(0), control.claim(0), control.claim(1)]


def test_words_to_stop_are_seen(folder: str) -> None:
    with Control(folder) as control:
        assert not control.has("stop.gang")
        control.stop("stop.gang")
        control.stop("stop.gang")
        assert control.has("stop.gang")


def test_records_are_of_each_task_and_add_up(folder: str) -> None:
    with Control(folder, write=True) as control:
        control.write(0, state="running", started_ms=5)
        control.write(1, state="starting")
        control.write(0, state="ended")
        first, second = control.record(0), control.record(1)
    assert {"task": 0, "message": "", "state": "ended", "started_ms": 5} == first
    assert {"task": 1, "message": "", "state": "starting"} == second


@given(
    writes=st.integers(1, 6),
    cut=st.integers(0, RECORD_BYTES // 2 - 1),
    noise=st.binary(min_size=8, max_size=8),
)
def test_a_torn_write_leaves_the_state_before_it(
    tmp_path_factory: pytest.TempPathFactory, writes: int, cut: int, noise: bytes
) -> None:
    folder = tmp_path_factory.mktemp("torn")
    write_control(str(folder), {}, 1)
    with Control(str(folder), write=True) as control:
        for number in range(writes):
            control.write(0, number=number)
        content = (folder / CONTROL_NAME).read_bytes()
        newest = RECORD_BYTES + writes % 2 * (RECORD_BYTES // 2)
        torn = bytearray(content)
        torn[newest + cut : newest + cut + 8] = noise
        (folder / CONTROL_NAME).write_bytes(bytes(torn))
        record = control.record(0)
    assert ({"task": 0, "message": "", "number": writes - 1} == record) or (
        record is None if writes == 1 else record is not None and writes - 2 == record["number"]
    )


def test_the_newest_of_two_whole_slots_counts_and_the_older_one_is_written_next(folder: str) -> None:
    with Control(folder, write=True) as control:
        seen = []
        for number in range(5):
            control.write(0, number=number)
            record = control.record(0)
            assert record is not None
            seen.append(record["number"])
    assert [0, 1, 2, 3, 4] == seen


def test_a_message_that_is_too_long_is_shortened(folder: str) -> None:
    with Control(folder, write=True) as control:
        control.write(0, message="芜湖🚀" * 1_000, code=3)
        record = control.record(0)
    assert record is not None
    assert 3 == record["code"]
    assert record["message"].startswith("芜湖🚀")


def test_writing_a_record_takes_no_new_space(folder: str) -> None:
    path = Path(folder, CONTROL_NAME)
    before = path.stat()
    with Control(folder, write=True) as control:
        for _ in range(3):
            control.write(1, message="x" * 150)
    after = path.stat()
    assert (before.st_size, before.st_blocks) == (after.st_size, after.st_blocks)
    assert before.st_blocks * 512 >= before.st_size


def test_a_file_that_was_cut_short_is_no_order(folder: str) -> None:
    path = Path(folder, CONTROL_NAME)
    for length in (0, 10, RECORD_BYTES, path.stat().st_size - 1):
        os.truncate(path, length)
        with Control(folder) as control, pytest.raises(ValueError, match="control file"):
            control.order()
