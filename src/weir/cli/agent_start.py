"""How an agent starts: what it is told, how it joins, and what it learns of its own centre first."""

import getpass
import json
import logging
import os
import queue
import random
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from weir.agents.folder import AgentFolder, Settings, read_json, write_atomically
from weir.agents.inputs import Input
from weir.agents.joining import join, read_code
from weir.agents.timers import Backoff
from weir.agents.transport import Address, HttpTransport, UnreachableError
from weir.model.agent import CentreEntry
from weir.model.codec import CodecError, from_plain, to_plain
from weir.model.problem import refused

log = logging.getLogger("weir.agent")


class Stop:
    """SIGTERM and SIGINT, as a word in the inbox of the main thread: None means that it should end.

    A signal can come at any instruction, so its handler takes no lock: it sets a flag and puts into a queue.
    """

    def __init__(self) -> None:
        self.asked = False
        self.inbox: queue.SimpleQueue[Input | None] = queue.SimpleQueue()
        self.told: Callable[[], None] = lambda: None
        """Called too: for what the main thread may be waiting in instead."""
        self._before: dict[signal.Signals, object] = {}

    def __enter__(self) -> "Stop":
        for number in (signal.SIGTERM, signal.SIGINT):
            self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]  # as signal.signal gave it

    def sleep(self, pause_s: float) -> None:
        """Wait that long, or until told to end; what comes into the inbox meanwhile is dropped."""
        until = time.monotonic() + pause_s
        while not self.asked and (left_s := until - time.monotonic()) > 0:
            try:
                self.inbox.get(timeout=left_s)
            except queue.Empty:
                return

    def _handle(self, number: int, frame: object) -> None:
        self.asked = True
        self.inbox.put(None)
        self.told()


def settle(
    here: AgentFolder, url: str, ca_file: Path | None, work_root: Path | None, private_root: Path | None
) -> Settings:
    """What was given now, else what was remembered; remembered again. Raises ProblemError."""
    before = here.read_settings()
    if before is None and not url:
        raise refused(
            "--url", url, "the server's address, such as https://weir.example.org, at the first start"
        )
    settings = before or Settings(url)
    given: dict[str, str] = {"url": url} if url else {}
    for name, path in (("ca_file", ca_file), ("work_root", work_root), ("private_root", private_root)):
        if path is not None:
            given[name] = str(path.resolve())
    settings = replace(settings, **given)
    Address.parse(settings.url)
    if settings != before:
        here.write_settings(settings)
    return settings


def join_centre(here: AgentFolder, settings: Settings, code_file: Path | None) -> None:
    """Join with a one-time code, unless the folder has. Raises ProblemError, TransportError."""
    if here.read_token():
        return
    code = read_code(code_file, sys.stdin, getpass.getpass)
    transport = transport_for(settings, "")
    try:
        centre = join(transport, here, code)
    finally:
        transport.close()
    log.info("joined centre %s", centre)


def read_entry(here: AgentFolder, settings: Settings, stop: Stop) -> CentreEntry | None:
    """The centre's entry: the server's, or the one last seen while that cannot be reached; None when told to end.

    Waits for the server where there is neither. Raises TransportError when the server refuses this agent.
    """
    transport = transport_for(settings, here.read_token())
    pauses = Backoff(random.getrandbits, 500, 10_000)
    stop.told = transport.interrupt
    try:
        while not stop.asked:
            try:
                entry = transport.centre()
                keep_entry(here, entry)
                return entry
            except UnreachableError as error:
                kept = _kept_entry(here)
                if kept is not None:
                    log.warning("%s; going on with the centre's entry as last seen", error)
                    return kept
                log.warning("%s; trying again", error)
            stop.sleep(pauses.next_ms() / 1_000)
        return None
    finally:
        stop.told = lambda: None
        transport.close()


def keep_entry(here: AgentFolder, entry: CentreEntry) -> None:
    """Remember the entry for a start without the server."""
    write_atomically(here.entry_file, json.dumps(to_plain(entry), indent=2).encode(), mode=0o600)


def _kept_entry(here: AgentFolder) -> CentreEntry | None:
    try:
        plain = read_json(here.entry_file)
        return None if plain is None else from_plain(CentreEntry, plain)
    except (CodecError, ValueError) as error:
        log.warning("%s cannot be read: %s", here.entry_file, error)
        return None


def transport_for(settings: Settings, token: str) -> HttpTransport:
    """A new conversation with the server. Raises ProblemError for settings that cannot be used."""
    return HttpTransport(settings.url, token=token, ca_file=settings.ca_file, environ=os.environ)


__all__ = ["Stop", "join_centre", "keep_entry", "read_entry", "settle", "transport_for"]
