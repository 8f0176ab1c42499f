"""Commands of the province's coordinator and operators: what there is, tokens, invites, draining, applying."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

from tests.system.conftest import OPERATOR, PROVINCE, TENANT, RealProvince, until

EXTRA = """\
  - id: late
    name: Late
    city: wuhu
    kind: general
    operator: "11340000WEYR00019J"
    engine: {driver: local}
    pools:
      - {id: cpu, device: huawei-kunpeng-920-7260, nodes: 3, cores_per_node: 8, memory_per_node: 8GiB}
links:
"""


def _column(text: str, name: str, key: str) -> str:
    rows = [line.split("\t") for line in text.splitlines()]
    [row] = [row for row in rows if row[0] == key]
    return row[rows[0].index(name)]


def test_centres_pools_and_devices_are_listed(province: RealProvince) -> None:
    centres = province.weir("centres").good()
    assert "up" == _column(centres, "STATE", "north")
    assert "edge" == _column(centres, "KIND", "south")
    assert "not reachable" == _column(centres, "STATE", "away")
    pools = province.weir("pools").good()
    assert "¥9.00/device-h ¥0.50/core-h" == _column(pools, "PRICE", "north/ascend")
    assert "2/2" == _column(pools, "NODES", "north/cpu")
    assert ["POOL", "north/ascend", "north/cpu"] == [
        line.split("\t")[0] for line in province.weir("pools", "--centre", "north").good().splitlines()
    ]
    shown = province.weir("centre", "show", "north").good()
    assert "pool           ascend: 1 of 1 nodes of huawei-ascend-910b" in shown
    assert "no centre 'nowhere'" == province.weir("centre", "show", "nowhere").refused()
    devices = province.weir("devices").good()
    assert "cann" == _column(devices, "STACK", "huawei-ascend-910b")
    who = province.weir("whoami").good()
    assert "role           coordinator" in who


def test_a_table_is_aligned_on_a_terminal(province: RealProvince) -> None:
    read, write = pty.openpty()
    command = [sys.executable, "-m", "weir", "centres"]
    environment = province.environment | {"NO_COLOR": "1"}
    subprocess.run(command, stdout=write, env=environment, check=True, timeout=60)
    os.close(write)
    lines = os.read(read, 65_536).decode().splitlines()
    os.close(read)
    starts = {
        line.index(word)
        for line, word in zip(lines, ("KIND", "general", "intelligent", "edge", "edge"), strict=True)
    }
    assert 1 == len(starts), lines


def test_a_token_is_made_used_listed_and_revoked(province: RealProvince, tmp_path: Path) -> None:
    file = tmp_path / "zhao.token"
    options = ["--role", "tenant-member", "--organisation", TENANT, "--to", str(file), "--valid-for", "90d"]
    made = province.weir("token", "create", "Zhao Lei", *options)
    assert f"{file}: WEIR_TOKEN_FILE={file} uses it" == made.good()
    secret = file.read_text().strip()
    assert 0o600 == file.stat().st_mode & 0o777
    owner = province.as_owner_of(file)
    assert "Zhao Lei" in owner.weir("whoami").good()
    listed = json.loads(province.weir("token", "list", "--json").good())
    assert secret not in json.dumps(listed)
    [token] = [one for one in listed if one["name"] == "Zhao Lei"]
    assert "until 20" in _column(province.weir("token", "list").good(), "STANDS", str(token["id"]))
    assert "403" not in owner.weir("token", "list").err
    assert f"token {token['id']} is revoked" == province.weir("token", "revoke", str(token["id"])).good()
    assert "token" in owner.weir("jobs").refused()
    assert "File exists" in province.weir("token", "create", "Zhao Lei", *options).refused()
    missing = tmp_path / "never.token"
    bad = ["--role", "king", "--to", str(missing)]
    assert "role" in province.weir("token", "create", "Qin", *bad).refused()
    assert not missing.exists()


def test_centres_are_invited_drained_and_resumed(province: RealProvince, tmp_path: Path) -> None:
    province.weir("centre", "invite", "away", "--to", str(tmp_path / "codes")).good()
    code = tmp_path / "codes/away.code"
    assert 0o600 == code.stat().st_mode & 0o777
    shown = province.weir("centre", "invite", "away").good()
    assert shown.startswith("away\t")
    assert code.read_text().strip() not in shown
    assert "'nowhere'" in province.weir("centre", "invite", "nowhere").refused()
    assert "name at least one centre" in province.weir("centre", "invite").refused()
    assert (
        "away starts nothing new; `weir centre resume away` undoes it"
        == province.weir("centre", "drain", "away").good()
    )
    assert "draining" == _column(province.weir("centres").good(), "STATE", "away")
    assert "away starts jobs again" == province.weir("centre", "resume", "away").good()
    assert "not reachable" == _column(province.weir("centres").good(), "STATE", "away")


def test_a_tenant_may_not_change_the_province(tenant: RealProvince) -> None:
    (tenant.folder / "same.yaml").write_text(PROVINCE)
    for command in (
        ["apply", "-f", "same.yaml", "-y"],
        ["centre", "drain", "north"],
        ["centre", "invite", "north"],
        ["token", "create", "me", "--role", "coordinator", "--to", "me.token"],
    ):
        assert (
            "may not" in tenant.weir(*command).refused() or "coordinator" in tenant.weir(*command).refused()
        )
    assert not (tenant.folder / "me.token").exists()


def test_applying_shows_the_difference_and_asks(province: RealProvince, tmp_path: Path) -> None:
    file = tmp_path / "province.yaml"
    file.write_text(PROVINCE)
    assert "nothing to change" == province.weir("apply", "-f", str(file)).good()
    file.write_text(PROVINCE.replace("links:\n", EXTRA))
    unasked = province.weir("apply", "-f", str(file))
    assert 1 == unasked.code
    assert ["+ centre late", "+ pool late/cpu"] == [
        line for line in unasked.out.splitlines() if line.startswith("+")
    ]
    assert "nothing was changed; say yes, or give --yes" == unasked.out.splitlines()[-1]

    assert "nothing was changed" in _asked(province, file, "n\n")
    assert "late" not in province.weir("centres").good()
    assert "applied 2 changes" in _asked(province, file, "y\n")
    assert "late" in province.weir("centres").good()
    file.write_text(PROVINCE)
    assert "applied 2 changes" in province.weir("apply", "--yes", "-f", str(file)).good()


def _asked(province: RealProvince, file: Path, answer: str) -> str:
    """What the command prints to somebody at a terminal who answers so."""
    read, write = pty.openpty()
    command = [sys.executable, "-m", "weir", "apply", "-f", str(file)]
    with subprocess.Popen(
        command,
        stdin=write,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=province.environment,
    ) as process:
        os.write(read, answer.encode())
        said, _ = process.communicate(timeout=60)
    os.close(read)
    os.close(write)
    assert "Apply these changes?" in said
    return said


def test_a_pool_that_runs_something_is_drained_before_it_goes(
    province: RealProvince, tenant: RealProvince, tmp_path: Path
) -> None:
    job = tenant.submit("sleep", "60", devices={"count": 1, "models": ["cambricon-mlu370-s4"]})
    tenant.reaches(job, "running")
    without = "\n".join(
        line
        for number, line in enumerate(PROVINCE.splitlines())
        if not any("{id: old" in PROVINCE.splitlines()[at] for at in (number, number - 1))
    )
    file = tmp_path / "province.yaml"
    file.write_text(without + "\n")
    said = province.weir("apply", "-y", "-f", str(file)).good()
    assert "south/old" in said
    assert "drain" in said
    assert "draining" == _column(province.weir("pools").good(), "NOTE", "south/old")
    assert "running" == tenant.client.job(job).state  # type: ignore[union-attr]  # a single job
    refused = tenant.weir("run", "-t", "1m", "--model", "cambricon-mlu370-s4", "--", "true").refused()
    assert "no pool could ever run this" in refused
    tenant.client.cancel(job)
    tenant.ended(job)
    until(lambda: all(one.id != "old" for one in province.client.pools()), "the empty pool is gone")
    province.client.apply_province(PROVINCE)


def test_bad_province_files_are_refused_by_their_field(province: RealProvince, tmp_path: Path) -> None:
    file = tmp_path / "province.yaml"
    for old, new, said in (
        (OPERATOR, "11340000WEYR00019X", "11340000WEYR00019X"),
        ("nodes: 2, cores", "nodes: 2, core_per_node: 2, cores", "cores_per_node"),
        ("memory_per_node: 8GiB", "memory_per_node: 8 apples", "512MiB"),
        ("city: hefei", "city: atlantis", "atlantis"),
        ("version: 1", "version: [", "province.yaml"),
    ):
        file.write_text(PROVINCE.replace(old, new))
        assert said in province.weir("apply", "-y", "-f", str(file)).refused()
    assert "No such file" in province.weir("apply", "-y", "-f", str(tmp_path / "none.yaml")).refused()
    file.write_text(PROVINCE)
    assert "nothing to change" == province.weir("apply", "-f", str(file)).good()
