"""A PostgreSQL server of the tests' own: fresh folder, Unix socket, nothing that outlives it."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from urllib.parse import quote

import pg8000.dbapi

START_S = 60.0


def programs() -> Path | None:
    """The folder that holds initdb and postgres, the newest where there are several."""
    found = shutil.which("initdb")
    folders = [Path(found).resolve().parent] if found else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: -int(path.parent.name))
    return next((folder for folder in folders if (folder / "postgres").exists()), None)


class PostgresqlServer:
    """Runs until `stop`. As root it runs as the user `postgres`, since the server refuses root."""

    def __init__(self, folder: Path) -> None:
        self._programs = folder
        self._user = "postgres" if os.geteuid() == 0 else None
        self._root = Path(tempfile.mkdtemp(prefix="weir-postgresql-", dir="/tmp"))
        self._data = self._root / "data"
        self._count = 0
        if self._user:
            shutil.chown(self._root, self._user)
        self._run("initdb", "-D", self._data, "-A", "trust", "-U", "postgres", "-E", "UTF8", "--no-sync")
        self.start()

    def start(self) -> None:
        """Start it, and return once it answers."""
        settings = ["fsync=off", "listen_addresses=", "max_connections=200", "shared_buffers=32MB"]
        options = [part for setting in settings for part in ("-c", setting)]
        with (self._root / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._programs / "postgres", "-D", self._data, "-k", self._root, *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                user=self._user,
                group=self._user,
                extra_groups=[] if self._user else None,
                cwd="/",
            )
        until = time.monotonic() + START_S
        while True:
            try:
                self.execute("SELECT 1")
            except pg8000.dbapi.Error:
                if self._process.poll() is not None or time.monotonic() > until:
                    raise RuntimeError((self._root / "log").read_text()) from None
                time.sleep(0.02)
            else:
                return

    def kill(self) -> None:
        """End it at once, as a crash would; `start` brings it back."""
        self._process.send_signal(signal.SIGQUIT)
        self._process.wait(START_S)

    def stop(self) -> None:
        """End it and remove its folder."""
        self.kill()
        shutil.rmtree(self._root)

    def create(self, *, template: str = "template0") -> str:
        """A new database's name."""
        self._count += 1
        name = f"test{self._count}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return name

    def drop(self, name: str) -> None:
        self.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def url(self, name: str) -> str:
        """Where a store is opened on the database."""
        return f"postgresql://postgres@/{name}?unix_sock={quote(str(self._socket))}"

    def execute(self, statement: str, *, database: str = "postgres") -> None:
        """Run one statement outside any transaction."""
        connection = pg8000.dbapi.connect("postgres", database=database, unix_sock=str(self._socket))
        try:
            connection.autocommit = True
            connection.cursor().execute(statement)
        finally:
            connection.close()

    @property
    def _socket(self) -> Path:
        return self._root / ".s.PGSQL.5432"

    def _run(self, program: str, *arguments: str | Path) -> None:
        subprocess.run(
            [self._programs / program, *arguments],
            check=True,
            capture_output=True,
            user=self._user,
            group=self._user,
            extra_groups=[] if self._user else None,
            cwd="/",
        )
