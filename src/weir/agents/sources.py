"""Which URLs inputs may be fetched from and results written to: what the centre's own file allows, to whom, with
which credentials.

`sources.json` in the agent's folder, readable by its owner alone; without it nothing is fetched or written by URL:

    {"sources": [
      {"prefix": "https://data.example.org/sets/", "token_file": "/etc/weir/data.token"},
      {"prefix": "s3://weights/llm/", "endpoint": "https://oss.example.org", "region": "cn-north-1",
       "access_key": "AK…", "secret_key_file": "/etc/weir/oss.secret", "accounts": ["91340100WEYR00027A"]},
      {"prefix": "file:///share/public/", "largest": "2TiB"},
      {"prefix": "s3://results/acme/", "access": "write", "endpoint": "https://oss.example.org", "access_key": "AK…",
       "secret_key_file": "/etc/weir/oss.secret", "accounts": ["91340100WEYR00027A"]}
    ]}

`access` is `read` where it is not given, else `write` or `both`.

A prefix ends with `/`, and nothing outside it is reached, by no redirect, no link and no `..`: an address that the
centre did not name, such as one of its own network, is never asked on behalf of a tenant.
"""

import json
import re
import urllib.parse
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from weir.agents.folder import read_secret
from weir.model.job_rules import URL_SCHEMES
from weir.model.problem import ProblemError, refused
from weir.units import parse_bytes

__all__ = ["Source", "Sources", "read_sources"]

_LARGEST_BYTES = 1 << 40
_FIELDS = {
    "prefix",
    "access",
    "accounts",
    "largest",
    "token_file",
    "endpoint",
    "region",
    "access_key",
    "secret_key_file",
}
_REGION = re.compile(r"[a-z0-9-]{1,60}")


@dataclass(frozen=True, slots=True)
class Source:
    """One prefix, and what goes with it. Secrets are here and nowhere else."""

    prefix: str
    accounts: tuple[str, ...] = ()
    """Whose work may use it; empty for everybody's."""
    access: str = "read"
    """`read`, `write` or `both`."""
    largest_bytes: int = _LARGEST_BYTES
    token: str = ""
    """Sent as a bearer token, to the prefix's own host alone."""
    endpoint: str = ""
    region: str = "us-east-1"
    access_key: str = ""
    secret_key: str = ""

    @property
    def scheme(self) -> str:
        return self.prefix.partition(":")[0]

    def reaches(self, url: str) -> bool:
        """Whether the URL lies below the prefix, however it is written."""
        return _plain(url).startswith(self.prefix)


@dataclass(frozen=True, slots=True)
class Sources:
    """All of a centre's."""

    all: tuple[Source, ...] = ()

    @property
    def capabilities(self) -> tuple[str, ...]:
        """What the pools of the centre can do for it, by scheme: `url/https` to fetch, `deliver/https` to write."""
        can = {
            f"{word}/{source.scheme}"
            for word, access in (("url", "read"), ("deliver", "write"))
            for source in self.all
            if source.access in (access, "both")
        }
        return tuple(sorted(can))

    def of(self, url: str, account: str) -> Source:
        """The source by which this account's work may fetch the URL. Raises ProblemError."""
        return self._of(url, account, "read", ("fetches from", "fetch it"))

    def to(self, url: str, account: str) -> Source:
        """The one by which what this account's work made may be written to the URL. Raises ProblemError."""
        return self._of(url, account, "write", ("writes to", "write it"))

    def _of(self, url: str, account: str, access: str, words: tuple[str, str]) -> Source:
        able = [source for source in self.all if source.access in (access, "both")]
        reaching = [source for source in able if source.reaches(url)]
        if not reaching:
            here = ", ".join(source.prefix for source in able) or "nothing"
            raise refused("url", url, f"this centre {words[0]} {here}")
        for source in sorted(reaching, key=lambda source: -len(source.prefix)):
            if not source.accounts or account in source.accounts:
                return source
        raise refused("url", url, f"this centre does not {words[1]} for this account")


def read_sources(path: Path) -> Sources:
    """The centre's sources; none where there is no such file. Raises ProblemError naming what is wrong."""
    try:
        text = _private_text(path)
    except FileNotFoundError:
        return Sources()
    try:
        entries = json.loads(text)["sources"]
        if not isinstance(entries, list):
            raise TypeError
    except (ValueError, LookupError, TypeError):
        raise refused(str(path), text[:40], 'an object with "sources", a list') from None
    return Sources(tuple(_source(f"{path}: sources[{place}]", entry) for place, entry in enumerate(entries)))


def _source(where: str, entry: Any) -> Source:
    if not isinstance(entry, Mapping):
        raise refused(where, entry, 'an object with "prefix"')
    unknown = sorted(set(entry) - _FIELDS)
    if unknown:
        raise refused(f"{where}.{unknown[0]}", entry[unknown[0]], f"known are {', '.join(sorted(_FIELDS))}")
    accounts = entry.get("accounts", [])
    if not isinstance(accounts, list) or not _all_texts(accounts):
        raise refused(f"{where}.accounts", accounts, "give a list of accounts")
    texts = {name: entry.get(name, "") for name in _FIELDS - {"accounts"}}
    if not _all_texts(texts.values()):
        raise refused(where, entry, "every value but accounts is a text")
    prefix = texts["prefix"]
    _check_prefix(f"{where}.prefix", prefix)
    scheme = prefix.partition(":")[0]
    for name, only in (("token_file", ("http", "https")), ("endpoint", ("s3",)), ("region", ("s3",))):
        if texts[name] and scheme not in only:
            raise refused(f"{where}.{name}", texts[name], f"it goes with {' and '.join(only)} alone")
    if scheme == "s3" and not re.fullmatch(r"https?://[A-Za-z0-9.\[\]:-]+", texts["endpoint"]):
        raise refused(f"{where}.endpoint", texts["endpoint"], "give the service's address, https://host")
    if texts["access"] not in ("", "read", "write", "both"):
        raise refused(f"{where}.access", texts["access"], "give read, write or both")
    if bool(texts["access_key"]) != bool(texts["secret_key_file"]):
        raise refused(
            f"{where}.access_key", texts["access_key"], "it goes with secret_key_file, and that with it"
        )
    if texts["region"] and not _REGION.fullmatch(texts["region"]):
        raise refused(f"{where}.region", texts["region"], "give a region such as us-east-1")
    return Source(
        prefix,
        tuple(accounts),
        texts["access"] or "read",
        _size(f"{where}.largest", texts["largest"]),
        _secret(f"{where}.token_file", texts["token_file"]),
        texts["endpoint"],
        texts["region"] or "us-east-1",
        texts["access_key"],
        _secret(f"{where}.secret_key_file", texts["secret_key_file"]),
    )


def _check_prefix(field: str, prefix: str) -> None:
    scheme, _, rest = prefix.partition("://")
    accepted = "give scheme://place/ with a slash at its end, such as https://data.example.org/sets/"
    try:
        plain = _plain(prefix)
    except ProblemError:
        plain = ""
    if scheme not in URL_SCHEMES or plain != prefix or not prefix.endswith("/"):
        raise refused(field, prefix, accepted)
    if (scheme == "file") != rest.startswith("/") or (scheme == "file" and rest == "/"):
        raise refused(field, prefix, accepted)


def _plain(url: str) -> str:
    """The URL in the one form that prefixes are compared in. Raises ProblemError for one that has none.

    Percent signs are decoded once, as whoever serves it will; what then climbs upwards is refused.
    """
    try:
        parts = urllib.parse.urlsplit(url)
    except ValueError:
        raise refused("url", url, "give a URL that can be read") from None
    path = urllib.parse.unquote(parts.path)
    names = path.split("/")
    if ".." in names or "." in names or "\\" in path or "\0" in path or "@" in parts.netloc:
        raise refused("url", url, "give a URL without . and .. in its path, and without a user in it")
    return f"{parts.scheme}://{parts.netloc.lower() if parts.scheme != 's3' else parts.netloc}{path}"


def _size(field: str, text: str) -> int:
    try:
        return parse_bytes(text) if text else _LARGEST_BYTES
    except ValueError as error:
        raise refused(field, text, str(error)) from None


def _secret(field: str, path: str) -> str:
    try:
        return read_secret(Path(path)) if path else ""
    except OSError as error:
        raise refused(field, path, f"a file that the agent can read ({error.strerror})") from None


def _private_text(path: Path) -> str:
    mode = path.stat().st_mode & 0o077
    if mode:
        raise refused(str(path), oct(mode), f"a file that only its owner may read; run: chmod 600 {path}")
    return path.read_text(encoding="utf-8")


def _all_texts(values: Iterable[object]) -> bool:
    return all(isinstance(value, str) for value in values)
