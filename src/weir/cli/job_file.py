"""From a job file or options to the specification that is sent, with local input files uploaded first."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from weir.client import Client
from weir.model.problem import refused


def read_job_file(path: str) -> list[dict[str, Any]]:
    """The specifications in a YAML or JSON file (`-`: standard input); several documents make several jobs.

    What they say is checked by the server; here only that each is a mapping. Raises ProblemError.
    """
    import yaml

    text = sys.stdin.read() if path == "-" else Path(path).read_text(encoding="utf-8")
    try:
        documents = [document for document in yaml.safe_load_all(text) if document is not None]
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}, line {mark.line + 1}" if mark else path
        raise refused(
            where, getattr(error, "problem", error), "give YAML or JSON, see `weir submit --help`"
        ) from error
    for document in documents:
        if not isinstance(document, dict):
            raise refused(path, document, "a job file is a mapping, such as `command: [python3, train.py]`")
    if not documents:
        raise refused(path, "", "the file is empty; it needs at least `command` and `time_limit`")
    return documents


def with_uploads(client: Client, specification: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The specification with each local input uploaded: `{file: data/x.csv}` gains the digest of its content.

    A local file is named by `file` (and lies there in the job's folder too) or by `upload`, relative to `folder`.
    """
    inputs = specification.get("inputs")
    if not isinstance(inputs, list):
        return dict(specification)
    return {
        **specification,
        "inputs": [_uploaded(client, entry, index, folder) for index, entry in enumerate(inputs)],
    }


def assignments(option: str, pairs: Sequence[str]) -> dict[str, str]:
    """`NAME=VALUE` options as a mapping. Raises ProblemError."""
    made = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise refused(option, pair, "write NAME=VALUE")
        made[name] = value
    return made


def input_options(pairs: Sequence[str]) -> list[dict[str, str]]:
    """`--input` options: `FILE`, `FILE=PATH-IN-THE-JOB`, or `JOB:PATTERN[=FOLDER]` for another job's output."""
    made = []
    for pair in pairs:
        left, _, right = pair.partition("=")
        job, colon, pattern = left.partition(":")
        if colon and not Path(left).exists():
            made.append({"from": job, "path": pattern, **({"to": right} if right else {})})
        else:
            made.append({"upload": left, "file": right or Path(left).name})
    return made


def _uploaded(client: Client, entry: Any, index: int, folder: Path) -> Any:
    if not isinstance(entry, dict) or entry.get("digest") or entry.get("url"):
        return entry
    if not (entry.get("file") or entry.get("upload")):
        return entry
    source = folder / str(entry.get("upload") or entry["file"])
    if not source.is_file():
        raise refused(f"inputs[{index}].file", source, "give a file that exists on this machine")
    kept = {name: value for name, value in entry.items() if name != "upload"}
    return {**kept, "file": kept.get("file") or source.name, "digest": client.upload_blob(source)}
