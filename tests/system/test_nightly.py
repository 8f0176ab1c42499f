"""The server's night: all counters are made anew from the ledger, and what differs is told to whoever looks."""

import time
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import update

from tests.system.api_world import JOB, TENANT, command_line, now_ms, served
from tests.system.conftest import until
from tests.system.test_money import BOOK
from weir.api import ApiSettings
from weir.billing.calendar_days import DAY_MS, begin_of, day_of
from weir.store import schema

ROUND_S = 0.02


def test_every_night_the_counters_are_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    three_ms = begin_of(day_of(now_ms()) + timedelta(days=2)) + 3 * 3_600_000
    clock = [three_ms - 1]
    settings = ApiSettings(housekeeping_s=ROUND_S)
    with served(tmp_path, settings, clock=lambda: clock[0]) as world:
        weir = command_line(world, monkeypatch, capsys)
        chief = world.client(world.coordinator)
        chief.apply_price_book(BOOK)
        chief.set_budget("lab", organisation=TENANT, limit="20.00")
        world.client().submit(JOB)
        time.sleep(10 * ROUND_S)
        assert None is chief.verify_ledger().checked_ms

        clock[0] = three_ms
        until(lambda: chief.verify_ledger().checked_ms == three_ms, "the first night's check")
        assert "T19:00:00.000Z: they follow from the transfers" in weir("ledger", "verify")

        counter = schema.ledger_counter
        whole = counter.c.key.startswith("budget/lab/") & ~counter.c.key.contains("vision")
        less = update(counter).where(whole).values(held_micro_yuan=counter.c.held_micro_yuan - 1)
        world.store.write(lambda tx: tx.connection.execute(less))
        clock[0] += DAY_MS
        until(lambda: bool(chief.verify_ledger().check_faults), "the second night's check")
        said = "says 6000000 held and 0 spent; the transfers make it 6000001 and 0"
        weir("ledger", "verify", code=1)
        assert said in weir("ledger", "exceptions")
        metrics = world.ask("GET", "/metrics", token=world.coordinator).body.decode()
        assert "weir_ledger_counter_faults 1.0" in metrics
    clock[0] += 3_600_000
    with served(tmp_path, settings, clock=lambda: clock[0]) as world:
        time.sleep(10 * ROUND_S)
        chief = world.client(world.coordinator)
        assert (
            clock[0] - 3_600_000 == chief.verify_ledger().checked_ms
        )  # a server that starts anew does not repeat it
        assert 1 == len(chief.exceptions())
