"""What the local engine claims to be able to do: what it always does, and what this machine lets it do."""

from collections.abc import Iterable

from weir.engines.local.allocation import PoolSpace
from weir.engines.local.launch import Site

__all__ = ["capabilities_of"]

_ALWAYS = frozenset(
    {
        "commands",
        "devices",
        "gang",
        "kill-all",
        "kill-by-session",
        "output-live",
        "queue",
        "files",
        "shared-folder",
        "streams",
        "shares",
        "stop-signal",
        "time-limit",
        "withdraw",
    }
)


def capabilities_of(site: Site, spaces: Iterable[PoolSpace]) -> frozenset[str]:
    """Those of `CAPABILITIES` that hold at this site, for these pools."""
    found = set(_ALWAYS)
    found.add("memory-limit" if site.groups.memory else "memory-rlimit")
    if site.groups.pids:
        found.add("pids-limit")
    if site.groups.usable:
        found.add("kill-by-cgroup")
    if site.isolated:
        found.add("isolation-namespace")
    if site.podman is not None:
        found.add("containers")
    if any(space.binds_cores for space in spaces):
        found.add("cpu-affinity")
    return frozenset(found)
