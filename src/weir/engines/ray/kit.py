"""The archive that Ray's nodes run: the runner, and of Weir what it needs, from the standard library alone."""

import hashlib
import io
import marshal
import os
import zipfile
from importlib.util import MAGIC_NUMBER, find_spec, source_hash
from pathlib import Path

__all__ = ["write_kit"]

_MODULES = (
    "weir.engines.local.cgroup",
    "weir.engines.local.contained",
    "weir.engines.local.control",
    "weir.engines.local.namespace",
    "weir.engines.local.podman",
    "weir.engines.local.process",
    "weir.engines.local.supervisor",
    "weir.engines.ray.runner",
)
_PACKAGES = ("weir", "weir/engines", "weir/engines/local", "weir/engines/ray")
_MAIN = "import sys\nfrom weir.engines.ray.runner import main\nsys.exit(main())\n"
_STAMP = (1980, 1, 1, 0, 0, 0)


def write_kit(folder: Path) -> Path:
    """Put the archive into the folder, once for each content, and return its path.

    An older one stays for what was submitted with it. Raises OSError.
    """
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        _add(archive, "__main__.py", _MAIN.encode())
        for package in _PACKAGES:
            _add(archive, f"{package}/__init__.py", b"")
        for module in _MODULES:
            place, source = module.replace(".", "/"), _source(module)
            _add(archive, f"{place}.py", source.encode())
            _add(archive, f"{place}.pyc", _compiled(source, f"{place}.py"))
    digest = hashlib.sha256(content.getvalue()).hexdigest()[:16]
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / f"runner-{digest}.pyz"
    if not path.exists():
        draft = folder / f".runner-{os.getpid()}"
        draft.write_bytes(content.getvalue())
        draft.replace(path)
    return path


def _source(module: str) -> str:
    spec = find_spec(module)
    assert spec is not None
    source: str | None = spec.loader.get_source(module) if spec.loader is not None else None  # type: ignore[attr-defined]
    assert source is not None, f"{module} has no source here"
    return source


def _compiled(source: str, path: str) -> bytes:
    """For nodes whose Python is of this agent's version, which spares each start half of its time; any other
    version passes it over and takes the source. The form is that of PEP 552, which asks for no check of the source."""
    code = compile(source, path, "exec", dont_inherit=True)
    return MAGIC_NUMBER + (1).to_bytes(4, "little") + source_hash(source.encode()) + marshal.dumps(code)


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    entry = zipfile.ZipInfo(name, _STAMP)
    entry.compress_type = zipfile.ZIP_DEFLATED
    archive.writestr(entry, content)
