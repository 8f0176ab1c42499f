"""Stores in memory begin as their image and go their own ways."""

import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from sqlalchemy import Connection, insert, select

from weir.model.change import ChangeKind
from weir.store import (
    MemoryImage,
    Store,
    StoreError,
    Transaction,
    image_of,
    memory_image,
    memory_store,
    open_store,
    schema,
)

Clone = Callable[..., Store]


@pytest.fixture
def clone() -> Iterator[Clone]:
    """As `memory_store`; what it made is closed at the end."""
    with ExitStack() as opened:
        yield lambda image, **options: opened.enter_context(memory_store(image, **options))


@pytest.fixture(scope="module")
def image() -> MemoryImage:
    return memory_image(random.Random(1).getrandbits)


def names(connection: Connection) -> set[str]:
    return set(connection.execute(select(schema.lease.c.name)).scalars())


def add(tx: Transaction) -> None:
    tx.connection.execute(insert(schema.lease).values(name="a", holder="", term=1, expires_ms=0))
    tx.append(ChangeKind.PROVINCE, {"centres": []}, at_ms=0)


def test_clones_do_not_meet(image: MemoryImage, clone: Clone) -> None:
    one, two = clone(image), clone(image)
    one.write(add)
    assert one.read(names) == {"a"}
    assert one.position() == 1
    assert two.read(names) == set()
    assert two.position() == 0
    assert one.incarnation == two.incarnation


def test_an_image_holds_all_that_was_committed(image: MemoryImage, clone: Clone) -> None:
    with clone(image) as store:
        store.write(add)
        later = image_of(store)
    again = clone(later)
    assert again.read(names) == {"a"}
    assert again.position() == 1
    again.write(lambda tx: tx.append(ChangeKind.PROVINCE, {"centres": []}, at_ms=0))
    assert [change.position for change in again.changes(0, 10)] == [1, 2]


def test_the_same_random_bits_make_the_same_image(image: MemoryImage) -> None:
    assert image == memory_image(random.Random(1).getrandbits)
    assert image != memory_image(random.Random(2).getrandbits)


def test_a_restored_clone_is_another_store_with_the_same_content(image: MemoryImage, clone: Clone) -> None:
    with clone(image) as store:
        store.write(add)
        later = image_of(store)
    restored = clone(later, restored_with=random.Random(3).getrandbits)
    assert restored.incarnation != clone(later).incarnation
    assert restored.read(names) == {"a"}
    assert restored.incarnation == clone(image_of(restored)).incarnation


def test_foreign_keys_are_held(image: MemoryImage, clone: Clone) -> None:
    with pytest.raises(Exception, match="FOREIGN KEY"):
        clone(image).write(
            lambda tx: tx.connection.execute(insert(schema.pool).values(centre="nowhere", id="p", body="{}"))
        )


def test_a_failed_write_leaves_nothing(image: MemoryImage, clone: Clone) -> None:
    store = clone(image)

    def work(tx: Transaction) -> None:
        add(tx)
        raise LookupError

    with pytest.raises(LookupError):
        store.write(work)
    assert store.read(names) == set()
    assert store.changes(0, 10) == []
    store.write(add)
    assert store.position() == 1


def test_a_work_that_calls_its_own_store_is_told_so(image: MemoryImage, clone: Clone) -> None:
    store = clone(image)
    with pytest.raises(StoreError, match="must not call the store"):
        store.write(lambda tx: store.read(names))
    with pytest.raises(StoreError, match="must not call the store"):
        store.read(lambda connection: store.write(add))
    with pytest.raises(StoreError, match="must not call the store"):
        store.read(lambda connection: image_of(store))
    store.write(add)
    assert store.read(names) == {"a"}


def test_an_address_without_a_file_is_a_store_in_memory() -> None:
    with open_store("sqlite://") as store:
        store.write(add)
        assert store.read(names) == {"a"}
