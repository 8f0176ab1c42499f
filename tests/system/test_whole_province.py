"""A whole province on real engines: whatever is killed with -9 whenever, every job ends once, and rightly.

`python -m tests.system.test_whole_province SEED` goes through another schedule than the test does.
"""

import os
import sys
import time
from collections.abc import Callable
from random import Random

import pytest

from tests.contract.ray_cluster import find_ray
from tests.engines_up.slurm import missing
from tests.system.whole_check import Count, Job, check
from tests.system.whole_kills import carry_out, schedule
from tests.system.whole_load import JOBS, Wanted, load
from tests.system.whole_province import CENTRES, WholeProvince

SEED = 4
_LENGTH_S = 30.0
_BATCHES = 20
_PATIENCE_S = 240.0


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_whole_province_whose_parts_are_killed_at_random_loses_nothing_and_runs_nothing_twice() -> None:
    ray = find_ray()
    lacking = missing() or ("" if ray else "there is no Ray here; `make ray` installs one beside the rest")
    if lacking and os.environ.get("CI") == "true":
        pytest.fail(f"{lacking}, and CI runs every test")
    if lacking:
        pytest.skip(lacking)
    found = live_through(SEED, print)
    assert [] == found.wrong
    assert JOBS == sum(found.states.values())
    assert all(found.centres[name] for name in CENTRES)
    assert {"exit", "time-limit", "out-of-memory"} <= set(found.causes)


def live_through(seed: int, say: Callable[[str], None]) -> Count:
    """One province from its beginning to its end; its folder is left behind where something was wrong."""
    ray = find_ray()
    assert ray is not None
    say(f"seed {seed}")
    began = time.monotonic()
    province = WholeProvince(ray)
    kept = True
    try:
        province.start()
        say(f"{time.monotonic() - began:.1f} s: up")
        random = Random(seed)
        # Names of nodes are drawn anew by every run, their order is not.
        kills = schedule(random, province.victims, _LENGTH_S)
        for kill in kills:
            say(str(kill))
        work = _Work(province, load(random, province.ledger, str(province.folder)))
        carry_out(province, kills, [work.submit_next] * _BATCHES, _LENGTH_S)
        say(f"{time.monotonic() - began:.1f} s: all is killed and started again")
        work.wait()
        say(f"{time.monotonic() - began:.1f} s: every job has ended")
        found = check(province, work.jobs())
        counted = f"{found.states} {found.causes} {found.centres}, {found.attempts} attempts"
        say(f"{time.monotonic() - began:.1f} s: {counted}")
        for line in found.wrong:
            say(f"WRONG {line}")
        kept = bool(found.wrong)
        return found
    finally:
        if kept:
            say(f"everything is in {province.folder}")
        province.end()
        if not kept:
            province.remove()


class _Work:
    """The load on its way."""

    def __init__(self, province: WholeProvince, wanted: list[Wanted]) -> None:
        self._province = province
        self._wanted = wanted
        self._each = -(-len(wanted) // _BATCHES)
        self._ids: dict[str, str] = {}
        self._by_key = {one.key: one for one in wanted}

    def submit_next(self) -> None:
        """The next batch; in more than one request where one of it takes what another makes."""
        first = len(self._ids)
        batch = self._wanted[first : first + self._each]
        while batch:
            ready = [one for one in batch if not one.after or one.after in self._ids]
            batch = [one for one in batch if one not in ready]
            specifications = [self._specification(one) for one in ready]
            key = ready[0].key
            views = self._province.ask(
                lambda client: client.submit(specifications, idempotency_key=key)  # noqa: B023 (asked at once)
            )
            self._ids |= {one.key: view.id for one, view in zip(ready, views, strict=True)}

    def wait(self) -> None:
        """Until every job has ended."""
        deadline = time.monotonic() + _PATIENCE_S
        left = dict(self._ids)
        while left:
            self._province.hurry()
            states = {
                view.id: view.ended for view in self._province.ask(lambda client: list(client.all_jobs()))
            }
            left = {key: name for key, name in left.items() if not states[name]}
            late = [self._told(key) for key in left] if time.monotonic() > deadline else []
            assert not late, f"not ended after {_PATIENCE_S:.0f} s: {late}"
            time.sleep(1.0)

    def jobs(self) -> dict[str, Job]:
        """Every job by its id."""
        found = {}
        for key, name in self._ids.items():
            wanted = self._by_key[key]
            before = self._ids.get(wanted.after, "")
            names = [f"{name}.{index}" for index in range(len(wanted.endings))] if wanted.is_array else [name]
            for one, ending in zip(names, wanted.endings, strict=True):
                found[one] = Job(one, wanted, ending, before)
        return found

    def _specification(self, one: Wanted) -> dict[str, object]:
        if not one.after:
            return one.specification
        [taken] = one.specification["inputs"]
        return {**one.specification, "inputs": [{**taken, "from": self._ids[one.after]}]}

    def _told(self, key: str) -> str:
        name = self._ids[key]
        view = self._province.ask(lambda client: client.submission(name))
        said = self._province.ask(lambda client: client.job(name)) if view.job else view.states
        return f"{key} {name}: {said}"


if __name__ == "__main__":
    sys.exit(1 if live_through(int(sys.argv[1]), print).wrong else 0)
