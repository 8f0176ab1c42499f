"""Invitations: one-time codes that an agent exchanges for its centre's token."""

import hashlib
from collections.abc import Callable, Sequence

from sqlalchemy import delete, insert, select, update

from weir.access.tokens import create_token
from weir.model.identity import ALPHABET
from weir.model.problem import Problem, ProblemError, refused
from weir.model.role import Role
from weir.model.view import InviteView
from weir.store import Transaction
from weir.store import schema as s

LIFE_MS = 7 * 86_400_000
LONGEST_LIFE_MS = 90 * 86_400_000
_GROUPS, _GROUP = 5, 5


def invite(
    tx: Transaction,
    centres: Sequence[str],
    now_ms: int,
    random_bits: Callable[[int], int],
    life_ms: int = LIFE_MS,
) -> tuple[InviteView, ...]:
    """One code for each centre, in the order given; 125 random bits each, kept only as their SHA-256.

    Codes that were given before and are not used yet stay good until they expire. Raises ProblemError, and
    makes none, where a centre does not exist or is named twice, or the life is out of range.
    """
    if not 60_000 <= life_ms <= LONGEST_LIFE_MS:
        raise refused(
            "life_ms", life_ms, f"give milliseconds from 60000 (a minute) to {LONGEST_LIFE_MS} (90 days)"
        )
    if not centres or len(set(centres)) != len(centres):
        raise refused("centres", ", ".join(centres), "name at least one centre, each once")
    known = set(tx.connection.scalars(select(s.centre.c.id).where(s.centre.c.removed.is_(False))))
    unknown = [centre for centre in centres if centre not in known]
    if unknown:
        raise refused(
            "centres", ", ".join(unknown), "no such centre is declared", kind="not-found", status=404
        )
    tx.connection.execute(delete(s.invite).where(s.invite.c.expires_ms < now_ms - LONGEST_LIFE_MS))
    expires_ms = now_ms + life_ms
    views = tuple(InviteView(centre, _code(random_bits), expires_ms) for centre in centres)
    rows = [
        {
            "digest": _digest(view.code),
            "centre": view.centre,
            "created_ms": now_ms,
            "expires_ms": expires_ms,
        }
        for view in views
    ]
    tx.connection.execute(insert(s.invite), rows)
    return views


def join(tx: Transaction, code: str, now_ms: int, random_bits: Callable[[int], int]) -> tuple[str, str]:
    """The centre that the code invites, and the secret of its agent's new token; the code is used up.

    A centre has one agent: the tokens of those who joined for it before are revoked, and the counters by
    which the centre's reports are told apart start anew, since a new agent's record does. Raises ProblemError
    (403) for a code that is unknown, used or expired.
    """
    row = tx.connection.execute(select(s.invite).where(s.invite.c.digest == _digest(code))).one_or_none()
    if row is None:
        raise _refusal("this invitation code is not known; check it, or ask for a new one")
    if row.used_ms is not None:
        raise _refusal("this invitation code has been used; ask for a new one")
    if row.expires_ms <= now_ms:
        raise _refusal("this invitation code has expired; ask for a new one")
    used = tx.connection.execute(
        update(s.invite)
        .where(s.invite.c.digest == row.digest, s.invite.c.used_ms.is_(None))
        .values(used_ms=now_ms)
    )
    if used.rowcount != 1:
        raise _refusal("this invitation code has been used; ask for a new one")
    tx.connection.execute(
        update(s.token)
        .where(
            s.token.c.centre == row.centre, s.token.c.role == Role.AGENT.value, s.token.c.revoked_ms.is_(None)
        )
        .values(revoked_ms=now_ms)
    )
    _, secret = create_token(
        tx,
        name=f"agent of {row.centre}",
        role=Role.AGENT,
        centre=row.centre,
        now_ms=now_ms,
        random_bits=random_bits,
    )
    tx.connection.execute(
        update(s.centre)
        .where(s.centre.c.id == row.centre)
        .values(agent_incarnation=0, report_number=0, synchronised_with="")
    )
    return row.centre, secret


def _code(random_bits: Callable[[int], int]) -> str:
    number = random_bits(5 * _GROUPS * _GROUP)
    letters = []
    for _ in range(_GROUPS * _GROUP):
        number, digit = divmod(number, len(ALPHABET))
        letters.append(ALPHABET[digit])
    text = "".join(letters)
    return "-".join(text[start : start + _GROUP] for start in range(0, len(text), _GROUP))


def _digest(code: str) -> str:
    """Of the code's letters and digits alone, so that case, blanks and dashes do not matter."""
    plain = "".join(letter for letter in code.lower() if letter.isalnum())
    return hashlib.sha256(plain.encode("utf-8", "surrogatepass")).hexdigest()


def _refusal(title: str) -> ProblemError:
    return ProblemError(Problem("bad-invitation", 403, title))
