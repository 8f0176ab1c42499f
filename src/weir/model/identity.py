"""How things are named: jobs `k7m2q9xw4tcd` and `k7m2q9xw4tcd.7`, attempts `k7m2q9xw4tcd.7-1`."""

import re
from dataclasses import dataclass

ALPHABET = "abcdefghjkmnpqrstvwxyz0123456789"
SUBMISSION_LENGTH = 12
_JOB = re.compile(r"([a-z0-9]{1,12})(?:\.(\d{1,9}))?")
_ATTEMPT = re.compile(r"([a-z0-9]{12}(?:\.\d{1,9})?)-(\d{1,9})")


@dataclass(frozen=True, slots=True, order=True)
class JobName:
    """A job's name: the submission that made it and, for an element of an array, its index."""

    submission: str
    index: int | None = None

    def __str__(self) -> str:
        return self.submission if self.index is None else f"{self.submission}.{self.index}"

    @classmethod
    def parse(cls, text: str) -> "JobName":
        """The name, whose submission may be a shortened prefix. Raises ValueError."""
        match = _JOB.fullmatch(text)
        if not match:
            raise ValueError(f"{text!r} is not a job id; it looks like k7m2q9xw4tcd or k7m2q9xw4tcd.7")
        return cls(match[1], None if match[2] is None else int(match[2]))


def submission_id(random_80_bits: int) -> str:
    """A submission's id from 60 of the random bits given: 12 letters and digits, none easily misread."""
    letters = []
    for _ in range(SUBMISSION_LENGTH):
        random_80_bits, digit = divmod(random_80_bits, 32)
        letters.append(ALPHABET[digit])
    return "".join(letters)


def attempt_id(job: JobName | str, epoch: int) -> str:
    """The name of one placement of a job: unique, since an epoch is used once."""
    return f"{job}-{epoch}"


def parse_attempt_id(text: str) -> tuple[str, int]:
    """The job's name and the epoch of an attempt's id. Raises ValueError."""
    match = _ATTEMPT.fullmatch(text)
    if not match:
        raise ValueError(f"{text!r} is not an attempt id; it looks like k7m2q9xw4tcd.7-1")
    return match[1], int(match[2])
