"""Where nodes find the agent's door: the options that every engine without a shared folder shares."""

import ipaddress
import re
from dataclasses import dataclass

from weir.model.problem import refused

__all__ = ["DoorSettings", "read_address", "read_listen"]

_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,252}[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\]")


@dataclass(frozen=True, slots=True)
class DoorSettings:
    """`host` and `port` as nodes call them; the agent listens on that port, of `listen` ("" for every address)."""

    host: str
    port: int
    listen: str = ""

    @property
    def address(self) -> str:
        return f"http://{self.host}:{self.port}"


def read_address(field: str, value: str) -> tuple[str, int]:
    """Host and port of the option `agent_address`. Raises ProblemError."""
    host, _, port = value.rpartition(":")
    if not _HOST.fullmatch(host) or not port.isdecimal() or not 0 < int(port) < 65_536:
        raise refused(
            field, value, "give the host and port at which nodes reach the agent, such as 10.0.0.5:8471"
        )
    return host, int(port)


def read_listen(field: str, value: str) -> str:
    """The option `agent_listen`: one of the machine's own addresses. Raises ProblemError."""
    try:
        return str(ipaddress.ip_address(value))
    except ValueError:
        raise refused(field, value, "give one of this machine's addresses, such as 10.0.0.5") from None
