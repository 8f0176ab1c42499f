"""Patterns over output paths, and who may read which blob."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.control.world import job, runs, world
from weir.control.inputs import is_wanted_at, matches
from weir.model.agent import OutputFile
from weir.model.job import Constraints, Input


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        ("*.json", "a.json", True),
        ("*.json", "b/a.json", False),
        ("**/*.json", "a.json", True),
        ("**/*.json", "b/c/a.json", True),
        ("b/**", "b/c/d", True),
        ("b/**", "b", False),
        ("**", "x", True),
        ("a?c", "abc", True),
        ("a?c", "a/c", False),
        ("m[0-3].bin", "m2.bin", True),
        ("m[!0-3].bin", "m2.bin", False),
        ("m[!x]n", "m/n", False),
        ("m[", "m[", True),
        ("a.b", "axb", False),
        ("a", "a\n", False),
        ("[^a]", "^", True),
        ("[b-a]", "b", False),
        ("[!b-a]", "b", True),
        ("[a-c-]", "-", True),
    ],
)
def test_patterns(pattern: str, path: str, expected: bool) -> None:
    assert expected == matches(pattern, path)


@given(st.text("ab/[]!^*?\\-.", min_size=1, max_size=12), st.text("ab/[]^-.", max_size=12))
def test_any_text_is_a_pattern_and_without_signs_it_means_itself(pattern: str, path: str) -> None:
    if not set(pattern) & set("[*?"):
        assert matches(pattern, path) == (pattern == path)
    else:
        matches(pattern, path)


def test_what_its_centre_delivered_is_fetched_from_there_by_who_takes_it() -> None:
    w = world()
    here = w.agent("wuhu-hpc")
    at_wuhu = Constraints(centres=("wuhu-hpc",))
    [maker] = w.submit(job(constraints=at_wuhu))
    w.step()
    [placed] = runs(here.pull())
    here.report(here.end(placed.attempt, outputs=[OutputFile(0, "a", 1, "a" * 64, "s3://bucket/a")]))
    w.submit(job(inputs=(Input(from_=maker.id, path="a", to="in"),), constraints=at_wuhu))
    w.step()
    [placed] = runs(here.pull())
    [file] = placed.inputs
    assert ("in/a", "a" * 64, "s3://bucket/a") == (file.path, file.digest, file.url)
    assert not w.store.read(lambda connection: is_wanted_at(connection, "wuhu-hpc", "a" * 64))


def test_an_agent_reads_the_blobs_that_its_own_attempts_need_and_no_others() -> None:
    w = world()
    here, there = w.agent("wuhu-hpc"), w.agent("hefei-ai")
    [maker] = w.submit(job())
    w.step()
    maker_agent = here if runs(here.pull()) else there
    attempt = f"{maker.id}-1"
    files = [OutputFile(0, "a", 1, "a" * 64), OutputFile(0, "b", 1, "b" * 64)]
    maker_agent.report(maker_agent.end(attempt, outputs=files))
    w.submit(job(inputs=(Input(from_=maker.id, path="a"),)))
    w.step()
    [placed] = [row for row in w.rows("attempt") if row.observed == 0]
    other = "hefei-ai" if placed.centre == "wuhu-hpc" else "wuhu-hpc"
    wanted = w.store.read(
        lambda c: [is_wanted_at(c, centre, digit * 64) for centre in (placed.centre, other) for digit in "ab"]
    )
    assert wanted == [True, False, False, False]
