"""Declaring a province: what changes is shown, done once, told to everybody, and nothing that runs is lost."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, create_engine, func, insert, select

from tests.unit.registry.conftest import SMALL, end, place
from weir.access import Actor, authenticate, create_token, invite, join, list_audit, server_itself
from weir.model.change import ChangeKind
from weir.model.problem import ProblemError
from weir.model.province import Province
from weir.model.role import Role
from weir.model.state import Desired, Observed
from weir.registry import apply_province, diff, drop_empty, read_province
from weir.registry.rows import load_declared
from weir.store import Transaction
from weir.store import schema as s

CHIEF = Actor(1, "chief", Role.COORDINATOR, address="10.0.0.1")


def changed(old: str, new: str, text: str = SMALL) -> Province:
    assert old in text, old
    return read_province(text.replace(old, new), "small.yaml")


def without_centre(name: str) -> Province:
    small = read_province(SMALL, "small.yaml")
    return replace(small, centres=tuple(c for c in small.centres if c.id != name), links=())


def without_pool(name: str) -> Province:
    small = read_province(SMALL, "small.yaml")
    first = small.centres[0]
    pools = tuple(pool for pool in first.pools if pool.id != name)
    return replace(small, centres=(replace(first, pools=pools), *small.centres[1:]))


def fresh(tx: Transaction) -> Transaction:
    """What the next work would get: the same database, and nothing told yet."""
    return Transaction(tx.connection)


def test_everything_declared_is_kept_and_told(
    connection: Connection, tx: Transaction, small: Province
) -> None:
    shown = diff(connection, small)
    done = apply_province(tx, small, CHIEF, 7_000)
    assert shown == done
    assert {"+"} == {line[0] for line in done.lines()}
    assert "+ pool hefei-ai/toys" in done.lines()
    assert "+ device intel-xeon-platinum-8358" in done.lines()
    declared = load_declared(connection)
    assert {pool.id: pool for pool in small.centres[0].pools} == {
        name: pool for (centre, name), pool in declared.pools.items() if centre == "hefei-ai"
    }
    assert replace(small.centres[0], pools=()) == declared.centres["hefei-ai"]
    assert small.projects == tuple(declared.projects.values())
    [change] = tx.changes
    assert (7_000, "province", '{"centres":["hefei-ai","wuhu-ai"]}') == (
        change.at_ms,
        change.kind,
        change.body,
    )
    assert {"hefei-ai", "wuhu-ai"} == tx.centres
    [entry] = list_audit(connection).entries
    assert ("coordinator:chief#1", "10.0.0.1", "province.apply") == (entry.actor, entry.address, entry.action)
    assert list(done.lines()) == entry.detail["lines"]


def test_declaring_the_same_again_changes_nothing(
    connection: Connection, tx: Transaction, small: Province
) -> None:
    apply_province(tx, small, CHIEF, 1)
    again = fresh(tx)
    done = apply_province(again, small, CHIEF, 2)
    assert not done.changed
    assert ((), [], set()) == (done.lines(), again.changes, again.centres)
    assert 1 == len(list_audit(connection).entries)


@pytest.mark.parametrize(
    ("old", "new", "line", "centres"),
    [
        ("nodes: 4", "nodes: 5", "~ pool hefei-ai/toys: nodes 4 → 5", ("hefei-ai",)),
        ('"2.50"', '"3"', "~ pool hefei-ai/toys: price.device_hour ¥2.50 → ¥3.00", ("hefei-ai",)),
        ("64 GiB,\n", "96 GiB,\n", "~ pool wuhu-ai/toys: memory_per_node 64GiB → 96GiB", ("wuhu-ai",)),
        ("kind: edge", "kind: general", "~ centre wuhu-ai: kind edge → general", ("wuhu-ai",)),
        ("1.7 ms", "2.5 ms", "~ link hefei-ai — wuhu-ai: latency 1.7 ms → 2.5 ms", ("hefei-ai", "wuhu-ai")),
        ("8 GiB, peak", "9 GiB, peak", "~ device toy: memory 8GiB → 9GiB", ("hefei-ai", "wuhu-ai")),
        ("limit: 2h", "limit: 3h", "~ project research: default_time_limit 2h00m → 3h00m", ()),
        ("name: Acme", "name: Acme Ltd", "~ organisation 91340100WEYR00027A: name Acme → Acme Ltd", ()),
        ("name_zh: 合肥", "name_zh: 庐州", "~ city hefei: name_zh 合肥 → 庐州", ()),
        ("name: Small", "name: Little", "~ province small: name Small → Little", ()),
        (
            'isolation: "off"',
            "isolation: auto",
            "~ centre hefei-ai: engine.options.isolation off → auto",
            ("hefei-ai",),
        ),
        (
            "  - {id: wuhu, name: Wuhu}\n",
            "  - {id: wuhu, name: Wuhu}\n  - {id: chizhou, name: Chizhou}\n",
            "+ city chizhou",
            (),
        ),
    ],
)
def test_a_change_is_shown_from_old_to_new_and_touches_its_centres(
    connection: Connection,
    tx: Transaction,
    small: Province,
    old: str,
    new: str,
    line: str,
    centres: tuple[str, ...],
) -> None:
    apply_province(tx, small, CHIEF, 1)
    next_tx = fresh(tx)
    done = apply_province(next_tx, changed(old, new), CHIEF, 2)
    assert (line,) == done.lines()
    assert centres == done.centres
    assert set(centres) == next_tx.centres
    assert [ChangeKind.PROVINCE.value] == [change.kind for change in next_tx.changes]
    assert not diff(connection, changed(old, new)).changed


def test_what_control_and_agents_wrote_stays(
    connection: Connection, tx: Transaction, small: Province
) -> None:
    apply_province(tx, small, CHIEF, 1)
    connection.execute(s.pool.update().values(observed="{}"))
    connection.execute(s.centre.update().values(draining=True, agent_incarnation=3, reachable=True))
    apply_province(
        fresh(tx), changed("kind: edge", "kind: general", SMALL.replace("nodes: 4", "nodes: 5")), CHIEF, 2
    )
    rows = connection.execute(
        select(s.centre.c.draining, s.centre.c.agent_incarnation, s.centre.c.reachable)
    ).all()
    assert [(True, 3, True)] * 2 == [tuple(row) for row in rows]
    assert {"{}"} == set(connection.scalars(select(s.pool.c.observed)))


def test_an_empty_centre_that_is_left_out_goes_with_its_codes_and_tokens(
    connection: Connection, tx: Transaction, small: Province
) -> None:
    apply_province(tx, small, CHIEF, 1)
    bits = iter(range(1, 100))
    code = invite(tx, ["wuhu-ai"], 1, lambda _: next(bits))[0].code
    secret = join(tx, code, 2, lambda _: next(bits))[1]
    invite(tx, ["wuhu-ai"], 1, lambda _: next(bits))
    next_tx = fresh(tx)
    done = apply_province(next_tx, without_centre("wuhu-ai"), CHIEF, 3)
    assert ("- centre wuhu-ai", "- pool wuhu-ai/toys", "- link hefei-ai — wuhu-ai") == done.lines()
    assert {"hefei-ai", "wuhu-ai"} == next_tx.centres
    assert ["hefei-ai"] == list(connection.scalars(select(s.centre.c.id)))
    assert [] == connection.execute(select(s.invite)).all()
    assert authenticate(connection, secret, "", 4) is None


def test_a_pool_that_runs_something_drains_and_goes_when_it_is_empty(
    connection: Connection, tx: Transaction, small: Province
) -> None:
    apply_province(tx, small, CHIEF, 1)
    place(connection, "hefei-ai", "cpus")
    done = apply_province(fresh(tx), without_pool("cpus"), CHIEF, 2)
    assert ("drain pool hefei-ai/cpus (1 attempt there; it goes when it is empty)",) == done.lines()
    assert frozenset({("hefei-ai", "cpus")}) == load_declared(connection).removed_pools
    assert not diff(connection, without_pool("cpus")).changed
    assert () == drop_empty(fresh(tx), 3)
    end(connection)
    last = fresh(tx)
    assert ("hefei-ai/cpus",) == drop_empty(last, 4)
    assert ("hefei-ai", "cpus") not in load_declared(connection).pools
    assert ['{"centres":["hefei-ai"]}'] == [change.body for change in last.changes]
    assert {"hefei-ai"} == last.centres
    assert () == drop_empty(fresh(tx), 5)


def test_a_centre_that_runs_something_drains_and_its_empty_pools_go_at_once(
    connection: Connection, tx: Transaction, small: Province
) -> None:
    apply_province(tx, small, CHIEF, 1)
    place(connection, "hefei-ai", "cpus")
    done = apply_province(fresh(tx), without_centre("hefei-ai"), CHIEF, 2)
    assert "drain centre hefei-ai (something runs there; it goes when it is empty)" in done.lines()
    assert "- pool hefei-ai/toys" in done.lines()
    declared = load_declared(connection)
    assert frozenset({"hefei-ai"}) == declared.removed_centres
    assert {("hefei-ai", "cpus"), ("wuhu-ai", "toys")} == set(declared.pools)
    assert "intel-xeon-platinum-8358" in declared.devices
    end(connection)
    assert ("hefei-ai/cpus", "hefei-ai") == drop_empty(fresh(tx), 3)
    assert {"wuhu-ai"} == set(load_declared(connection).centres)


def test_a_draining_pool_that_is_declared_again_returns(
    connection: Connection, tx: Transaction, small: Province
) -> None:
    apply_province(tx, small, CHIEF, 1)
    place(connection, "hefei-ai", "cpus")
    apply_province(fresh(tx), without_centre("hefei-ai"), CHIEF, 2)
    done = apply_province(fresh(tx), changed("nodes: 2", "nodes: 3"), CHIEF, 3)
    assert "return centre hefei-ai" in done.lines()
    assert "return pool hefei-ai/cpus: nodes 2 → 3" in done.lines()
    declared = load_declared(connection)
    assert (frozenset(), frozenset()) == (declared.removed_centres, declared.removed_pools)


@pytest.mark.parametrize(
    ("observed", "desired"), [(Observed.ENDED, Desired.RUN), (Observed.RUNNING, Desired.ABANDONED)]
)
def test_what_has_ended_or_was_given_up_holds_no_pool(
    connection: Connection, tx: Transaction, small: Province, observed: Observed, desired: Desired
) -> None:
    apply_province(tx, small, CHIEF, 1)
    place(connection, "hefei-ai", "cpus", observed=observed, desired=desired)
    done = apply_province(fresh(tx), without_pool("cpus"), CHIEF, 2)
    assert ("- device intel-xeon-platinum-8358", "- pool hefei-ai/cpus") == done.lines()


def test_an_organisation_with_a_history_is_kept_and_one_without_goes(
    connection: Connection, tx: Transaction, small: Province
) -> None:
    apply_province(tx, small, CHIEF, 1)
    place(connection, "hefei-ai", "cpus", observed=Observed.ENDED)
    bare = replace(
        small, organisations=(), projects=(), centres=tuple(replace(c, operator="") for c in small.centres)
    )
    done = apply_province(fresh(tx), bare, CHIEF, 2)
    note = "(not in the file; submissions or tokens belong to it)"
    assert f"keep organisation 91340100WEYR00027A {note}" in done.lines()
    assert f"keep project research {note}" in done.lines()
    assert "- organisation 91340200WEYR00035A" in done.lines()
    declared = load_declared(connection)
    assert ["91340100WEYR00027A"] == list(declared.organisations)
    assert ["research"] == list(declared.projects)
    again = fresh(tx)
    assert not apply_province(again, bare, CHIEF, 3).changed
    assert [] == again.changes


def test_an_organisation_whose_token_lives_is_kept(
    connection: Connection, tx: Transaction, small: Province
) -> None:
    apply_province(tx, small, CHIEF, 1)
    create_token(
        tx,
        name="bob",
        role=Role.TENANT_MEMBER,
        organisation="91340200WEYR00035A",
        now_ms=1,
        random_bits=lambda bits: 1,
    )
    alone = replace(small, organisations=small.organisations[:1])
    assert ["keep"] == [entry.action.value for entry in diff(connection, alone).entries]


def test_a_difference_that_was_overtaken_is_not_applied(
    connection: Connection, tx: Transaction, small: Province
) -> None:
    apply_province(tx, small, CHIEF, 1)
    shown = diff(connection, changed("nodes: 4", "nodes: 5"))
    apply_province(fresh(tx), changed("nodes: 4", "nodes: 6"), CHIEF, 2)
    last = fresh(tx)
    with pytest.raises(ProblemError, match="has been changed since") as caught:
        apply_province(last, changed("nodes: 4", "nodes: 5"), CHIEF, 3, expected_digest=shown.digest)
    assert 409 == caught.value.problem.status
    assert [] == last.changes
    assert 6 == load_declared(connection).pools["hefei-ai", "toys"].nodes
    now = diff(connection, changed("nodes: 4", "nodes: 5"))
    assert apply_province(
        fresh(tx), changed("nodes: 4", "nodes: 5"), CHIEF, 4, expected_digest=now.digest
    ).changed


def test_a_removed_project_of_nobody_goes_before_its_organisation(
    connection: Connection, tx: Transaction, small: Province
) -> None:
    apply_province(tx, small, CHIEF, 1)
    bare = replace(
        small, organisations=(), projects=(), centres=tuple(replace(c, operator="") for c in small.centres)
    )
    apply_province(fresh(tx), bare, CHIEF, 2)
    assert 0 == connection.execute(select(func.count()).select_from(s.organisation)).scalar_one()


pieces = st.fixed_dictionaries(
    {
        "nodes": st.integers(1, 4),
        "cpus": st.booleans(),
        "wuhu": st.booleans(),
        "price": st.sampled_from(["1", "2.50"]),
        "name": st.sampled_from(["Acme", "Acme Ltd"]),
        "city": st.booleans(),
    }
)


def assembled(piece: dict[str, Any]) -> Province:
    text = SMALL.replace("nodes: 4", f"nodes: {piece['nodes']}").replace('"2.50"', f'"{piece["price"]}"')
    text = text.replace("name: Acme", f"name: {piece['name']}")
    if piece["city"]:
        text = text.replace("organisations:\n", "  - {id: chizhou, name: Chizhou}\norganisations:\n")
    province = read_province(text, "x")
    first, second = province.centres
    if not piece["cpus"]:
        first = replace(first, pools=first.pools[:1])
    if not piece["wuhu"]:
        return replace(province, centres=(first,), links=())
    return replace(province, centres=(first, second))


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(pieces, st.booleans()), min_size=1, max_size=5))
def test_any_run_of_declarations_ends_at_what_the_last_one_declares(
    steps: list[tuple[dict[str, Any], bool]],
) -> None:
    engine = create_engine("sqlite://")
    s.metadata.create_all(engine)
    with engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA foreign_keys = ON")
        connection.execute(insert(s.specification).values(digest="other", body="{}"))
        busy = 0
        for number, (piece, runs) in enumerate(steps, 1):
            province = assembled(piece)
            shown = diff(connection, province)
            assert shown == apply_province(Transaction(connection), province, server_itself(), number)
            assert not diff(connection, province).changed
            if runs and not busy:
                place(connection, "hefei-ai", "toys")
                busy = 1
        if busy:
            end(connection)
        drop_empty(Transaction(connection), 99)
        last = assembled(steps[-1][0])
        apply_province(Transaction(connection), last, server_itself(), 100)
        declared = load_declared(connection)
        pools = {(centre.id, pool.id): pool for centre in last.centres for pool in centre.pools}
        assert pools == declared.pools
        assert {centre.id for centre in last.centres} == set(declared.centres)
        assert (frozenset(), frozenset()) == (declared.removed_centres, declared.removed_pools)
        assert {city.id: city for city in last.cities} == declared.cities
    engine.dispose()
