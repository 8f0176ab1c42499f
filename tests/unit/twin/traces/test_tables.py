"""Tables of text: which lines become rows, and what is said of those that cannot be used."""

from pathlib import Path

import numpy as np
import pytest

from tests.unit.twin.traces.written import read, refusal, written
from weir.model.problem import ProblemError
from weir.twin.traces.source import Source
from weir.twin.traces.table import combined, read_rows

HEAD = "submit,run,size,user\n"


@pytest.mark.parametrize(
    "text",
    [
        "1,2,3,a\n4,5,6,b\n",
        "1,2,3,a\r\n4,5,6,b",
        "\n1,2,3,a\n\n\n4,5,6,b\n\n",
        '"1","2",3,a\n4,5,6,"b"\n',
        " 1,2 ,3,a\n4,5.0,6e0,b\r\n\r\n",
    ],
)
def test_odd_but_right(tmp_path: Path, text: str) -> None:
    for before in ("", "# machine_size: 64\n# a note\n", "\ufeff"):
        workload = read(tmp_path, "t.csv", before + HEAD + text)
        assert ([1_000, 4_000], [2_000, 5_000], [3, 6]) == (
            workload.submit_ms.tolist(),
            workload.run_ms.tolist(),
            workload.size.tolist(),
        )
        assert ("a", "b") == workload.users
        assert (64 if "64" in before else 0) == workload.machine_size


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ("1,2,3", "3 cells, where the header has 4"),
        ("1,2,3,a,b", "5 cells, where the header has 4"),
        (",2,3,a", "submit is empty"),
        ("1,,3,a", "run is empty"),
        ("1,x,3,a", "run is 'x', which is not a number"),
        ("1,inf,3,a", "run is 'inf', which is not a number"),
        ("1,2,3.5,a", "size is 3.5, which is not a whole number"),
        ("1,1e13,3,a", "run is larger than 1000000000000"),
        ("1,99999999999999999999999,3,a", "run is larger than 1000000000000"),
        ('1,2,3,"a\nb",5', "5 cells, where the header has 4"),
    ],
)
@pytest.mark.parametrize("before", ["", "# about: nothing\n\n"])
def test_a_bad_line_is_told_by_number_and_reason(tmp_path: Path, before: str, bad: str, reason: str) -> None:
    text = f"{before}{HEAD}1,2,3,a\n{bad}\n7,8,9,b\n"
    number = 3 + before.count("\n")
    assert f"t.csv line {number}: {reason}; --skip-bad" in refusal(tmp_path, "t.csv", text)
    told: list[tuple[int, str]] = []
    workload = read(tmp_path, "t.csv", text, skip_bad=True, on_bad=lambda *each: told.append(each))
    assert [(number, reason)] == told
    assert [1_000, 7_000] == workload.submit_ms.tolist()
    assert ("bad line", 1) in workload.dropped


def test_a_quote_without_its_fellow_is_a_bad_line(tmp_path: Path) -> None:
    text = HEAD + '1,2,3,a\n4,5,6,"b\n7,8,9,c\n'
    assert 1 == len(read(tmp_path, "t.csv", text.replace('"b', '"b"'), limit=1))
    assert ["a", "b\n7,8,9,c"] == sorted(name.strip() for name in read(tmp_path, "t.csv", text).users)


def test_headers_that_will_not_do(tmp_path: Path) -> None:
    assert "it is empty" in refusal(tmp_path, "t.csv", "\n\n", format="csv")
    assert "one column 'submit'" in refusal(tmp_path, "t.csv", "submit,submit,run,size\n", format="csv")
    assert "a header with gpu_num" in refusal(tmp_path, "t.csv", "job_id,user,vc\n", format="helios")
    assert 0 == len(read(tmp_path, "t.csv", HEAD))
    assert 0 == len(read(tmp_path, "t.csv", HEAD.strip()))
    assert 0 == len(read(tmp_path, "t.csv", "timestamp,duration,num_gpus,gpu_time,cluster\n"))


def test_times(tmp_path: Path) -> None:
    text = "at\n" + "".join(
        f"{each}\n"
        for each in (
            "1970-01-02 00:00:01",
            "1970-01-02T00:00:01Z",
            "1970-01-02 00:00:01.5 UTC",
            "1970-01-02 08:00:01+08:00",
            "1970-01-01 22:30:01.250-0130",
            "1970-01-02 01:00:01+01",
        )
    )
    rows = read_rows(Source(written(tmp_path, "t.csv", text)))
    day = 86_400_000 + 1_000
    assert [day, day, day + 500, day, day + 250, day] == rows.moment("at").tolist()
    for bad in ("1970-02-30 00:00:00", "yesterday", "1970-01-02", "1970-01-02 00:00:01+8", "12"):
        rows = read_rows(Source(written(tmp_path, "t.csv", f"at,b\n1970-01-02 00:00:01,1\n{bad},1\n,1\n")))
        assert [day, -1, -1] == rows.moment("at", required=False).tolist()
        assert [1] == list(rows.wrong)
        assert "not a time" in rows.wrong[1]
        rows.moment("at")
        assert [1, 2] == list(rows.wrong)


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    workload = read(tmp_path, "t.csv", HEAD.encode() + b"1,2,3,\xff\n4,5,6,\0\n")
    assert 2 == len(workload)
    assert 1 == len(workload.users), "both become the sign for what cannot be read"


def test_combined() -> None:
    places, first = combined(np.array([5, 5, -1, 5]), np.array([0, 10**15, 0, 0]))
    assert places[0] == places[3]
    assert 3 == len(set(places.tolist()))
    assert [0, 1, 2] == sorted(first.tolist())
    assert all(places[row] == each for each, row in enumerate(first.tolist()))
    assert [0, 0] == [len(each) for each in combined(np.empty(0, np.int64))]


def test_a_file_that_is_not_there() -> None:
    with pytest.raises(ProblemError, match="cannot be read"):
        read_rows(Source(Path("/no/such/file")))
