"""Changes: what the log holds. One change is one committed thing and may name many jobs."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any


class ChangeKind(Enum):
    """What a change tells of."""

    SUBMITTED = "submitted"
    """body: submission, first_job, size"""
    MOVED = "moved"
    """body: moves = [[first job number, count, state name], …]; runs of neighbouring jobs are joined"""
    EDITED = "edited"
    """A queued job's priority or limit changed. body: jobs = [[first, count], …]"""
    PROVINCE = "province"
    """Centres, pools, links or device models changed. body: centres = [id, …]"""
    CENTRE = "centre"
    """A centre was reached, lost, drained or resumed, or its observed capacity changed. body: centre"""
    CYCLE = "cycle"
    """body: through, now_ms, policy, prices (hash), forecast, code, plan (hash), starts (count), term"""
    POSTED = "posted"
    """Entries were added to the organisation's book of the ledger. body: first entry, count"""


@dataclass(frozen=True, slots=True)
class Change:
    """One entry of the change log; `position` order is commit order and has no meaning beyond that.

    `organisation` is whom it concerns ("" for everybody), so that streams can be filtered without reading it.
    """

    position: int
    at_ms: int
    kind: ChangeKind
    body: Mapping[str, Any]
    organisation: str = ""
