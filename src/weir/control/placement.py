"""The nodes of an attempt in their stored form, `[[node, tasks], …]`: which, and how many tasks they run together."""

import functools
import json
from collections.abc import Collection

from weir.model.agent import NodeShare


@functools.lru_cache(maxsize=65_536)
def node_shares(stored: str) -> tuple[NodeShare, ...]:
    """The nodes of an attempt from their stored form."""
    return tuple(NodeShare(node, tasks) for node, tasks in json.loads(stored))


def stored_nodes(nodes: Collection[NodeShare]) -> str:
    """The nodes of an attempt as they are stored."""
    return json.dumps([[share.node, share.tasks] for share in nodes], separators=(",", ":"))


def tasks_on(stored: str) -> int:
    """How many tasks an attempt has: its own number, whatever its job could have."""
    return sum(share.tasks for share in node_shares(stored))


__all__ = ["node_shares", "stored_nodes", "tasks_on"]
