"""A specification that cannot be honoured is refused, naming the field, the value and what is accepted."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weir.model.identity import JobName, attempt_id, parse_attempt_id, submission_id
from weir.model.job import Checkpoint, Delivery, DeviceNeed, Input, JobSpecification, Variant
from weir.model.job_rules import check_specification, safe_relative_path
from weir.model.problem import ProblemError
from weir.model.task_range import TaskRange

DIGEST = "0" * 64


def _job(**fields: Any) -> JobSpecification:
    return JobSpecification(**{"command": ("true",), "time_limit": 60_000, **fields})


def test_a_plain_job_is_accepted() -> None:
    check_specification(_job())
    check_specification(
        _job(inputs=(Input(file="data/x.csv", digest=DIGEST),), outputs=("out/*.json",), array=10)
    )
    urls = ("https://h.example/a%20b?k=v", "http://10.0.0.5:8080/x", "s3://bucket/a/b", "file:///share/x")
    check_specification(_job(inputs=tuple(Input(file="x", url=url, size=9) for url in urls)))
    folders = ("https://h.example/a%20b/", "http://10.0.0.5:8080/", "s3://bucket/", "file:///share/x/")
    check_specification(_job(deliver=tuple(Delivery("out/*.bin", url) for url in folders)))
    check_specification(
        JobSpecification(variants=(Variant("cuda", command=("a",)), Variant("cann", command=("b",))))
    )


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"kind": "session"}, "kind"),
        ({"kind": "service"}, "kind"),
        ({"secrets": ("s",)}, "secrets"),
        ({"notify": ("a@b",)}, "notify"),
    ],
)
def test_what_nothing_honours_yet_is_refused_and_never_ignored(fields: dict[str, Any], field: str) -> None:
    with pytest.raises(ProblemError, match="not supported yet") as caught:
        check_specification(_job(**fields))
    assert field == caught.value.problem.fields[0].field


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"command": ()}, "command"),
        ({"max_price": 0}, "max_price"),
        ({"budget": "b" * 101}, "budget"),
        ({"purpose": "a\nb"}, "purpose"),
        ({"command": ("",)}, "command"),
        ({"command": ("a\0b",)}, "command"),
        ({"environment": {"A B": "x"}}, "environment.A B"),
        ({"environment": {"WEIR_JOB_ID": "x"}}, "environment.WEIR_JOB_ID"),
        ({"environment": {"A": "x\0"}}, "environment.A"),
        ({"array": 0}, "array"),
        ({"array": 1_000_001}, "array"),
        ({"devices": DeviceNeed(count=0)}, "devices.count"),
        ({"devices": DeviceNeed(share=1_000)}, "devices.share"),
        ({"devices": DeviceNeed(count=2, share=500)}, "devices.share"),
        ({"stop_signal": "KILL"}, "stop_signal"),
        ({"max_attempts": 2}, "max_attempts"),
        ({"checkpoint": Checkpoint(60_000)}, "checkpoint"),
        ({"checkpoint": Checkpoint(999), "restartable": True}, "checkpoint.every"),
        ({"checkpoint": Checkpoint(60_000, save=-1), "restartable": True}, "checkpoint.save"),
        ({"tasks": TaskRange(1, 100_001)}, "tasks"),
        ({"max_attempts": 0}, "max_attempts"),
        ({"kind": "quantum"}, "kind"),
        ({"image": "--privileged"}, "image"),
        ({"image": "a b"}, "image"),
        ({"variants": (Variant("cuda", command=("a",), image="x;y"),)}, "variants[0].image"),
        ({"inputs": (Input(),)}, "inputs[0]"),
        ({"inputs": (Input(file="a", digest=DIGEST, from_="b", path="c"),)}, "inputs[0]"),
        ({"inputs": (Input(file="a", digest="123"),)}, "inputs[0].digest"),
        ({"inputs": (Input(file="a", url="https://h.example/x", digest="123"),)}, "inputs[0].digest"),
        ({"inputs": (Input(file="a", digest=DIGEST, size=1),)}, "inputs[0].size"),
        ({"inputs": (Input(file="../a", url="https://h.example/x"),)}, "inputs[0].file"),
        ({"inputs": (Input(from_="b", path="c", url="https://h.example/x"),)}, "inputs[0].url"),
        ({"inputs": (Input(file="a", url="ftp://h.example/x"),)}, "inputs[0].url"),
        ({"inputs": (Input(file="a", url="https://u:p@h.example/x"),)}, "inputs[0].url"),
        ({"inputs": (Input(file="a", url="https://h.example/a/../x"),)}, "inputs[0].url"),
        ({"inputs": (Input(file="a", url="https://h.example/%2e%2e/x"),)}, "inputs[0].url"),
        ({"inputs": (Input(file="a", url="file://h/x"),)}, "inputs[0].url"),
        ({"inputs": (Input(file="a", url="s3://b"),)}, "inputs[0].url"),
        ({"inputs": (Input(file="a", url="https://[/x"),)}, "inputs[0].url"),
        ({"inputs": (Input(file="a", url="https://h.example:99999/x"),)}, "inputs[0].url"),
        ({"inputs": (Input(file="../a", digest=DIGEST),)}, "inputs[0].file"),
        ({"inputs": (Input(from_="abc", path="/etc/passwd"),)}, "inputs[0].path"),
        ({"inputs": (Input(from_="abc", path="x", to="a/../.."),)}, "inputs[0].to"),
        ({"deliver": (Delivery("../x", "https://h.example/"),)}, "deliver[0].path"),
        ({"deliver": (Delivery("x", "https://h.example/a"),)}, "deliver[0].url"),
        ({"deliver": (Delivery("x", "https://h.example/a?b/"),)}, "deliver[0].url"),
        ({"deliver": (Delivery("x", "file:///share/../etc/"),)}, "deliver[0].url"),
        ({"deliver": (Delivery("x", "s3://"),)}, "deliver[0].url"),
        ({"deliver": (Delivery("x", "https://u:p@h.example/"),)}, "deliver[0].url"),
        ({"deliver": (Delivery("x", "https://h.example/"),) * 101}, "deliver"),
        ({"outputs": ("../*",)}, "outputs[0]"),
        ({"outputs": ("/etc/*",)}, "outputs[0]"),
        ({"outputs": ("",)}, "outputs[0]"),
    ],
)
def test_bad_values_are_refused_by_field(fields: dict[str, Any], field: str) -> None:
    with pytest.raises(ProblemError) as caught:
        check_specification(_job(**fields))
    assert field == caught.value.problem.fields[0].field
    assert caught.value.problem.status == 422


@given(st.text(max_size=40))
def test_a_path_that_is_accepted_stays_inside_its_folder(path: str) -> None:
    from pathlib import Path

    try:
        safe = safe_relative_path("p", path)
    except ProblemError:
        return
    root = Path("/some/root")
    assert root in (root / safe).resolve().parents or root == (root / safe).resolve()


@given(st.integers(0, 2**80 - 1), st.integers(0, 10**8), st.integers(1, 10**6))
def test_names_survive_being_written(random: int, index: int, epoch: int) -> None:
    name = JobName(submission_id(random), index)
    assert name == JobName.parse(str(name))
    assert (str(name), epoch) == parse_attempt_id(attempt_id(name, epoch))


@pytest.mark.parametrize("text", ["", "ABC", "a b", "abc.", "abc.x", "../abc", "a" * 13, "abc.-1", "abc.1.2"])
def test_what_is_no_job_id_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a job id"):
        JobName.parse(text)


def test_an_elastic_job_that_saves_its_work_is_accepted_and_has_time_to_save() -> None:
    saves = Checkpoint(every=1_800_000, save=120_000, restore=60_000)
    job = _job(tasks=TaskRange(2, 8), checkpoint=saves, restartable=True, time_limit=7_200_000)
    check_specification(job)
    assert 120_000 == job.grace_ms
    assert 300_000 == _job(checkpoint=saves, restartable=True, stop_grace=300_000).grace_ms
    assert 10_000 == _job().grace_ms
