"""Where the server is and with which token to speak to it: from the environment, else from a file."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from weir.client.errors import SettingsError

if TYPE_CHECKING:
    from pathlib import Path

_HOW = "set WEIR_URL and WEIR_TOKEN_FILE, or start `weir serve` on this machine"


@dataclass(frozen=True, slots=True)
class Settings:
    """What a client needs to speak to a server."""

    url: str
    token: str = field(repr=False)
    ca_file: str = ""
    """Certificates (PEM) that the server's must be signed by; empty for the system's own."""
    proxy: str = ""
    """Of HTTPS_PROXY, where it applies to this server; empty for a direct connection."""


def settings_path(environment: Mapping[str, str], home: "Path") -> "Path":
    """Where the settings file lies: `$XDG_CONFIG_HOME/weir/client.json`, by default below `~/.config`."""
    base = environment.get("XDG_CONFIG_HOME", "")
    return home / (base if base.startswith("/") else ".config") / "weir" / "client.json"


def load_settings(environment: Mapping[str, str], home: "Path") -> Settings:
    """Settings from WEIR_URL, WEIR_TOKEN_FILE (or WEIR_TOKEN) and WEIR_CA_FILE, else from the settings file.

    The file's token is never sent to another server than the file's own. Raises SettingsError.
    """
    path = settings_path(environment, home)
    written = _written(path)
    url = environment.get("WEIR_URL", "") or written.get("url", "")
    if not url:
        raise SettingsError(f"no server is known: {_HOW}")
    token_file = environment.get("WEIR_TOKEN_FILE", "")
    if token_file:
        token = read_token(home / token_file)
    elif environment.get("WEIR_TOKEN", ""):
        token = checked_token(environment["WEIR_TOKEN"], "WEIR_TOKEN")
    elif written.get("token_file", "") and url.rstrip("/") == written.get("url", "").rstrip("/"):
        token = read_token(path.parent / written["token_file"])
    else:
        raise SettingsError(f"no token for {url}: set WEIR_TOKEN_FILE to a file that holds it")
    return Settings(
        checked_url(url),
        token,
        environment.get("WEIR_CA_FILE", "") or written.get("ca_file", ""),
        _proxy(url, environment),
    )


def write_settings(path: "Path", url: str, token_file: "Path") -> None:
    """Write a settings file that names this server and the file that holds the token."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.new")
    body = {"url": checked_url(url), "token_file": str(token_file.resolve())}
    unfinished.write_text(json.dumps(body, indent=2) + "\n", encoding="utf-8")
    unfinished.replace(path)


def checked_url(url: str) -> str:
    """The server's address without a slash at its end. Raises SettingsError unless https or loopback."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise SettingsError(f"{url!r} is not a server's address; write one such as https://weir.example.org")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise SettingsError("a server's address holds neither user, password, query nor fragment")
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise SettingsError(
            f"{url} is plain http, which would show the token to everybody on the way; write "
            f"https://{parts.netloc}, or use http only on this machine (127.0.0.1)"
        )
    return url.rstrip("/")


def is_loopback(host: str) -> bool:
    """Whether this host's name or address is always this very machine."""
    import ipaddress

    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def read_token(path: "Path") -> str:
    """The token in a file that its owner alone may read. Raises SettingsError."""
    try:
        with path.open(encoding="utf-8") as file:
            mode = os.fstat(file.fileno()).st_mode
            if mode & 0o077:
                raise SettingsError(f"others can read the token in {path}; run: chmod 600 {path}")
            text = file.read(4_096)
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not a text"
        raise SettingsError(f"the token in {path} cannot be read ({why}); {_HOW}") from None
    return checked_token(text, str(path))


def checked_token(text: str, source: str) -> str:
    """The token without white space around it. Raises SettingsError where no header could carry it."""
    token = text.strip()
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise SettingsError(f"{source} holds no token; it is one line of letters and digits")
    return token


def _written(path: "Path") -> dict[str, str]:
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise SettingsError(f"{path} cannot be read ({error}); mend or remove it, and {_HOW}") from None
    if not isinstance(body, dict) or not all(isinstance(value, str) for value in body.values()):
        raise SettingsError(f"{path} is not what is expected: {{url, token_file}}; mend or remove it")
    unknown = sorted(set(body) - {"url", "token_file", "ca_file"})
    if unknown:
        raise SettingsError(f"{path}: {unknown[0]!r} is not known; it holds url, token_file and ca_file")
    return body


def _proxy(url: str, environment: Mapping[str, str]) -> str:
    parts = urlsplit(url)
    proxy = environment.get("https_proxy") or environment.get("HTTPS_PROXY") or ""
    if not proxy or parts.scheme != "https":
        return ""
    exceptions = environment.get("no_proxy") or environment.get("NO_PROXY") or ""
    host = parts.hostname or ""
    for entry in (text.strip().lstrip(".") for text in exceptions.split(",")):
        if entry == "*" or (entry and (host == entry or host.endswith("." + entry))):
            return ""
    return proxy if "://" in proxy else f"http://{proxy}"


__all__ = [
    "Settings",
    "checked_token",
    "checked_url",
    "is_loopback",
    "load_settings",
    "read_token",
    "settings_path",
    "write_settings",
]
