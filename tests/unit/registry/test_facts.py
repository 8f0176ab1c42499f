"""Facts about organisations: stated from a table row by row, dated, and never lost when they are corrected."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection, func, select

from weir.access import Actor, list_audit
from weir.model.fact import Fact
from weir.model.problem import ProblemError
from weir.model.role import Role
from weir.registry import (
    all_facts,
    fact_catalogue,
    facts_of,
    facts_view,
    import_facts,
    preview_facts,
    read_fact_file,
)
from weir.registry.fact_catalogue import fact_fault, read_facts
from weir.store import Transaction
from weir.store import schema as s

ACME, OTHER = "91340100WEYR00027A", "91340200WEYR00035A"
CHIEF = Actor(1, "chief", Role.COORDINATOR, address="10.0.0.1")
HEADER = "organisation,fact,value,valid_from,valid_through,evidence\n"
GOOD = (
    HEADER
    + f"{ACME},kind,company,2019-05-01,,licence\n"
    + f"{ACME},size,small,2024-01-01,2024-12-31,return of 2023\n"
    + f"{OTHER},designation.specialised-new,yes,2023-07-01,2026-06-30,list 17\n"
)


def outcomes(tx: Transaction, text: str, now_ms: int = 1_000) -> list[str]:
    rows = import_facts(tx, read_fact_file(text, "facts.csv"), CHIEF, now_ms).rows
    return [row.outcome for row in rows]


def test_a_dry_run_reports_every_row_and_writes_nothing(connection: Connection) -> None:
    text = GOOD + f"{ACME},colour,red,2024-01-01,,\n" + f"{ACME},founded,2019-02-30,2019-05-01,,\n"
    report = preview_facts(connection, read_fact_file(text, "facts.csv"))
    assert [(2, "added"), (3, "added"), (4, "added"), (5, "refused"), (6, "refused")] == [
        (row.line, row.outcome) for row in report.rows
    ]
    assert "there is no fact 'colour'" in report.rows[3].why
    assert "founded is a day such as 2025-09-24" == report.rows[4].why
    assert not report.applied
    assert 0 == connection.execute(select(func.count()).select_from(s.organisation_fact)).scalar_one()


def test_imported_facts_are_held_with_their_dates_evidence_and_author(
    connection: Connection, tx: Transaction
) -> None:
    assert ["added"] * 3 == outcomes(tx, GOOD)
    assert (
        Fact("kind", "company", date(2019, 5, 1), None, "licence"),
        Fact("size", "small", date(2024, 1, 1), date(2024, 12, 31), "return of 2023"),
    ) == facts_of(connection, ACME)
    [view] = facts_view(connection, OTHER).facts
    assert ("2026-06-30", "list 17", 1_000, CHIEF.label) == (
        view.valid_through,
        view.evidence,
        view.recorded_ms,
        view.recorded_by,
    )
    assert [ACME, OTHER] == [organisation for organisation, _ in all_facts(connection)]
    [entry] = list_audit(connection).entries
    assert ("facts.import", 3) == (entry.action, entry.detail["stated"])


def test_importing_again_changes_nothing(connection: Connection, tx: Transaction) -> None:
    outcomes(tx, GOOD)
    assert ["unchanged"] * 3 == outcomes(tx, GOOD, 2_000)
    assert 1 == len(list_audit(connection).entries)


def test_one_bad_row_refuses_the_whole_file(connection: Connection, tx: Transaction) -> None:
    text = GOOD + f"{ACME[:-1]}0,kind,company,2019-05-01,,\n"
    with pytest.raises(ProblemError, match="line 5: the check character is '0'") as caught:
        outcomes(tx, text)
    assert "line 5" == caught.value.problem.fields[0].field
    assert () == facts_of(connection, ACME)


def test_a_correction_withdraws_the_old_row_and_the_past_can_still_be_read(
    connection: Connection, tx: Transaction
) -> None:
    outcomes(tx, GOOD, 1_000)
    changed = HEADER + f"{ACME},size,medium,2024-01-01,2024-12-31,return of 2023\n"
    [row] = import_facts(tx, read_fact_file(changed, "facts.csv"), CHIEF, 5_000).rows
    assert ("corrected", "value small → medium") == (row.outcome, row.why)

    def sizes(known_ms: int | None) -> list[str]:
        return [fact.value for fact in facts_of(connection, ACME, known_ms=known_ms) if fact.name == "size"]

    assert ["medium"] == sizes(None)
    assert ["small"] == sizes(4_999)
    assert ["medium"] == sizes(5_000)
    assert [] == sizes(999)


def test_a_fact_is_withdrawn_by_its_value_and_day(connection: Connection, tx: Transaction) -> None:
    outcomes(tx, GOOD)
    header = "organisation,fact,value,valid_from,action\n"
    wrong = header + f"{ACME},kind,university,2019-05-01,withdraw\n"
    with pytest.raises(ProblemError, match="no such fact is held"):
        outcomes(tx, wrong)
    assert ["withdrawn"] == outcomes(tx, header + f"{ACME},kind,company,2019-05-01,withdraw\n")
    assert ["size"] == [fact.name for fact in facts_of(connection, ACME)]


def test_a_body_may_be_affiliated_with_many(connection: Connection, tx: Transaction) -> None:
    text = HEADER + f"{ACME},affiliated-with,{OTHER},2024-01-01,,\n"
    text += f"{ACME},affiliated-with,12340100WEYR00078P,2024-01-01,,\n"
    assert ["added", "added"] == outcomes(tx, text)
    assert 2 == len(facts_of(connection, ACME))


def test_two_rows_about_the_same_day_are_refused(tx: Transaction) -> None:
    text = HEADER + f"{ACME},size,small,2024-01-01,,\n" + f"{ACME},size,large,2024-01-01,,\n"
    with pytest.raises(ProblemError, match="line 3: line 2 is about the same"):
        outcomes(tx, text)


@pytest.mark.parametrize(
    ("row", "why"),
    [
        (f"{ACME},kind,firm,2024-01-01,,", "kind is one of company"),
        (f"{ACME},designation.little-gaint,yes,2024-01-01,,", "did you mean designation.little-giant?"),
        (f"{ACME},designation.ai,true,2024-01-01,,", "designation.ai is yes or no"),
        (f"{ACME},region,Hefei,2024-01-01,,", "six digits"),
        (f"{ACME},industry,6510,2024-01-01,,", "a letter from A to T"),
        (f"{ACME},controller,1234,2024-01-01,,", "18 characters"),
        (f"{ACME},kind,company,01/02/2024,,", "valid_from '01/02/2024' is no day"),
        (f"{ACME},kind,company,2024-01-02,2024-01-01,", "is before valid_from"),
        (f"{ACME},kind,company,2024-01-01,2023-02-29,", "is no day"),
        (f"{ACME},kind,company,2024-01-01", "it has 4 cells, the header has 6"),
        (f"{ACME},kind,company,2024-01-01,,{'x' * 501}", "evidence has more than 500"),
    ],
)
def test_a_bad_row_says_what_is_accepted(row: str, why: str) -> None:
    file = read_fact_file(HEADER + row + "\n", "facts.csv")
    assert () == file.stated
    assert why in file.refused[0].why


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "first line names the columns"),
        ("organisation,fact,value\n", "first line names the columns"),
        ("organisation,fact,value,valid_from,colour\n", "first line names the columns"),
        (HEADER + f'{ACME},"kind,company\n', "is no CSV"),
    ],
)
def test_what_is_no_such_table_is_refused(text: str, why: str) -> None:
    with pytest.raises(ProblemError, match=why):
        read_fact_file(text, "facts.csv")


def test_a_byte_order_mark_and_blank_lines_are_passed_over() -> None:
    file = read_fact_file("\ufeff" + HEADER + "\n,,,,,\n" + f"{ACME},kind,company,2019-05-01,,\n", "f.csv")
    assert [4] == [one.line for one in file.stated]


def test_a_fact_holds_from_its_first_day_through_its_last() -> None:
    leap = Fact("size", "small", date(2024, 2, 29), date(2024, 12, 31))
    days = [date(2024, 2, 28), date(2024, 2, 29), date(2024, 12, 31), date(2025, 1, 1)]
    assert [False, True, True, False] == [leap.holds_on(day) for day in days]


def test_the_catalogue_is_in_order_and_names_what_schemes_need() -> None:
    needed = {"kind", "size", "region", "industry", "controller", "designation.specialised-new"}
    assert needed <= set(fact_catalogue())
    assert all(kind.name and kind.name_zh for kind in fact_catalogue().values())
    twice = "{id: a, name: A, name_zh: 甲, form: day}"
    with pytest.raises(ProblemError, match="this id is taken"):
        read_facts(f"version: 1\nfacts: [{twice}, {twice}]", "facts.yaml")
    with pytest.raises(ProblemError, match="a choice has values"):
        read_facts("version: 1\nfacts: [{id: a, name: A, name_zh: 甲, form: choice}]", "facts.yaml")
    with pytest.raises(ProblemError, match="version: 1"):
        read_facts("facts: []", "facts.yaml")


@given(st.sampled_from(sorted(fact_catalogue())), st.text(max_size=20))
def test_no_text_makes_the_check_of_a_value_fail(name: str, value: str) -> None:
    assert isinstance(fact_fault(name, value, fact_catalogue()), str)
