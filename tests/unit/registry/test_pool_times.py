"""Windows and bands of a province file: what people write, and what the core takes."""

from pathlib import Path

import pytest

from weir.model.problem import ProblemError
from weir.model.province import Pool
from weir.registry.catalogue import device_catalogue
from weir.registry.pool_times import parse_start
from weir.registry.province_file import read_province
from weir.registry.rows import declared_by, from_body, to_body
from weir.scheduling.inputs import Curve, Window
from weir.twin.province import load_province

HOUR = 3_600_000
DAY = 24 * HOUR
_FILE = """
version: 1
province: small
cities: [{id: here, name: Here}]
centres:
  - id: a
    kind: intelligent
    city: here
    pools:
      - id: new
        device: nvidia-h100-sxm-80gb
        nodes: 4
        devices_per_node: 8
        cores_per_node: 112
        memory_per_node: 2TiB
        windows:
          - {start: "sun 02:00", lasts: 4h, reason: "cooling"}
          - {start: "2026-03-01T22:00+08:00", lasts: 2d}
        bands:
          - {start: "22:00", device_hour: "6.00"}
          - {start: "06:00", device_hour: "10.00"}
          - {start: "2026-01-01T00:00Z", carbon_g_per_kwh: 500}
          - {start: "2026-01-01T01:00Z", carbon_g_per_kwh: 450}
"""


def test_times_of_day_and_week_are_those_of_utc_plus_eight() -> None:
    assert (18 * HOUR, DAY) == (parse_start("02:00").at_ms, parse_start("02:00").every_ms)
    sunday = parse_start("sun 02:00")
    # 4 January 1970 was a Sunday; two o'clock there is six in the evening of the day before in UTC.
    assert (2 * DAY + 18 * HOUR, 7 * DAY) == (sunday.at_ms, sunday.every_ms)
    assert (0, 0) == (parse_start("1970-01-01T08:00+08:00").at_ms, parse_start("1970-01-01T00:00Z").every_ms)


@pytest.mark.parametrize("text", ["24:00", "2:00", "noon", "sunday 02:00", "2026-03-01T22:00"])
def test_another_start_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="give a time of day"):
        parse_start(text)


def test_a_pool_gets_its_windows_and_curves(tmp_path: Path) -> None:
    file = tmp_path / "small.yaml"
    file.write_text(_FILE, encoding="utf-8")
    [pool], _ = load_province(file)
    once = 1_772_373_600_000
    assert pool.windows == (
        Window(2 * DAY + 18 * HOUR, 2 * DAY + 22 * HOUR, 7 * DAY, "cooling"),
        Window(once, once + 2 * DAY),
    )
    assert pool.device_hour_over_time == Curve(((14 * HOUR, 6_000_000), (22 * HOUR, 10_000_000)), DAY)
    new_year = 1_767_225_600_000
    assert pool.carbon_over_time == Curve(((new_year, 500), (new_year + HOUR, 450)))
    assert pool.core_hour_over_time is None


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("sun 02:00", "noon", "windows\\[0\\].start.*give a time of day"),
        ("lasts: 4h", "lasts: 8d", "windows\\[0\\].lasts.*less than until the next time"),
        ('device_hour: "6.00"', 'device_hour: "3000"', "bands\\[0\\].device_hour.*from 0 to ¥2,000"),
        ("carbon_g_per_kwh: 450", "carbon_g_per_kwh: -1", "carbon_g_per_kwh"),
        ('"06:00"', '"sat 06:00"', "all begin at times of day"),
        ('"06:00"', '"22:00"', "begin at once"),
        ("T01:00Z", "T01:00:30Z", "whole minute"),
        (', device_hour: "6.00"', "", "say what holds from then on"),
    ],
)
def test_what_cannot_be_is_refused_with_its_place(before: str, after: str, said: str) -> None:
    with pytest.raises(ProblemError, match=said):
        read_province(_FILE.replace(before, after), "small.yaml")


def test_what_is_applied_is_kept_as_it_was_written() -> None:
    province = read_province(_FILE, "small.yaml")
    [declared] = declared_by(province, device_catalogue()).pools.values()
    assert from_body(Pool, to_body(declared)) == province.centres[0].pools[0]
    assert len(declared.windows) == 2
    assert len(declared.bands) == 4
