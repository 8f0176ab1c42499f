"""What is declared and who may act on it, on each kind of database."""

import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from weir.access import (
    authenticate,
    create_token,
    forget_older,
    invite,
    join,
    list_audit,
    list_tokens,
    recall,
    remember,
    revoke,
    server_itself,
)
from weir.model.change import ChangeKind
from weir.model.problem import ProblemError
from weir.model.province import Province
from weir.model.role import Role
from weir.registry import (
    apply_province,
    centre_entry,
    data_folder,
    diff,
    drop_empty,
    list_centres,
    list_devices,
    list_pools,
    read_province,
    set_draining,
)
from weir.store import Store, Transaction

ME = server_itself()


@pytest.fixture(scope="module")
def anhui() -> Province:
    return read_province((data_folder("provinces") / "anhui.yaml").read_text("utf-8"), "anhui.yaml")


@pytest.fixture
def bits() -> Callable[[int], int]:
    return random.Random(7).getrandbits


def test_a_province_is_declared_listed_and_taken_away(store: Store, anhui: Province) -> None:
    before = store.position()
    assert store.write(lambda tx: apply_province(tx, anhui, ME, 1)).changed
    [change] = store.changes(before, 10)
    assert ChangeKind.PROVINCE is change.kind
    assert [centre.id for centre in sorted(anhui.centres, key=lambda centre: centre.id)] == change.body[
        "centres"
    ]
    assert not store.write(lambda tx: apply_province(tx, anhui, ME, 2)).changed
    pools = {(centre.id, pool.id) for centre in anhui.centres for pool in centre.pools}
    assert pools == {(pool.centre, pool.id) for pool in store.read(list_pools)}
    assert {centre.id for centre in anhui.centres} == {centre.id for centre in store.read(list_centres)}
    assert {pool.device for centre in anhui.centres for pool in centre.pools} <= {
        model.id for model in store.read(list_devices)
    }
    first = anhui.centres[0]
    entry = store.read(lambda connection: centre_entry(connection, first.id, store.incarnation))
    assert {pool.id for pool in first.pools} == {pool.id for pool in entry.pools}
    assert store.write(lambda tx: set_draining(tx, first.id, True, ME, 3))
    assert not store.write(lambda tx: set_draining(tx, first.id, True, ME, 3))
    bare = Province(1, "anhui")
    store.write(lambda tx: apply_province(tx, bare, ME, 4))
    assert () == store.read(list_centres)
    assert () == store.read(list_pools)
    assert () == store.write(lambda tx: drop_empty(tx, 5))
    assert not store.read(lambda connection: diff(connection, bare)).changed
    actions = [entry.action for entry in store.read(list_audit).entries]
    assert ["province.apply", "centre.drain", "province.apply"] == actions


def test_tokens_and_invitations(store: Store, anhui: Province, bits: Callable[[int], int]) -> None:
    store.write(lambda tx: apply_province(tx, anhui, ME, 1))
    centre, tenant = anhui.centres[0].id, anhui.organisations[0].id
    number, secret = store.write(
        lambda tx: create_token(
            tx, name="alice", role=Role.TENANT_MEMBER, organisation=tenant, now_ms=1, random_bits=bits
        )
    )
    found = store.read(lambda connection: authenticate(connection, secret, "10.0.0.7", 2))
    assert found is not None
    assert (number, tenant) == (found.token_id, found.organisation)
    [view] = store.write(lambda tx: invite(tx, [centre], 3, bits))
    joined, _ = store.write(lambda tx: join(tx, view.code, 4, bits))
    assert centre == joined
    store.write(lambda tx: revoke(tx, number, 5))
    assert store.read(lambda connection: authenticate(connection, secret, "", 6)) is None
    assert [5, None] == [token.revoked_ms for token in store.read(list_tokens)]


def test_of_many_who_join_with_one_code_at_once_one_does(
    store: Store, anhui: Province, bits: Callable[[int], int]
) -> None:
    store.write(lambda tx: apply_province(tx, anhui, ME, 1))
    [view] = store.write(lambda tx: invite(tx, [anhui.centres[0].id], 3, bits))
    together = threading.Barrier(8)

    def try_to(number: int) -> bool:
        own = random.Random(number).getrandbits
        together.wait(30)
        try:
            store.write(lambda tx: join(tx, view.code, 4, own))
        except ProblemError:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        assert 1 == sum(threads.map(try_to, range(8)))
    assert 1 == len(store.read(list_tokens))


def test_of_many_equal_creates_at_once_one_is_done_and_all_get_its_answer(store: Store) -> None:
    together = threading.Barrier(8)

    def create(number: int) -> str:
        together.wait(30)

        def work(tx: Transaction) -> str:
            kept = recall(tx.connection, 1, "key", "digest")
            if kept is None:
                remember(tx, 1, "key", "digest", status=201, answer=f"made by {number}", now_ms=1)
                return f"made by {number}"
            return kept.answer

        return store.write(work)

    with ThreadPoolExecutor(8) as threads:
        assert 1 == len(set(threads.map(create, range(8))))
    assert 1 == store.write(lambda tx: forget_older(tx, 2))
