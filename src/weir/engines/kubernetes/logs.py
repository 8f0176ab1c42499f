"""A container's log as a file that only grows, where no folder is shared with the nodes.

The log API has no offsets: it can begin at a second, and write each line's time before it. So the time of the
last line that was begun, and which of the lines with that time it was, say where to go on.
"""

import json
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

__all__ = ["LogCopy", "Place", "continue_log"]


@dataclass(frozen=True, slots=True)
class Place:
    """How far a log was copied: `size_bytes` in all, the last line beginning at `line_at`."""

    size_bytes: int = 0
    line_at: int = 0
    stamp: str = ""
    """The time of that line, as the server wrote it; empty before any line."""
    same: int = 0
    """How many lines with that time were begun, this one included."""
    gaps: int = 0
    """How often the node had dropped old lines before they were copied."""

    @property
    def since(self) -> str:
        """From when on to ask: the whole second of the last line."""
        match = _STAMP.fullmatch(self.stamp)
        return match[1] + match[2] if match else ""


def continue_log(place: Place, answer: bytes) -> tuple[bytes, Place]:
    """What is new in an answer that begins at `place.since`, every line with its time before it; and the place
    after it. A line that was cut is gone on with where it was cut."""
    new: list[bytes] = []
    size, line_at, stamp, same, gaps = place.size_bytes, place.line_at, place.stamp, place.same, place.gaps
    found = not stamp
    count = 0
    for line in _lines(answer):
        written, _, text = line.partition(b" ")
        here = written.decode("ascii", "replace").rstrip("\n")
        if not _STAMP.fullmatch(here):
            continue  # the rest of a line that began before the time that was asked for
        if not found:
            count += here == stamp
            if count == same:
                found = True
                rest = text[size - line_at :]
                new.append(rest)
                size += len(rest)
                continue
            if here <= stamp:
                continue
            # Its time is past and the line itself was not there: the node has dropped it.
            found, gaps = True, gaps + 1
        same = same + 1 if here == stamp else 1
        stamp, line_at = here, size
        new.append(text)
        size += len(text)
    return b"".join(new), Place(size, line_at, stamp, same, gaps)


class LogCopy:
    """The copy of one task's log, in two files of the attempt's folder: the bytes, and the place."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._place_file = file.with_suffix(".place")
        self.place = self._read_place()

    def update(self, ask: Callable[[str], bytes]) -> int:
        """Ask for what is new, add it, and return the size. `ask` is given the time to begin at, empty for all.

        Raises what `ask` raises, and OSError.
        """
        new, place = continue_log(self.place, ask(self.place.since))
        if place != self.place:
            with self.file.open("ab") as file:
                # What an earlier copy added before it was killed is not in the place, and comes again.
                file.truncate(self.place.size_bytes)
                file.write(new)
            draft = self._place_file.with_suffix(".new")
            draft.write_text(json.dumps(asdict(place)), encoding="ascii")
            draft.replace(self._place_file)
            self.place = place
        return place.size_bytes

    def _read_place(self) -> Place:
        try:
            place = Place(**json.loads(self._place_file.read_text(encoding="ascii")))
            return place if self.file.stat().st_size >= place.size_bytes else Place()
        except (OSError, ValueError, TypeError):
            return Place()


def _lines(content: bytes) -> list[bytes]:
    """Lines as the server counts them; a carriage return ends none."""
    lines = [line + b"\n" for line in content.split(b"\n")]
    last = lines.pop()[:-1]
    return [*lines, last] if last else lines


_STAMP = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.\d+)?(Z|[+-]\d\d:\d\d)")
"""Kubelets write nine digits of the second, and the node's own time zone."""
