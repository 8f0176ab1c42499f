"""How many tasks a gang has: a number, or `min..max` where it can stretch."""

import re
from dataclasses import dataclass
from typing import Any

_RANGE = re.compile(r"(\d{1,6})(?:\.\.(\d{1,6}))?")


@dataclass(frozen=True, slots=True)
class TaskRange:
    """From `least` to `most` tasks, started together; equal for a job that cannot stretch."""

    least: int = 1
    most: int = 1

    @property
    def elastic(self) -> bool:
        """Whether it has a choice."""
        return self.least != self.most

    def __str__(self) -> str:
        return f"{self.least}..{self.most}" if self.elastic else str(self.least)

    @classmethod
    def parse(cls, value: object) -> "TaskRange":
        """From `4`, `"4"` or `"2..4"`. Raises ValueError saying what is accepted."""
        if isinstance(value, TaskRange):
            return value
        match = (
            _RANGE.fullmatch(str(value))
            if isinstance(value, int | str) and not isinstance(value, bool)
            else None
        )
        least, most = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
        if not 1 <= least <= most:
            raise ValueError(
                f"{value!r} is not a number of tasks; write one from 1, such as 4, or a range such as 2..4"
            )
        return cls(least, most)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> dict[str, Any]:
        return {"type": "function-plain", "function": {"type": "no-info", "function": cls.parse}}

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: Any, handler: Any) -> dict[str, Any]:
        return {
            "anyOf": [{"type": "integer", "minimum": 1}, {"type": "string", "pattern": r"^\d+(\.\.\d+)?$"}]
        }


ONE_TASK = TaskRange()
