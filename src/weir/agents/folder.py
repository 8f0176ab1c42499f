"""An agent's folder: where its settings, token, record and attempts lie, and the lock that it holds."""

import fcntl
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from weir.model.codec import CodecError, from_plain, to_plain
from weir.model.problem import conflict, refused


@dataclass(frozen=True, slots=True)
class Settings:
    """What an agent must be told to find its server. Kept in `agent.json`; holds no secret."""

    url: str
    ca_file: str = ""
    """PEM file of the authorities to trust instead of the system's."""
    work_root: str = ""
    """Where the attempts' folders lie, on a file system that the nodes share; by default in the folder."""
    private_root: str = ""
    """A folder of which tasks see nothing but their own part, where the engine can hide it; "" for none."""


class AgentFolder:
    """The paths in an agent's folder. Creating one touches nothing."""

    def __init__(self, folder: Path) -> None:
        self.path = folder.resolve()
        self.settings_file = self.path / "agent.json"
        self.token_file = self.path / "token"
        self.record_file = self.path / "record.db"
        self.sources_file = self.path / "sources.json"
        self.entry_file = self.path / "centre.json"
        self.lock_file = self.path / "agent.lock"
        self.poke_socket = self.path / "agent.poke"

    def create(self) -> None:
        """Make the folder, readable by nobody else, if it is missing."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)

    def attempts_root(self, settings: Settings) -> Path:
        """The folder that holds one folder an attempt."""
        return Path(settings.work_root).resolve() if settings.work_root else self.path / "attempts"

    def read_settings(self) -> Settings | None:
        """What `agent.json` says, None where there is none yet. Raises ProblemError for a bad one."""
        try:
            text = self.settings_file.read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        try:
            return from_plain(Settings, json.loads(text))
        except (CodecError, ValueError) as error:
            accepted = f"an object with url, and optionally ca_file, work_root and private_root ({error})"
            raise refused(str(self.settings_file), text[:80], accepted) from None

    def write_settings(self, settings: Settings) -> None:
        """Replace `agent.json` at once and durably."""
        write_atomically(
            self.settings_file, (json.dumps(to_plain(settings), indent=2) + "\n").encode(), mode=0o644
        )

    def read_token(self) -> str:
        """The token, "" where the agent has not joined. Raises ProblemError when others could read it."""
        try:
            return read_secret(self.token_file)
        except FileNotFoundError:
            return ""

    def write_token(self, token: str) -> None:
        """Keep the token for nobody else to read, at once and durably."""
        write_atomically(self.token_file, token.encode() + b"\n", mode=0o600)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder for one agent. Raises ProblemError (conflict) while another one holds it."""
        self.create()
        descriptor = os.open(self.lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if not _lock(descriptor):
                raise conflict(
                    f"another agent runs on {self.path}; stop that one first, or give another folder"
                )
            yield
        finally:
            os.close(descriptor)

    def is_locked(self) -> bool:
        """Whether an agent runs on this folder now."""
        try:
            descriptor = os.open(self.lock_file, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            return not _lock(descriptor)
        finally:
            os.close(descriptor)

    @contextmanager
    def short_path(self, path: Path) -> Iterator[str]:
        """A short name for a path right in the folder, for sockets, whose names may have 107 bytes at most."""
        descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            yield f"/proc/self/fd/{descriptor}/{path.name}"
        finally:
            os.close(descriptor)


def read_secret(path: Path) -> str:
    """The one line of a file that only its owner may read.

    Raises ProblemError when group or others may read or write it, FileNotFoundError when there is none.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        mode = os.fstat(descriptor).st_mode & 0o777
        if mode & 0o077:
            raise refused(str(path), oct(mode), f"a file that only its owner may read; run: chmod 600 {path}")
        return file.read(4_096).decode("ascii", "replace").strip()


def write_atomically(path: Path, content: bytes, *, mode: int) -> None:
    """Replace a file's content: after a crash either the old or the new one is there, whole."""
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        beside.replace(path)
    except OSError:
        beside.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def read_json(path: Path) -> Any:
    """A JSON file's value, None where there is none."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


__all__ = ["AgentFolder", "Settings", "read_json", "read_secret", "write_atomically"]
