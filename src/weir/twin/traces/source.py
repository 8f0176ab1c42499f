"""Where a trace lies: a file, plain or compressed, or a member of an archive. The only part that touches the disk."""

import bz2
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from weir.model.problem import Problem, ProblemError, refused

_CHUNK = 1 << 16  # of compressed bytes: what they become stays in the processor's cache
_SUFFIXES = (".gz", ".xz", ".bz2", ".zip", ".tar", ".tgz")


@dataclass(frozen=True, slots=True)
class Source:
    """A file, a folder, or `member` of the archive at `path`."""

    path: Path
    member: str = ""

    def __str__(self) -> str:
        return str(self.path / self.member) if self.member else str(self.path)

    @property
    def file_name(self) -> str:
        """Its name without what says how it is packed: `KTH.swf` of `KTH.swf.gz`."""
        name = Path(self.member or self.path).name
        while name.lower().endswith(_SUFFIXES):
            name = name[: name.rindex(".")]
        return name

    @property
    def name(self) -> str:
        """The file's name without its last suffix."""
        return Path(self.file_name).stem or self.file_name

    def beside(self, name: str) -> "Source":
        """The file of that name next to it."""
        if self.member:
            return Source(self.path, (Path(self.member).parent / name).as_posix())
        return Source(self.path.parent / name)


def located(path: str | Path) -> Source:
    """What `path` names: a file or folder, or a member of an archive as `ARCHIVE/MEMBER`.

    An archive with one file in it stands for that file. Refuses a path that leads nowhere.
    """
    path = Path(path)
    if path.is_dir():
        return Source(path)
    if path.is_file():
        names = members(Source(path))
        return Source(path, names[0]) if len(names) == 1 else Source(path)
    for parent in path.parents:
        if parent.is_file():
            member = path.relative_to(parent).as_posix()
            names = members(Source(parent))
            if member in names:
                return Source(parent, member)
            raise refused("trace", path, f"{parent} holds {_some(names)}")
    raise refused("trace", path, "a file, a folder, or ARCHIVE/MEMBER that exists")


def members(source: Source) -> tuple[str, ...]:
    """The names of the files in an archive or folder, sorted; none when it is neither."""
    if source.path.is_dir():
        return tuple(
            sorted(p.relative_to(source.path).as_posix() for p in source.path.rglob("*") if p.is_file())
        )
    with _told(source):
        if zipfile.is_zipfile(source.path):
            with zipfile.ZipFile(source.path) as packed:
                return tuple(sorted(name for name in packed.namelist() if not name.endswith("/")))
        if _is_tar(source.path):
            with tarfile.open(source.path) as archive:
                return tuple(sorted(each.name for each in archive if each.isfile()))
    return ()


def chunks(source: Source) -> Iterator[bytes]:
    """What the file says, unpacked and without a byte order mark, in pieces of any length but none.

    Refuses what cannot be read to its end.
    """
    with _told(source):
        pieces = (piece for piece in _pieces(source) if piece)
        yield from (piece for piece in (next(pieces, b"").removeprefix(b"\xef\xbb\xbf"),) if piece)
        yield from pieces


def contents(source: Source) -> bytes:
    """All that the file says, as `chunks` gives it."""
    return b"".join(chunks(source))


def head(source: Source) -> bytes:
    """The first piece of what the file says; empty when it says nothing."""
    return next(chunks(source), b"")


def _pieces(source: Source) -> Iterator[bytes]:
    if source.path.is_dir():
        raise refused("trace", source, f"a file of it: it holds {_some(members(source))}")
    if source.member and zipfile.is_zipfile(source.path):
        with zipfile.ZipFile(source.path) as packed, packed.open(source.member) as member:
            yield from _unpacked(iter(lambda: member.read(_CHUNK), b""))
    elif source.member:
        with tarfile.open(source.path) as archive:
            found = archive.extractfile(source.member)
            assert found is not None  # `located` lists files alone
            yield from _unpacked(iter(lambda: found.read(_CHUNK), b""))
    else:
        names = members(source)
        if names:
            raise refused("trace", source, f"one file of it, as {source}/MEMBER: it holds {_some(names)}")
        with source.path.open("rb") as file:
            yield from _unpacked(iter(lambda: file.read(_CHUNK), b""))


class _Unpacker(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, /) -> bytes: ...


def _unpacker(start: bytes) -> _Unpacker | None:
    if start.startswith(b"\x1f\x8b"):
        return zlib.decompressobj(31)
    if start.startswith(b"\xfd7zXZ\0"):
        return lzma.LZMADecompressor()
    if start.startswith(b"BZh"):
        return bz2.BZ2Decompressor()
    if start.startswith(b"\x28\xb5\x2f\xfd"):
        raise ValueError("it is packed with Zstandard; unpack it first, or use gzip, xz or bzip2")
    return None


def _unpacked(pieces: Iterator[bytes]) -> Iterator[bytes]:
    start = next(pieces, b"")
    unpacker = _unpacker(start)
    if unpacker is None:
        yield start
        yield from pieces
        return
    data = start
    while data:
        yield unpacker.decompress(data)
        data = b""
        if unpacker.eof:  # another stream may follow, or noughts that fill a block
            data = unpacker.unused_data.lstrip(b"\0") or next(pieces, b"").lstrip(b"\0")
            if data:
                unpacker = _unpacker(data)
                if unpacker is None:
                    raise ValueError("what follows its packed part is not packed")
        else:
            data = next(pieces, b"")
    if not unpacker.eof:
        raise EOFError("it ends in the middle of its packed part")


def _is_tar(path: Path) -> bool:
    """Whether it is a tar archive; a compressed file is looked into, since `.gz` may hold one."""
    with path.open("rb") as file:
        try:
            start = b""
            for piece in _unpacked(iter(lambda: file.read(4_096), b"")):
                start += piece
                if len(start) >= 512:
                    break
        except (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError):
            return False
    return start[257:262] == b"ustar"


def _some(names: tuple[str, ...]) -> str:
    shown = ", ".join(names[:10])
    return f"{shown} and {len(names) - 10} more" if len(names) > 10 else shown or "nothing"


@contextmanager
def _told(source: Source) -> Iterator[None]:
    """Turns what goes wrong in reading into a problem that names the file."""
    try:
        yield
    except (EOFError, zlib.error, lzma.LZMAError, tarfile.TarError, zipfile.BadZipFile, ValueError) as error:
        title = f"{source} cannot be unpacked: {error}; fetch it again"
        raise ProblemError(Problem("invalid", 422, title)) from error
    except OSError as error:
        title = f"{source} cannot be read: {error.strerror or error}"
        raise ProblemError(Problem("invalid", 422, title)) from error
