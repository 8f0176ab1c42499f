"""A centre that falls silent: what may is started elsewhere, the rest waits, and nothing counts or costs twice on its
return."""

import os
import signal
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.conftest import TENANT, RealProvince, until
from weir.cli.demo.processes import Processes
from weir.model.view import AttemptView, JobView

PROVINCE = """\
version: 1
province: test
cities: [{id: hefei, name: Hefei}]
organisations: [{id: "12340100WEYR00078P", name: University, roles: [tenant]}]
projects: [{id: vision, organisation: "12340100WEYR00078P", default_time_limit: 10m}]
centres:
  - {id: here, city: hefei, kind: general, pools: [
      {id: cpu, device: huawei-kunpeng-920-7260, nodes: 1, cores_per_node: 2, memory_per_node: 2GiB}]}
  - {id: there, city: hefei, kind: general, pools: [
      {id: cpu, device: huawei-kunpeng-920-7260, nodes: 1, cores_per_node: 2, memory_per_node: 2GiB}]}
"""
GATE = 'while [ ! -e "$GATE" ]; do sleep 0.05; done'
GO_ON = (
    'if [ -e "$SAVED" ]; then echo "weir: resumed from $(stat -c %.3Y "$SAVED")"; else sleep 0.5; touch "$SAVED"; fi; '
    + GATE
)
BOOK = """\
version: 1
price_book: test
tax: {name: VAT, rate: "0.06"}
prices: [{pool: "*", core_hour: "360.00", memory_gb_hour: "0"}]
"""
PER_MS = 100
"""Micro-yuan of one core for a millisecond."""
SLACK_MS = 1_000
"""More than clocks are read apart."""


@pytest.fixture
def impatient(tmp_path: Path) -> Iterator[RealProvince]:
    """A province of two centres, of which `here` runs; it is lost after two seconds, and given up after one more."""
    folder = tmp_path / "province"  # of which tasks see nothing but their own work
    folder.mkdir()
    processes = Processes(folder)
    try:
        url = processes.start_server(lambda line: None, "--lost-after", "2s", "--grace", "1s")
        made = RealProvince(folder, url, processes.server_data / "coordinator.token", processes)
        made.client.apply_province(PROVINCE)
        start(made, "here")
        yield made
    finally:
        processes.end()


def start(province: RealProvince, centre: str) -> None:
    [invite] = province.client.invite([centre])
    province.processes.start_agent(centre, province.url, invite.code)
    until(lambda: reachable(province, centre), f"{centre} has reported")


def reachable(province: RealProvince, centre: str) -> bool:
    return {one.id: one.reachable for one in province.client.centres()}[centre]


def kill_agent(province: RealProvince, centre: str) -> None:
    """Kill -9; what it runs goes on."""
    folder = os.fsencode(province.processes.agent_folder(centre))
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                told = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if b"agent" in told and b"--folder" in told and folder in told:
                os.kill(int(entry.name), signal.SIGKILL)


def test_a_lost_centre_is_borne_left_and_found_again(impatient: RealProvince, tmp_path: Path) -> None:
    province, gate = impatient, tmp_path / "gate"
    province.client.apply_price_book(BOOK)
    province.client.set_budget("lab", organisation=TENANT, limit="1000.00")
    saved = tmp_path / "saved"
    wanted = {"cores": 1, "environment": {"GATE": str(gate), "SAVED": str(saved)}}
    kept = province.submit("sh", "-c", GATE, **wanted)
    again = province.submit("sh", "-c", GO_ON, restartable=True, **wanted)
    for job in (kept, again):
        province.reaches(job, "running")
    until(saved.exists, "the checkpoint")
    time.sleep(SLACK_MS / 1_000)  # that nobody resumes from
    kill_agent(province, "here")
    for job in (kept, again):
        province.reaches(job, "unknown")
    assert not reachable(province, "here")
    assert f"{kept}" in province.weir("jobs", "--state", "unknown").good()
    start(province, "there")
    moved = province.reaches(again, "running")
    assert [(each.centre, each.epoch) for each in moved.attempts] == [("here", 1), ("there", 2)]
    assert province.reaches(kept, "unknown").attempts[-1].centre == "here"
    next_one = province.submit("true", cores=1, constraints={"centres": ["here"]})
    folder = province.processes.agent_folder("here")
    with province.started("agent", "--folder", str(folder), "--url", province.url):
        province.reaches(kept, "running")
        # All of the centre is used, so that nothing starts there before what was given up has ended.
        ended = province.ended(next_one)
        old = attempt(province, again, 1)
        assert (ended.state, old.desired, old.observed) == ("succeeded", "abandoned", "ended")
        assert (ended.started_ms or 0) >= (old.ended_ms or 0) > 0
        gate.touch()
        finals = [province.ended(job) for job in (kept, again)]
    assert [final.state for final in finals] == ["succeeded", "succeeded"]
    assert [len(final.attempts) for final in finals] == [1, 2]
    what_was_saved_is_paid_for(province, finals[1], round(saved.stat().st_mtime * 1_000))


def what_was_saved_is_paid_for(province: RealProvince, job: JobView, saved_ms: int) -> None:
    """What the lost attempt ran up to its checkpoint is charged, and not the second and more that it ran after it; nor
    is what it still ran when it was given up. The one that went on from there is charged for all of its time."""
    charges: dict[int, list[tuple[str, int]]] = defaultdict(list)
    for charge in province.client.bill().charges:
        if charge.job == job.id:
            charges[charge.epoch].append((charge.kind, charge.amount))
    first, second = job.attempts
    assert first.started_ms is not None
    assert second.started_ms is not None
    assert second.ended_ms is not None
    # What was told of it before the loss is taken back whole.
    *before, (resumed, saved) = charges[1]
    assert "resumed" == resumed
    assert {kind for kind, _ in before} <= {"usage", "reversal"}
    assert 0 == sum(amount for _, amount in before)
    assert 0 < saved < PER_MS * (saved_ms - first.started_ms + SLACK_MS)
    assert PER_MS * (second.ended_ms - second.started_ms) == sum(amount for _, amount in charges[2])
    [budget] = province.client.budgets()
    assert 0 == budget.total.held
    assert () == province.client.verify_ledger().faults


def test_a_drained_centre_starts_nothing_until_it_is_resumed(impatient: RealProvince) -> None:
    said = impatient.weir("centre", "drain", "here").good()
    assert said == "here starts nothing new; `weir centre resume here` undoes it"
    job = impatient.submit("true")
    until(lambda: "it is draining" in impatient.weir("explain", job).out, "the reason")
    assert impatient.weir("centre", "resume", "here").good() == "here starts jobs again"
    assert impatient.ended(job).state == "succeeded"


def attempt(province: RealProvince, job: str, epoch: int) -> AttemptView:
    view = province.client.job(job)
    assert isinstance(view, JobView)
    [found] = [each for each in view.attempts if each.epoch == epoch]
    return found
