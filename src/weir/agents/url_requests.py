"""Requests to what a centre's sources name: where one goes, how it is signed, and what its answer means.

Requests to S3 are signed as Amazon describes (Signature Version 4). All of it by the standard library.
"""

import contextlib
import hashlib
import hmac
import http.client
import ssl
import time
import urllib.parse
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from weir.agents.sources import Source

__all__ = [
    "MOST_REDIRECTS",
    "REDIRECTS",
    "Place",
    "SourceAwayError",
    "SourceRefusedError",
    "asked",
    "check_status",
    "place_of",
    "sent_on",
    "signed_headers",
]

MOST_REDIRECTS = 5
REDIRECTS = (301, 302, 303, 307, 308)
_TIMEOUT_S = 60.0
_AWAY = (408, 425, 429)
_EMPTY = hashlib.sha256(b"").hexdigest()


class SourceAwayError(Exception):
    """No answer, or one that says to try again later."""


class SourceRefusedError(Exception):
    """It is not to be had like this; the message says why."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a request goes."""

    scheme: str
    host: str
    target: str


def signed_headers(
    source: Source,
    host: str,
    target: str,
    headers: Mapping[str, str],
    now_s: float,
    *,
    method: str = "GET",
    digest: str = _EMPTY,
) -> dict[str, str]:
    """The headers of a request of S3, signed; those given are signed too. `target` is the path, percent-encoded,
    `digest` the SHA-256 of what is sent."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now_s))
    day = stamp[:8]
    plain = {**headers, "host": host, "x-amz-content-sha256": digest, "x-amz-date": stamp}
    if not source.access_key:
        return dict(headers)
    names = sorted(name.lower() for name in plain)
    values = {name.lower(): value for name, value in plain.items()}
    signed = ";".join(names)
    lines = "".join(f"{name}:{values[name].strip()}\n" for name in names)
    request = f"{method}\n{target}\n\n{lines}\n{signed}\n{digest}"
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


def place_of(source: Source, url: str) -> Place:
    """Where a request for the URL goes: with s3 to the source's own service."""
    parts = urllib.parse.urlsplit(url)
    path = urllib.parse.quote(urllib.parse.unquote(parts.path), safe="/-_.~")
    if source.scheme == "s3":
        service = urllib.parse.urlsplit(source.endpoint)
        return Place(service.scheme, service.netloc, f"/{parts.netloc}{path}")
    query = f"?{parts.query}" if parts.query else ""
    return Place(parts.scheme, parts.netloc, (path or "/") + query)


def sent_on(url: str, location: str) -> str:
    """Where an answer sends on to."""
    try:
        return urllib.parse.urljoin(url, location)
    except ValueError:
        raise SourceRefusedError(f"{url} is sent on to {location!r:.200}, which is no URL") from None


@contextlib.contextmanager
def asked(
    source: Source,
    place: Place,
    headers: Mapping[str, str],
    *,
    method: str = "GET",
    digest: str = _EMPTY,
    content: Iterable[bytes] | None = None,
) -> Iterator[http.client.HTTPResponse]:
    """The answer to a request, with the source's own credentials. `content`, of that digest, is what is sent.

    Raises SourceAwayError, SourceRefusedError.
    """
    if source.scheme == "s3":
        given = signed_headers(
            source, place.host, place.target, headers, time.time(), method=method, digest=digest
        )
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
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                # Who refuses need not read all that is sent; the answer says why.
                wire.request(method, place.target, content, {**given, "Accept-Encoding": "identity"})
            answer = wire.getresponse()
        except ssl.SSLCertVerificationError as error:
            raise SourceRefusedError(f"{place.host} is not trusted: {error.verify_message}") from error
        except (OSError, http.client.HTTPException) as error:
            raise SourceAwayError(f"{place.host} cannot be reached: {error}") from error
        yield answer
    finally:
        wire.close()


def check_status(status: int, url: str, good: tuple[int, ...]) -> None:
    """Raise SourceAwayError or SourceRefusedError unless the status is a good one."""
    if status >= 500 or status in _AWAY:
        raise SourceAwayError(f"{url} answers {status}")
    if status not in good:
        raise SourceRefusedError(f"{url} answers {status}")
