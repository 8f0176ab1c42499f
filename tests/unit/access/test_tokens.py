"""Tokens: made, recognised, ended."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Connection, insert, select

from tests.unit.access.conftest import ACME, OTHER
from weir.access import Actor, TokenCache, authenticate, create_token, list_tokens, revoke
from weir.access.tokens import SECRET_LENGTH, get_token
from weir.model.problem import ProblemError
from weir.model.role import Role
from weir.store import Transaction
from weir.store import schema as s

Bits = Callable[[int], int]


@pytest.fixture
def make(tx: Transaction, random_bits: Bits) -> Callable[..., tuple[int, str]]:
    def make(role: Role = Role.TENANT_MEMBER, **scope: Any) -> tuple[int, str]:
        values: dict[str, Any] = {"organisation": ACME} if role is Role.TENANT_MEMBER else {}
        return create_token(
            tx,
            **{"name": "alice", "role": role, "now_ms": 1_000, "random_bits": random_bits, **values, **scope},
        )

    return make


def test_a_token_is_recognised_with_its_role_scope_and_address(
    connection: Connection, make: Callable[..., tuple[int, str]]
) -> None:
    number, secret = make(project="research")
    expected = Actor(number, "alice", Role.TENANT_MEMBER, ACME, "research", "", "10.0.0.7")
    assert expected == authenticate(connection, secret, "10.0.0.7", 2_000)


def test_the_secret_is_kept_nowhere(connection: Connection, make: Callable[..., tuple[int, str]]) -> None:
    _, secret = make()
    assert secret.startswith("weir_")
    assert SECRET_LENGTH == len(secret)
    assert secret not in str(connection.execute(select(s.token)).all())


def test_two_tokens_have_two_secrets(make: Callable[..., tuple[int, str]]) -> None:
    assert make() != make()


@pytest.mark.parametrize("guess", ["", "weir_", "weir_" + "a" * 52, "Bearer x", "weir_\udcff", "汉" * 5_000])
def test_a_wrong_secret_stands_for_nobody(
    connection: Connection, make: Callable[..., tuple[int, str]], guess: str
) -> None:
    make()
    assert authenticate(connection, guess, "", 2_000) is None


def test_an_expired_token_stands_for_nobody(
    connection: Connection, make: Callable[..., tuple[int, str]]
) -> None:
    _, secret = make(expires_ms=5_000)
    assert authenticate(connection, secret, "", 4_999) is not None
    assert authenticate(connection, secret, "", 5_000) is None


def test_a_revoked_token_stands_for_nobody(
    connection: Connection, tx: Transaction, make: Callable[..., tuple[int, str]]
) -> None:
    number, secret = make()
    revoke(tx, number, 3_000)
    revoke(tx, number, 4_000)
    assert authenticate(connection, secret, "", 4_000) is None
    assert 3_000 == get_token(connection, number).revoked_ms


def test_revoking_an_unknown_token_is_refused(tx: Transaction) -> None:
    with pytest.raises(ProblemError, match="no token '7'"):
        revoke(tx, 7, 1_000)


def test_tokens_are_listed_by_organisation(
    connection: Connection, make: Callable[..., tuple[int, str]]
) -> None:
    mine, _ = make()
    theirs, _ = make(organisation=OTHER)
    chief, _ = make(role=Role.COORDINATOR)
    assert [mine, theirs, chief] == [view.id for view in list_tokens(connection)]
    assert [mine] == [view.id for view in list_tokens(connection, organisation=ACME)]


@pytest.mark.parametrize(
    ("role", "scope", "field"),
    [
        (Role.TENANT_MEMBER, {"organisation": ""}, "organisation"),
        (Role.TENANT_MEMBER, {"centre": "hefei"}, "centre"),
        (Role.TENANT_MEMBER, {"name": " "}, "name"),
        (Role.TENANT_MEMBER, {"name": "a\nb"}, "name"),
        (Role.TENANT_MEMBER, {"expires_ms": 1_000}, "expires_ms"),
        (Role.AGENT, {}, "centre"),
        (Role.AGENT, {"centre": "hefei", "organisation": ACME}, "centre"),
        (Role.CENTRE_OPERATOR, {}, "centre"),
        (Role.COORDINATOR, {"project": "research"}, "organisation"),
        (Role.AUDITOR, {"organisation": ACME, "project": "research"}, "project"),
    ],
)
def test_a_scope_that_does_not_fit_the_role_is_refused(
    connection: Connection,
    make: Callable[..., tuple[int, str]],
    role: Role,
    scope: dict[str, Any],
    field: str,
) -> None:
    with pytest.raises(ProblemError) as caught:
        make(role, **scope)
    assert [field] == [problem.field for problem in caught.value.problem.fields]
    assert [] == connection.execute(select(s.token)).all()


@pytest.mark.parametrize(
    ("role", "scope"),
    [
        (Role.TENANT_MEMBER, {"organisation": "91110000802100433B"}),
        (Role.TENANT_MEMBER, {"project": "theirs"}),
        (Role.TENANT_MEMBER, {"project": "nowhere"}),
        (Role.AGENT, {"centre": "nowhere"}),
    ],
)
def test_a_scope_that_does_not_exist_is_refused(
    make: Callable[..., tuple[int, str]], role: Role, scope: dict[str, Any]
) -> None:
    with pytest.raises(ProblemError) as caught:
        make(role, **scope)
    assert 404 == caught.value.problem.status


def test_a_centre_that_is_going_gets_no_new_token(
    connection: Connection, make: Callable[..., tuple[int, str]]
) -> None:
    connection.execute(insert(s.centre).values(id="gone", body="{}", removed=True))
    with pytest.raises(ProblemError, match="no centre 'gone'"):
        make(Role.AGENT, centre="gone")


class Lookups:
    """A store that says who it is, and counts how often it is asked."""

    def __init__(self, actor: Actor | None) -> None:
        self.actor = actor
        self.count = 0

    def __call__(self) -> Actor | None:
        self.count += 1
        return self.actor


ALICE = Actor(1, "alice", Role.TENANT_MEMBER, ACME, address="first")


def test_the_cache_asks_once_within_its_life_and_keeps_each_requests_address() -> None:
    cache, store = TokenCache(life_ms=1_000), Lookups(ALICE)
    found = [
        cache.authenticate(store, "weir_x", address, now) for address, now in (("first", 0), ("second", 999))
    ]
    assert ["first", "second"] == [actor.address for actor in found if actor]
    assert 1 == store.count
    cache.authenticate(store, "weir_x", "third", 1_000)
    assert 2 == store.count


def test_the_cache_forgets_at_once_what_was_revoked() -> None:
    cache, store = TokenCache(), Lookups(ALICE)
    cache.authenticate(store, "weir_x", "", 0)
    store.actor = None
    cache.drop()
    assert cache.authenticate(store, "weir_x", "", 1) is None


def test_the_cache_does_not_keep_an_answer_that_a_revocation_overtook() -> None:
    cache = TokenCache()

    def slow() -> Actor:
        cache.drop()  # the token is revoked while the store's older answer is on its way
        return ALICE

    cache.authenticate(slow, "weir_x", "", 0)
    later = Lookups(None)
    assert cache.authenticate(later, "weir_x", "", 1) is None
    assert 1 == later.count


def test_the_cache_remembers_no_refusal_and_stays_small() -> None:
    cache, store = TokenCache(most=3), Lookups(None)
    assert cache.authenticate(store, "weir_x", "", 0) is None
    store.actor = ALICE
    for number in range(10):
        assert ALICE == cache.authenticate(store, f"weir_{number}", "first", 0)
    assert len(cache._known) <= 3


def test_an_unknown_token_is_not_found(connection: Connection) -> None:
    with pytest.raises(ProblemError, match="no token '7'"):
        get_token(connection, 7)
