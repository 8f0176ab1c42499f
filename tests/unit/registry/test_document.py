"""YAML read strictly: what is wrong is named with its line, and no text can hurt the process."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weir.model.problem import ProblemError
from weir.registry.document import path_text, read_document


def test_plain_values_are_read_as_they_are_written() -> None:
    text = "a: 1\nb: -2.5\nc: true\nd: null\ne: 2025-09-24\nf: no\ng: 012\nh: 1e3\n"
    text += "i: ~\nj: [x, {y: z}]\nk: .inf\n'1': '2'\n"
    expected = {
        "a": 1, "b": -2.5, "c": True, "d": None, "e": "2025-09-24", "f": "no", "g": "012", "h": "1e3",
        "i": None, "j": ["x", {"y": "z"}], "k": ".inf", "1": "2",
    }  # fmt: skip
    assert expected == read_document(text, "x").values


def test_lines_are_known() -> None:
    document = read_document("a:\n  - b: 1\n    c: 2\n  - b: 3\n", "x")
    assert [1, 2, 3, 4] == [document.line(path) for path in (("a",), ("a", 0), ("a", 0, "c"), ("a", 1, "b"))]
    assert 4 == document.line(("a", 1, "missing"))


def test_anchors_may_be_used() -> None:
    assert {"a": {"x": 1}, "b": {"x": 1}} == read_document("a: &a {x: 1}\nb: *a\n", "x").values


BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join(['*' + before] * 10)}]\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "line 1: it is empty"),
        ("a: 1\nb: 2\na: 3\n", "line 3: a is given twice; keep one"),
        ("a:\n  b: 1\n  b: 1\n", "line 3: a.b is given twice"),
        ("a: [1, 2\nb: 3\n", "line 2: "),
        ("a: 1\n---\nb: 2\n", "line 2: "),
        ("? [1]\n: 2\n", "line 1: a key is a plain text"),
        ("a: !!python/object/apply:os.system [ls]\n", "nothing"),
        ("a: !secret x\n", "line 1: 'x' has a tag or size that is not read here"),
        ("a: " + "9" * 31, "that is not read here"),
        ("[" * 100_000, "line 1: it is nested more than 40 deep"),
        ("- " * 100_000, "line 1: it is nested more than 40 deep"),
        ("&a [*a]", "too large or nested too deeply"),
        (BOMB, "too large or nested too deeply"),
        ("a: \0", "control characters are not allowed"),
        ("a: \ud800", "surrogates not allowed"),
        ("x" * (16 * 1024 * 1024 + 1), "at most 16777216 are read"),
    ],
    ids=range(16),
)
def test_what_cannot_be_read_is_said(text: str, said: str) -> None:
    if said == "nothing":  # a tag on a list only names a type; no code runs and the plain list is taken
        assert {"a": ["ls"]} == read_document(text, "file.yaml").values
        return
    with pytest.raises(ProblemError) as caught:
        read_document(text, "file.yaml")
    assert "file.yaml, " in str(caught.value)
    assert said in str(caught.value)
    assert 422 == caught.value.problem.status


@given(st.text(alphabet="ab:-[]{}&*!|>'\"#?,%\n\t 01~", max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        read_document(text, "x")
    except ProblemError as error:
        told = str(error)
    else:
        told = "x, line "
    assert told.startswith("x, line ")


def test_paths_are_written_as_people_write_them() -> None:
    assert "centres[3].pools[0].memory_per_node" == path_text(("centres", 3, "pools", 0, "memory_per_node"))
