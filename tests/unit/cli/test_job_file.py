"""From files and options to what is submitted."""

import io
from pathlib import Path
from typing import Any, cast

import pytest

from weir.cli.job_file import assignments, input_options, read_job_file, with_uploads
from weir.client import Client
from weir.model.problem import ProblemError


class Uploads:
    """Stands in for a client that takes files."""

    def __init__(self) -> None:
        self.taken: list[Path] = []

    def upload_blob(self, path: Path) -> str:
        self.taken.append(path)
        return "ab" * 32


def uploaded(specification: dict[str, Any], folder: Path) -> tuple[dict[str, Any], list[Path]]:
    uploads = Uploads()
    return with_uploads(cast(Client, uploads), specification, folder), uploads.taken


def test_documents_of_yaml_and_json_are_read(tmp_path: Path) -> None:
    file = tmp_path / "jobs.yaml"
    file.write_text("command: [a]\n---\n---\ncommand: [b]\n")
    assert [{"command": ["a"]}, {"command": ["b"]}] == read_job_file(str(file))
    file.write_text('{"command": ["a"], "time_limit": "1m"}')
    assert [{"command": ["a"], "time_limit": "1m"}] == read_job_file(str(file))


def test_a_dash_is_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("command: [a]"))
    assert [{"command": ["a"]}] == read_job_file("-")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("command: [a\n", "jobs.yaml, line 2"),
        ("a\n---\nb", "a job file is a mapping"),
        ("- command", "a job file is a mapping"),
        ("\n---\n", "the file is empty"),
    ],
)
def test_what_is_no_job_file_is_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "jobs.yaml").write_text(text)
    with pytest.raises(ProblemError, match=said):
        read_job_file(str(tmp_path / "jobs.yaml"))


def test_local_inputs_are_uploaded_and_others_left_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/x.csv").write_text("x")
    there = {"from": "#0", "path": "*"}
    known = {"file": "y", "digest": "cd" * 32}
    made, taken = uploaded(
        {"inputs": [{"file": "data/x.csv"}, {"upload": "data/x.csv", "file": "z"}, there, known]}, tmp_path
    )
    digest = {"digest": "ab" * 32}
    assert [{"file": "data/x.csv"} | digest, {"file": "z"} | digest, there, known] == made["inputs"]
    assert [tmp_path / "data/x.csv"] * 2 == taken


def test_a_specification_without_files_is_left_as_it_is(tmp_path: Path) -> None:
    assert ({"inputs": "wrong"}, []) == uploaded({"inputs": "wrong"}, tmp_path)
    assert ({}, []) == uploaded({}, tmp_path)


def test_a_missing_file_is_named_by_its_field(tmp_path: Path) -> None:
    with pytest.raises(ProblemError, match=r"inputs\[0\]\.file: .*missing.* give a file that exists"):
        uploaded({"inputs": [{"file": "missing"}]}, tmp_path)


def test_assignments() -> None:
    assert {"A": "1", "B": "x=y", "C": ""} == assignments("--env", ["A=1", "B=x=y", "C="])
    for wrong in ("A", "=1"):
        with pytest.raises(ProblemError, match="write NAME=VALUE"):
            assignments("--env", [wrong])


def test_input_options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a:b").touch()
    assert [
        {"upload": "d/train.py", "file": "train.py"},
        {"upload": "d/train.py", "file": "in/t.py"},
        {"from": "k7m2", "path": "model/*"},
        {"from": "k7m2", "path": "model/*", "to": "was"},
        {"upload": "a:b", "file": "a:b"},
    ] == input_options(["d/train.py", "d/train.py=in/t.py", "k7m2:model/*", "k7m2:model/*=was", "a:b"])
