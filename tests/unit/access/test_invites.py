"""Invitations: one-time, expiring, one agent for a centre."""

from collections.abc import Callable

import pytest
from sqlalchemy import Connection, select, update

from weir.access import authenticate, invite, join
from weir.model.problem import ProblemError
from weir.model.role import Role
from weir.store import Transaction
from weir.store import schema as s

Bits = Callable[[int], int]
HOUR = 3_600_000


def test_a_code_is_exchanged_for_a_token_of_its_centre_alone(
    connection: Connection, tx: Transaction, random_bits: Bits
) -> None:
    hefei, wuhu = invite(tx, ["hefei", "wuhu"], 0, random_bits)
    assert ("hefei", "wuhu") == (hefei.centre, wuhu.centre)
    centre, secret = join(tx, wuhu.code, 1, random_bits)
    actor = authenticate(connection, secret, "", 2)
    assert actor is not None
    assert ("wuhu", Role.AGENT, "wuhu", "") == (centre, actor.role, actor.centre, actor.organisation)


def test_a_code_is_not_kept_in_clear(connection: Connection, tx: Transaction, random_bits: Bits) -> None:
    [view] = invite(tx, ["hefei"], 0, random_bits)
    assert view.code not in str(connection.execute(select(s.invite)).all())


def test_how_a_code_is_typed_does_not_matter(tx: Transaction, random_bits: Bits) -> None:
    [view] = invite(tx, ["hefei"], 0, random_bits)
    typed = f"  {view.code.upper().replace('-', ' ')}\n"
    assert "hefei" == join(tx, typed, 1, random_bits)[0]


def test_a_code_works_once(connection: Connection, tx: Transaction, random_bits: Bits) -> None:
    [view] = invite(tx, ["hefei"], 0, random_bits)
    join(tx, view.code, 1, random_bits)
    before = connection.execute(select(s.token)).all()
    with pytest.raises(ProblemError, match="has been used; ask for a new one"):
        join(tx, view.code, 2, random_bits)
    assert before == connection.execute(select(s.token)).all()


def test_a_code_expires(tx: Transaction, random_bits: Bits) -> None:
    [view] = invite(tx, ["hefei"], 0, random_bits, HOUR)
    assert HOUR == view.expires_ms
    with pytest.raises(ProblemError, match="has expired; ask for a new one"):
        join(tx, view.code, HOUR, random_bits)


@pytest.mark.parametrize("code", ["", "abcde-fghjk-mnpqr-stvwx-yz012", "汉字", "x" * 100_000])
def test_an_unknown_code_is_refused(tx: Transaction, random_bits: Bits, code: str) -> None:
    invite(tx, ["hefei"], 0, random_bits)
    with pytest.raises(ProblemError, match="is not known") as caught:
        join(tx, code, 1, random_bits)
    assert 403 == caught.value.problem.status


def test_joining_again_ends_the_token_of_the_agent_before(
    connection: Connection, tx: Transaction, random_bits: Bits
) -> None:
    first, second, other = (invite(tx, [c], 0, random_bits)[0].code for c in ("hefei", "hefei", "wuhu"))
    old, untouched = join(tx, first, 1, random_bits)[1], join(tx, other, 1, random_bits)[1]
    counters = {"agent_incarnation": 7, "report_number": 40, "synchronised_with": "abc"}
    connection.execute(update(s.centre).values(counters))
    new = join(tx, second, 2, random_bits)[1]
    assert authenticate(connection, old, "", 3) is None
    assert authenticate(connection, new, "", 3) is not None
    assert authenticate(connection, untouched, "", 3) is not None
    columns = (s.centre.c.agent_incarnation, s.centre.c.report_number, s.centre.c.synchronised_with)
    rows = connection.execute(select(*columns).order_by(s.centre.c.id)).all()
    assert [(0, 0, ""), (7, 40, "abc")] == [tuple(row) for row in rows]


@pytest.mark.parametrize(
    ("centres", "life_ms"),
    [
        (["hefei", "nowhere"], HOUR),
        (["hefei", "hefei"], HOUR),
        ([], HOUR),
        (["hefei"], 0),
        (["hefei"], 10**12),
    ],
)
def test_a_wrong_request_makes_no_code(
    connection: Connection, tx: Transaction, random_bits: Bits, centres: list[str], life_ms: int
) -> None:
    with pytest.raises(ProblemError):
        invite(tx, centres, 0, random_bits, life_ms)
    assert [] == connection.execute(select(s.invite)).all()
