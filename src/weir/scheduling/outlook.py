"""The outlook: when the jobs that wait in the live province will start, made aside from a picture of the present.

The first in order are followed through futures (`province_forecast`); those behind them are told by class and position:
by how fast the work ahead of such jobs, alike in size and expected run within an octave, is done among the first.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from weir.scheduling.calibration import LEVELS_MILLI, STRATA, Calibration, learnt, uncalibrated
from weir.scheduling.forecast import no_past, remember
from weir.scheduling.inputs import Int64s
from weir.scheduling.province_forecast import NEVER_MS, Province, forecast_and_lived

LEVELS = len(LEVELS_MILLI)
SAMPLES = 257
KINDS = 1 << 13
_FEW = 8
"""A kind of which fewer are among the first is told by the pace of all."""
_FRACTION = 20
_SLOWEST = 1 << 40


def _none() -> Int64s:
    return np.zeros(0, np.int64)


@dataclass(frozen=True, slots=True)
class Heard:
    """Forecasts whose jobs have started since, in order of the starts: as issued, and how long it then was."""

    stratum: Int64s = field(default_factory=_none)
    raw_ms: Int64s = field(default_factory=_none)
    """LEVELS in a row for each."""
    waited_ms: Int64s = field(default_factory=_none)


@dataclass(frozen=True, slots=True)
class Learnt:
    """A calibration as flat columns; empty where nothing has been learnt."""

    offset: Int64s = field(default_factory=_none)
    told: Int64s = field(default_factory=_none)


@dataclass(frozen=True, slots=True)
class Ended:
    """Jobs that ended by themselves or at their limits, in order of their ends."""

    user: Int64s
    size: Int64s
    limit_ms: Int64s
    run_ms: Int64s


@dataclass(frozen=True, slots=True)
class Picture:
    """All that an outlook follows from. `present.waiting` are the first in order, in that order."""

    present: Province
    ended: Ended
    users: int
    """Users are numbered from 0 to below this."""
    ahead: Int64s
    """The work of each of `present.waiting` and of all ahead of it; see `work_of`."""
    expected_ms: Int64s
    """Of `present.waiting`."""
    heard: Heard
    learnt: Learnt
    seed: int
    futures: int


@dataclass(frozen=True, slots=True)
class Outlook:
    """When jobs start, as quantiles at `calibration.LEVELS_MILLI`, as of one instant."""

    as_of_ms: int
    futures: int
    job: Int64s
    """Those that were followed, by number."""
    start_ms: Int64s
    """LEVELS in a row for each; NEVER_MS from `as_of_ms` on where it starts in no future."""
    stratum: Int64s
    raw_ms: Int64s
    """As issued, for the calibration to be told once the job has started."""
    kind: Int64s
    """Kinds of jobs, rising; see `kind_of`."""
    pace: Int64s
    """LEVELS in a row for each kind, and then for all together: time left for each unit of work ahead, in 2^-20."""
    learnt: Learnt
    pools: tuple[str, ...] = ()
    """Their keys."""
    pool_kind: Int64s = field(default_factory=_none)
    """Pools and kinds of jobs that were seen to start there in the futures, rising: KINDS times the pool's place in
    `pools`, and the kind, or 0 for all kinds together."""
    pool_pace: Int64s = field(default_factory=_none)
    """LEVELS in a row for each: as `pace`, over all such jobs in all futures."""
    by_turns: bool = False
    """Whether tenants take turns in the futures."""
    samples: Int64s = field(default_factory=_none)
    """The work ahead at SAMPLES evenly spread positions of the whole line, the last of all."""
    positions: int = 0
    """How many waited."""
    behind: Int64s = field(default_factory=_none)
    """Those behind the followed ones, by number."""
    behind_start_ms: Int64s = field(default_factory=_none)
    """LEVELS in a row for each."""


def sampled(ahead: Int64s) -> Int64s:
    """`Outlook.samples` of the work ahead along a line."""
    if not len(ahead):
        return _none()
    return ahead[np.linspace(0, len(ahead) - 1, SAMPLES).round().astype(np.int64)]


def at_position(outlook: Outlook, size: int, expected_ms: int, position: int) -> tuple[int, ...]:
    """When a job starts that has so many in the line up to and with it, by level; () where nothing waited."""
    if not outlook.positions:
        return ()
    share = min(position, outlook.positions) * (SAMPLES - 1) // outlook.positions
    columns = (np.array([value], np.int64) for value in (size, expected_ms, int(outlook.samples[share])))
    return tuple(by_position(outlook, *columns)[0].tolist())


def at_pools(outlook: Outlook, size: int, expected_ms: int, position: int) -> dict[str, tuple[int, ...]]:
    """As `at_position`, by pool: when it would start there, if that is where it starts.

    Pools in which nothing was seen to start are not named.
    """
    if not outlook.positions:
        return {}
    share = min(position, outlook.positions) * (SAMPLES - 1) // outlook.positions
    ahead = int(outlook.samples[share])
    [kind] = kinds_of(np.array([size], np.int64), np.array([expected_ms], np.int64)).tolist()
    rows = {key: row for row, key in enumerate(outlook.pool_kind.tolist())}
    found = {}
    for place, key in enumerate(outlook.pools):
        row = rows.get(KINDS * place + kind, rows.get(KINDS * place))
        if row is not None:
            pace = outlook.pool_pace[LEVELS * row : LEVELS * (row + 1)].tolist()
            left = [min(NEVER_MS, ahead * each >> _FRACTION) for each in pace]
            found[key] = tuple(outlook.as_of_ms + each for each in left)
    return found


class Told(NamedTuple):
    """What an outlook says of one job."""

    start_ms: tuple[int, ...]
    """By level."""
    followed: bool
    """Through futures; otherwise it is told by class and position."""


def look_out(picture: Picture) -> Outlook:
    """The outlook of a picture; the same on any machine. Takes seconds to minutes. Raises ValueError as `forecast`."""
    past = no_past(picture.users)
    ended = picture.ended
    remember(past, ended.user, ended.size, ended.limit_ms, ended.run_ms)
    state = _calibration(picture.learnt)
    heard = picture.heard
    if len(heard.stratum):
        state = learnt(state, heard.stratum, heard.raw_ms.reshape(-1, LEVELS), heard.waited_ms)
    present = picture.present
    found, seen = forecast_and_lived(
        present, past, state, picture.seed, picture.futures, first=len(present.waiting)
    )
    by_number = np.argsort(found.job, kind="stable")
    # As they are in `waiting`, in order, which is how `ahead` is.
    row_of = by_number[np.searchsorted(found.job, present.waiting.job, sorter=by_number)]
    kind = kinds_of(present.waiting.size, picture.expected_ms)
    kinds, pace = _paces(kind, found.raw_ms[row_of], picture.ahead)
    pool_kind, pool_pace = _paces_by_pool(
        kind, seen.start_ms[row_of] - present.now_ms, seen.pool[row_of], picture.ahead
    )
    return Outlook(
        as_of_ms=present.now_ms,
        futures=picture.futures,
        job=found.job[by_number],
        start_ms=found.start_ms[by_number].reshape(-1),
        stratum=found.stratum[by_number],
        raw_ms=found.raw_ms[by_number].reshape(-1),
        kind=kinds,
        pace=pace.reshape(-1),
        learnt=Learnt(state.offset.reshape(-1).copy(), state.told.copy()),
        pools=tuple(pool.key for pool in present.pools),
        pool_kind=pool_kind,
        pool_pace=pool_pace.reshape(-1),
        by_turns=present.policy.by_tenant and present.usage is not None,
    )


def by_position(outlook: Outlook, size: Int64s, expected_ms: Int64s, ahead: Int64s) -> Int64s:
    """[job, level] when jobs start that were not followed, by their kinds and the work up to and with them."""
    pace = outlook.pace.reshape(-1, LEVELS)
    kind = kinds_of(size, expected_ms)
    row = np.searchsorted(outlook.kind, kind)
    known = row < len(outlook.kind)
    known[known] = outlook.kind[row[known]] == kind[known]
    row = np.where(known, row, len(pace) - 1)
    # One rounding each of a product and a quotient by a power of two: the same on any machine.
    left = np.minimum(ahead[:, None].astype(np.float64) * pace[row] / (1 << _FRACTION), NEVER_MS)
    return outlook.as_of_ms + left.astype(np.int64)


def told_of(outlook: Outlook, job: int) -> Told | None:
    """What it says of a job by number; None where it does not know it."""
    for jobs, starts, followed in (
        (outlook.job, outlook.start_ms, True),
        (outlook.behind, outlook.behind_start_ms, False),
    ):
        row = int(np.searchsorted(jobs, job))
        if row < len(jobs) and jobs[row] == job:
            return Told(tuple(starts[LEVELS * row : LEVELS * (row + 1)].tolist()), followed)
    return None


def work_of(size: Int64s, expected_ms: Int64s) -> Int64s:
    """The work of jobs in order and of all ahead of each: the sum of size times expected run in seconds."""
    return np.cumsum(np.maximum(1, size) * (expected_ms // 1_000 + 1))


def kinds_of(size: Int64s, expected_ms: Int64s) -> Int64s:
    """A number for jobs that are alike in size and expected run within an octave."""
    octave = [
        np.frexp(np.maximum(1, column).astype(np.float64))[1].astype(np.int64)
        for column in (size, expected_ms)
    ]
    return octave[0] * 64 + octave[1]


def _paces(kind: Int64s, left_ms: Int64s, ahead: Int64s) -> tuple[Int64s, Int64s]:
    """(kinds, [kind and all, level] the middle of what fellows have left for each unit of work)."""
    each = _paces_of(left_ms, ahead)
    kinds, count = np.unique(kind, return_counts=True)
    kinds = kinds[count >= _FEW]
    rows = [np.median(each[kind == one], axis=0) for one in kinds]
    rows.append(np.median(each, axis=0) if len(each) else np.full(LEVELS, _SLOWEST))
    return kinds, np.array(rows).astype(np.int64)


def _paces_by_pool(kind: Int64s, left_ms: Int64s, pool: Int64s, ahead: Int64s) -> tuple[Int64s, Int64s]:
    """(`Outlook.pool_kind`, [pool and kind, level]) of [job, future] and of what is ahead of each job."""
    row, future = np.nonzero(pool >= 0)
    each = _paces_of(left_ms, ahead)[row, future]
    place = pool[row, future] * KINDS
    keys, paces = [], []
    for number in (place, place + kind[row]):
        order = np.lexsort((each, number))
        known, first, count = np.unique(number[order], return_index=True, return_counts=True)
        enough = count >= _FEW
        keys.append(known[enough])
        last = (count[enough] - 1)[:, None]
        at = first[enough][:, None] + last * np.array(LEVELS_MILLI, np.int64) // 1_000
        paces.append(each[order][at])
    found, pace = np.concatenate(keys), np.concatenate(paces)
    order = np.argsort(found)
    return found[order], pace[order]


def _paces_of(left_ms: Int64s, ahead: Int64s) -> Int64s:
    """[job, …] time left for each unit of work ahead of each job, in 2^-20."""
    work = np.maximum(1, ahead)[:, None]
    whole, rest = left_ms // work, left_ms % work
    shift = min(_FRACTION, 62 - int(work.max(initial=1)).bit_length())
    found: Int64s = np.minimum(
        (whole << _FRACTION) + ((rest << shift) // work << (_FRACTION - shift)), _SLOWEST
    )
    return found


def _calibration(flat: Learnt) -> Calibration:
    if len(flat.offset) != STRATA * LEVELS or len(flat.told) != STRATA:
        return uncalibrated()
    return Calibration(flat.offset.reshape(STRATA, LEVELS).copy(), flat.told.copy())


__all__ = [
    "KINDS",
    "LEVELS",
    "SAMPLES",
    "Ended",
    "Heard",
    "Learnt",
    "Outlook",
    "Picture",
    "Told",
    "at_pools",
    "at_position",
    "by_position",
    "kinds_of",
    "look_out",
    "sampled",
    "told_of",
    "work_of",
]
