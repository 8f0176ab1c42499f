"""Answers of a real Kubernetes 1.36.2, recorded on 22 November 2026; a node's own particulars left out."""

import json
from pathlib import Path
from typing import Any

Plain = dict[str, Any]
CASES: dict[str, Plain] = {
    case["case"]: case for case in json.loads((Path(__file__).parent / "recorded.json").read_text("utf-8"))
}


def response(case: str) -> Plain:
    """The answer of one recorded request."""
    found: Plain = CASES[case]["response"]
    return found


def job(name: str) -> Plain:
    """A Job as it was when it was read last, with the label that Weir's own have."""
    return labelled(response(f"job: {name}" if name != "long" else "job running"), name)


def pods(name: str) -> list[Plain]:
    return [
        labelled(pod, name)
        for pod in response(f"pods of: {name}" if name != "long" else "pod running")["items"]
    ]


def watched(name: str) -> list[Plain]:
    """What a watch told of one Job, in order."""
    lines = CASES["watch of jobs, all lines"]["lines"]
    return [line for line in lines if line["object"]["metadata"].get("name") == name]


def labelled(plain: Plain, attempt: str) -> Plain:
    labels = {**(plain["metadata"].get("labels") or {}), "weir.io/attempt": attempt, "weir.io/owner": "weir"}
    return {**plain, "metadata": {**plain["metadata"], "labels": labels}}
