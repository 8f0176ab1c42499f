"""The Standard Workload Format: what a log says comes back as columns, and what it must not say is told."""

import gzip
import lzma
import re
from decimal import ROUND_HALF_UP, Decimal, localcontext
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from weir.model.problem import ProblemError
from weir.scheduling.compilation import kernel_of
from weir.twin.traces import read_trace
from weir.twin.workload import Workload, processors

HEADER = "; Version: 2.2\n;  MaxProcs: 64\t\n; MaxNodes: 8\n; UnixStartTime: 1000\n;\n"


def line(
    job: int, submit: object, run: object, procs: object = 4, asked: object = -1, estimate: object = -1
) -> str:
    return f"{job} {submit} 0 {run} {procs} -1 -1 {asked} {estimate} -1 1 7 3 -1 -1 -1 -1 -1\n"


def read(folder: Path, text: str | bytes, name: str = "log.swf", **how: object) -> Workload:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_trace(path, **how)  # type: ignore[arg-type]


def test_a_line_becomes_a_row(tmp_path: Path) -> None:
    workload = read(tmp_path, HEADER + line(12, 5, 100, 4, 8, 60))
    assert ("log", 64, 1_000, True) == (
        workload.name,
        workload.machine_size,
        workload.origin_s,
        workload.has_estimates,
    )
    assert [12] == workload.job.tolist()
    assert [5_000] == workload.submit_ms.tolist()
    assert [60_000] == workload.run_ms.tolist()  # killed at its limit
    assert [60_000] == workload.limit_ms.tolist()
    assert [8] == workload.size.tolist()
    assert (processors(8),) == workload.classes
    assert (("7",), ("3",)) == (workload.users, workload.groups)
    assert {"cut at the limit": 1} == {rule: count for rule, count in workload.dropped if count}


def test_the_archives_rules(tmp_path: Path) -> None:
    text = HEADER + "".join(
        (
            line(1, 50, 10, 4),  # no estimate: its run time is the limit
            line(2, 40, 0),
            line(3, 40, -1),
            line(4, 40, 5, 0, -1),
            line(5, 40, 5, 65, -1),
            line(6, 40, 5, 65, 2, 9),  # asked for fewer than it got
            line(7, 50, 5, 4, 0, 0),
            line(8, 40, 20, 4, 4, 10),
        )
    )
    workload = read(tmp_path, text)
    assert [6, 8, 1, 7] == workload.job.tolist()
    assert [40_000, 40_000, 50_000, 50_000] == workload.submit_ms.tolist()
    assert [2, 4, 4, 4] == workload.size.tolist()
    assert [5_000, 10_000, 10_000, 5_000] == workload.run_ms.tolist()
    assert [9_000, 10_000, 10_000, 5_000] == workload.limit_ms.tolist()
    assert (
        ("run time not positive", 2),
        ("size not positive", 1),
        ("larger than the machine", 1),
        ("cut at the limit", 1),
        ("bad line", 0),
    ) == workload.dropped


def test_the_machine_that_is_asked_for_counts_before_the_header(tmp_path: Path) -> None:
    text = HEADER + line(1, 0, 5, 8) + line(2, 0, 5, 9) + line(3, 0, 5, 100)
    assert [1, 2] == read(tmp_path, text).job.tolist()
    assert [1] == read(tmp_path, text, processors=8).job.tolist()
    assert [1, 2, 3] == read(tmp_path, text, processors=100).job.tolist()
    assert 64 == read(tmp_path, text, processors=100).machine_size


@pytest.mark.parametrize(("largest", "size"), [(8, 8), (7, 0), (16, 0)])
def test_a_header_that_counts_nodes_alone(tmp_path: Path, largest: int, size: int) -> None:
    text = "; MaxNodes: 8\n" + line(1, 0, 5, largest) + line(2, 0, 0, 500)
    assert size == read(tmp_path, text).machine_size
    assert 1 == len(read(tmp_path, text))


@pytest.mark.parametrize(
    ("said", "size"),
    [("1,152", 1_152), ("1152 (144 nodes)", 1_152), ("-1", 0), ("many", 0), ("128\n; MaxProcs: 5", 128)],
)
def test_what_headers_say(tmp_path: Path, said: str, size: int) -> None:
    assert size == read(tmp_path, f"; maxprocs :{said}\n" + line(1, 0, 5, 100)).machine_size


def test_odd_but_right(tmp_path: Path) -> None:
    text = (
        b"\xef\xbb\xbf; MaxProcs: 64\r\n\r\n \t\r\n"
        b"\t1\t+5 0 12.5 4 12.75 -1 4 1.2e2 -1 1 -1 -1 -1 -1 -1 -1 -1\r\n"
        b"; MaxProcs: 1\r\n"
        b"9 -2 0 1e+01 4.0 nothing -1 4 .5 -1 1 -1 -1 -1 -1 -1 -1 -1 {1,2} more\r\n".replace(
            b"nothing", b"-1"
        )
        + b"9 5 0 0.0004 4 0 -1 4 99999999999999999999e-12 -1 1 -1 -1 -1 -1 -1 -1 -1\n"
        b"10 5 0 0.0005 4 0 18446744073709551617 4 0 -1 1 -1 -1 -1 -1 -1 -1 -1"
    )
    workload = read(tmp_path, text)
    assert [9, 1, 10] == workload.job.tolist()
    assert [0, 7_000, 7_000] == workload.submit_ms.tolist()  # counted from the earliest, which is negative
    assert [500, 12_500, 1] == workload.run_ms.tolist()
    assert [500, 120_000, 1] == workload.limit_ms.tolist()
    assert ("unknown",) == workload.users
    assert 64 == workload.machine_size


def test_nothing_in_it(tmp_path: Path) -> None:
    for text in ("", "\n", HEADER, HEADER.rstrip("\n"), line(1, 0, 0)):
        workload = read(tmp_path, text)
        assert 0 == len(workload)
        assert np.int64 == workload.submit_ms.dtype
        assert () == workload.classes


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ("garbage", "field 1 (job number) is not a number"),
        ("1 2 3", "a line has 18 fields, and this one 3"),
        (line(2, 5, "5x").strip(), "field 4 (run time) is not a number"),
        (line(2, 5, "-").strip(), "field 4 (run time) is not a number"),
        (line(2, "1e", 5).strip(), "field 2 (submit time) is not a number"),
        (line(2, "1..5", 5).strip(), "field 2 (submit time) is not a number"),
        (line(2, "1-5", 5).strip(), "field 2 (submit time) is not a number"),
        (line(2, "nan", 5).strip(), "field 2 (submit time) is not a number"),
        (line(2, "5", 5, 2.5).strip(), "field 5 (allocated processors) is not a whole number"),
        (line(2, "10000000000000", 5).strip(), "field 2 (submit time) is larger than 1000000000000"),
        (
            line(2, "99999999999999999999999999", 5).strip(),
            "field 2 (submit time) is larger than 1000000000000",
        ),
        (line(2, "1e300", 5).strip(), "field 2 (submit time) is larger than 1000000000000"),
    ],
)
def test_a_bad_line_is_told_by_number_and_reason(tmp_path: Path, bad: str, reason: str) -> None:
    text = HEADER + line(1, 0, 5) + bad + "\n" + line(3, 0, 5)
    with pytest.raises(ProblemError) as told:
        read(tmp_path, text)
    (field,) = told.value.problem.fields
    assert f"{tmp_path}/log.swf line 7" == field.field
    assert bad == field.value
    assert field.accepted.startswith(reason)
    seen: list[tuple[int, str]] = []
    workload = read(tmp_path, text, skip_bad=True, on_bad=lambda *each: seen.append(each))
    assert [1, 3] == workload.job.tolist()
    assert ("bad line", 1) in workload.dropped
    assert [(7, reason)] == seen


def test_line_numbers_over_many_pieces(tmp_path: Path) -> None:
    lines = [line(number, number, 5) for number in range(1, 40_001)]
    lines[30_000] = "no job\n"
    packed = gzip.compress(HEADER.encode() + "".join(lines[:20_000]).encode()) + gzip.compress(
        "".join(lines[20_000:]).encode()
    )
    with pytest.raises(ProblemError, match="line 30006: 'no job'"):
        read(tmp_path, packed, "log.swf.gz")
    workload = read(tmp_path, packed, "log.swf.gz", skip_bad=True)
    assert [number for number in range(1, 40_001) if number != 30_001] == workload.job.tolist()
    assert "log" == workload.name
    assert [1, 2, 3] == read(tmp_path, packed, "log.swf.gz", skip_bad=True, limit=3).job.tolist()


def test_packed_in_other_ways(tmp_path: Path) -> None:
    plain = (HEADER + line(1, 0, 5) + line(2, 0, 5)).encode()
    assert [1, 2] == read(tmp_path, lzma.compress(plain), "log.swf.xz").job.tolist()
    assert [1, 2] == read(tmp_path, gzip.compress(plain) + b"\0" * 100, "log.swf.gz").job.tolist()
    for cut in (12, 40, len(gzip.compress(plain)) - 3):
        with pytest.raises(ProblemError, match=r"log\.swf\.gz cannot be unpacked"):
            read(tmp_path, gzip.compress(plain)[:cut], "log.swf.gz")


numbers = st.integers(-2, 10**9)
rows = st.lists(
    st.tuples(
        st.integers(0, 10**6),
        st.integers(0, 10**6),
        st.integers(1, 10**12),
        st.integers(1, 10**12),
        st.integers(1, 5_000),
        numbers,
        numbers,
    )
)


def seconds(milli: int) -> str:
    return f"{milli // 1_000}.{milli % 1_000:03}" if milli % 1_000 else str(milli // 1_000)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows, st.sampled_from([" ", "  ", "\t", " \t "]), st.sampled_from(["\n", "\r\n"]))
def test_what_is_written_is_read(tmp_path: Path, jobs: list[tuple[int, ...]], blank: str, end: str) -> None:
    """A workload written as a log comes back as it was, in order of submission."""
    text = end.join(
        blank.join(
            str(each)
            for each in (
                *(number, submit, -1, seconds(run), -1, "0.5", -1, size, seconds(limit), -1, 1, user, group),
                *(-1,) * 5,
            )
        )
        for number, submit, run, limit, size, user, group in jobs
    )
    read_back = read(tmp_path, text)
    expected = sorted(jobs, key=lambda job: job[1])
    assert [job[0] for job in expected] == read_back.job.tolist()
    assert [job[1] * 1_000 for job in expected] == read_back.submit_ms.tolist()
    assert [min(job[2], job[3]) for job in expected] == read_back.run_ms.tolist()
    assert [job[3] for job in expected] == read_back.limit_ms.tolist()
    assert [job[4] for job in expected] == read_back.size.tolist()
    assert [processors(job[4]) for job in expected] == [
        read_back.classes[each] for each in read_back.job_class
    ]
    for column, names, place in (
        (read_back.user, read_back.users, 5),
        (read_back.group, read_back.groups, 6),
    ):
        assert [str(job[place]) if job[place] >= 0 else "unknown" for job in expected] == [
            names[each] for each in column
        ]


tokens = st.one_of(
    st.sampled_from(
        ["-1", "0", "1", "8", "12.5", "1e3", "-", ".", "e5", "+7", "1.0005", "2.5e-1", "7.", ".5", "x", "1e"]
    ),
    st.text("0123456789.+-eE;x", min_size=1, max_size=9),
    st.integers(-(10**14), 10**14).map(str),
)
fields = st.one_of(
    st.lists(tokens, max_size=20), st.lists(st.integers(-2, 10**9).map(str), min_size=18, max_size=18)
)
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def by_other_means(words: list[str]) -> list[int] | None:
    """The kept fields of a line, times in milliseconds; None where it is bad."""
    if len(words) < 18 or not all(NUMBER.fullmatch(word) for word in words[:18]):
        return None
    kept = []
    for place in (0, 1, 3, 4, 7, 8, 11, 12):
        # Anything near this exponent is far too large, or nothing.
        milli = (abs(Decimal(words[place])) * 1_000).quantize(Decimal(1), ROUND_HALF_UP)
        whole = place not in (1, 3, 8)
        if milli > 10**15 or (whole and milli % 1_000):
            return None
        number = int(milli // 1_000 if whole else milli)
        kept.append(-number if words[place].startswith("-") else number)
    return kept


@given(
    st.lists(st.tuples(fields, st.sampled_from([" ", "\t", " \r "])), max_size=6), st.sampled_from(["", "\n"])
)
def test_any_line_as_read_by_other_means(lines: list[tuple[list[str], str]], end: str) -> None:
    kernel = kernel_of("twin", "swf")
    text = ("\n".join(blank.join(words) for words, blank in lines) + end).encode()
    values = np.empty((kernel.COLUMNS, len(text) // kernel.SHORTEST_JOB + 1), np.int64)
    bad = np.empty((len(text) // kernel.SHORTEST_LINE + 1, 3), np.int64)
    with localcontext(prec=400, Emax=10**6, Emin=-(10**6)):
        told = [by_other_means(words) for words, _ in lines if words and not words[0].startswith(";")]
    numbers = [n for n, (words, _) in enumerate(lines, 1) if words and not words[0].startswith(";")]
    jobs, wrong, _ = kernel.lines(np.frombuffer(text, np.uint8), 1, values, bad, False)
    assert [each for each in told if each is not None] == values[:, :jobs].T.tolist()
    assert [n for n, each in zip(numbers, told, strict=True) if each is None] == bad[:wrong, 0].tolist()
