"""Answers already given: a create that is sent again with the same key gets the first answer again."""

from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, delete, insert, select

from weir.model.problem import Problem, ProblemError, refused
from weir.store import Transaction
from weir.store import schema as s

LONGEST_KEY = 200

_GIVEN = select(s.idempotency).where(
    s.idempotency.c.token == bindparam("of_token"), s.idempotency.c.key == bindparam("of_key")
)
_KEEP = insert(s.idempotency)


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """The HTTP status and the body of an answer that was given before."""

    status: int
    answer: str


def recall(connection: Connection, token_id: int, key: str, digest: str) -> KeptAnswer | None:
    """The answer that this token got for this key, or None where there is none yet.

    `digest` is of the request's method, path and body. Raises ProblemError: 409 where the key was used for
    another request, 422 for a malformed key. Called in the transaction that then does the work.
    """
    if not 1 <= len(key) <= LONGEST_KEY or not key.isprintable():
        raise refused("Idempotency-Key", key, f"give 1 to {LONGEST_KEY} printable characters")
    row = connection.execute(_GIVEN, {"of_token": token_id, "of_key": key}).one_or_none()
    if row is None:
        return None
    if row.digest != digest:
        title = f"Idempotency-Key {key!r} was used for another request; choose a new key for a new request"
        raise ProblemError(Problem("idempotency-key-reused", 409, title))
    return KeptAnswer(row.status, row.answer)


def remember(
    tx: Transaction, token_id: int, key: str, digest: str, *, status: int, answer: str, now_ms: int
) -> None:
    """Keep the answer, in the transaction that made it true and that asked `recall` before.

    Where another transaction kept one for this key in the same moment, the database refuses the second, and the
    store runs that one's work again: its `recall` then finds the first one's answer, and nothing is done twice.
    """
    row = {
        "token": token_id,
        "key": key,
        "digest": digest,
        "status": status,
        "answer": answer,
        "at_ms": now_ms,
    }
    tx.connection.execute(_KEEP, row)


def forget_older(tx: Transaction, before_ms: int) -> int:
    """Drop the answers given before this time; returns how many."""
    return tx.connection.execute(delete(s.idempotency).where(s.idempotency.c.at_ms < before_ms)).rowcount
