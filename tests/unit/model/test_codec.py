"""Messages and specifications survive being written as JSON, and anything else is refused by field."""

import json
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weir.model.agent import DesiredAttempt, End, NodeShare, Observation, OutputFile, PullAnswer, Report, Work
from weir.model.codec import CodecError, from_plain, to_plain
from weir.model.job import Input, JobSpecification, Preference, PreferenceWeights
from weir.model.state import Cause, Desired, Observed
from weir.model.task_range import TaskRange

texts = st.text(max_size=20)
nodes = st.lists(st.builds(NodeShare, st.integers(0, 9), st.integers(1, 9)), max_size=3).map(tuple)
ends = st.builds(
    End,
    st.one_of(st.none(), st.sampled_from(Cause)),
    st.one_of(st.none(), st.integers(0, 255)),
    st.one_of(st.none(), st.integers(1, 64)),
    texts,
    st.one_of(st.none(), st.integers(0, 2**45)),
    st.integers(0, 2**45),
    st.lists(st.builds(OutputFile, st.integers(0, 9), texts, st.integers(0, 2**40), texts), max_size=2).map(
        tuple
    ),
)
observations = st.builds(
    Observation, texts, st.sampled_from(Observed), end=st.one_of(st.none(), ends), message=texts, nodes=nodes
)
reports = st.builds(
    Report,
    incarnation=st.integers(1, 2**40),
    number=st.integers(1, 2**40),
    store_incarnation=texts,
    agent_time_ms=st.integers(0, 2**45),
    full=st.booleans(),
    observations=st.lists(observations, max_size=3).map(tuple),
)


@given(reports)
def test_a_report_survives_being_written(report: Report) -> None:
    assert report == from_plain(Report, json.loads(json.dumps(to_plain(report))))


def test_a_pull_answer_survives_being_written() -> None:
    work = Work("abc", "p", ("true",), {"A": "b"}, 1, 1_000, 1, 0, "", "", 1, "TERM", 1, False, (), 1, 1)
    attempt = DesiredAttempt("abcabcabcabc-1", Desired.RUN, 3, "w", 0, (NodeShare(0, 1),))
    answer = PullAnswer("i", 3, True, {"w": work}, (attempt,))
    assert answer == from_plain(PullAnswer, json.loads(json.dumps(to_plain(answer))))


def test_a_specification_survives_being_written_and_leaves_out_what_is_default() -> None:
    specification = JobSpecification(
        command=("a", "b"),
        inputs=(Input(from_="abc", path="*"),),
        tasks=TaskRange(2, 4),
        prefer=PreferenceWeights(time=5),
        time_limit=60_000,
    )
    plain = to_plain(specification)
    assert {"command", "inputs", "tasks", "prefer", "time_limit"} == set(plain)
    assert [{"from": "abc", "path": "*"}] == plain["inputs"]
    assert specification == from_plain(JobSpecification, json.loads(json.dumps(plain)))
    named = JobSpecification(command=("a",), prefer=Preference.FAST)
    assert named == from_plain(JobSpecification, to_plain(named))


@dataclass(frozen=True, slots=True)
class _Inner:
    number: int


@dataclass(frozen=True, slots=True)
class _Outer:
    name: str
    inner: tuple[_Inner, ...] = ()
    weights: dict[str, float] = field(default_factory=dict)
    maybe: int | None = None


@pytest.mark.parametrize(
    ("plain", "message"),
    [
        ({}, "name: is missing"),
        ({"name": 1}, "name: 1 is not str"),
        ({"name": "a", "nmae": 1}, "nmae: _Outer has no such field"),
        ({"name": "a", "inner": [{"number": "x"}]}, r"inner\[0\].number: 'x' is not int"),
        ({"name": "a", "inner": [{"number": True}]}, r"inner\[0\].number: True is not int"),
        ({"name": "a", "inner": {}}, "inner: {} is not a list"),
        ({"name": "a", "weights": {"w": "heavy"}}, "weights.w: 'heavy' is not float"),
        ({"name": "a", "maybe": "x"}, "maybe: 'x' is not int"),
        ([], "_Outer: .* is not an object"),
    ],
)
def test_what_does_not_fit_is_refused_by_field(plain: object, message: str) -> None:
    with pytest.raises(CodecError, match=message):
        from_plain(_Outer, plain)
