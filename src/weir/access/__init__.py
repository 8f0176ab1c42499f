"""Who may do what: actors and permissions, tokens, invitations, the audit log, answers already given."""

from weir.access.actor import (
    Actor,
    Permission,
    Scope,
    allows,
    require,
    require_grant,
    scope_of,
    server_itself,
)
from weir.access.audit import list_audit, record
from weir.access.idempotency import KeptAnswer, forget_older, recall, remember
from weir.access.invites import invite, join
from weir.access.tokens import TokenCache, authenticate, create_token, list_tokens, revoke

__all__ = [
    "Actor",
    "KeptAnswer",
    "Permission",
    "Scope",
    "TokenCache",
    "allows",
    "authenticate",
    "create_token",
    "forget_older",
    "invite",
    "join",
    "list_audit",
    "list_tokens",
    "recall",
    "record",
    "remember",
    "require",
    "require_grant",
    "revoke",
    "scope_of",
    "server_itself",
]
