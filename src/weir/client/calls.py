"""What every part of the client shares: one call, its body as JSON or text, its answer as a class of `model`."""

import json
import os
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

from weir.client.errors import AnswerError, ClientError
from weir.client.transport import Sender
from weir.model.codec import CodecError, from_plain

T = TypeVar("T")


class Calls:
    """Calls of one server with one token. Every method raises ApiError or UnreachableError."""

    def __init__(self, sender: Sender) -> None:
        self.url = sender.url
        self._sender = sender

    def _get(self, target: str, declared: type[T], *, wait_s: float = 0.0) -> T:
        answer = self._sender.send("GET", f"/api/v1{target}", again=True, wait_s=wait_s)
        return self._read(answer.read(), declared)

    def _create(self, target: str, body: Any, declared: type[T], key: str) -> T:
        headers = {"content-type": "application/json", "idempotency-key": key or os.urandom(16).hex()}
        data = b"" if body is None else json.dumps(body).encode()
        answer = self._sender.send("POST", f"/api/v1{target}", headers=headers, body=data, again=True)
        return self._read(answer.read(), declared)

    def _change(self, method: str, target: str, declared: type[T], body: Any = None) -> T:
        headers = {} if body is None else {"content-type": "application/json"}
        data = b"" if body is None else json.dumps(body).encode()
        return self._read(
            self._sender.send(method, f"/api/v1{target}", headers=headers, body=data).read(), declared
        )

    def _send_text(self, target: str, text: str, declared: type[T], kind: str = "application/yaml") -> T:
        headers = {"content-type": kind}
        answer = self._sender.send("POST", f"/api/v1{target}", headers=headers, body=text.encode())
        return self._read(answer.read(), declared)

    def _bytes(self, target: str) -> bytes:
        return self._sender.send("GET", f"/api/v1{target}", again=True).read()

    def _read(self, data: bytes, declared: type[T]) -> T:
        try:
            return from_plain(declared, json.loads(data))
        except (ValueError, CodecError) as error:
            raise AnswerError(
                f"the answer of {self.url} cannot be understood ({error}); is it another version?"
            ) from error


def part(name: str, *, safe: str = "") -> str:
    """A name within a target's path. Raises ClientError for an empty one, which would be another target."""
    if not name:
        raise ClientError("'' names nothing; give an id")
    return quote(name, safe=safe)


def query_of(**given: Any) -> str:
    """The query of a target, without what is empty; with its question mark."""
    pairs = {key: value for key, value in given.items() if value not in ("", None, [])}
    return f"?{urlencode(pairs, doseq=True)}" if pairs else ""


__all__ = ["Calls", "part", "query_of"]
