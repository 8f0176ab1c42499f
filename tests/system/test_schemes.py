"""Schemes and vouchers over HTTP and the command line: applied by the coordinator, explained to those concerned."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.api_world import OTHER, TENANT, World, served
from tests.unit.billing.granted import scheme_text
from weir.cli.main import main
from weir.client import ApiError
from weir.registry import data_folder


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with served(tmp_path_factory.mktemp("api")) as made:
        yield made


def test_a_scheme_is_checked_applied_listed_and_explained(
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

    file = tmp_path / "city.yaml"
    file.write_text(scheme_text(base="usage"), encoding="utf-8")
    henan = data_folder("schemes") / "henan-2025.yaml"
    assert "henan-2025 is in order" in weir("scheme", "check", str(file), str(henan))
    assert "version 1" in weir("scheme", "apply", str(file), "--dry-run")
    assert () == world.client().schemes()
    assert "city: version 1 is in force" in weir("scheme", "apply", str(file), "--yes")
    assert "henan-2025: version 1 is in force" in weir("scheme", "apply", str(henan), "--yes")
    assert "\nhenan-2025\t1\t2025-01-01\t-\t¥50,000,000.00\t¥0.00\t河南省算力券" in weir("scheme", "list")
    assert file.read_text("utf-8").strip() in weir("scheme", "show", "city")
    said = weir("voucher", "why", TENANT, "city")
    assert f"standing/{TENANT}/hefei-ai at hefei-ai: entitled to ¥600.00" in said
    assert "  + window: claims are taken from 2025-01-01" in said
    said = weir("voucher", "why", TENANT, "henan-2025", "--centre", "wuhu-hpc")
    assert "undecided: give holder.kind" in said
    assert "  ? holder-kind" in said
    assert "      centre.kind = supercomputing" in said
    assert "0 vouchers were granted" in weir("voucher", "grant")
    assert "no vouchers" in weir("voucher", "list", TENANT)


def test_who_may_look_and_who_may_change(world: World) -> None:
    tenant = world.client(world.token("tenant-admin", organisation=TENANT))
    world.client(world.coordinator).apply_scheme(scheme_text("open", base="usage"))
    assert "open" in {one.id for one in tenant.schemes()}
    assert tenant.voucher_why("open").decisions
    for refused in (lambda: tenant.vouchers(OTHER), lambda: tenant.voucher_why("open", OTHER)):
        with pytest.raises(ApiError) as caught:
            refused()
        assert 404 == caught.value.status
    auditor = world.client(world.token("auditor"))
    assert () == auditor.vouchers()
    for client in (tenant, auditor):
        with pytest.raises(ApiError) as caught:
            client.apply_scheme(scheme_text("mine", base="usage"))
        assert 403 == caught.value.status


def test_a_bad_scheme_names_its_line_and_changes_nothing(world: World) -> None:
    with pytest.raises(ApiError, match=r"line 10: .*rate") as caught:
        world.client(world.coordinator).apply_scheme(scheme_text("bad", rate="300%"), source="bad.yaml")
    assert 422 == caught.value.status
    with pytest.raises(ApiError):
        world.client().scheme("bad")
