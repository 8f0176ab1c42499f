"""What the driver keeps in memory of one attempt."""

import json
import os
from dataclasses import dataclass, field
from pathlib import Path

from weir.engines.driver import EngineEnd, EngineState
from weir.engines.kubernetes.parsing import JobFacts, PodFacts, Stop
from weir.model.codec import CodecError, from_plain, to_plain
from weir.model.state import Observed

__all__ = ["EndNotes", "Tracked"]


@dataclass(slots=True)
class Tracked:
    """One attempt that the cluster has, or had."""

    attempt: str
    job: JobFacts
    state: EngineState
    pods: dict[str, PodFacts] = field(default_factory=dict)
    """By uid."""
    certain: bool = False
    """Its pods were listed after it seemed to have ended."""
    vanished: bool = False
    """Its Job no longer exists."""
    taking_back: Stop | None = None
    """Its Job is being deleted, should it not have been admitted: then this is why it is gone."""
    held_by: tuple[str, float] = ("", 0.0)
    """Why it does not start, and since when (by the monotonic clock)."""

    @property
    def ended(self) -> bool:
        return self.state.observed is Observed.ENDED


class EndNotes:
    """Ends that cannot be read from the cluster any more, one small file each in the agent's folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, attempt: str) -> EngineEnd | None:
        """The end that was noted; None for none, or one that was cut short."""
        try:
            return from_plain(EngineEnd, json.loads(self._path(attempt).read_text(encoding="utf-8")))
        except (OSError, ValueError, CodecError):
            return None

    def write(self, attempt: str, end: EngineEnd) -> None:
        """Note an end, durably. Raises OSError."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._path(attempt)
        draft = path.with_suffix(".new")
        with draft.open("w", encoding="utf-8") as file:
            json.dump(to_plain(end), file)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)

    def drop(self, attempt: str) -> None:
        self._path(attempt).unlink(missing_ok=True)

    def attempts(self) -> list[str]:
        """Those that were noted."""
        try:
            return sorted(path.stem for path in self._folder.iterdir() if path.suffix == ".end")
        except FileNotFoundError:
            return []

    def _path(self, attempt: str) -> Path:
        return self._folder / f"{attempt}.end"
