"""The commands for money, as a coordinator and a tenant type them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.api_world import TENANT, Weir, World, command_line, served
from tests.system.test_money import BOOK


@pytest.fixture
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with served(tmp_path_factory.mktemp("api")) as made:
        yield made


@pytest.fixture
def weir(world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Weir:
    return command_line(world, monkeypatch, capsys)


def test_prices_budgets_bills_and_the_ledger(world: World, weir: Weir, tmp_path: Path) -> None:
    prices, job = tmp_path / "prices.yaml", tmp_path / "job.yaml"
    prices.write_text(BOOK, encoding="utf-8")
    job.write_text("command: ['true']\ntime_limit: 1m\ninputs: [{upload: missing.csv}]\n", encoding="utf-8")
    assert "no price book; work is not priced" in weir("price", "list")
    assert "work is not priced" in weir("quote", str(job), token=world.tenant)
    weir("price", "apply", str(prices), code=1)  # without --yes, and nobody to ask
    applied = weir("apply", "-f", str(prices), "--yes")
    assert "+ * core_hour: ¥360.00" in applied
    assert "applied: version 1" in applied
    assert "nothing to change" in weir("price", "apply", str(prices))
    assert "in force" in weir("price", "list")
    assert '"price_book": "test"' in weir("price", "show")
    made = weir(
        "budget", "set", "lab", "--organisation", TENANT, "--limit", "20.00", "--member", "vision=15.00"
    )
    assert "lab\t" in made
    assert "  vision\t" in made
    quoted = weir("quote", str(job), "--lines", token=world.tenant)
    assert "wuhu-hpc/cpu\t¥3.00" in quoted
    assert "hefei-ai/cpu  core_hour (standard)  1/h x 1m00s x ¥360.00  ¥6.00" in quoted
    assert "submitting it sets ¥6.000001 aside" in quoted
    world.client().submit({"command": ["true"], "time_limit": "1m"})
    assert "¥6.000001" in weir("budget", "list", token=world.tenant)
    assert "¥6.000001  credit:lab → hold:lab/" in weir("ledger", "show", TENANT)
    assert "nothing was charged" in weir("bill", token=world.tenant)
    assert "the ledger is whole" in weir("ledger", "verify")
    assert "credit:lab\t¥6.000001" in weir("ledger", "balances")
    assert "no exceptions" in weir("ledger", "exceptions")


def test_what_cannot_be_is_said_in_one_line(world: World, weir: Weir) -> None:
    assert "may not apply prices" in weir(
        "budget", "set", "x", "--organisation", TENANT, code=2, token=world.tenant
    )
    assert "PROJECT=YUAN" in weir(
        "budget", "set", "x", "--organisation", TENANT, "--member", "vision", code=2
    )
    assert "no organisation" in weir("budget", "set", "x", "--organisation", "nobody", code=2)
    assert "limit" in weir("budget", "set", "x", "--organisation", TENANT, "--limit", "much", code=2)
    assert "no budget 'x'" in weir("budget", "top-up", "x", "1.00", "7", code=2)
    assert "no entry" in weir("ledger", "entry", "77", code=2)
