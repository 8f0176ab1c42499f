"""What runs at a node: it brings the attempt's inputs there, and what is to be handed over back to the agent.

One file, run by the node's own Python (3.6 or newer) with the standard library alone; annotations that older ones
cannot evaluate are texts.

    python3 -c TEXT fetch URL PART        inputs into the present folder
    python3 -c TEXT hand URL PART         outputs out of it
    python3 -c TEXT boot URL PLACE …      fetch a program and what it is to do, and become `program carry FOLDER …`

The token is in WEIR_FILES_TOKEN. Every piece goes with its place and its SHA-256, and is sent again until the agent
has it: an agent that is restarted, or away for a while, costs time and nothing else. What cannot be is said in one
line, with exit code 1.
"""

import hashlib
import http.client
import json
import os
import pathlib
import stat
import sys
import tempfile
import time
import urllib.parse
from typing import Any

__all__ = ["PIECE", "UNREACHED", "Courier", "FilesError", "main"]

UNREACHED = 120
"""Exit code of `boot`: the agent cannot be reached from here, or will not have it."""

PIECE = 1 << 20
MOST_FILES = 100000
_PATIENCE_S = 900.0
_LONGEST_PAUSE_S = 10.0


class FilesError(Exception):
    """The files cannot be brought, and trying again would not help."""


class Courier:
    """Speaks for one attempt (or one batch) with the agent's door at `url`, which ends in its name."""

    def __init__(self, url: str, token: str, patience_s: float = _PATIENCE_S) -> None:
        parts = urllib.parse.urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port or 80
        self._base = parts.path
        self._headers = {"Authorization": "Bearer " + token}
        self.patience_s = patience_s
        """For how long a question is asked again; 0 for a single try."""
        self._wire = None  # type: http.client.HTTPConnection | None

    def ask(self, method: str, path: str, body: bytes = b"", **query: Any) -> "tuple[int, bytes]":
        """The answer to one request, asked until there is one. Raises FilesError once patience is over."""
        until = time.monotonic() + self.patience_s
        target = self._base + "/" + urllib.parse.quote(path)
        if query:
            target += "?" + urllib.parse.urlencode(query)
        pause = 0.1
        while True:
            try:
                status, content = self._once(method, target, body)
                if status < 500:
                    return status, content
                problem = f"it answers {status}"
            except (OSError, http.client.HTTPException) as error:
                problem = str(error) or type(error).__name__
            self.close()
            if time.monotonic() >= until:
                raise FilesError("the agent cannot be reached from this node: " + problem)
            time.sleep(pause)
            pause = min(_LONGEST_PAUSE_S, pause * 2)

    def must(self, method: str, path: str, body: bytes = b"", **query: Any) -> bytes:
        """The content of a good answer. Raises FilesError with the agent's words for any other."""
        status, content = self.ask(method, path, body, **query)
        if status != 200:
            raise FilesError(content.decode("utf-8", "replace").strip() or f"the agent answers {status}")
        return content

    def fetch(self, folder: str) -> None:
        """Make the folder hold the attempt's inputs. Raises FilesError, OSError."""
        for path, size, mode in json.loads(self.must("GET", "inputs").decode())["files"]:
            target = os.path.join(folder, path)
            os.makedirs(os.path.dirname(target), exist_ok=True)
            with open(target, "wb") as file:
                while file.tell() < size:
                    piece = self.must("GET", "inputs/" + path, offset=file.tell(), limit=PIECE)
                    if not piece:
                        raise FilesError(f"input {path!r} has become shorter at the agent")
                    file.write(piece)
            os.chmod(target, mode)

    def hand(self, folder: str, part: int) -> None:
        """Bring what the patterns match to the agent, as this part of the attempt. Raises FilesError, OSError."""
        wanted = json.loads(self.must("GET", "inputs").decode())
        if not wanted["outputs"]:
            return
        found = _find(folder, wanted["outputs"], wanted["limit"])
        self.must("POST", f"begin/{part}")
        for path, place in found:
            self._send(part, path, place)

    def close(self) -> None:
        if self._wire is not None:
            self._wire.close()
            self._wire = None

    def _send(self, part: int, path: str, place: str) -> None:
        with open(place, "rb") as file:
            mode = os.fstat(file.fileno()).st_mode & 0o777
            where, offset, end = f"outputs/{part}/{path}", 0, False
            while not end:
                file.seek(offset)
                piece = file.read(PIECE)
                end = len(piece) < PIECE
                status, content = self.ask("POST", where, piece, offset=offset, end=int(end), mode=mode)
                if status == 409:  # the agent has another part of it than thought, as after a lost answer
                    offset, end = json.loads(content.decode())["size"], False
                elif status == 200:
                    offset += len(piece)
                else:
                    raise FilesError(content.decode("utf-8", "replace").strip())

    def _once(self, method: str, target: str, body: bytes) -> "tuple[int, bytes]":
        if self._wire is None:
            timeout_s = 60 if self.patience_s else 5
            self._wire = http.client.HTTPConnection(self._host, self._port, timeout=timeout_s)
        headers = dict(self._headers)
        if method == "POST":
            headers["X-Sha256"] = hashlib.sha256(body).hexdigest()
            headers["Content-Length"] = str(len(body))
        self._wire.request(method, target, body if method == "POST" else None, headers)
        answer = self._wire.getresponse()
        content = answer.read()
        told = answer.getheader("X-Sha256")
        if told is None or told != hashlib.sha256(content).hexdigest():
            raise http.client.HTTPException("an answer came that is not what the agent sent")
        return answer.status, content


def _find(folder: str, patterns: "list[str]", limit: int) -> "list[tuple[str, str]]":
    """What the patterns match below the folder, with where its content lies, by path."""
    root = pathlib.Path(os.path.realpath(folder))
    found = {}  # type: dict[str, str]
    total = 0
    for pattern in patterns:
        for match in sorted(root.glob(pattern)):
            inside = _files_of(match) if match.is_dir() and not match.is_symlink() else [match]
            for file in inside:
                path = str(file.relative_to(root))
                size = _size(root, file, path)
                if size is None or path in found:
                    continue
                found[path] = str(file)
                total += size
                if total > limit:
                    raise FilesError(f"the outputs are larger than {limit} bytes together; hand over less")
                if len(found) > MOST_FILES:
                    raise FilesError(f"the outputs are more than {MOST_FILES} files; pack them")
    return sorted(found.items())


def _files_of(folder: pathlib.Path) -> "list[pathlib.Path]":
    found = []
    for place, names, files in os.walk(str(folder)):
        linked = [name for name in names if os.path.islink(os.path.join(place, name))]
        found += [pathlib.Path(place) / name for name in files + linked]
    return sorted(found)


def _size(root: pathlib.Path, file: pathlib.Path, path: str) -> "int | None":
    """Its size; None for what is no file. Raises FilesError where it leads out of the folder."""
    real = os.path.realpath(str(file))
    if real != str(root) and not real.startswith(str(root) + os.sep):
        raise FilesError(f"output {path!r} leads out of the job's folder")
    try:
        path.encode()
        status = os.stat(real)
    except UnicodeEncodeError:
        raise FilesError(f"output {path!r} has a name that is not UTF-8") from None
    except OSError:
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None


def main(arguments: "list[str]") -> int:
    """Carry out one verb; 1 with one line where it cannot be."""
    verb, url, part = arguments[:3]
    if verb == "boot":
        return _boot(url, part, arguments[3:])
    courier = Courier(url, os.environ.pop("WEIR_FILES_TOKEN", ""))
    try:
        if verb == "fetch":
            courier.fetch(".")
        else:
            courier.hand(".", int(part))
    except (FilesError, OSError) as error:
        sys.stdout.write(str(error).replace("\n", " ")[:1000] + "\n")
        return 1
    finally:
        courier.close()
    return 0


def _boot(url: str, place: str, rest: "list[str]") -> int:
    """Fetch the program into a new folder below `place`, and become it; UNREACHED where that cannot be."""
    courier = Courier(url, os.environ.get("WEIR_FILES_TOKEN", ""))
    try:
        folder = tempfile.mkdtemp(prefix="weir-", dir=place)
        for name in ("program", "launch"):
            content = courier.must("GET", name)
            with open(
                os.open(folder + "/" + name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb"
            ) as file:
                file.write(content)
        courier.close()
        program = [sys.executable, "-I", "-S", folder + "/program", "carry", folder]
        os.execv(sys.executable, program + rest)  # noqa: S606 (a program of its own, and no shell's business)
    except (FilesError, OSError) as error:
        sys.stderr.write(f"{error}\n")
    return UNREACHED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
