"""What the demonstration submits: an array of trainings, and a job after it that takes all their outputs."""

import sys
from pathlib import Path
from typing import Any

from weir.client import Client

_WORK = Path(__file__).parent / "work"
# One thread a task: twelve trainings at once share this machine's few cores.
_ENVIRONMENT = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}


def submit_trainings(api: Client, count: int) -> str:
    """Submit `count` trainings as one array, each on one accelerator of any model that has a variant; its id."""
    specification = {
        "name": "train-digits",
        "command": [sys.executable, "train.py"],
        "environment": _ENVIRONMENT,
        "inputs": [{"file": "train.py", "digest": api.upload_blob(_WORK / "train.py")}],
        "outputs": ["result.json", "model.joblib"],
        "array": count,
        "devices": {"count": 1},
        "memory": "1GiB",
        "time_limit": "10m",
        "restartable": True,
        "data": [{"name": "digits", "size": "200MB", "at": "hefei-ai"}],
        "variants": [
            {"stack": "cuda", "speed": 1200},
            {"stack": "cann", "speed": 1000},
            {"stack": "dtk", "speed": 900},
            {"stack": "cnrt", "speed": 700},
        ],
    }
    return api.submit(specification)[0].id


def submit_report(api: Client, trainings: str) -> str:
    """Submit the job that waits for all trainings, takes their outputs, and writes the report; its id."""
    specification: dict[str, Any] = {
        "name": "report-digits",
        "command": [sys.executable, "report.py"],
        "environment": _ENVIRONMENT,
        "inputs": [
            {"file": "report.py", "digest": api.upload_blob(_WORK / "report.py")},
            {"from": trainings, "path": "result.json", "to": "trained"},
            {"from": trainings, "path": "model.joblib", "to": "trained"},
        ],
        "outputs": ["report.md", "best.json", "best.joblib"],
        "memory": "1GiB",
        "time_limit": "10m",
        "restartable": True,
        "prefer": "cheap",
    }
    return api.submit(specification)[0].id
