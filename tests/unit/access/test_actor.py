"""What each role may do, and where its scope lets it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weir.access import Actor, Permission, Scope, allows, require, require_grant, scope_of, server_itself
from weir.access.actor import PERMITTED
from weir.model.problem import ProblemError, not_found
from weir.model.role import Role

NAMES = ("", "a", "b")
READS = {
    Permission.READ_JOBS,
    Permission.READ_PROVINCE,
    Permission.READ_TOKENS,
    Permission.READ_AUDIT,
    Permission.READ_FACTS,
    Permission.READ_MONEY,
}

names = st.sampled_from(NAMES)
parts = st.none() | names
permissions = st.sampled_from(Permission)


def actors(*roles: Role) -> st.SearchStrategy[Actor]:
    return st.builds(
        Actor,
        token_id=st.integers(1, 9),
        name=st.just("somebody"),
        role=st.sampled_from(roles or tuple(Role)),
        organisation=names,
        project=names,
        centre=names,
    )


@given(actors(Role.AGENT), permissions, parts, parts, parts)
def test_an_agent_serves_its_own_centre_and_does_nothing_else(
    actor: Actor, permission: Permission, organisation: str | None, project: str | None, centre: str | None
) -> None:
    allowed = allows(actor, permission, organisation=organisation, project=project, centre=centre)
    nothing_named = organisation is None and project is None and centre is None
    own = centre == actor.centre != ""
    assert allowed == (permission is Permission.SERVE_CENTRE and (own or nothing_named))


@given(actors(Role.AUDITOR), permissions, parts, parts, parts)
def test_an_auditor_changes_nothing(
    actor: Actor, permission: Permission, organisation: str | None, project: str | None, centre: str | None
) -> None:
    if allows(actor, permission, organisation=organisation, project=project, centre=centre):
        assert permission in READS


@given(actors(Role.TENANT_ADMIN, Role.TENANT_MEMBER), permissions, names, parts)
def test_a_tenant_reaches_only_its_own_organisation_and_project(
    actor: Actor, permission: Permission, organisation: str, project: str | None
) -> None:
    if permission is not Permission.READ_PROVINCE and allows(
        actor, permission, organisation=organisation, project=project
    ):
        assert organisation == actor.organisation != ""
        assert actor.project in ("", project)


@given(actors(Role.CENTRE_OPERATOR), names, names)
def test_an_operator_drains_only_its_own_centres(actor: Actor, operator: str, centre: str) -> None:
    allowed = allows(actor, Permission.DRAIN_CENTRE, organisation=operator, centre=centre)
    own = centre == actor.centre if actor.centre else operator == actor.organisation != ""
    assert own == allowed


@given(actors(), permissions)
def test_only_agents_serve_centres_and_only_the_coordinator_declares(
    actor: Actor, permission: Permission
) -> None:
    if allows(actor, permission):
        assert (permission is Permission.SERVE_CENTRE) == (actor.role is Role.AGENT)
        assert permission is not Permission.DECLARE_PROVINCE or actor.role is Role.COORDINATOR


@given(actors(), permissions, parts, parts, parts)
def test_require_refuses_exactly_what_is_not_allowed(
    actor: Actor, permission: Permission, organisation: str | None, project: str | None, centre: str | None
) -> None:
    allowed = allows(actor, permission, organisation=organisation, project=project, centre=centre)
    try:
        require(actor, permission, organisation=organisation, project=project, centre=centre)
        status = 200
    except ProblemError as error:
        status = error.problem.status
    assert (200 if allowed else 404 if permission in PERMITTED[actor.role] else 403) == status


def test_another_tenants_job_looks_like_one_that_does_not_exist() -> None:
    actor = Actor(1, "alice", Role.TENANT_MEMBER, organisation="a")
    with pytest.raises(ProblemError) as caught:
        require(actor, Permission.READ_JOBS, organisation="b", what="job", name="k7m2q9xw4tcd")
    assert not_found("job", "k7m2q9xw4tcd").problem == caught.value.problem


def test_what_a_role_may_never_do_is_said_plainly() -> None:
    with pytest.raises(ProblemError) as caught:
        require(Actor(1, "eve", Role.AUDITOR), Permission.CHANGE_JOBS, organisation="a")
    assert (403, "forbidden") == (caught.value.problem.status, caught.value.problem.kind)
    assert "a token of role auditor may not submit and change jobs" == str(caught.value)


def test_lists_are_limited_by_role() -> None:
    def of(role: Role) -> Scope:
        return scope_of(Actor(1, "x", role, organisation="a", project="p", centre="c"))

    assert Scope() == of(Role.COORDINATOR)
    assert Scope(organisation="a", project="p") == of(Role.TENANT_MEMBER)
    assert Scope(organisation="a") == of(Role.AUDITOR)
    assert Scope(centre="c") == of(Role.CENTRE_OPERATOR) == of(Role.AGENT)


@given(actors(), st.sampled_from(Role), names, names)
def test_nobody_grants_more_than_they_have(actor: Actor, role: Role, organisation: str, project: str) -> None:
    try:
        require_grant(actor, role, organisation=organisation, project=project)
    except ProblemError:
        return
    assert actor.role in (Role.COORDINATOR, Role.TENANT_ADMIN)
    if actor.role is Role.TENANT_ADMIN:
        assert role in (Role.TENANT_ADMIN, Role.TENANT_MEMBER)
        assert organisation == actor.organisation
        assert actor.project in ("", project)


def test_the_server_itself_may_declare_the_province() -> None:
    require(server_itself(), Permission.DECLARE_PROVINCE)
    assert "coordinator:weir#0" == server_itself().label
