"""Submissions read strictly: right ones become specifications, all others a problem that names a field."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weir.api.specifications import json_schema, read_submission, read_value
from weir.model.job import JobSpecification, Preference, PreferenceWeights
from weir.model.problem import ProblemError
from weir.model.task_range import TaskRange
from weir.units import DurationMs

WHOLE: dict[str, Any] = {
    "command": ["python3", "train.py"],
    "name": "n",
    "project": "p",
    "environment": {"A": "1"},
    "inputs": [{"from": "k7m2q9xw4tcd", "path": "*.json", "to": "in"}],
    "outputs": ["model/*"],
    "tasks": 2,
    "devices": {"count": 4, "models": ["a", "b"], "memory": "40GiB", "domestic": True},
    "cores": 0.5,
    "memory": "16GiB",
    "variants": [{"stack": "cann", "command": ["x"], "speed": 900}],
    "time_limit": "2h30m",
    "array": 3,
    "after": ["k7m2q9xw4tcd"],
    "data": [{"size": "2TB", "at": "hefei"}],
    "prefer": {"time": 1, "money": 2, "carbon": 3},
    "constraints": {"centres": ["hefei"]},
    "priority": "urgent",
    "restartable": True,
    "max_attempts": 4,
    "stop_signal": "INT",
    "stop_grace": "30s",
    "labels": {"k": "v"},
}
NAMES = sorted(WHOLE)


def test_everything_that_can_be_said_is_understood() -> None:
    [job] = read_submission(WHOLE, 1)
    assert TaskRange(2, 2) == job.tasks
    assert (500, 16 << 30, 9_000_000) == (job.cores, job.memory, job.time_limit)
    assert PreferenceWeights(1, 2, 3) == job.prefer
    assert "k7m2q9xw4tcd" == job.inputs[0].from_
    assert Preference.CHEAP == read_submission(WHOLE | {"prefer": "cheap"}, 1)[0].prefer


def test_what_is_written_alike_is_validated_once() -> None:
    jobs = read_submission({"jobs": [WHOLE, dict(WHOLE), WHOLE | {"name": "m"}]}, 3)
    assert jobs[0] is jobs[1]
    assert jobs[0] is not jobs[2]


WRONG: dict[str, Any] = {"null": None, "object": {"x": 1}, "lists": [[]], "fraction": 1.5, "text": "?!"}
RIGHT = {
    "null": {"devices", "time_limit", "array", "max_attempts"},
    "text": {"name", "project", "max_price"},
    "fraction": {"cores"},
}
"""Where such a value is one that is accepted."""


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("wrong", list(WRONG))
def test_a_wrong_value_is_named_by_its_field(name: str, wrong: str) -> None:
    body = WHOLE | {name: WRONG[wrong]}
    if name in RIGHT.get(wrong, ()):
        assert read_submission({"max_attempts": 1} | body, 1)
        return
    if (name, wrong) in {("labels", "object"), ("environment", "object")}:
        body = WHOLE | {name: {"x": [1]}}
    with pytest.raises(ProblemError) as caught:
        read_submission(body, 1)
    first = caught.value.problem.fields[0]
    assert first.field.startswith(name)
    assert first.accepted
    assert 422 == caught.value.problem.status


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*NAMES, "x", "from"]), inner, max_size=3)
    ),
    max_leaves=12,
)


def outcome(body: dict[str, Any]) -> list[JobSpecification] | ProblemError:
    try:
        return read_submission(json.loads(json.dumps(body)), 10)
    except ProblemError as error:
        return error


@given(st.dictionaries(st.sampled_from([*NAMES, "jobs", "x"]), ANY, max_size=4))
def test_nothing_else_than_a_specification_or_a_problem_comes_of_anything(body: dict[str, Any]) -> None:
    read = outcome(body)
    if isinstance(read, ProblemError):
        assert 400 <= read.problem.status < 500
        assert read.problem.fields
    else:
        assert all(isinstance(one, JobSpecification) for one in read)


def test_single_values_are_read_like_fields() -> None:
    assert 90_000 == read_value(DurationMs, "90s", "time_limit")
    with pytest.raises(ProblemError) as caught:
        read_value(DurationMs, 90, "time_limit")
    assert "time_limit" == caught.value.problem.fields[0].field


def test_schema_tells_of_every_field_as_people_write_it() -> None:
    schema = json_schema("#/{model}")
    assert set(NAMES) < set(schema["properties"])
    assert "from" in schema["$defs"]["Input"]["properties"]
    assert schema["additionalProperties"] is False
