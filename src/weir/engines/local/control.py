"""An attempt's control file: how it is launched, and what the supervisors of its tasks record.

The driver writes it whole before the start: a head, a record of fixed size for each task, and the order as
JSON. So the records are allocated in full, and a disk that fills up later cannot lose an exit code. A record
has two slots which are written in turn, each with a sequence number and a checksum, so that a torn write
leaves the former state.

A task is claimed by linking the file to a second name, which can be done once and needs no space.
"""

import errno
import json
import os
import stat
import struct
import zlib
from typing import Any

__all__ = ["CONTROL_NAME", "Control", "claim_name", "write_control"]

CONTROL_NAME = "control"
RECORD_BYTES = 4096
_SLOT_BYTES = RECORD_BYTES // 2
_FILE_HEAD = struct.Struct("<8sIQI")  # magic, tasks, length of the order, its checksum
_FILE_MAGIC = b"WEIRATT1"
_SLOT_HEAD = struct.Struct("<4sIQI")  # magic, length, sequence, checksum
_SLOT_MAGIC = b"WREC"
_ROOM = _SLOT_BYTES - _SLOT_HEAD.size
_MESSAGE_CHARACTERS = 200  # written as at most 12 bytes each


def claim_name(task: int) -> str:
    return f"{task}.claim"


def write_control(folder: str, order: dict[str, Any], tasks: int) -> None:
    """Put the control file into the folder, whole or not at all. Raises OSError."""
    body = _encoded(order)
    head = _FILE_HEAD.pack(_FILE_MAGIC, tasks, len(body), zlib.crc32(body)).ljust(RECORD_BYTES, b"\0")
    content = head + bytes(RECORD_BYTES * tasks) + body
    draft = f"{folder}/.{CONTROL_NAME}"
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        while content:
            content = content[os.write(descriptor, content) :]
    except OSError:
        os.unlink(draft)
        raise
    finally:
        os.close(descriptor)
    os.replace(draft, f"{folder}/{CONTROL_NAME}")


class Control:
    """An open control file. Raises FileNotFoundError where there is none, ValueError for half of one.

    A link, a pipe or a folder in its place is none: where tasks run as the agent's own user, they can put one there,
    and it must neither lead elsewhere nor hold up whoever looks.
    """

    def __init__(self, folder: str, *, write: bool = False) -> None:
        self._shown = folder
        # Everything goes by this descriptor, which stays good when the folder is hidden from the process
        # later.
        self._folder = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            self._file = _open_plain(CONTROL_NAME, os.O_RDWR if write else os.O_RDONLY, self._folder)
        except OSError:
            os.close(self._folder)
            raise

    def __enter__(self) -> "Control":
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._file)
        os.close(self._folder)

    def order(self) -> dict[str, Any]:
        """What the driver wrote. Raises ValueError where it was cut short, as by a machine that went down."""
        head = os.pread(self._file, _FILE_HEAD.size, 0)
        if len(head) < _FILE_HEAD.size:
            raise ValueError(f"{self._shown}: a control file without a head")
        magic, tasks, length, checksum = _FILE_HEAD.unpack(head)
        if magic != _FILE_MAGIC:
            raise ValueError(f"{self._shown}: a control file of another kind")
        body = os.pread(self._file, length, RECORD_BYTES * (1 + tasks))
        if len(body) != length or zlib.crc32(body) != checksum:
            raise ValueError(f"{self._shown}: a control file that was cut short")
        found: dict[str, Any] = json.loads(body)
        return found

    def claim(self, task: int) -> bool:
        """True for the first who claims the task, False for everybody after."""
        return self._create(claim_name(task))

    def stop(self, name: str) -> None:
        """Leave the word, as a file `name`, that tasks which have not started never shall. Raises OSError."""
        self._create(name)

    def has(self, name: str) -> bool:
        """Whether such a claim or word is there."""
        try:
            os.stat(name, dir_fd=self._folder)
        except FileNotFoundError:
            return False
        return True

    def record(self, task: int) -> dict[str, Any] | None:
        """The newest whole state of a task's record; None before the first."""
        return self._newest(task)[1]

    def write(self, task: int, **changes: Any) -> dict[str, Any]:
        """Add to a task's record; all of it is written into the older slot. Needs no new space on the
        disk."""
        sequence, values = self._newest(task)
        values = {**(values or {"task": task, "message": ""}), **changes}
        slot = _slot(sequence + 1, values)
        place = RECORD_BYTES * (1 + task) + (sequence + 1) % 2 * _SLOT_BYTES
        os.pwrite(self._file, slot, place)
        return values

    def _create(self, name: str) -> bool:
        try:
            try:
                # A link needs no space on the disk beyond its name.
                os.link(CONTROL_NAME, name, src_dir_fd=self._folder, dst_dir_fd=self._folder)
            except FileExistsError:
                raise
            except OSError:
                # A file system without links: the exclusive creation of a file does the same.
                flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
                os.close(os.open(name, flags, 0o600, dir_fd=self._folder))
        except FileExistsError:
            return False
        return True

    def _newest(self, task: int) -> tuple[int, dict[str, Any] | None]:
        content = os.pread(self._file, RECORD_BYTES, RECORD_BYTES * (1 + task))
        found: tuple[int, dict[str, Any] | None] = (0, None)
        for start in (0, _SLOT_BYTES):
            slot = content[start : start + _SLOT_BYTES]
            if len(slot) < _SLOT_BYTES or not slot.startswith(_SLOT_MAGIC):
                continue
            _, length, sequence, checksum = _SLOT_HEAD.unpack_from(slot)
            body = slot[_SLOT_HEAD.size : _SLOT_HEAD.size + length]
            whole = len(body) == length and zlib.crc32(body, sequence & 0xFFFFFFFF) == checksum
            if whole and sequence > found[0]:
                found = (sequence, json.loads(body))
        return found


def _slot(sequence: int, values: dict[str, Any]) -> bytes:
    body = _encoded(values)
    if len(body) > _ROOM:
        # Only the message can be long; everything else is numbers and names of a known length.
        body = _encoded({**values, "message": values["message"][:_MESSAGE_CHARACTERS]})
    checksum = zlib.crc32(body, sequence & 0xFFFFFFFF)
    return _SLOT_HEAD.pack(_SLOT_MAGIC, len(body), sequence, checksum) + body


def _open_plain(name: str, flags: int, folder: int) -> int:
    missing = FileNotFoundError(errno.ENOENT, "not a plain file", name)
    try:
        descriptor = os.open(name, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EISDIR, errno.ENXIO):
            raise missing from error
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise missing
    return descriptor


def _encoded(values: dict[str, Any]) -> bytes:
    return json.dumps(values, separators=(",", ":")).encode()
