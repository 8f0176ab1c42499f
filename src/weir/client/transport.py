"""How requests travel: a small port, and its form over urllib3, which is imported at the first request."""

import time
from collections.abc import Callable, Iterator, Mapping
from typing import IO, TYPE_CHECKING, Protocol

from weir.client.errors import (
    AnswerError,
    ApiError,
    SettingsError,
    UnreachableError,
    UntrustedError,
    problem_from,
)

if TYPE_CHECKING:
    import urllib3

Body = bytes | IO[bytes] | None
TRIES = 5
FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 5.0
LARGEST_ANSWER = 256 << 20
"""Bytes of an answer that is read as a whole; larger things are streamed."""
_AGAIN_LATER = (502, 503, 504)


class Answer(Protocol):
    """An answer whose head has arrived. Header names are lower-case."""

    @property
    def status(self) -> int:
        """HTTP status."""

    @property
    def headers(self) -> Mapping[str, str]:
        """By lower-case name."""

    def read(self) -> bytes:
        """All of the body. Raises UnreachableError when it breaks off."""

    def stream(self) -> Iterator[bytes]:
        """The body in pieces as they arrive. Raises UnreachableError when it breaks off."""

    def close(self) -> None:
        """Give up what was not read yet."""


class Transport(Protocol):
    """Sends one request once."""

    def send(
        self, method: str, target: str, headers: Mapping[str, str], body: Body, timeout_s: float
    ) -> Answer:
        """The answer, whatever its status. Raises UnreachableError."""

    def close(self) -> None:
        """Give back the connections."""


class Urllib3Transport:
    """Requests over a pool of kept connections; threads may share it. No redirect is followed."""

    def __init__(self, url: str, *, ca_file: str = "", proxy: str = "") -> None:
        self._url = url
        self._ca_file = ca_file
        self._proxy = proxy
        self._pool: urllib3.PoolManager | None = None

    def send(
        self, method: str, target: str, headers: Mapping[str, str], body: Body, timeout_s: float
    ) -> Answer:
        import urllib3

        if self._pool is None:
            self._pool = self._made_pool()
        timeout = urllib3.Timeout(connect=min(10.0, timeout_s), read=timeout_s)
        try:
            answer = self._pool.urlopen(
                method,
                self._url + target,
                headers=dict(headers),
                body=body,
                timeout=timeout,
                retries=False,
                redirect=False,
                preload_content=False,
            )
        except urllib3.exceptions.HTTPError as error:
            raise _no_answer(self._url, error) from error
        return _Urllib3Answer(self._url, answer)

    def close(self) -> None:
        if self._pool is not None:
            self._pool.clear()

    def _made_pool(self) -> "urllib3.PoolManager":
        import urllib3

        try:
            if self._proxy:
                return urllib3.ProxyManager(self._proxy, maxsize=16, ca_certs=self._ca_file or None)
            return urllib3.PoolManager(maxsize=16, ca_certs=self._ca_file or None)
        except (urllib3.exceptions.HTTPError, ValueError, OSError) as error:
            raise SettingsError(f"the connection to {self._url} cannot be set up: {error}") from error


class _Urllib3Answer:
    def __init__(self, url: str, answer: "urllib3.BaseHTTPResponse") -> None:
        self._url = url
        self._answer = answer
        self.status = answer.status
        self.headers = {name.lower(): value for name, value in answer.headers.items()}

    def read(self) -> bytes:
        import urllib3

        try:
            data = self._answer.read(LARGEST_ANSWER + 1, decode_content=True)
            while data and len(data) <= LARGEST_ANSWER:
                more = self._answer.read(LARGEST_ANSWER + 1 - len(data), decode_content=True)
                if not more:
                    break
                data += more
            if len(data) > LARGEST_ANSWER:
                self._answer.close()
                raise AnswerError(f"the answer of {self._url} is larger than {LARGEST_ANSWER} bytes")
            self._answer.release_conn()
        except urllib3.exceptions.HTTPError as error:
            self._answer.close()
            raise _no_answer(self._url, error) from error
        return data

    def stream(self) -> Iterator[bytes]:
        import urllib3

        try:
            while piece := self._answer.read1(1 << 18):
                yield piece
            self._answer.release_conn()
        except urllib3.exceptions.HTTPError as error:
            raise _no_answer(self._url, error) from error
        finally:
            self._answer.close()

    def close(self) -> None:
        self._answer.close()


class Sender:
    """Sends requests with the token, again where that is safe, and turns refusals into ApiError."""

    def __init__(
        self,
        url: str,
        token: str,
        transport: Transport,
        *,
        timeout_s: float,
        sleep: Callable[[float], None] = time.sleep,
        jitter: Callable[[], float] | None = None,
    ) -> None:
        self.url = url
        self._token = token
        self._transport = transport
        self._timeout_s = timeout_s
        self._sleep = sleep
        self._jitter = jitter or _random

    def send(
        self,
        method: str,
        target: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: Body = None,
        again: bool = False,
        wait_s: float = 0.0,
        accept: tuple[int, ...] = (),
    ) -> Answer:
        """An answer below 400 (or one whose status is in `accept`), whose body is still to be read.

        `again`: asking twice does no harm, so connection errors and 502 to 504 are tried again, with growing,
        jittered pauses. `wait_s` is how long the server may wait on purpose. Raises ApiError,
        UnreachableError.
        """
        sent = {"authorization": f"Bearer {self._token}", "user-agent": "weir-client"} | dict(headers or {})
        tries = TRIES if again else 1
        for attempt in range(1, tries + 1):
            try:
                answer = self._transport.send(method, target, sent, body, self._timeout_s + wait_s)
            except UnreachableError as error:
                if attempt == tries or isinstance(error, UntrustedError):
                    raise
                self.pause(attempt)
                continue
            if answer.status < 400 or answer.status in accept:
                return answer
            refusal = ApiError(
                problem_from(answer.status, answer.headers, b"" if method == "HEAD" else answer.read()),
                _seconds(answer.headers.get("retry-after")),
            )
            if answer.status not in _AGAIN_LATER or attempt == tries:
                raise refusal
            self.pause(attempt, refusal.retry_after_s)
        raise AssertionError("the last try either returned or raised")

    def pause(self, attempt: int, asked_s: float | None = None) -> None:
        """Wait before the next try: longer each time, never as long as the others who wait too."""
        longest = min(LONGEST_PAUSE_S, max(FIRST_PAUSE_S * 2 ** (attempt - 1), asked_s or 0.0))
        self._sleep(longest * (0.5 + self._jitter() / 2))

    def close(self) -> None:
        """Give back the connections."""
        self._transport.close()


def _random() -> float:
    import random

    return random.random()


def _seconds(text: str | None) -> float | None:
    return float(text) if text and text.isdigit() else None


def _no_answer(url: str, error: Exception) -> UnreachableError:
    import urllib3

    reasons = urllib3.exceptions
    if isinstance(error, reasons.SSLError) or isinstance(getattr(error, "reason", None), reasons.SSLError):
        title = f"{url}: its certificate is not accepted ({error}); set WEIR_CA_FILE to its issuer's"
        return UntrustedError(title)
    return UnreachableError(_unreachable(url, error))


def _unreachable(url: str, error: Exception) -> str:
    import urllib3

    reasons = urllib3.exceptions
    if isinstance(error, reasons.NameResolutionError):
        return f"{url} cannot be reached ({_short(error)}); check the address in WEIR_URL and the network"
    if isinstance(error, reasons.NewConnectionError):
        return f"nothing answers at {url}; start `weir serve` there, or set WEIR_URL to where it runs"
    if isinstance(error, reasons.ConnectTimeoutError):
        return f"{url} cannot be reached ({_short(error)}); check the address in WEIR_URL and the network"
    if isinstance(error, reasons.ReadTimeoutError):
        return f"{url} did not answer in time; it may be busy: try again"
    return f"the connection to {url} broke off ({_short(error)}); try again"


def _short(error: Exception) -> str:
    text = str(error)
    return text.rsplit(": ", 1)[-1] if len(text) > 120 else text


__all__ = ["Answer", "Body", "Sender", "Transport", "Urllib3Transport"]
