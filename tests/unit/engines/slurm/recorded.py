"""Answers that real clusters gave: Slurm 22.05.8 (Debian 12) and 24.11.5 (Debian 13), by name."""

import json
from pathlib import Path
from typing import Any

_ANSWERS = Path(__file__).parent / "answers"


def text(name: str) -> str:
    return (_ANSWERS / name).read_text(encoding="utf-8")


def plain(name: str) -> Any:
    return json.loads(text(name))
