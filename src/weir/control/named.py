"""Which jobs the change log names: those that may have changed, those that have ended, and long runs alike."""

from collections.abc import Sequence

from weir.model.change import Change, ChangeKind
from weir.model.state import JobState

MANY = 256
"""So many neighbours are looked at together."""

_ENDED = frozenset(state.name.lower() for state in JobState if state.ended)
_DONE = frozenset({JobState.SUCCEEDED.name.lower(), JobState.FAILED.name.lower()})
_QUEUED = JobState.QUEUED.name.lower()


def named(changes: Sequence[Change]) -> tuple[set[int], set[int], list[tuple[int, int]], bool, bool]:
    """The jobs that may have changed, those that have ended for good, long runs that may be queued alike (first,
    count), and whether the province or a centre changed."""
    dirty: set[int] = set()
    gone: set[int] = set()
    many: list[tuple[int, int]] = []
    province = centres = False
    for change in changes:
        if change.kind is ChangeKind.SUBMITTED:
            _name(change.body["first_job"], change.body["size"], dirty, many)
        elif change.kind is ChangeKind.MOVED:
            for first, count, state in change.body["moves"]:
                if state in _ENDED:
                    gone.update(range(first, first + count))
                elif state == _QUEUED:
                    _name(first, count, dirty, many)
                else:
                    dirty.update(range(first, first + count))
        elif change.kind is ChangeKind.EDITED:
            for first, count in change.body["jobs"]:
                dirty.update(range(first, first + count))
        elif change.kind is ChangeKind.PROVINCE:
            province = True
        elif change.kind is ChangeKind.CENTRE:
            centres = True
    return dirty - gone, gone, many, province, centres


def done(changes: Sequence[Change]) -> set[int]:
    """The jobs that succeeded or failed."""
    return {
        job
        for change in changes
        if change.kind is ChangeKind.MOVED
        for first, count, state in change.body["moves"]
        if state in _DONE
        for job in range(first, first + count)
    }


def _name(first: int, count: int, dirty: set[int], many: list[tuple[int, int]]) -> None:
    if count >= MANY:
        many.append((first, count))
    else:
        dirty.update(range(first, first + count))


__all__ = ["done", "named"]
