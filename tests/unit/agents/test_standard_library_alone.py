"""Agents, engines, model and units run where there is Python alone."""

import subprocess
import sys
from pathlib import Path

import weir

ROOT = Path(weir.__file__).parent
MODULES = sorted(
    "weir." + ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for room in ("agents", "engines", "model", "units")
    for path in (ROOT / room).rglob("*.py")
)
RUNNERS = ["weir.cli.agent_main", "weir.cli.agent_runner", "weir.cli.agent_start", "weir.cli.bundle"]
BLOCKED = [
    "alembic",
    "fastapi",
    "numba",
    "numpy",
    "pydantic",
    "rich",
    "sqlalchemy",
    "starlette",
    "typer",
    "urllib3",
    "yaml",
]
SCRIPT = """
import importlib, sys
for name in sys.argv[1].split(","):
    sys.modules[name] = None
for name in sys.argv[2].split(","):
    importlib.import_module(name)
"""


def imports_alone(modules: list[str]) -> subprocess.CompletedProcess[str]:
    arguments = [",".join(BLOCKED), ",".join(modules)]
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", SCRIPT, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_every_module_imports_with_third_parties_blocked() -> None:
    assert len(MODULES) > 30
    run = imports_alone(MODULES + RUNNERS)
    assert 0 == run.returncode, run.stderr


def test_the_block_works() -> None:
    run = imports_alone(["weir.store"])
    assert 0 != run.returncode
    assert "sqlalchemy" in run.stderr
