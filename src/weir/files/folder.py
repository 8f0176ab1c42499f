"""Where files are kept: a folder, given as a path or a `file://` address."""

import os
from pathlib import Path
from urllib.parse import unquote, urlsplit

from weir.model.problem import refused


def folder_at(address: str | Path) -> Path:
    """The folder, made when it is missing. Any other kind of address is refused."""
    if isinstance(address, Path):
        folder = address
    elif "://" not in address:
        folder = Path(address)
    else:
        parts = urlsplit(address)
        if parts.scheme != "file" or parts.netloc not in ("", "localhost"):
            raise refused("files", address, "not supported yet; give a folder", kind="not-supported-yet")
        folder = Path(unquote(parts.path))
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def sync_folder(folder: Path) -> None:
    """Make the names in it durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_all(descriptor: int, data: bytes | memoryview, offset: int) -> None:
    """Write all of it at the offset, however often the system writes only a part."""
    rest = memoryview(data)
    while rest:
        written = os.pwrite(descriptor, rest, offset)
        rest = rest[written:]
        offset += written


__all__ = ["folder_at", "sync_folder", "write_all"]
