"""The runner of the control plane: it owns the process, the clock, the sockets and what is started beside it."""

import contextlib
import json
import os
import secrets
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from weir import __version__
from weir.access import create_token, server_itself
from weir.cli.machine_agent import MachineAgent
from weir.client.settings import settings_path, write_settings
from weir.model.problem import Problem, ProblemError, refused
from weir.model.role import Role
from weir.registry import (
    apply_province,
    describe_this_machine,
    list_centres,
    look_at_this_machine,
    read_province,
)
from weir.registry.this_machine import LOCAL, ORGANISATION
from weir.store import Store, StoreError, open_store
from weir.units import parse_duration_ms

if TYPE_CHECKING:
    import socket


LEAST_PATIENCE_MS = 1_000


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """What `weir serve` was told."""

    data: Path
    database: str
    host: str
    port: int
    province: Path | None
    machine: bool
    settings: bool
    certificate: Path | None
    key: Path | None
    trusted_proxies: str
    restored: bool
    lost_after: str
    grace: str
    json_logs: bool


def run_server_process(options: ServerOptions) -> int:
    """Serve until SIGTERM or SIGINT; the exit code. Raises ProblemError for what a person has to put right."""
    from weir.api import (
        ApiSettings,
        Meters,
        Services,
        create_app,
        listening_socket,
        run_server,
    )
    from weir.api.request_log import configure_logging
    from weir.cli.control_loop import ControlLoop
    from weir.cli.forecaster import Forecaster
    from weir.cli.sweeper import Sweeper
    from weir.control.cycle import Control, ControlSettings
    from weir.control.liveness import Patience
    from weir.files import BlobStore, LogStore
    from weir.scheduling import warm_up

    if (options.certificate is None) != (options.key is None):
        raise refused("--certificate", options.certificate, "give --certificate and --key together")
    patience = Patience(
        lost_after_ms=_duration("--lost-after", options.lost_after),
        grace_ms=_duration("--grace", options.grace),
    )
    configure_logging(json=options.json_logs)
    data = options.data.resolve()
    data.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _opened(options, data) as store, contextlib.ExitStack() as stack:
        # Left by one that was killed: whoever waits for this file must not read its address.
        (data / "server.json").unlink(missing_ok=True)
        warm_up(_say, ["live"])
        _declare(store, options)
        token_file = _coordinator_token(store, data)
        listening = stack.enter_context(contextlib.closing(listening_socket(options.host, options.port)))
        url = _url(options, listening)
        meters = Meters()
        # One process has a SQLite file at a time; the store itself sees to that.
        scheduling = ControlSettings(patience=patience, alone=store.dialect == "sqlite")
        control = Control(store, scheduling, f"{os.getpid()}-{secrets.token_hex(4)}", url)
        loop = ControlLoop(control, store, meters, _now_ms)
        services = Services(
            store=store,
            blobs=BlobStore(data / "blobs"),
            logs=LogStore(data / "logs"),
            now_ms=_now_ms,
            random_bits=secrets.randbits,
            version=__version__,
            stand=control.stand,
            foresee=control.forecast,
            stood=control.stood,
            settings=ApiSettings(),
            meters=meters,
        )
        app = create_app(services)
        stack.enter_context(loop)
        stack.enter_context(Forecaster(control, store, _now_ms))
        stack.enter_context(Sweeper(store, services.blobs, _now_ms))
        if options.machine and _has_this_machine(store):
            stack.enter_context(MachineAgent(store, data / "agent", LOCAL, url, options.certificate))
        _announce(options, data, url, token_file)
        stack.callback((data / "server.json").unlink, missing_ok=True)
        # uvicorn ends on these signals and raises them anew afterwards: what was started beside it must end too.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, _end_in_order)
        run_server(
            app,
            listening,
            certificate=options.certificate,
            key=options.key,
            trusted_proxies=options.trusted_proxies,
        )
    return 0


def _duration(option: str, text: str) -> int:
    try:
        found = parse_duration_ms(text)
    except ValueError as error:
        raise refused(option, text, str(error)) from None
    if found < LEAST_PATIENCE_MS:
        raise refused(option, text, "give a second or more, such as 30s or 5m")
    return found


@contextlib.contextmanager
def _opened(options: ServerOptions, data: Path) -> Iterator[Store]:
    url = options.database or f"sqlite:///{data / 'weir.db'}"
    try:
        store = open_store(url, restored=options.restored)
    except StoreError as error:
        raise ProblemError(Problem("store", 500, str(error))) from error
    with store:
        yield store


def _coordinator_token(store: Store, data: Path) -> Path:
    """The file with the coordinator's token; whoever may write this folder owns the province anyway."""
    path = data / "coordinator.token"
    if path.exists():
        return path
    # On a single machine the coordinator is the tenant too, so that the first `weir run` needs nothing more.
    organisation = ORGANISATION if _has_this_machine(store) else ""
    _, secret = store.write(
        lambda tx: create_token(
            tx,
            name="coordinator",
            role=Role.COORDINATOR,
            organisation=organisation,
            project="",
            centre="",
            now_ms=_now_ms(),
            random_bits=secrets.randbits,
        )
    )
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as out:
        out.write(secret + "\n")
    return path


def _declare(store: Store, options: ServerOptions) -> None:
    """Apply the province file that was given; without any centre, declare this machine as one."""
    if options.province is not None:
        province = read_province(options.province.read_text(encoding="utf-8"), options.province.name)
    elif options.machine and not store.read(list_centres):
        province = describe_this_machine(look_at_this_machine())
    else:
        return
    difference = store.write(lambda tx: apply_province(tx, province, server_itself(), _now_ms()))
    for line in difference.lines():
        _say(line)


def _has_this_machine(store: Store) -> bool:
    # A province's own centre may have the same id and driver; its operator is somebody else.
    return any(
        centre.id == LOCAL and centre.operator == ORGANISATION and not centre.removed
        for centre in store.read(list_centres)
    )


def _announce(options: ServerOptions, data: Path, url: str, token_file: Path) -> None:
    """Say where it answers: to people, to the settings file, and to whoever started this process."""
    if options.settings:
        path = settings_path(os.environ, Path.home())
        if not path.exists() or _names_this_token(path, token_file):
            write_settings(path, url, token_file)
            _say(f"`weir` on this machine now speaks to {url} ({path})")
    about = data / "server.json"
    written = about.with_suffix(".part")
    written.write_text(json.dumps({"url": url, "pid": os.getpid()}), encoding="utf-8")
    written.rename(about)
    _say(f"serving at {url}; the coordinator's token is in {token_file}")


def _names_this_token(path: Path, token_file: Path) -> bool:
    try:
        return bool(json.loads(path.read_text(encoding="utf-8")).get("token_file") == str(token_file))
    except (ValueError, AttributeError):
        return False


def _url(options: ServerOptions, listening: "socket.socket") -> str:
    """The address under which this machine itself reaches the server."""
    port = listening.getsockname()[1]
    scheme = "https" if options.certificate else "http"
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(options.host, options.host)  # noqa: S104 - compared, not bound
    return f"{scheme}://{f'[{host}]' if ':' in host and not host.startswith('[') else host}:{port}"


def _end_in_order(number: int, frame: object) -> None:
    """The signal has been heeded by then."""


def _say(line: str) -> None:
    print(f"weir: {line}", file=sys.stderr, flush=True)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


__all__ = ["ServerOptions", "run_server_process"]
