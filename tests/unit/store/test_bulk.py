"""Many rows at once are the same rows as one by one."""

import random

from sqlalchemy import Connection, insert, select

from weir.store import memory_image, memory_store, schema
from weir.store.bulk import FEW, plain_rows, run_many

_BOOKS = select(schema.ledger_book.c.id, schema.ledger_book.c.length).order_by(schema.ledger_book.c.id)


def test_rows_are_whole_after_the_connection_was_told_to_read_in_portions() -> None:
    rows = [(f"book-{number:02}", number, "") for number in range(2 * FEW)]
    with memory_store(memory_image(random.Random(1).getrandbits)) as store:
        store.write(
            lambda tx: run_many(tx.connection, insert(schema.ledger_book), ("id", "length", "hash"), rows)
        )

        def found(connection: Connection) -> list[tuple[str, int]]:
            told = connection.execution_options(yield_per=3)
            return [(name, length) for name, length in plain_rows(told, _BOOKS, {})]

        assert [row[:2] for row in rows] == store.read(found)
