"""Results that others published, made again from the real inputs under the others' own rules.

These rules are not Weir's: each module says whose they are, in what they differ, and where they were read.
"""

from weir.twin.published.rlscheduler import (
    RL_POLICIES,
    RL_PUBLISHED,
    RL_STARTS,
    RlLog,
    RlRow,
    read_rl_log,
    rl_starts,
    rl_table,
)

__all__ = [
    "RL_POLICIES",
    "RL_PUBLISHED",
    "RL_STARTS",
    "RlLog",
    "RlRow",
    "read_rl_log",
    "rl_starts",
    "rl_table",
]
