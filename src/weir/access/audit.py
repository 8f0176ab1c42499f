"""The audit log: who did what to what, and from where. Entries are only ever added."""

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, insert, select

from weir.access.actor import Actor
from weir.model.problem import refused
from weir.model.view import AuditPage, AuditView
from weir.store import Transaction
from weir.store import schema as s

LONGEST_PAGE = 1_000
LONGEST_DETAIL = 20_000

_ADD = insert(s.audit)


def record(
    tx: Transaction,
    actor: Actor,
    action: str,
    target: str,
    detail: Mapping[str, Any],
    now_ms: int,
    *,
    organisation: str | None = None,
) -> None:
    """Add one entry. `organisation` is whom it concerns, the actor's own unless given.

    A detail longer than LONGEST_DETAIL characters is replaced by its length, so that none fills the log.
    """
    text = json.dumps(dict(detail), ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    if len(text) > LONGEST_DETAIL:
        text = json.dumps({"detail_left_out": f"{len(text)} characters"})
    row = {
        "at_ms": now_ms,
        "actor": actor.label,
        "organisation": actor.organisation if organisation is None else organisation,
        "address": actor.address,
        "action": action,
        "target": target,
        "detail": text,
    }
    tx.connection.execute(_ADD, row)


def list_audit(
    connection: Connection, *, cursor: str = "", limit: int = 100, organisation: str | None = None
) -> AuditPage:
    """A page of entries, newest first; those that concern one organisation, or with None all.

    `cursor` is empty or the `next` of the page before. Raises ProblemError for a bad cursor or limit.
    """
    if not 1 <= limit <= LONGEST_PAGE:
        raise refused("limit", limit, f"give a number from 1 to {LONGEST_PAGE}")
    query = select(s.audit).order_by(s.audit.c.id.desc()).limit(limit + 1)
    if cursor:
        if not cursor.isascii() or not cursor.isdigit() or len(cursor) > 18:
            raise refused("cursor", cursor, "give the `next` of the page before")
        query = query.where(s.audit.c.id < int(cursor))
    if organisation is not None:
        query = query.where(s.audit.c.organisation == organisation)
    rows = connection.execute(query).all()
    entries = tuple(
        AuditView(row.id, row.at_ms, row.actor, row.address, row.action, row.target, json.loads(row.detail))
        for row in rows[:limit]
    )
    return AuditPage(entries, str(entries[-1].id) if len(rows) > limit else "")
