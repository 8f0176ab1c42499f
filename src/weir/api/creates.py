"""Creates that can be sent again: the same key and request get the first answer once more."""

import hashlib
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import Header
from starlette.responses import Response

from weir.access import recall, remember
from weir.api.answers import json_text, text_response
from weir.api.caller import Caller
from weir.store import Transaction

IdempotencyKey = Annotated[
    str,
    Header(
        alias="Idempotency-Key",
        description="The same key and body again get the first answer again, and make nothing.",
    ),
]


def create(caller: Caller, key: str, raw: bytes, work: Callable[[Transaction], Any]) -> Response:
    """What `work` makes, as a 201 answer; or the answer already given for this key.

    Raises ProblemError (409) where the key was used for another request.
    """
    url = caller.request.url
    digest = hashlib.sha256(f"{caller.request.method} {url.path}?{url.query}\n".encode() + raw).hexdigest()

    def once(tx: Transaction) -> tuple[int, str, bool]:
        if key:
            kept = recall(tx.connection, caller.actor.token_id, key, digest)
            if kept is not None:
                return kept.status, kept.answer, True
        text = json_text(work(tx))
        if key:
            remember(tx, caller.actor.token_id, key, digest, status=201, answer=text, now_ms=caller.now_ms)
        return 201, text, False

    status, text, again = caller.write(once)
    return text_response(text, status, {"idempotency-replayed": "true"} if again else None)


__all__ = ["IdempotencyKey", "create"]
