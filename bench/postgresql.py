"""A PostgreSQL server for a measurement: in a fresh folder, durable as in service, gone afterwards."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

SETTINGS = ("listen_addresses=", "max_connections=100", "shared_buffers=256MB")
START_S = 30.0


def programs() -> Path | None:
    """The folder with initdb and postgres; None where no server is installed."""
    found = shutil.which("initdb")
    folders = [Path(found).resolve().parent] if found else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((folder for folder in folders if (folder / "postgres").exists()), None)


@contextmanager
def postgresql(folder: Path) -> Iterator[str]:
    """The address of a server's empty database. It refuses to be root, and so is `postgres` then."""
    root = Path(tempfile.mkdtemp(prefix="weir-bench-"))
    user = "postgres" if os.geteuid() == 0 else None
    if user:
        shutil.chown(root, user)
    data = root / "data"

    def run(*command: object) -> None:
        subprocess.run(list(map(str, command)), check=True, capture_output=True, user=user, cwd="/")

    run(folder / "initdb", "-D", data, "-A", "trust", "-U", "postgres", "-E", "UTF8")
    options = [part for setting in SETTINGS for part in ("-c", setting)]
    with (root / "log").open("wb") as log:
        command = [str(folder / "postgres"), "-D", str(data), "-k", str(root), *options]
        server = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, user=user, cwd="/"
        )
    try:
        deadline = time.monotonic() + START_S
        while not (root / ".s.PGSQL.5432").exists():
            if server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((root / "log").read_text("utf-8"))
            time.sleep(0.05)
        run(folder / "createdb", "-h", root, "-U", "postgres", "weir")
        socket = quote(str(root / ".s.PGSQL.5432"))
        yield f"postgresql://postgres@/weir?unix_sock={socket}"
    finally:
        server.terminate()
        server.wait(START_S)
        shutil.rmtree(root)


__all__ = ["postgresql", "programs"]
