"""The driver that docs/how-to/write-an-engine-driver.md builds is one, found by its entry point and checked by
the command that the page names."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "write-an-engine-driver.md"
WEIR = Path(sys.executable).with_name("weir")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the page's modules, as a package manager would leave them."""
    place = tmp_path_factory.mktemp("site")
    for text in re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL):
        name = re.match(r"# (\w+\.py)\n", text)
        if name:
            (place / name[1]).write_text(text, encoding="utf-8")
    [entries] = re.findall(
        r'\[project.entry-points."weir.engines"\]\n(.*?)```', PAGE.read_text("utf-8"), re.DOTALL
    )
    info = place / "shell_driver-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: shell-driver\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[weir.engines]\n" + entries.replace('"', ""))
    return place


def weir(installed: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [WEIR, "engine", *arguments],
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def test_the_page_s_driver_is_listed_with_weir_s_own(installed: Path) -> None:
    assert {"local", "shell"} <= set(weir(installed, "list").stdout.split())


def test_the_page_s_driver_passes_the_suite(installed: Path, tmp_path: Path) -> None:
    report = tmp_path / "conformance.md"
    size = ("--array", "20", "--report", str(report))
    answer = weir(installed, "check", "shell", *size)
    assert (0, "") == (answer.returncode, answer.stderr), answer.stdout
    assert answer.stdout.splitlines()[-1].startswith("shell does what its driver claims: ")
    text = report.read_text()
    assert "- engine: shell" in text
    assert "result: **passed**" in text
    assert "- `commands`: really runs the command" in text
    assert "| a gang meets | not claimed |" in text
    assert "| the engine is restarted | not tried |" in text


def test_a_driver_that_fails_is_told_by_the_exit_code(installed: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(installed, broken)
    driver = broken / "shell_driver.py"
    driver.write_text(driver.read_text().replace("Cause(cause) if cause else None", "None"))
    answer = weir(broken, "check", "shell", "--only", "failure")
    assert 1 == answer.returncode
    assert "shell does NOT do what its driver claims: 0 cases passed, 1 failed" in answer.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nomad"], "engine.driver"),
        (["local", "--option", "limits"], "--option"),
        (["local", "--only", "magic"], "--only"),
        (["local", "--option", "limits=never"], "engine.options.limits"),
    ],
)
def test_bad_input_is_refused_by_name(installed: Path, arguments: list[str], said: str) -> None:
    answer = weir(installed, "check", *arguments)
    assert 2 == answer.returncode
    assert said in answer.stderr
    assert 1 == len(answer.stderr.splitlines())
