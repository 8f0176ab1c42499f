"""Facts about organisations over HTTP and the command line: stated by the coordinator, read by those concerned."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.api_world import OTHER, TENANT, World, served
from weir.cli.main import main
from weir.client import ApiError

ACME, LTD = "91340100WEYR00027A", "91340200WEYR00035A"
HEADER = "organisation,fact,value,valid_from,valid_through,evidence\n"
TEXT = HEADER + f"{ACME},kind,company,2019-05-01,,licence\n{LTD},size,small,2025-01-01,2025-12-31,\n"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with served(tmp_path_factory.mktemp("api")) as made:
        yield made


def test_facts_are_looked_at_stated_and_read_by_those_concerned(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "facts.csv"
    file.write_text(TEXT, encoding="utf-8")
    monkeypatch.setenv("WEIR_URL", world.url)
    monkeypatch.setenv("WEIR_TOKEN", world.coordinator)

    def weir(*arguments: str) -> tuple[int, str]:
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        return int(ended.value.code or 0), capsys.readouterr().out

    code, said = weir("org", "import", str(file), "--dry-run")
    assert 0 == code
    assert "2 rows: 2 added" in said
    assert () == world.client(world.coordinator).organisation_facts(ACME).facts
    code, said = weir("org", "import", str(file), "--yes")
    assert "stated: 2 added" in said
    code, said = weir("org", "facts", ACME)
    assert "\nkind\tcompany\t2019-05-01\t-\tlicence\t" in said
    file.write_text(TEXT + f"{ACME},kind,firm,2020-01-01,,\n", encoding="utf-8")
    code, said = weir("org", "import", str(file), "--yes")
    assert 2 == code
    assert "1 refused" in said


def test_a_tenant_reads_its_own_and_states_nothing(world: World) -> None:
    tenant = world.client(world.token("tenant-admin", organisation=TENANT))
    tenant.organisation_facts(TENANT)
    with pytest.raises(ApiError) as other:
        tenant.organisation_facts(OTHER)
    assert 404 == other.value.status
    for secret in (
        world.token("tenant-admin", organisation=TENANT),
        world.token("auditor"),
        world.token("centre-operator", centre="hefei-ai"),
    ):
        with pytest.raises(ApiError) as refused:
            world.client(secret).import_facts(TEXT)
        assert 403 == refused.value.status


def test_a_refused_file_names_its_row(world: World) -> None:
    with pytest.raises(ApiError, match="line 2: industry is a letter") as caught:
        world.client(world.coordinator).import_facts(HEADER + f"{ACME},industry,65,2025-01-01,,\n")
    assert 422 == caught.value.status
