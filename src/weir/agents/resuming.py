"""From which checkpoint an attempt went on: a line that its first task prints when it does.

    weir: resumed from 2026-11-22T14:03:00+08:00

The time is when the checkpoint was written, as ISO 8601 with offset or in seconds since 1970. The line is of standard
output or standard error, within the first LOOKED_AT bytes, since work resumes as it begins.
"""

import re

from weir.units import LATEST_MS, parse_time_ms

LOOKED_AT = 64 << 10
_LINE = re.compile(rb"^weir: resumed from ([0-9TZ:.+-]{1,40})\s*$", re.MULTILINE)
_SECONDS = re.compile(r"\d{1,12}(?:\.\d{1,9})?")


def resumed_ms(output: bytes) -> int | None:
    """When the checkpoint was written from which this output says that its task resumed; None where it says nothing.

    By the centre's clock. Of several lines the first that names an instant counts.
    """
    for match in _LINE.finditer(output):
        said = match[1].decode("ascii")
        try:
            at_ms = round(float(said) * 1_000) if _SECONDS.fullmatch(said) else parse_time_ms(said)
        except (ValueError, OverflowError):
            continue
        if 0 <= at_ms < LATEST_MS:
            return at_ms
    return None


__all__ = ["LOOKED_AT", "resumed_ms"]
