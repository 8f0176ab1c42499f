"""Fetching what a URL names into a file: from where an earlier try ended, as long as it is still the same content.

`file` reads a folder of the centre's, `http` and `https` any web server, `s3` any service that speaks S3.
"""

import http.client
import os
import stat
import urllib.parse
from collections.abc import Callable
from pathlib import Path

from weir.agents.sources import Source, Sources
from weir.agents.url_requests import (
    MOST_REDIRECTS,
    REDIRECTS,
    SourceAwayError,
    SourceRefusedError,
    asked,
    check_status,
    place_of,
    sent_on,
)

__all__ = ["fetch_url"]

_PIECE = 1 << 20


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
    place = place_of(source, url)
    for _ in range(MOST_REDIRECTS + 1):
        wanted = {"Range": f"bytes={held}-", "If-Range": tag} if held and tag else {}
        with asked(source, place, wanted) as answer:
            if answer.status in REDIRECTS and source.scheme != "s3":
                url = sent_on(url, answer.getheader("Location", ""))
                if not source.reaches(url):
                    raise SourceRefusedError(f"it is sent on to {url}, which is outside {source.prefix}")
                place = place_of(source, url)
                continue
            if answer.status == 416 and wanted:
                held, tag = 0, ""
                continue
            check_status(answer.status, url, (200, 206))
            goes_on = answer.status == 206 and answer.getheader("Content-Range", "").startswith(
                f"bytes {held}-"
            )
            if answer.status == 206 and not goes_on:
                raise SourceRefusedError(f"{url} gives another part than was asked for")
            held = held if goes_on else 0
            _keep(answer, into, tag_file, held, limit, url)
            return
    raise SourceRefusedError(f"{url} is sent on more than {MOST_REDIRECTS} times")


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
