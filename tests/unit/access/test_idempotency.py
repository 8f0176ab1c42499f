"""The same create sent twice gets the same answer."""

import pytest
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from weir.access import KeptAnswer, forget_older, recall, remember
from weir.model.problem import ProblemError
from weir.store import Transaction


def test_the_first_answer_is_given_again(connection: Connection, tx: Transaction) -> None:
    assert recall(connection, 1, "key", "digest") is None
    remember(tx, 1, "key", "digest", status=201, answer='{"id": "x"}', now_ms=5)
    assert KeptAnswer(201, '{"id": "x"}') == recall(connection, 1, "key", "digest")


def test_a_key_belongs_to_its_token(connection: Connection, tx: Transaction) -> None:
    remember(tx, 1, "key", "digest", status=201, answer="{}", now_ms=5)
    assert recall(connection, 2, "key", "digest") is None


def test_a_key_used_for_another_request_is_refused_by_name(connection: Connection, tx: Transaction) -> None:
    remember(tx, 1, "nightly-7", "digest", status=201, answer="{}", now_ms=5)
    with pytest.raises(ProblemError, match="'nightly-7' was used for another request") as caught:
        recall(connection, 1, "nightly-7", "another")
    assert 409 == caught.value.problem.status


def test_the_second_of_two_at_once_is_refused_by_the_database(
    connection: Connection, tx: Transaction
) -> None:
    remember(tx, 1, "key", "digest", status=201, answer="first", now_ms=5)
    with pytest.raises(IntegrityError), connection.begin_nested():
        remember(tx, 1, "key", "digest", status=201, answer="second", now_ms=5)
    assert KeptAnswer(201, "first") == recall(connection, 1, "key", "digest")


@pytest.mark.parametrize("key", ["", "a\nb", "x" * 201])
def test_a_malformed_key_is_refused(connection: Connection, key: str) -> None:
    with pytest.raises(ProblemError, match="Idempotency-Key"):
        recall(connection, 1, key, "digest")


def test_old_answers_are_dropped(connection: Connection, tx: Transaction) -> None:
    for number in range(4):
        remember(tx, 1, f"key-{number}", "digest", status=201, answer="{}", now_ms=number)
    assert 2 == forget_older(tx, 2)
    assert recall(connection, 1, "key-1", "digest") is None
    assert recall(connection, 1, "key-2", "digest") is not None
