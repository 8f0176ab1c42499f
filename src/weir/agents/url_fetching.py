"""Fetching what a URL names into a file: from where an earlier try ended, as long as it is still the same content.

`file` reads a folder of the centre's, `http` and `https` any web server, `s3` any service that speaks S3, with
requests signed as Amazon describes (Signature Version 4). All of it by the standard library.
"""

import contextlib
import hashlib
import hmac
import http.client
import os
import ssl
import stat
import time
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from weir.agents.sources import Source, Sources

__all__ = ["SourceAwayError", "SourceRefusedError", "fetch_url", "signed_headers"]

_TIMEOUT_S = 60.0
_PIECE = 1 << 20
_MOST_REDIRECTS = 5
_REDIRECTS = (301, 302, 303, 307, 308)
_AWAY = (408, 425, 429)
_EMPTY = hashlib.sha256(b"").hexdigest()


class SourceAwayError(Exception):
    """No answer, or one that says to try again later."""


class SourceRefusedError(Exception):
    """It is not to be had like this; the message says why."""


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a request goes."""

    scheme: str
    host: str
    target: str


def fetch_url(sources: Sources, url: str, account: str, into: Path, size_bytes: int = 0) -> None:
    """Make `into` hold the whole content; `size_bytes` is what it must have, 0 where nobody said.

    Of what lies in `into` already, an earlier try's, nothing is asked again where the server says by its entity tag
    that it has not changed. Raises SourceAwayError, SourceRefusedError, ProblemError for what the centre does not
    fetch, OSError for the file.
    """
    source = sources.of(url, account)
    limit = min(source.largest_bytes, size_bytes or source.largest_bytes)
    if source.scheme == "file":
        _copy(source, url, into, limit)
    else:
        _download(source, url, into, limit)
    found = into.stat().st_size
    if size_bytes and found != size_bytes:
        raise SourceRefusedError(f"{url} has {found} bytes, and not the {size_bytes} that the job says")


def signed_headers(
    source: Source, host: str, target: str, headers: Mapping[str, str], now_s: float
) -> dict[str, str]:
    """The headers of a GET of S3, signed; those given are signed too. `target` is the path, percent-encoded."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now_s))
    day = stamp[:8]
    plain = {**headers, "host": host, "x-amz-content-sha256": _EMPTY, "x-amz-date": stamp}
    if not source.access_key:
        return dict(headers)
    names = sorted(name.lower() for name in plain)
    values = {name.lower(): value for name, value in plain.items()}
    signed = ";".join(names)
    lines = "".join(f"{name}:{values[name].strip()}\n" for name in names)
    request = f"GET\n{target}\n\n{lines}\n{signed}\n{_EMPTY}"
    scope = f"{day}/{source.region}/s3/aws4_request"
    text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
    key = f"AWS4{source.secret_key}".encode()
    for part in (day, source.region, "s3", "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    signature = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
    credential = f"Credential={source.access_key}/{scope}"
    del plain["host"]
    return {
        **plain,
        "Authorization": f"AWS4-HMAC-SHA256 {credential},SignedHeaders={signed},Signature={signature}",
    }


def _copy(source: Source, url: str, into: Path, limit: int) -> None:
    path = Path(urllib.parse.unquote(urllib.parse.urlsplit(url).path))
    root = os.path.realpath(source.prefix.removeprefix("file://"))
    real = os.path.realpath(path)
    if not real.startswith(f"{root}{os.sep}"):
        raise SourceRefusedError(f"{url} leads out of the folder that the centre names")
    try:
        descriptor = os.open(real, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise SourceRefusedError(f"{url} cannot be read at the centre: {error.strerror}") from None
    with os.fdopen(descriptor, "rb") as given, into.open("wb") as file:
        # A folder on the way may have become a link since it was looked at.
        opened = os.fspath(Path(f"/proc/self/fd/{descriptor}").readlink())
        if not opened.startswith(f"{root}{os.sep}"):
            raise SourceRefusedError(f"{url} leads out of the folder that the centre names")
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise SourceRefusedError(f"{url} is not a file")
        _pour(given.read, file.write, 0, limit, url)


def _download(source: Source, url: str, into: Path, limit: int) -> None:
    tag_file = into.with_name(f"{into.name}.tag")
    held = into.stat().st_size if into.exists() else 0
    tag = tag_file.read_text(encoding="ascii") if held and tag_file.exists() else ""
    place = _place_of(source, url)
    for _ in range(_MOST_REDIRECTS + 1):
        asked = {"Range": f"bytes={held}-", "If-Range": tag} if held and tag else {}
        with _answer(source, place, asked) as answer:
            if answer.status in _REDIRECTS and source.scheme != "s3":
                url = _sent_on(url, answer.getheader("Location", ""))
                if not source.reaches(url):
                    raise SourceRefusedError(f"it is sent on to {url}, which is outside {source.prefix}")
                place = _place_of(source, url)
                continue
            if answer.status == 416 and asked:
                held, tag = 0, ""
                continue
            _check_status(answer.status, url)
            goes_on = answer.status == 206 and answer.getheader("Content-Range", "").startswith(
                f"bytes {held}-"
            )
            if answer.status == 206 and not goes_on:
                raise SourceRefusedError(f"{url} gives another part than was asked for")
            held = held if goes_on else 0
            _keep(answer, into, tag_file, held, limit, url)
            return
    raise SourceRefusedError(f"{url} is sent on more than {_MOST_REDIRECTS} times")


def _sent_on(url: str, location: str) -> str:
    try:
        return urllib.parse.urljoin(url, location)
    except ValueError:
        raise SourceRefusedError(f"{url} is sent on to {location!r:.200}, which is no URL") from None


def _keep(
    answer: http.client.HTTPResponse, into: Path, tag_file: Path, held: int, limit: int, url: str
) -> None:
    promised = answer.getheader("Content-Length", "")
    if promised.isdecimal() and held + int(promised) > limit:
        raise SourceRefusedError(f"{url} has {held + int(promised)} bytes, and at most {limit} are fetched")
    if not held:
        tag = answer.getheader("ETag", "")
        # A weak tag does not promise the same bytes.
        strong = tag.startswith('"') and tag.isascii()
        tag_file.write_text(tag if strong else "", encoding="ascii")
    with into.open("r+b" if held else "wb") as file:
        file.seek(held)
        file.truncate()
        try:
            came = _pour(answer.read, file.write, held, limit, url)
        except (OSError, http.client.HTTPException) as error:
            if isinstance(error, OSError) and error.filename is not None:
                raise
            raise SourceAwayError(f"{url} broke off: {error}") from error
    if promised.isdecimal() and came != int(promised):
        raise SourceAwayError(f"{url} broke off after {came} of {promised} bytes")
    tag_file.unlink(missing_ok=True)


def _place_of(source: Source, url: str) -> _Place:
    parts = urllib.parse.urlsplit(url)
    path = urllib.parse.quote(urllib.parse.unquote(parts.path), safe="/-_.~")
    if source.scheme == "s3":
        service = urllib.parse.urlsplit(source.endpoint)
        return _Place(service.scheme, service.netloc, f"/{parts.netloc}{path}")
    query = f"?{parts.query}" if parts.query else ""
    return _Place(parts.scheme, parts.netloc, (path or "/") + query)


@contextlib.contextmanager
def _answer(source: Source, place: _Place, headers: Mapping[str, str]) -> Iterator[http.client.HTTPResponse]:
    if source.scheme == "s3":
        given = signed_headers(source, place.host, place.target, headers, time.time())
    else:
        given = {**headers, **({"Authorization": f"Bearer {source.token}"} if source.token else {})}
    if place.scheme == "https":
        context = ssl.create_default_context()
        wire: http.client.HTTPConnection = http.client.HTTPSConnection(
            place.host, timeout=_TIMEOUT_S, context=context
        )
    else:
        wire = http.client.HTTPConnection(place.host, timeout=_TIMEOUT_S)
    try:
        try:
            wire.request("GET", place.target, headers={**given, "Accept-Encoding": "identity"})
            answer = wire.getresponse()
        except ssl.SSLCertVerificationError as error:
            raise SourceRefusedError(f"{place.host} is not trusted: {error.verify_message}") from error
        except (OSError, http.client.HTTPException) as error:
            raise SourceAwayError(f"{place.host} cannot be reached: {error}") from error
        yield answer
    finally:
        wire.close()


def _check_status(status: int, url: str) -> None:
    if status >= 500 or status in _AWAY:
        raise SourceAwayError(f"{url} answers {status}")
    if status not in (200, 206):
        raise SourceRefusedError(f"{url} answers {status}")


def _pour(
    read: Callable[[int], bytes], write: Callable[[bytes], int], held: int, limit: int, url: str
) -> int:
    came = 0
    while piece := read(_PIECE):
        came += len(piece)
        if held + came > limit:
            raise SourceRefusedError(f"{url} has more than the {limit} bytes that are fetched at most")
        write(piece)
    return came
