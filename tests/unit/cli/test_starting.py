"""When a job is foretold to start, as people read it."""

from weir.cli.starting import expected_words, start_words
from weir.model.view import StartForecastView

NOW = 1_800_000_000_000
MINUTE = 60_000
FORETOLD = StartForecastView(
    NOW - 12_345, 64, tuple(NOW + minutes * MINUTE for minutes in (-1, 5, 10, 20, 45, 90, 3_000))
)


def test_the_middle_the_ranges_their_source_and_their_age_are_told() -> None:
    assert (
        "about 08:20 UTC (50 % 08:10 UTC to 08:45 UTC, 80 % 08:05 UTC to 09:30 UTC, "
        "95 % now to 2027-01-17 10:00 UTC; by 64 simulated futures, 12.0s ago)"
    ) == start_words(FORETOLD, NOW)
    assert "in 20m00s" == expected_words(FORETOLD, NOW)


def test_what_is_told_by_position_and_what_is_far_are_said_so() -> None:
    year = tuple(NOW + 366 * 86_400_000 + level for level in range(7))
    assert "about a year from now" in start_words(StartForecastView(NOW, 0, year), NOW)
    assert "its place and the pace of jobs like it, 0ms ago" in start_words(
        StartForecastView(NOW, 0, year), NOW
    )
    assert "in a year" == expected_words(StartForecastView(NOW, 0, year), NOW)


def test_no_forecast_says_why() -> None:
    assert "no forecast yet: none" == start_words(StartForecastView(none="none"), NOW)
    assert "no forecast yet: late, as of 1m00s ago" == start_words(
        StartForecastView(NOW - MINUTE, none="late"), NOW
    )
    assert "-" == expected_words(StartForecastView(none="none"), NOW) == expected_words(None, NOW)
