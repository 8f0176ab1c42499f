"""What a supervisor leaves about its task: a file of fixed size, allocated in full before the start.

Two slots are written in turn, each with a sequence number and a checksum, so that a torn write leaves the
former state readable, and so that a disk that fills up later cannot lose an exit code.
"""

import json
import os
import struct
import zlib
from typing import Any

__all__ = ["RECORD_BYTES", "Record", "claim", "read_record", "reopen"]

RECORD_BYTES = 4096
_SLOT_BYTES = RECORD_BYTES // 2
_HEAD = struct.Struct("<4sIQI")  # magic, length, sequence, checksum
_MAGIC = b"WREC"
_ROOM = _SLOT_BYTES - _HEAD.size
_MESSAGE_CHARACTERS = 200  # written as at most 12 bytes each


class Record:
    """An open record file; `values` is what was written last."""

    def __init__(self, descriptor: int, sequence: int, values: dict[str, Any]) -> None:
        self._descriptor = descriptor
        self._sequence = sequence
        self.values = values

    def write(self, **changes: Any) -> None:
        """Add to the values, and write all of them into the older slot. Needs no new space on the disk."""
        self.values = {**self.values, **changes}
        self._sequence += 1
        slot = _slot(self._sequence, self.values)
        os.pwrite(self._descriptor, slot, (self._sequence % 2) * _SLOT_BYTES)

    def close(self) -> None:
        os.close(self._descriptor)


def claim(folder: int, name: str, values: dict[str, Any]) -> Record | None:
    """The record `name` in the open `folder`, made by whoever comes first, allocated and filled; None for
    the rest.

    It appears under its name at once with its content, so that nobody ever sees a claim without a claimant.
    Raises OSError where there is no room for it; then nothing is claimed.
    """
    draft = f".{name}.{os.getpid()}"
    descriptor = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600, dir_fd=folder)
    try:
        os.posix_fallocate(descriptor, 0, RECORD_BYTES)
        record = Record(descriptor, 0, values)
        record.write()
        os.link(draft, name, src_dir_fd=folder, dst_dir_fd=folder)
    except FileExistsError:
        os.close(descriptor)
        return None
    except OSError:
        os.close(descriptor)
        raise
    finally:
        os.unlink(draft, dir_fd=folder)
    return record


def read_record(path: str | os.PathLike[str]) -> dict[str, Any] | None:
    """The newest whole state in the file; None where there is no file, or nothing whole in it."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        return _newest(os.pread(descriptor, RECORD_BYTES, 0))[1]
    finally:
        os.close(descriptor)


def reopen(path: str | os.PathLike[str]) -> Record:
    """An existing record, to be written on by the one who has found its supervisor dead."""
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    sequence, values = _newest(os.pread(descriptor, RECORD_BYTES, 0))
    return Record(descriptor, sequence, values or {})


def _slot(sequence: int, values: dict[str, Any]) -> bytes:
    body = _encoded(values)
    if len(body) > _ROOM:
        # Only the message can be long; everything else is numbers and names of a known length.
        body = _encoded({**values, "message": values["message"][:_MESSAGE_CHARACTERS]})
    checksum = zlib.crc32(body, sequence & 0xFFFFFFFF)
    return _HEAD.pack(_MAGIC, len(body), sequence, checksum) + body


def _encoded(values: dict[str, Any]) -> bytes:
    return json.dumps(values, separators=(",", ":")).encode()


def _newest(content: bytes) -> tuple[int, dict[str, Any] | None]:
    found: tuple[int, dict[str, Any] | None] = (0, None)
    for start in (0, _SLOT_BYTES):
        slot = content[start : start + _SLOT_BYTES]
        if len(slot) < _HEAD.size:
            continue
        magic, length, sequence, checksum = _HEAD.unpack_from(slot)
        body = slot[_HEAD.size : _HEAD.size + length]
        if magic != _MAGIC or len(body) != length or zlib.crc32(body, sequence & 0xFFFFFFFF) != checksum:
            continue
        if sequence > found[0]:
            found = (sequence, json.loads(body))
    return found
