"""Backups of a SQLite store: a consistent copy while it works, and putting one back."""

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from weir.store.file_lock import FileLock
from weir.store.migrate import BACKUP
from weir.store.problems import StoreError


def back_up(database: Path, target: Path) -> None:
    """Copy a store's file to a new one, whether a process has it open or not. Raises StoreError."""
    if not database.exists():
        raise StoreError(f"there is no store at {database}")
    with _sqlite_errors(database), closing(sqlite3.connect(database, isolation_level=None)) as source:
        write_backup(source, target)


def restore(backup: Path, target: Path) -> None:
    """Put a backup where a store shall be opened; it gets a new incarnation then.

    Raises StoreError when the target is there already or in use, and when the file given is no backup: one that
    was copied by hand is opened with `restored=True` instead.
    """
    with _sqlite_errors(backup):
        if not backup.exists() or not is_backup(backup):
            raise StoreError(f"{backup} is no backup made by Weir")
    lock = FileLock(target)
    try:
        with _new_file(target) as unfinished:
            shutil.copyfile(backup, unfinished)
    finally:
        lock.release()


def is_backup(path: Path) -> bool:
    """Whether a store's file is a backup on which no store has been opened yet."""
    with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as database:
        return bool(database.execute("SELECT 1 FROM meta WHERE key = ?", (BACKUP,)).fetchone())


def write_backup(source: sqlite3.Connection, target: Path) -> None:
    """A consistent copy of `source` in a new file, marked as a backup, whole or not there at all."""
    with _new_file(target) as unfinished, closing(sqlite3.connect(unfinished, isolation_level=None)) as copy:
        source.backup(copy)
        copy.execute("PRAGMA journal_mode = DELETE")
        copy.execute("INSERT OR REPLACE INTO meta (key, value) VALUES (?, '1')", (BACKUP,))


@contextmanager
def _new_file(target: Path) -> Iterator[Path]:
    """A name to write at; what is there at the end durably becomes `target`."""
    if target.exists():
        raise StoreError(f"{target} is there already: name a new file")
    unfinished = target.with_name(f".{target.name}.unfinished")
    try:
        unfinished.unlink(missing_ok=True)
        unfinished.touch(mode=0o600)
        yield unfinished
        _sync(unfinished)
        unfinished.rename(target)
        _sync(target.parent)
    except (OSError, sqlite3.Error) as error:
        raise StoreError(f"{target} cannot be written: {error}") from error
    finally:
        unfinished.unlink(missing_ok=True)


@contextmanager
def _sqlite_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise StoreError(f"{path} is no store: {error}") from error


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


__all__ = ["back_up", "is_backup", "restore", "write_backup"]
