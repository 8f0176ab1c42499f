"""What the API is made of: the rooms below it, the clock and randomness, and its limits."""

from collections.abc import Callable
from dataclasses import dataclass, field

from weir.access import TokenCache
from weir.api.metrics import Meters
from weir.control.cycle import Stand
from weir.control.foretelling import Foretold
from weir.control.journal import AskedCycle
from weir.control.quoting import Foresee
from weir.files import BlobStore, LogStore
from weir.store import Store

AskStand = Callable[[int], Stand | None]
"""Where the job of this number stands in the scheduler, as `Control.stand`; None where it does not lead."""
AskStood = Callable[[int, AskedCycle, int], Stand | None]
"""Where it stood in a cycle of the last days, as `Control.stood`; None where it does not lead."""


@dataclass(frozen=True, slots=True)
class ApiSettings:
    """Limits and times of the API."""

    largest_json_bytes: int = 32 << 20
    """Of a submission, a report and a province file; 10,000 jobs of 3 KiB fit."""
    largest_small_json_bytes: int = 1 << 20
    """Of every other JSON body."""
    largest_input_bytes: int = 1 << 30
    """Of a file that a user uploads."""
    largest_log_put_bytes: int = 64 << 20
    most_jobs_a_call: int = 10_000
    longest_poll_ms: int = 25_000
    threads: int = 48
    """Requests that work at the same time; those that wait for news hold none."""
    keep_alive_s: float = 15.0
    """An events stream says something at least so often."""
    log_look_s: float = 1.0
    """How often a follower looks for what another process added to a log."""
    keep_answers_ms: int = 86_400_000
    """How long the answer to an Idempotency-Key is kept."""
    housekeeping_s: float = 600.0
    """How often old answers are dropped, and looked whether the night's check of the counters is due."""


@dataclass(frozen=True, slots=True)
class Services:
    """Everything that a request may need. `stand` and `stood` are None in a process that never leads."""

    store: Store
    blobs: BlobStore
    logs: LogStore
    now_ms: Callable[[], int]
    random_bits: Callable[[int], int]
    version: str
    stand: AskStand | None = None
    foresee: Foresee | None = None
    """For how long a job would be expected to run, as `Control.forecast`; likewise."""
    stood: AskStood | None = None
    settings: ApiSettings = ApiSettings()
    meters: Meters = field(default_factory=Meters)
    tokens: TokenCache = field(default_factory=TokenCache)
    foretold: Foretold = field(default_factory=Foretold)


__all__ = ["ApiSettings", "AskStand", "AskStood", "Services"]
