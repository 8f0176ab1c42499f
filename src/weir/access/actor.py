"""Who asks: an actor, what its role may do, and where its scope lets it."""

from dataclasses import dataclass
from enum import Enum

from weir.model.problem import Problem, ProblemError, not_found
from weir.model.role import Role


@dataclass(frozen=True, slots=True)
class Actor:
    """The holder of a token, as of one request. Empty texts mean: not bound to one.

    `token_id` is 0 for the server itself. `address` is where the request came from.
    """

    token_id: int
    name: str
    role: Role
    organisation: str = ""
    project: str = ""
    centre: str = ""
    address: str = ""

    @property
    def label(self) -> str:
        """Who it is in the audit log: role, name and token number, so that no two are mistaken for one."""
        return f"{self.role.value}:{self.name}#{self.token_id}"


class Permission(Enum):
    """What can be permitted; the value says it in words."""

    READ_JOBS = "read jobs"
    CHANGE_JOBS = "submit and change jobs"
    READ_PROVINCE = "read centres, pools and device models"
    DECLARE_PROVINCE = "declare the province"
    INVITE_AGENTS = "invite agents"
    DRAIN_CENTRE = "drain and resume a centre"
    READ_TOKENS = "list tokens"
    MANAGE_TOKENS = "create and revoke tokens"
    READ_AUDIT = "read the audit log"
    READ_FACTS = "read what is held about organisations"
    STATE_FACTS = "state facts about organisations"
    READ_MONEY = "read budgets, charges and the ledger"
    SET_MONEY = "apply prices and schemes, set budgets, close statements and settle"
    RECORD_INVOICES = "record invoices of a centre"
    SERVE_CENTRE = "speak for a centre as its agent"


@dataclass(frozen=True, slots=True)
class Scope:
    """What an actor's lists are limited to; None means no limit. Every limit that is set must hold."""

    organisation: str | None = None
    project: str | None = None
    centre: str | None = None


READING = frozenset(
    {
        Permission.READ_JOBS,
        Permission.READ_PROVINCE,
        Permission.READ_TOKENS,
        Permission.READ_AUDIT,
        Permission.READ_FACTS,
        Permission.READ_MONEY,
    }
)

PERMITTED: dict[Role, frozenset[Permission]] = {
    Role.COORDINATOR: frozenset(Permission) - {Permission.SERVE_CENTRE},
    Role.TENANT_ADMIN: READING | {Permission.CHANGE_JOBS, Permission.MANAGE_TOKENS},
    Role.TENANT_MEMBER: frozenset(
        {
            Permission.READ_JOBS,
            Permission.CHANGE_JOBS,
            Permission.READ_PROVINCE,
            Permission.READ_FACTS,
            Permission.READ_MONEY,
        }
    ),
    Role.CENTRE_OPERATOR: frozenset(
        {
            Permission.READ_PROVINCE,
            Permission.INVITE_AGENTS,
            Permission.DRAIN_CENTRE,
            Permission.READ_AUDIT,
            Permission.READ_MONEY,
            Permission.RECORD_INVOICES,
        }
    ),
    Role.AUDITOR: READING,
    Role.AGENT: frozenset({Permission.SERVE_CENTRE}),
}
"""What each role may do, within its scope."""

UNSCOPED = frozenset({Permission.READ_PROVINCE})
"""What is the same for everybody, so that no scope applies: centres and prices are public in the province."""

GRANTABLE: dict[Role, frozenset[Role]] = {
    Role.COORDINATOR: frozenset(Role),
    Role.TENANT_ADMIN: frozenset({Role.TENANT_ADMIN, Role.TENANT_MEMBER}),
}
"""For which roles a role may make and revoke tokens, within its scope."""


def scope_of(actor: Actor) -> Scope:
    """What the actor's lists are limited to. A coordinator sees all; its organisation is only a default."""
    if actor.role is Role.COORDINATOR:
        return Scope()
    if actor.role is Role.AGENT:
        return Scope(centre=actor.centre)
    if actor.role is Role.CENTRE_OPERATOR:
        return Scope(centre=actor.centre) if actor.centre else Scope(organisation=actor.organisation)
    if actor.role is Role.AUDITOR:
        return Scope(organisation=actor.organisation or None)
    return Scope(organisation=actor.organisation, project=actor.project or None)


def allows(
    actor: Actor,
    permission: Permission,
    *,
    organisation: str | None = None,
    project: str | None = None,
    centre: str | None = None,
) -> bool:
    """Whether the role may do it and each part of the thing that is given lies within the actor's scope.

    `organisation` is whose thing it is (for a centre: its operator). Where a part that limits the actor is
    not given although another is, the answer is no; with none given, the role alone decides, which is meant
    for lists that `scope_of` then limits.
    """
    if permission not in PERMITTED[actor.role]:
        return False
    if permission in UNSCOPED or (organisation is None and project is None and centre is None):
        return True
    scope = scope_of(actor)
    limits = [(scope.organisation, organisation), (scope.project, project), (scope.centre, centre)]
    return all(limit is None or (limit != "" and limit == given) for limit, given in limits)


def require(
    actor: Actor,
    permission: Permission,
    *,
    organisation: str | None = None,
    project: str | None = None,
    centre: str | None = None,
    what: str = "",
    name: str = "",
) -> None:
    """Pass where `allows` says yes; raise ProblemError otherwise.

    What the role may never do is `forbidden` (403), and so is what concerns the actor's whole organisation where its
    token is of one project. What lies outside the scope is `not-found` (404) with the message of a thing that does not
    exist; `what` and `name` are the words for it, such as "job" and its id.
    """
    if permission not in PERMITTED[actor.role]:
        raise ProblemError(
            Problem("forbidden", 403, f"a token of role {actor.role.value} may not {permission.value}")
        )
    if not allows(actor, permission, organisation=organisation, project=project, centre=centre):
        if actor.project and actor.organisation and (organisation, project) == (actor.organisation, None):
            said = f"this token is of project {actor.project} alone; use one of the whole organisation"
            raise ProblemError(Problem("forbidden", 403, said))
        if not what:
            what, name = ("centre", centre) if centre is not None else ("organisation", organisation or "")
        raise not_found(what, name)


def require_grant(actor: Actor, role: Role, *, organisation: str = "", project: str = "") -> None:
    """Pass where the actor may make or revoke a token of this role and scope, or raise ProblemError."""
    require(actor, Permission.MANAGE_TOKENS)
    if role not in GRANTABLE.get(actor.role, frozenset()):
        raise ProblemError(
            Problem(
                "forbidden", 403, f"a token of role {actor.role.value} may not make one of role {role.value}"
            )
        )
    scope = scope_of(actor)
    if scope.organisation is not None and scope.organisation != organisation:
        raise not_found("organisation", organisation)
    if scope.project is not None and scope.project != project:
        raise not_found("project", project)


def server_itself(address: str = "local") -> Actor:
    """The actor of what the server does on its own, such as declaring the machine that it runs on."""
    return Actor(0, "weir", Role.COORDINATOR, address=address)
