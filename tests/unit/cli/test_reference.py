"""The reference says what is so: its pages follow the code, and the job file's fields are taken as written there."""

import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from weir.api.specifications import read_submission
from weir.model.job import JobSpecification
from weir.model.problem import ProblemError

ROOT = Path(__file__).resolve().parents[3]

EXAMPLES: dict[str, Any] = {
    "command": ["python3", "train.py"],
    "name": "train",
    "project": "vision",
    "kind": "batch",
    "image": "ubuntu",
    "environment": {"SEED": "1"},
    "inputs": [{"file": "train.py", "digest": "ab" * 32}, {"from": "k7m2q9xw4tcd", "path": "*", "to": "x"}],
    "outputs": ["model/*"],
    "deliver": [{"path": "model/*.bin", "url": "s3://results/run-7/"}],
    "tasks": "2..4",
    "devices": {
        "count": 2,
        "models": ["nvidia-a100-sxm-80gb"],
        "memory": "40GiB",
        "precision": "fp16",
        "stack": "cuda",
        "domestic": False,
    },
    "cores": 0.5,
    "memory": "1.5GiB",
    "variants": [{"stack": "cann", "command": ["b"], "environment": {"A": "b"}, "speed": 800}],
    "time_limit": "2h30m",
    "array": 100,
    "after": ["k7m2q9xw4tcd"],
    "data": [{"size": "1TB", "at": "hefei-ai", "name": "corpus", "url": "https://example.org/c"}],
    "prefer": {"time": 1, "money": 2, "carbon": 3},
    "constraints": {"centres": ["a"], "cities": ["b"], "kinds": ["edge"]},
    "priority": "urgent",
    "purpose": "training",
    "options": {"qos": "low"},
    "budget": "b",
    "max_price": "12.50",
    "restartable": True,
    "max_attempts": 1,
    "checkpoint": {"every": "10m", "save": "2m", "restore": "1m"},
    "stop_signal": "INT",
    "stop_grace": "30s",
    "secrets": ["TOKEN"],
    "notify": ["li@example.org"],
    "labels": {"a": "b"},
}


def test_the_pages_are_up_to_date() -> None:
    command = [sys.executable, str(ROOT / "tools/reference.py"), "--check"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (0, "") == (ran.returncode, ran.stderr)


def _documented() -> dict[str, str]:
    page = (ROOT / "docs/reference/job-file.md").read_text(encoding="utf-8")
    rows = re.findall(
        r"^\| `(\w+)` \|.*\| ([^|]*) \|$",
        page.partition("## JobSpecification")[2].partition("\n## ")[0],
        re.MULTILINE,
    )
    return dict(rows)


def test_every_field_is_documented_and_has_an_example_here() -> None:
    names = [field.name for field in fields(JobSpecification)]
    assert names == list(_documented())
    assert set(names) == set(EXAMPLES)
    assert all(_documented().values()), "each has its meaning in words"


@pytest.mark.parametrize("name", list(EXAMPLES))
def test_a_field_is_accepted_or_refused_as_the_page_says(name: str) -> None:
    # What saves its progress has to be restartable.
    body = {"command": ["true"], "time_limit": "1m", "restartable": True, name: EXAMPLES[name]}
    if "Not supported yet." in _documented()[name]:
        with pytest.raises(ProblemError, match="not supported yet") as refusal:
            read_submission(body, 10)
        assert (name, "not-supported-yet") == (
            refusal.value.problem.fields[0].field,
            refusal.value.problem.kind,
        )
    else:
        assert 1 == len(read_submission(body, 10))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("kind", "session"),
        ("kind", "service"),
    ],
)
def test_what_is_documented_as_not_supported_within_a_field_is_refused(name: str, value: Any) -> None:
    with pytest.raises(ProblemError, match="not supported yet"):
        read_submission({"command": ["true"], "time_limit": "1m", name: value}, 10)


@pytest.mark.parametrize("entry", [{"memory": "1GiB"}, {"share": 250}, {"share": 250, "stack": "cann"}])
def test_the_examples_of_devices_are_accepted(entry: dict[str, Any]) -> None:
    assert read_submission({"command": ["true"], "time_limit": "1m", "devices": entry}, 10)
