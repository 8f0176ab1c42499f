"""Tokens: random 256-bit secrets, kept only as their SHA-256, each with a role and a scope."""

import base64
import hashlib
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from weir.access.actor import Actor
from weir.model.problem import not_found, refused
from weir.model.role import Role
from weir.model.view import TokenView
from weir.store import Transaction
from weir.store import schema as s

PREFIX = "weir_"
SECRET_LENGTH = len(PREFIX) + 52
LONGEST_NAME = 100


def create_token(
    tx: Transaction,
    *,
    name: str,
    role: Role,
    organisation: str = "",
    project: str = "",
    centre: str = "",
    now_ms: int,
    random_bits: Callable[[int], int],
    expires_ms: int | None = None,
) -> tuple[int, str]:
    """A new token: its number, and its secret, which is not kept and cannot be shown again.

    Raises ProblemError where the scope does not fit the role or names what does not exist.
    """
    if not name.strip() or len(name) > LONGEST_NAME or not name.isprintable():
        raise refused("name", name, f"give 1 to {LONGEST_NAME} printable characters")
    if expires_ms is not None and expires_ms <= now_ms:
        raise refused("expires_ms", expires_ms, f"give a time after now ({now_ms})")
    _check_scope(tx.connection, role, organisation, project, centre)
    secret = PREFIX + base64.b32encode(random_bits(256).to_bytes(32, "big")).decode().rstrip("=").lower()
    row = {
        "digest": digest_of(secret),
        "name": name,
        "role": role.value,
        "organisation": organisation,
        "project": project,
        "centre": centre,
        "created_ms": now_ms,
        "expires_ms": expires_ms,
    }
    result = tx.connection.execute(insert(s.token).values(row).returning(s.token.c.id))
    return result.scalar_one(), secret


def authenticate(connection: Connection, secret: str, address: str, now_ms: int) -> Actor | None:
    """Who holds this secret, or None where nobody does, or its token has expired or been revoked.

    The secret is looked up by its digest, so that the time taken tells nothing of how near a guess is.
    """
    row = connection.execute(select(s.token).where(s.token.c.digest == digest_of(secret))).one_or_none()
    if row is None or row.revoked_ms is not None or (row.expires_ms is not None and row.expires_ms <= now_ms):
        return None
    return Actor(row.id, row.name, Role(row.role), row.organisation, row.project, row.centre, address)


def revoke(tx: Transaction, token_id: int, now_ms: int) -> None:
    """End a token. Revoking again changes nothing. Raises ProblemError where there is no such token."""
    known = tx.connection.execute(select(s.token.c.id).where(s.token.c.id == token_id)).one_or_none()
    if known is None:
        raise not_found("token", str(token_id))
    tx.connection.execute(
        update(s.token)
        .where(s.token.c.id == token_id, s.token.c.revoked_ms.is_(None))
        .values(revoked_ms=now_ms)
    )


def get_token(connection: Connection, token_id: int) -> TokenView:
    """One token without its secret. Raises ProblemError where there is none of this number."""
    row = connection.execute(select(s.token).where(s.token.c.id == token_id)).one_or_none()
    if row is None:
        raise not_found("token", str(token_id))
    return _view(row)


def list_tokens(connection: Connection, *, organisation: str | None = None) -> tuple[TokenView, ...]:
    """All tokens, or those of one organisation, in the order in which they were made; without secrets."""
    query = select(s.token).order_by(s.token.c.id)
    if organisation is not None:
        query = query.where(s.token.c.organisation == organisation)
    return tuple(_view(row) for row in connection.execute(query))


class TokenCache:
    """Remembers for a short time whom a secret stands for, so that not every request reads the store.

    A revocation holds at once in the process that calls `drop`, and after at most `life_ms` in the others.
    Refusals are not remembered. Safe to use from several threads.
    """

    def __init__(self, life_ms: int = 1_000, most: int = 10_000) -> None:
        self._life_ms = life_ms
        self._most = most
        self._lock = threading.Lock()
        self._known: dict[str, tuple[Actor, int]] = {}
        self._drops = 0

    def authenticate(
        self, look_up: Callable[[], Actor | None], secret: str, address: str, now_ms: int
    ) -> Actor | None:
        """Whom the secret stands for; `look_up` asks the store (`authenticate`) where it is not known."""
        digest = digest_of(secret)
        with self._lock:
            known = self._known.get(digest)
            drops = self._drops
        if known is not None and known[1] > now_ms:
            return replace(known[0], address=address)
        actor = look_up()
        with self._lock:
            if actor is None:
                self._known.pop(digest, None)
            elif drops == self._drops:  # else the answer may be older than a revocation
                if len(self._known) >= self._most:
                    self._known.clear()
                self._known[digest] = (actor, now_ms + self._life_ms)
        return actor

    def drop(self) -> None:
        """Forget everything: a token has been revoked."""
        with self._lock:
            self._drops += 1
            self._known.clear()


def digest_of(secret: str) -> str:
    """The SHA-256 under which a secret is kept. No salt: the secret itself is 256 random bits."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def _check_scope(connection: Connection, role: Role, organisation: str, project: str, centre: str) -> None:
    tenant = role in (Role.TENANT_ADMIN, Role.TENANT_MEMBER)
    if tenant and not organisation:
        raise refused(
            "organisation", organisation, f"a token of role {role.value} belongs to an organisation"
        )
    if role is Role.CENTRE_OPERATOR and not (organisation or centre):
        raise refused("centre", centre, "a centre operator's token names its centre or its organisation")
    if role is Role.AGENT and (not centre or organisation or project):
        raise refused("centre", centre, "an agent's token names its centre and nothing else")
    if centre and role not in (Role.AGENT, Role.CENTRE_OPERATOR):
        raise refused(
            "centre", centre, f"a token of role {role.value} is not bound to a centre; leave it out"
        )
    if project and not organisation:
        raise refused("organisation", organisation, "give the organisation of the project")
    if project and role in (Role.AUDITOR, Role.CENTRE_OPERATOR):
        raise refused(
            "project", project, f"a token of role {role.value} is not bound to a project; leave it out"
        )
    if organisation and not _exists(connection, organisation):
        raise not_found("organisation", organisation)
    if project:
        owner = connection.execute(
            select(s.project.c.organisation).where(s.project.c.id == project)
        ).scalar_one_or_none()
        if owner != organisation:
            raise not_found(f"project of organisation {organisation}", project)
    if centre:
        found = connection.execute(
            select(s.centre.c.id).where(s.centre.c.id == centre, s.centre.c.removed.is_(False))
        ).one_or_none()
        if found is None:
            raise not_found("centre", centre)


def _exists(connection: Connection, organisation: str) -> bool:
    query = select(s.organisation.c.id).where(s.organisation.c.id == organisation)
    return connection.execute(query).one_or_none() is not None


def _view(row: Row[Any]) -> TokenView:
    return TokenView(
        row.id,
        row.name,
        row.role,
        row.organisation,
        row.project,
        row.centre,
        row.created_ms,
        row.expires_ms,
        row.revoked_ms,
    )
