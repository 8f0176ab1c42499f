"""One file that runs an agent on a machine that has Python alone: a zip archive of what an agent needs."""

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

import weir
from weir.agents.folder import write_atomically

ROOMS = ("units", "model", "engines", "agents")
RUNNER = ("cli/__init__.py", "cli/agent_main.py", "cli/agent_runner.py", "cli/agent_start.py")
_STAMP = (1980, 1, 1, 0, 0, 0)
"""Every entry's time, so that the same sources make the same bytes."""
_MAIN = b"""import sys

if sys.version_info < (3, 11):
    sys.exit("a Weir agent needs Python 3.11 or newer; this is " + sys.version.split()[0])

from weir.cli.agent_main import main

sys.exit(main())
"""


def build_bundle(out: Path) -> None:
    """Write the archive to `out`, at once and executable; `python3 OUT run …` starts an agent.

    The same sources give the same bytes. It holds plain Python only, so it runs on any machine's architecture.
    """
    root = Path(weir.__file__).parent
    content = io.BytesIO(b"")
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        _add(archive, "__main__.py", _MAIN)
        for path in _sources(root):
            _add(archive, f"weir/{path.relative_to(root)}", path.read_bytes())
    write_atomically(out.absolute(), b"#!/usr/bin/env python3\n" + content.getvalue(), mode=0o755)


def _sources(root: Path) -> Iterator[Path]:
    yield root / "__init__.py"
    for room in ROOMS:
        yield from sorted(path for path in (root / room).rglob("*.py") if "conformance" not in path.parts)
    for name in RUNNER:
        yield root / name


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    entry = zipfile.ZipInfo(name, _STAMP)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = 0o644 << 16
    archive.writestr(entry, content)


__all__ = ["build_bundle"]
