"""Statements over HTTP and the command line: closed by the coordinator, read by those whom they are for."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import insert

from tests.system.api_world import OTHER, TENANT, World, served
from weir.billing import Entry, Transfer, open_account, open_counter, post
from weir.cli.main import main
from weir.client import ApiError
from weir.store import Transaction
from weir.store import schema as s
from weir.units import parse_time_ms

USED_MS = parse_time_ms("2025-06-03T10:00+08:00")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with served(tmp_path_factory.mktemp("api")) as made:
        for who, amount in ((TENANT, 12_345_678), (OTHER, 5_000_000)):
            made.store.write(lambda tx, who=who, amount=amount: _charge(tx, who, amount))  # type: ignore[misc]  # now
        yield made


def _charge(tx: Transaction, who: str, amount: int) -> None:
    held = f"hold:{who}"
    open_counter(tx, f"budget/{who}", 10**12)
    open_account(tx, held, [f"budget/{who}"])
    steps = (Transfer(f"credit:{who}", held, amount), Transfer(held, "payable:hefei-ai", amount))
    [done] = post(tx, [Entry(who, f"job/{who}", "charge", USED_MS, steps)])
    row = {
        "entry": done.number, "line": 0, "job": 1, "epoch": 1, "organisation": who, "centre": "hefei-ai",
        "pool": "cpu", "contract": f"standing/{who}/hefei-ai", "kind": "charge", "at_ms": USED_MS,
        "from_ms": USED_MS, "to_ms": USED_MS + 1, "times": "{}", "parts": f'{{"core_hour/": {amount}}}',
        "amount_micro_yuan": amount,
    }  # fmt: skip
    tx.connection.execute(insert(s.charge), row)


def test_a_month_is_closed_listed_saved_and_verified(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WEIR_URL", world.url)
    monkeypatch.setenv("WEIR_TOKEN", world.coordinator)

    def weir(*arguments: str) -> str:
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        captured = capsys.readouterr()
        assert 0 == (ended.value.code or 0), captured.err
        return captured.out

    assert "2025-06: 3 statements, closed at" in weir("statement", "close", "2025-06")
    listed = weir("statement", "list", "--month", "2025-06")
    assert f"\n2025-06-T0000001\ttenant\t{TENANT}\t¥12.345678\t¥0.00\t¥12.35\t-¥0.004322\t" in listed
    assert "\n2025-06-C0000001\tcentre\thefei-ai\t¥17.345678\t¥0.00\t¥17.35\t" in listed
    page = tmp_path / "one.html"
    weir("statement", "save", "2025-06-T0000001", "--to", str(page))
    assert "壹拾贰元叁角伍分" in page.read_text("utf-8")
    table = tmp_path / "all.csv"
    weir("statement", "save", "--to", str(table), "--month", "2025-06")
    assert 3 * 4 + 2 == len(table.read_text("utf-8").splitlines())
    assert "as it was issued" in weir("statement", "verify")
    assert "nothing to settle" in weir("settlement", "close", "2025-Q2")
    focus = tmp_path / "focus.csv"
    assert f"{focus}: 3 rows, every rule holds" in weir("statement", "focus", "2025-06", "--to", str(focus))
    assert "nothing waits" in weir("settlement", "waiting")
    for bad, why in (
        (("dispute", "5", "0", "--why", "x"), "no redemption '5/0'"),
        (("sign", "9", "audit"), "no claim '9'"),
    ):
        with pytest.raises(SystemExit) as refused:
            main(("settlement", *bad))
        assert 2 == refused.value.code
        assert why in capsys.readouterr().err
    assert "2025-06,,hefei,2,17345678" in weir("settlement", "cities", "2025-06")

    tenant = world.client(world.token("tenant-admin", organisation=TENANT))
    assert ["2025-06-T0000001"] == [one.id for one in tenant.statements()]
    operator = world.client(world.token("centre-operator", centre="hefei-ai"))
    assert ["2025-06-C0000001"] == [one.id for one in operator.statements()]
    assert 3 == len(world.client(world.token("auditor")).statements())
    for status, asked in (
        (404, lambda: tenant.statements(party=OTHER)),
        (404, lambda: tenant.statement_page("2025-06-T0000002")),
        (404, lambda: operator.statement_page("2025-06-T0000001")),
        (403, tenant.settlements),
        (403, lambda: tenant.city_flows_csv("2025-06")),
        (403, lambda: operator.focus_csv("2025-06")),
    ):
        with pytest.raises(ApiError) as caught:
            asked()
        assert status == caught.value.status


def test_who_may_close_and_what_is_refused(world: World) -> None:
    for secret in (world.token("tenant-admin", organisation=TENANT), world.token("auditor")):
        for asked in (
            lambda secret=secret: world.client(secret).close_month("2025-07"),
            lambda secret=secret: world.client(secret).settle_quarter("2025-Q2"),
        ):
            with pytest.raises(ApiError) as caught:
                asked()
            assert 403 == caught.value.status
    chief = world.client(world.coordinator)
    for month in ("2025-13", "June"):
        with pytest.raises(ApiError, match="give one such as 2025-06"):
            chief.close_month(month)
    with pytest.raises(ApiError, match="give one such as 2025-Q2"):
        chief.settle_quarter("2025-Q5")
