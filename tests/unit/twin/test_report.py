"""The report: whole, in one file, of the right figures; and its Gantt chart never draws two jobs on one processor."""

import re
from collections.abc import Sequence
from functools import cache
from html.parser import HTMLParser
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.twin.made import first_come, outcome, pool, random_work, workload
from weir.model.problem import ProblemError
from weir.scheduling.inputs import JobClass
from weir.twin.report import report_html
from weir.twin.report.window import busiest_window, lanes, rows_within, telling_pools
from weir.twin.results import Results, results_of

VOID = {"meta", "br", "hr", "img", "link", "input"}


class Page(HTMLParser):
    """Checks nesting, and keeps headings, ids, references and addresses."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.headings: list[str] = []
        self.ids: list[str] = []
        self.references: set[str] = set()
        self.addresses: set[str] = set()
        self.feed(text)
        self.close()
        assert [] == self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        self._look(attrs)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._look(attrs)

    def handle_endtag(self, tag: str) -> None:
        assert tag == self.open.pop()

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "h2":
            self.headings.append(data)

    def _look(self, attrs: Sequence[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            if name in ("href", "xlink:href", "src"):
                self.addresses.add(value or "")
            self.references |= set(re.findall(r"url\(#([^)]+)\)", value or ""))


def report(results: Results, other: Results | None = None) -> str:
    return report_html(results, other, random=np.random.default_rng(0))


@cache
def against_another() -> str:
    return report(province_results(1, "weir"), province_results(2, "earliest"))


def province_results(seed: int, policy: str) -> Results:
    rates = {"device_hour_micro_yuan": 9_000_000, "device_power_watts": 400, "cores_milli_per_node": 64_000}
    pools = [pool(f"c{index}/gpu", nodes=8, devices_per_node=8, **rates) for index in range(9)]
    work = random_work(
        300, 1, classes=tuple(JobClass(size, 1_000, 8_000, 0) for size in range(1, 5)), name="<b>&</b>"
    )
    draw = np.random.default_rng(seed)
    starts = work.submit_ms / 1_000 + draw.integers(0, 5_000, 300)
    where = draw.integers(0, 9, 300).tolist()
    return results_of(outcome(work, starts.tolist(), pools=pools, where=where, policy=policy))


def test_one_run() -> None:
    page = Page(report(results_of(first_come(random_work(500, 1), 4))))
    assert [
        "The run",
        "Its figures",
        "How long jobs waited",
        "How full the machine was",
        "Cost, energy, carbon",
        "Around the longest queue",
        "How tenants fared",
    ] == page.headings


def test_a_run_against_another() -> None:
    text = against_another()
    page = Page(text)
    assert [
        "The run",
        "Its figures",
        "weir against earliest",
        "Who gained and who lost",
        "How long jobs waited",
        "How full the pools were",
        "Cost, energy, carbon",
        "Around the longest queue",
    ] == page.headings
    assert "<title>&lt;b&gt;&amp;&lt;/b&gt; under weir</title>" in text


def test_the_file_asks_the_network_for_nothing_and_refers_to_what_it_has() -> None:
    text = against_another()
    page = Page(text)
    assert all(address.startswith("#") for address in page.addresses)
    assert "<script" not in text
    assert not re.search(r"@import|https?://(?!www\.w3\.org/)", text)
    assert len(page.ids) == len(set(page.ids))
    assert page.references | {each[1:] for each in page.addresses} <= set(page.ids)


def test_every_colour_is_the_page_s_so_that_light_and_dark_both_work() -> None:
    text = against_another()
    drawn = "".join(re.findall(r"<svg.*?</svg>", text, re.DOTALL))
    assert set() == set(re.findall(r"#[0-9a-f]{6}\b", drawn))
    used = set(re.findall(r"var\((--[\w-]+)\)", text))
    light, dark = re.findall(r":root \{(.*?)\n *\}", text, re.DOTALL)[:2]
    assert used <= set(re.findall(r"(--[\w-]+):", light))
    assert used - {"--sans"} <= set(re.findall(r"(--[\w-]+):", dark))


def test_the_same_run_gives_the_same_file() -> None:
    assert against_another() == report(province_results(1, "weir"), province_results(2, "earliest"))


def test_runs_of_other_jobs_are_refused() -> None:
    with pytest.raises(ProblemError, match="same jobs"):
        report(province_results(1, "weir"), results_of(first_come(random_work(299, 1), 4)))


@pytest.mark.parametrize(
    "made",
    [
        outcome(workload([(0, 10, 1)]), [-1]),
        outcome(workload([(0, 10, 1)]), [0]),
        outcome(workload([(0, 10, 1), (0, 10, 9)]), [0, -1]),
        outcome(workload([(0, 1, 1)] * 40), [0] * 40, pools=(pool(nodes=0),)),
        outcome(workload([(0, 400 * 86_400, 1), (5, 10, 1)]), [0, 5]),
        outcome(workload([(0, 400 * 86_400, 1), (5, 10, 1)], origin_s=1_000_000_000), [0, 5]),
        outcome(workload([(0, 60, 1), (5, 10, 1)], origin_s=1_000_000_000), [0, 5]),
    ],
)
def test_unusual_runs_have_a_report_too(made) -> None:  # type: ignore[no-untyped-def]
    results = results_of(made)
    assert "The run" in Page(report(results)).headings


def test_a_second_run_in_which_nothing_differs() -> None:
    ran = results_of(first_come(random_work(100, 1), 4))
    assert "Nobody&#x27;s mean wait differs." in report(ran, ran)


@given(st.integers(1, 200), st.integers(0, 2**32 - 1))
def test_no_two_jobs_are_drawn_on_one_processor_at_once(jobs: int, seed: int) -> None:
    results = results_of(first_come(random_work(jobs, seed), 4))
    window = busiest_window(results, 0, most_jobs=50)
    rows = rows_within(results, window, 0)
    boxes = lanes(
        rows, results.start_ms[rows].tolist(), results.end_ms[rows].tolist(), results.size[rows].tolist()
    )
    assert max((box.high for box in boxes), default=0) <= 4
    assert sorted(rows) == sorted({box.row for box in boxes})
    for row in rows:
        assert results.size[row] == sum(box.high - box.low for box in boxes if box.row == row)
    for lane in range(4):
        here = sorted(
            (int(results.start_ms[box.row]), int(results.end_ms[box.row]))
            for box in boxes
            if box.low <= lane < box.high
        )
        assert all(first[1] <= second[0] for first, second in pairwise(here))


def test_the_window_lies_around_the_longest_queue() -> None:
    rows = [(at * 1_000, 100, 1) for at in range(2_000)] + [(1_000_000 + at, 50, 4) for at in range(200)]
    results = results_of(first_come(workload(sorted(rows)), 4))
    window = busiest_window(results, 0)
    assert window.from_ms <= 1_000_200_000 <= window.until_ms


def test_pools_whose_jobs_can_be_told_apart_are_drawn_first_then_those_with_the_longest_waits() -> None:
    rows = [(0, 1_000, 1)] * 200 + [(0, 10, 1), (0, 10, 1), (0, 10, 1)]
    pools = [pool("a/crowded", nodes=400), pool("b/calm"), pool("c/idle"), pool("d/waited")]
    starts, where = [9_000] * 200 + [0, 0, 50], [0] * 200 + [1, 1, 3]
    results = results_of(outcome(workload(rows), starts, pools=pools, where=where))
    assert [3, 1, 0] == telling_pools(results, 4)
