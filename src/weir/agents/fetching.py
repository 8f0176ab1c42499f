"""Laying an attempt's inputs into its work folder, each proven by its digest."""

import errno
import hashlib
import http.client
import shutil
from collections.abc import Sequence
from pathlib import Path

from weir.agents.inputs import Fetched
from weir.agents.sources import Sources
from weir.agents.transport import ForbiddenError, GoneError, Transport, TransportError
from weir.agents.url_fetching import fetch_url
from weir.agents.url_requests import SourceAwayError, SourceRefusedError
from weir.model.agent import InputFile
from weir.model.job_rules import safe_relative_path
from weir.model.problem import ProblemError

NO_SOURCES = Sources()
FULL_DISK = (errno.ENOSPC, errno.EDQUOT)
_TRIES = 3
_PIECE = 1 << 20


def fetch_inputs(
    transport: Transport,
    attempt: str,
    folder: Path,
    inputs: Sequence[InputFile],
    sources: Sources = NO_SOURCES,
    account: str = "",
) -> Fetched:
    """Make `folder/work` hold the inputs. What an earlier try brought is checked and used.

    The answer is final where trying again would not help: content that the server does not have or that does not
    match its digest, a path that cannot be, a full disk. It says `again` where the server could not be reached.
    """
    present: dict[str, Path] = {}
    try:
        work = make_work_folder(folder)
        for entry in inputs:
            target = work / safe_relative_path("input", entry.path)
            target.parent.mkdir(parents=True, exist_ok=True)
            if entry.url:
                _lay_from(sources, account, folder / "fetched", entry, target)
                continue
            if not (target.is_file() and _digest(target) == entry.digest):
                _lay(transport, folder / "fetched", entry, target, present.get(entry.digest))
            present[entry.digest] = target
        shutil.rmtree(folder / "fetched", ignore_errors=True)
    except _WrongContentError as error:
        return Fetched(attempt, str(error))
    except (ForbiddenError, GoneError) as error:
        return Fetched(attempt, f"an input is not to be had: {error}")
    except (TransportError, SourceAwayError) as error:
        return Fetched(attempt, str(error), again=True)
    except SourceRefusedError as error:
        return Fetched(attempt, f"an input is not to be had: {error}")
    except ProblemError as error:
        return Fetched(attempt, str(error))
    except OSError as error:
        return Fetched(attempt, disk_problem("the inputs", error))
    except (ValueError, http.client.HTTPException) as error:
        return Fetched(attempt, f"an input is not to be had: {error}")
    return Fetched(attempt)


def make_work_folder(folder: Path) -> Path:
    """An attempt's `work` folder, made when missing, for nobody but the agent's user."""
    work = folder / "work"
    work.mkdir(mode=0o700, parents=True, exist_ok=True)
    return work


def disk_problem(what: str, error: OSError) -> str:
    """What a person should know of a file that could not be written or read."""
    if error.errno in FULL_DISK:
        return f"the disk at the centre has no room for {what}: {error.strerror} ({error.filename or ''})"
    return f"{what} could not be handled at the centre: {error.strerror or error} ({error.filename or ''})"


class _WrongContentError(Exception):
    """What the server gave does not have the digest that was asked for."""


def _lay(transport: Transport, beside: Path, entry: InputFile, target: Path, same: Path | None) -> None:
    beside.mkdir(exist_ok=True)
    partial = beside / entry.digest
    if same is not None:
        shutil.copyfile(same, partial)
    else:
        for _ in range(_TRIES):
            with partial.open("ab") as file:
                held = file.tell()
                if held < entry.size_bytes or not entry.size_bytes:
                    transport.get_blob(entry.digest, file, held)
            if _digest(partial) == entry.digest:
                break
            partial.unlink()
        else:
            raise _WrongContentError(
                f"input {entry.path!r} is not what was asked for: its SHA-256 is not {entry.digest}"
            )
    partial.replace(target)


def _lay_from(sources: Sources, account: str, beside: Path, entry: InputFile, target: Path) -> None:
    """Fetch an input from its URL; what is there already was moved there whole."""
    if target.is_file() and (not entry.digest or _digest(target) == entry.digest):
        return
    beside.mkdir(exist_ok=True)
    partial = beside / hashlib.sha256(entry.url.encode()).hexdigest()
    fetch_url(sources, entry.url, account, partial, entry.size_bytes)
    if entry.digest and _digest(partial) != entry.digest:
        partial.unlink()
        raise _WrongContentError(
            f"input {entry.path!r} is not what was asked for: its SHA-256 is not {entry.digest}"
        )
    partial.replace(target)


def _digest(path: Path) -> str:
    sha = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            sha.update(piece)
    return sha.hexdigest()


__all__ = ["disk_problem", "fetch_inputs", "make_work_folder"]
