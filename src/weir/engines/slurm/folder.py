"""What lies beside the attempts' folders for the compute nodes, and what they leave there."""

import contextlib
import hashlib
import importlib.util
import io
import json
import marshal
import os
import pkgutil
import shutil
import stat
import struct
import sys
import zipfile
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from weir.engines.courier.program import node_program
from weir.engines.others_files import read_part
from weir.engines.slurm.parcel import is_attempt, is_batch
from weir.engines.slurm.states import RecordedRun, read_record

__all__ = ["SharedFolder", "packed_program"]

_SOURCES = ("attempt", "carry", "gang", "plain", "process", "run", "tasks")
_MAIN = """\
import sys

from node.carry import main

sys.exit(main(sys.argv[2:]))
"""
"""For `program carry …`; in a folder that is shared, `START` in `node.run` begins."""
_STAMP = (1980, 1, 1, 0, 0, 0)
_LARGEST_RECORD = 65_536
_LARGEST_BATCH = 16 << 20


@cache
def packed_program(*, compiled: bool = True) -> bytes:
    """The program for the compute nodes in one file; but for what is compiled, the same sources give the same bytes.

    Beside each source lies what this Python makes of it, for which a node's own need not compile it at every start
    if it is of the same version; another one passes it over.
    """
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr(zipfile.ZipInfo("__main__.py", _STAMP), _MAIN)
        for package in ("node", "weir", "weir/engines", "weir/engines/courier"):
            archive.writestr(zipfile.ZipInfo(f"{package}/__init__.py", _STAMP), "")
        sources = {"weir/engines/courier/node.py": node_program().encode()}
        for name in _SOURCES:
            source = pkgutil.get_data("weir.engines.slurm.node", f"{name}.py")
            assert source is not None
            sources[f"node/{name}.py"] = source
        for name, source in sources.items():
            archive.writestr(zipfile.ZipInfo(name, _STAMP), source)
            if compiled:
                archive.writestr(zipfile.ZipInfo(f"{name}c", _STAMP), _compiled(name, source))
    return content.getvalue()


def _compiled(name: str, source: bytes) -> bytes:
    """A module's bytecode in the form of PEP 552 that is not held against its source when it is loaded."""
    code = compile(source, name, "exec", dont_inherit=True)
    return (
        importlib.util.MAGIC_NUMBER
        + struct.pack("<L", 1)
        + importlib.util.source_hash(source)
        + marshal.dumps(code)
    )


class SharedFolder:
    """The folder that holds the attempts' folders, on a file system that the compute nodes see.

    Beside them lies `.slurm`, which belongs to the agent: the program, one file a batch, one file an attempt that says
    whether it should stop, and `news`, where the nodes leave names to be looked at.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._own = root / ".slurm"
        self.news_folder = self._own / "news"
        self.stops = self._own / "stops"
        self._batches = self._own / "batches"
        sources = hashlib.sha256(packed_program(compiled=False)).hexdigest()[:16]
        self.program = self._own / f"program-{sources}-{sys.implementation.cache_tag}.zip"
        # Others pass through and find what they know the name of; they can leave news, and list nothing.
        for folder, mode in (
            (self._own, 0o711),
            (self._batches, 0o711),
            (self.stops, 0o711),
            (self.news_folder, 0o1733),
        ):
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(mode)
        if not self.program.exists():
            _write(self.program, packed_program(), 0o644)

    def prepare(self, attempt: str, folder: Path, uid: int, gid: int) -> None:
        """Make an attempt's folder ready for its user: what is in `work` is theirs, and `run` is made."""
        run = folder / "run"
        run.mkdir(mode=0o700, exist_ok=True)
        (folder / "work").mkdir(mode=0o700, exist_ok=True)
        stop = self.stops / attempt
        if not stop.exists():
            stop.touch(mode=0o644)
        if uid != os.geteuid():
            folder.chmod(0o711)
            for place in (run, folder / "work"):
                # It is given last of all: in what is theirs already they could lay links under a walk by path.
                if place.lstat().st_uid != uid:
                    place.chmod(0o700)
                    _give(place, uid, gid)

    def unreachable_for(self, uid: int) -> str:
        """The folder on the way here through which another user cannot pass; empty where all is well."""
        if uid == os.geteuid():
            return ""
        for folder in (self.root, *self.root.parents):
            if not folder.stat().st_mode & stat.S_IXOTH:
                return str(folder)
        return ""

    def write_batch(self, batch: str, plain: Mapping[str, Any], uid: int, gid: int) -> Path:
        """Lay down what one job's elements are to run, for their user alone to read."""
        path = self._batches / f"{batch}.json"
        _write(path, json.dumps(plain).encode(), 0o600)
        if uid != os.geteuid():
            os.chown(path, uid, gid)
        return path

    def batch_attempts(self, batch: str) -> list[str]:
        """The attempts of a batch by their elements; the batch itself where nothing is known of it."""
        if not is_batch(batch):
            return [batch]
        # Its user owns the file and may have written anything into it.
        try:
            plain = json.loads(_read_plain(self._batches / f"{batch}.json", _LARGEST_BATCH))
            names = [row[0] for row in plain["attempts"]]
            return names if all(map(is_attempt, names)) else [batch]
        except (OSError, ValueError, TypeError, LookupError, RecursionError):
            return [batch]

    def drop_batch(self, batch: str) -> None:
        (self._batches / f"{batch}.json").unlink(missing_ok=True)

    def stop(self, attempt: str) -> None:
        """Say that it should stop. Written into the file that is there, which nodes open anew each time."""
        with contextlib.suppress(FileNotFoundError):
            descriptor = os.open(self.stops / attempt, os.O_WRONLY | os.O_CLOEXEC)
            try:
                os.write(descriptor, b"cancelled\n")
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def news(self) -> list[str]:
        """Names that nodes have left; they are taken away."""
        names = [path.name for path in self.news_folder.iterdir()]
        for name in names:
            # Whoever can leave a name there can leave a folder of that name too.
            with contextlib.suppress(OSError):
                (self.news_folder / name).unlink()
        return names

    def record(self, folder: Path, uid: int) -> RecordedRun | None:
        """What the runner has recorded; None before it has, and where its user has put something else there."""
        content = read_part(folder / "run" / "record.json", uid, 0, _LARGEST_RECORD)
        try:
            return read_record(json.loads(content)) if content else None
        except (LookupError, TypeError, ValueError, OverflowError, RecursionError):
            return None

    def claimed_by(self, folder: Path, uid: int) -> str:
        """The Slurm job that has claimed the attempt; empty before one has."""
        return read_part(folder / "run" / "claim", uid, 0, 200).decode("ascii", "replace").partition(" ")[0]

    def clear(self, attempts: Iterable[tuple[str, Path]]) -> None:
        """Remove the folders of attempts that are over, and what lies here for them."""
        for attempt, folder in attempts:
            shutil.rmtree(folder, ignore_errors=True)
            (self.stops / attempt).unlink(missing_ok=True)


def _give(folder: Path, uid: int, gid: int) -> None:
    """Make a folder and all in it a user's own; links are given, not what they name."""
    for place, folders, files in os.walk(folder):
        for name in (*folders, *files):
            os.lchown(Path(place) / name, uid, gid)
    os.lchown(folder, uid, gid)


def _read_plain(path: Path, most: int) -> bytes:
    """A plain file's content. Raises OSError or ValueError for anything else: no pipe, no link, nothing huge."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_size > most:
            raise ValueError(f"{path} is no plain file of a batch")
        return os.pread(descriptor, most, 0)
    finally:
        os.close(descriptor)


def _write(path: Path, content: bytes, mode: int) -> None:
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    try:
        os.write(descriptor, content)
        os.fchmod(descriptor, mode)
    finally:
        os.close(descriptor)
    beside.replace(path)
