"""Logs without offsets are copied without losing or doubling a byte."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from weir.engines.kubernetes.logs import LogCopy, Place, continue_log

Lines = list[tuple[int, bytes]]


def stamp(at_ms: int) -> str:
    return f"2026-11-22T04:{at_ms // 60_000:02d}:{at_ms // 1_000 % 60:02d}.{at_ms % 1_000:03d}000000+08:00"


def serve(lines: Lines, since: str, cut: int | None = None) -> bytes:
    """What a server answers; `cut` is how many bytes of it arrive."""
    whole = b"".join(
        f"{stamp(at)} ".encode() + text + b"\n"
        for at, text in lines
        if not since or stamp(at)[:19] >= since[:19]
    )
    return whole if cut is None else whole[:cut]


texts = st.binary(max_size=12).map(lambda text: text.replace(b"\n", b"\r"))
logs = st.lists(st.tuples(st.integers(0, 900), texts), max_size=30).map(
    lambda pairs: [(sum(step for step, _ in pairs[: n + 1]), text) for n, (_, text) in enumerate(pairs)]
)


@given(logs, st.lists(st.integers(0, 30), max_size=4))
def test_read_in_any_steps_it_comes_to_the_same(lines: Lines, steps: list[int]) -> None:
    place, copied = Place(), b""
    for upto in [*sorted(steps), len(lines)]:
        new, place = continue_log(place, serve(lines[:upto], place.since))
        copied += new
    assert b"".join(text + b"\n" for _, text in lines) == copied
    assert (len(copied), 0) == (place.size_bytes, place.gaps)


@given(logs, st.integers(0, 400))
def test_an_answer_that_breaks_off_is_gone_on_with(lines: Lines, cut: int) -> None:
    new, place = continue_log(Place(), serve(lines, "", cut))
    more, place = continue_log(place, serve(lines, place.since))
    assert b"".join(text + b"\n" for _, text in lines) == new + more
    assert 0 == place.gaps


def test_what_the_node_has_dropped_is_counted_and_nothing_doubled() -> None:
    lines = [(second * 1_000, f"line {second}".encode()) for second in range(6)]
    new, place = continue_log(Place(), serve(lines[:2], ""))
    more, place = continue_log(place, serve(lines[4:], place.since))
    assert b"line 0\nline 1\nline 4\nline 5\n" == new + more
    assert 1 == place.gaps


def test_the_rest_of_a_long_line_from_before_is_left_out() -> None:
    lines = [(1_000, b"a"), (2_000, b"b")]
    _, place = continue_log(Place(), serve(lines, ""))
    straddling = f"{stamp(1_990)} tail of another\n".encode()
    new, after = continue_log(place, straddling + serve([*lines, (3_000, b"c")], place.since))
    assert (b"c\n", 0) == (new, after.gaps)


def test_a_copy_goes_on_after_its_writer_was_killed(tmp_path: Path) -> None:
    lines = [(second * 1_000, f"line {second}".encode()) for second in range(4)]
    file = tmp_path / "0.stdout"
    LogCopy(file).update(lambda since: serve(lines[:2], since))
    with file.open("ab") as torn:
        torn.write(b"line 2\nli")  # written, and killed before the place was
    assert 28 == LogCopy(file).update(lambda since: serve(lines, since))
    assert b"line 0\nline 1\nline 2\nline 3\n" == file.read_bytes()
    assert 28 == LogCopy(file).update(lambda since: serve(lines, since))
    file.unlink()
    assert 28 == LogCopy(file).update(lambda since: serve(lines, since)), "a copy that is gone is made anew"
