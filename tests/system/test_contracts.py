"""Contracts over the command line and HTTP: recorded once with their papers, each party sees its own."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.system.api_world import OPERATOR, OTHER, TENANT, Weir, World, command_line, served
from weir.client import ApiError, Client

CONTRACT = f"""\
id: hf-2026-7
organisation: {TENANT}
centre: hefei-ai
signed: "2026-01-05T00:00+08:00"
starts: "2026-01-05T00:00+08:00"
ends: "2027-01-05T00:00+08:00"
amount: "120000.00"
lines:
  - {{said: Training, amount: "100000.00", kind: compute, chip_origin: domestic}}
  - {{said: Support, amount: "20000.00"}}
"""


@pytest.fixture
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with served(tmp_path_factory.mktemp("api")) as made:
        yield made


@pytest.fixture
def weir(world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Weir:
    return command_line(world, monkeypatch, capsys)


def status(call: Callable[[], object]) -> int:
    with pytest.raises(ApiError) as caught:
        call()
    return caught.value.status


def test_a_contract_is_recorded_with_its_papers(weir: Weir, tmp_path: Path) -> None:
    file, paper = tmp_path / "contract.yaml", tmp_path / "invoice.pdf"
    file.write_text(CONTRACT, encoding="utf-8")
    paper.write_bytes(b"abc")
    assert "no contracts; all work belongs to standing ones" in weir("contract", "list")
    shown = weir("contract", "add", str(file))
    assert f"hf-2026-7: {TENANT} with hefei-ai" in shown
    assert "¥100,000.00  Training (compute domestic)" in shown
    assert shown.splitlines()[1:] == weir("contract", "add", str(file)).splitlines()[1:]
    weir("contract", "invoice", "hf-2026-7", "F-1", "30000.00", "--paper", str(paper))
    again = weir("contract", "invoice", "hf-2026-7", "F-1", "30000.00", "--paper", str(paper))
    assert "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" in again
    weir("contract", "payment", "hf-2026-7", "B-1", "10000.00", "--at", "2026-02-01T00:00+08:00")
    shown = weir("contract", "evidence", "hf-2026-7", "no-other-subsidy")
    assert "¥0.00 charged, ¥30,000.00 invoiced, ¥10,000.00 paid" in shown
    [row] = [line for line in weir("contract", "list").splitlines() if line.startswith("hf-2026-7")]
    assert ["¥120,000.00", "¥0.00", "¥30,000.00", "¥10,000.00"] == row.split("\t")[5:]
    ended = weir("contract", "end", "hf-2026-7", "2026-12-01T00:00+08:00")
    assert "until 2026-12-01T00:00+08:00" in ended
    assert weir("contract", "show", f"standing/{TENANT}/hefei-ai").endswith(
        "¥0.00 charged, ¥0.00 invoiced, ¥0.00 paid\n"
    )


def test_what_cannot_be_recorded_is_said(weir: Weir, tmp_path: Path) -> None:
    file = tmp_path / "contract.yaml"
    file.write_text(CONTRACT.replace('"120000.00"', '"much"'), encoding="utf-8")
    assert "contract.yaml, line 7: amount" in weir("contract", "add", str(file), code=2)
    file.write_text(CONTRACT.replace("2027-01-05", "2025-01-05"), encoding="utf-8")
    assert "give an instant after" in weir("contract", "add", str(file), code=2)
    file.write_text(CONTRACT, encoding="utf-8")
    weir("contract", "add", str(file))
    file.write_text(CONTRACT.replace("hf-2026-7", "other"), encoding="utf-8")
    assert "overlaps with that of contract hf-2026-7" in weir("contract", "add", str(file), code=2)
    file.write_text(CONTRACT.replace("Support", "Help"), encoding="utf-8")
    assert "give another id" in weir("contract", "add", str(file), code=2)
    weir("contract", "payment", "hf-2026-7", "B-1", "1.00")
    assert "recorded otherwise" in weir("contract", "payment", "hf-2026-7", "B-1", "2.00", code=2)
    assert "no contract 'nothing'" in weir("contract", "payment", "nothing", "B-1", "2.00", code=2)
    standing = f"standing/{TENANT}/hefei-ai"
    assert "has no papers" in weir("contract", "evidence", standing, "x", code=2)


def test_each_party_sees_its_own_and_a_centre_records_its_invoices(world: World) -> None:
    boss = world.client(world.coordinator)
    boss.add_contract(CONTRACT)
    boss.add_contract(CONTRACT.replace(TENANT, OTHER).replace("hf-2026-7", "theirs"))

    def seen(client: Client) -> list[str]:
        return [one.id for one in client.contracts()]

    own = world.client(world.token("tenant-member", organisation=TENANT, project="vision"))
    auditor = world.client(world.token("auditor"))
    centre = world.client(world.token("centre-operator", organisation=OPERATOR, centre="hefei-ai"))
    foreign = world.client(world.token("centre-operator", organisation=OPERATOR, centre="wuhu-hpc"))
    assert ["hf-2026-7"] == seen(own)
    assert ["hf-2026-7", "theirs"] == seen(auditor) == seen(centre)
    assert [] == seen(foreign)
    assert 404 == status(lambda: own.contract("theirs"))
    assert 404 == status(lambda: own.contracts(organisation=OTHER))
    assert 404 == status(lambda: own.contract(f"standing/{OTHER}/hefei-ai"))
    assert f"standing/{TENANT}/hefei-ai" == own.contract(f"standing/{TENANT}/hefei-ai").id
    assert 404 == status(lambda: foreign.contract("theirs"))
    made = centre.add_contract_document("theirs", "invoice", "F-9", amount="5.00")
    assert (5_000_000, 0) == (made.invoiced, made.paid)
    assert 404 == status(lambda: foreign.add_contract_document("theirs", "invoice", "F-10", amount="5.00"))
    for client in (own, auditor, centre):
        assert 403 == status(partial(client.add_contract_document, "theirs", "payment", "1"))
        assert 403 == status(partial(client.add_contract, CONTRACT))
        assert 403 == status(partial(client.end_contract, "theirs", "2026-12-01T00:00+08:00"))
    assert 403 == status(lambda: own.add_contract_document("hf-2026-7", "invoice", "F-9", amount="5.00"))
