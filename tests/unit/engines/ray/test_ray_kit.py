"""The archive that Ray's nodes run has to hold all of Weir that it imports: there is no Weir on them."""

import ast
import subprocess
import sys
import zipfile
from pathlib import Path

from weir.engines.ray.kit import write_kit

_RUN_ALONE = (
    "import sys; sys.path[:] = [sys.argv[1], *(p for p in sys.path if not p.endswith('site-packages'))]; "
    "import weir.engines.ray.runner as runner; print(runner.__file__)"
)


def test_the_archive_holds_every_module_of_weir_that_its_modules_import(tmp_path: Path) -> None:
    with zipfile.ZipFile(write_kit(tmp_path)) as kit:
        sources = [name for name in kit.namelist() if name.endswith(".py")]
        held = {name.removesuffix(".py").replace("/", ".") for name in sources}
        for name in sources:
            for wanted in _imported(kit.read(name).decode()):
                assert wanted in held or f"{wanted}.__init__" in held, f"{name} imports {wanted}"


def test_the_runner_is_imported_from_the_archive_alone_and_compiled(tmp_path: Path) -> None:
    kit = write_kit(tmp_path)
    assert f"{kit}/weir/engines/ray/runner.pyc" == runner_in(kit)


def test_a_python_of_another_version_takes_the_source(tmp_path: Path) -> None:
    other = tmp_path / "other.pyz"
    with zipfile.ZipFile(write_kit(tmp_path)) as kit, zipfile.ZipFile(other, "w") as made:
        for name in kit.namelist():
            content = kit.read(name)
            made.writestr(name, b"\0\0\r\n" + content[4:] if name.endswith(".pyc") else content)
    assert f"{other}/weir/engines/ray/runner.py" == runner_in(other)


def runner_in(kit: Path) -> str:
    """The file that a bare Python takes the runner from."""
    said = subprocess.run(
        [sys.executable, "-I", "-S", "-c", _RUN_ALONE, str(kit)], capture_output=True, text=True, check=False
    )
    assert 0 == said.returncode, said.stderr
    return said.stdout.strip()


def _imported(source: str) -> list[str]:
    """The modules of Weir that a module's text imports, wherever in it."""
    found: list[str] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module:
            found.append(node.module)
        elif isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
    return [name for name in found if name.partition(".")[0] == "weir"]
