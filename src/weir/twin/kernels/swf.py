"""The lines of the Standard Workload Format: bytes in, integers out."""

import numpy as np

from weir.scheduling.kernels.compiled import entry, folded, inner

FIELDS = 18
"""How many the format has; what a line holds beyond them is left aside."""

# Columns of `values`. Times are milliseconds.
JOB, SUBMIT, RUN, ALLOCATED, REQUESTED, REQUESTED_TIME, USER, GROUP = range(8)
COLUMNS = 8

# What is wrong with a line. Columns of `bad` are the line's number, one of these, and the field from 1 (for TOO_FEW:
# how many there are).
TOO_FEW, NOT_A_NUMBER, TOO_LARGE, NOT_WHOLE = 1, 2, 3, 4

SHORTEST_JOB, SHORTEST_LINE = 2 * FIELDS - 1, 2
"""Bytes that a job's line and any line that is not empty take at least, so that room can be made without counting."""

LARGEST = 10**12
"""Seconds, processors or numbers beyond this are no fact about any machine, and sums of products would overflow."""

# Where each of the 18 fields goes (-1: read, and not kept), and which of them are times.
_PLACES = np.array(
    (JOB, SUBMIT, -1, RUN, ALLOCATED, -1, -1, REQUESTED, REQUESTED_TIME, -1, -1, USER, GROUP) + (-1,) * 5
)
_TIMES = np.array((0, 1, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0) + (0,) * 5)

_TAB, _NEWLINE, _RETURN, _SPACE, _PLUS, _MINUS, _POINT, _NOUGHT, _COMMENT = 9, 10, 13, 32, 43, 45, 46, 48, 59
_CAPITAL_E, _SMALL_E = 69, 101
_DIGITS = 18  # of which 64 bits hold any number


@folded
def blank(byte):  # type: ignore[no-untyped-def]
    """White space within a line; a carriage return is that too."""
    return byte in (_SPACE, _TAB, _RETURN)


@inner
def decimal(text, place):  # type: ignore[no-untyped-def]
    """Any unsigned number at `place`: (its thousandths or -1 where there is none, the place after it).

    Halves of a thousandth are rounded up; a number beyond LARGEST counts as LARGEST x 1001 thousandths.
    """
    size = len(text)
    mantissa = np.int64(0)
    exponent = np.int64(3)
    digits = 0
    found, fraction = False, False
    while place < size:
        digit = np.int64(text[place]) - _NOUGHT
        if 0 <= digit <= 9:
            found = True
            if digits < _DIGITS:
                mantissa = mantissa * 10 + digit
                digits += 1 if mantissa > 0 else 0
                exponent -= fraction
            else:
                exponent += not fraction
        elif text[place] == _POINT and not fraction:
            fraction = True
        else:
            break
        place += 1
    if found and place < size and (text[place] == _SMALL_E or text[place] == _CAPITAL_E):
        place += 1
        down = place < size and text[place] == _MINUS
        if place < size and (text[place] == _MINUS or text[place] == _PLUS):
            place += 1
        found, power = False, np.int64(0)
        while place < size:
            digit = np.int64(text[place]) - _NOUGHT
            if not 0 <= digit <= 9:
                break
            power = min(np.int64(power * 10) + digit, np.int64(10_000))
            found = True
            place += 1
        exponent += -power if down else power
    if not found:
        return np.int64(-1), place
    while exponent > 0 and 0 < mantissa <= LARGEST * 1_000:
        mantissa *= 10
        exponent -= 1
    while exponent < -1 and mantissa > 0:
        mantissa //= 10
        exponent += 1
    if exponent == -1:
        mantissa = (mantissa + 5) // 10
    return min(mantissa, np.int64(LARGEST * 1_001)), place


@entry
def lines(text, line, values, bad, stop):  # type: ignore[no-untyped-def]
    """Read each line that is neither empty nor a comment; returns (jobs, bad lines, number of the line after the last).

    `text`: bytes that end where a line does, the first line being number `line`; `values`: int64, COLUMNS rows, a
    column for each job; `bad`: int64, 3 wide, a row for each bad line. Room: see SHORTEST_JOB. With `stop`,
    the first bad line ends it.
    """
    size = len(text)
    place, jobs, wrong = 0, 0, 0
    line -= 1
    while place < size:
        line += 1
        while place < size and blank(text[place]):
            place += 1
        if place < size and text[place] != _NEWLINE and text[place] != _COMMENT:
            reason, field = 0, 0
            while field < FIELDS:
                while place < size and blank(text[place]):
                    place += 1
                if place >= size or text[place] == _NEWLINE:
                    reason = TOO_FEW
                    break
                negative = text[place] == _MINUS
                if negative or text[place] == _PLUS:
                    place += 1
                first = place
                number = np.int64(0)
                while place < size:
                    digit = np.int64(text[place]) - _NOUGHT
                    if not 0 <= digit <= 9:
                        break
                    number = number * 10 + digit
                    place += 1
                ended = place >= size or text[place] == _NEWLINE or blank(text[place])
                if first < place < first + _DIGITS and ended:
                    milli = min(number, np.int64(LARGEST + 1)) * 1_000
                else:
                    milli, place = decimal(text, first)
                    if milli < 0 or not (place >= size or text[place] == _NEWLINE or blank(text[place])):
                        reason = NOT_A_NUMBER
                        break
                kept = _PLACES[field]
                if kept >= 0:
                    if milli > LARGEST * 1_000:
                        reason = TOO_LARGE
                        break
                    if not _TIMES[field]:
                        if milli % 1_000:
                            reason = NOT_WHOLE
                            break
                        milli //= 1_000
                    values[kept, jobs] = -milli if negative else milli
                field += 1
            if reason == 0:
                jobs += 1
            else:
                bad[wrong, 0] = line
                bad[wrong, 1] = reason
                bad[wrong, 2] = field if reason == TOO_FEW else field + 1
                wrong += 1
                if stop:
                    return jobs, wrong, line + 1
        while place < size and text[place] != _NEWLINE:
            place += 1
        place += 1
    return jobs, wrong, line + 1
