"""The tables of quality say what was measured, and call a missed aim missed."""

import json
from pathlib import Path

import pytest

from bench import quality, quality_province
from bench.logs import generated, read_log
from bench.quality_province import Row, ratios


def test_generated_loads_alone_are_measured_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("WEIR_TRACES", raising=False)
    monkeypatch.setattr(quality, "RESULTS", tmp_path)
    monkeypatch.setattr(quality, "GENERATED", ((1_500, 64, 0.9),))
    monkeypatch.setattr(quality, "ROUNDS", 50)
    [figure] = quality.measure(1)
    document = json.loads((tmp_path / "quality.json").read_text(encoding="utf-8"))
    rows = {row["way"]: row for row in document["rows"]}
    assert rows["easy"]["ratio"] == 1
    weir = rows["weir, predictions"]
    assert figure.value == pytest.approx(weir["ratio"])
    assert weir["low"] <= weir["ratio"] <= weir["high"]
    [aim] = document["aims"]
    assert aim["met"] is (figure.value <= quality.GEOMETRIC_AIM)
    page = (tmp_path / "quality.md").read_text(encoding="utf-8")
    assert "recorded logs, as WEIR_TRACES names no folder" in page
    assert ("**missed**" in page) is not aim["met"]


def row(policy: str, load: float, wait: float, cost: int) -> Row:
    return Row(1, load, policy, 100, 0, wait, wait, 1.0, cost, 1.0)


def test_province_ratios_and_aims() -> None:
    rows = [row("weir", 0.85, 60, 105), *(row(other, 0.85, 100, 100) for other in quality_province.THEIRS)]
    found = {(each.other, each.figure): each for each in ratios(rows)}
    assert found["earliest", "mean wait"].value == pytest.approx(0.6)
    assert found["earliest", "mean wait"].met
    # Costs are held against `cheapest` alone under load.
    assert found["race", "mean cost"].most is None
    assert found["cheapest", "mean cost"].met
    rows = [row("weir", 0.70, 99, 101), *(row(other, 0.70, 100, 100) for other in quality_province.THEIRS)]
    found = {(each.other, each.figure): each for each in ratios(rows)}
    assert found["race", "mean wait"].met
    assert not found["race", "mean cost"].met
    assert "**missed**" in quality_province.ratio_table(list(found.values()))


def test_smaller_provinces_keep_their_proportions() -> None:
    whole, part = quality_province.smaller(300_000), quality_province.smaller(60_000)
    assert (whole.devices, whole.cpu_nodes, whole.least_nodes) == (47_000, 1_200, 16)
    assert (part.devices, part.cpu_nodes, part.least_nodes) == (9_400, 240, 3)


def test_a_log_says_how_large_its_machine_is(tmp_path: Path) -> None:
    line = "1 1357000000 -1 60 4 -1 -1 4 600 -1 1 1 1 1 1 1 -1 -1\n"
    log = tmp_path / "small.swf"
    log.write_text(line, encoding="ascii")
    with pytest.raises(ValueError, match="how large"):
        read_log(log)
    assert read_log(log, 8).processors == 8
    (tmp_path / "small.swf.machines").write_text("0 first 2 80 1 1\n1 second 3 12 1 1\n", encoding="ascii")
    found = read_log(log)
    assert found.processors == 196
    assert found.work.submit_ms.tolist() == [0]
    assert generated(1, 10, 64, 0.5).name == "generated, 64 at 0.50"
