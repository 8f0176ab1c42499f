"""The supply of a simulated run: a province file's pools and links, or one machine of so many processors."""

from pathlib import Path

from weir.model.problem import refused
from weir.model.province import Province, Share
from weir.registry.catalogue import device_catalogue
from weir.registry.pool_rows import province_rows
from weir.registry.province_file import read_province
from weir.scheduling.bounds import MOST_NODES
from weir.scheduling.inputs import LinkRow, PoolRow


def load_province(path: str | Path) -> tuple[tuple[PoolRow, ...], tuple[LinkRow, ...]]:
    """The pools (by key) and links that a province file declares, by the rules of `weir apply -f`.

    Every pool is whole and can do all that a job may ask; one declared as draining is closed. Raises ProblemError
    naming the file, or the line, the field, its value and what is accepted.
    """
    return province_rows(_declared(path), device_catalogue())


def load_shares(path: str | Path) -> dict[str, Share]:
    """How much each organisation of a province file may use, by its code and by its name. Raises as `load_province`."""
    declared = _declared(path).organisations
    return {name: each.share for each in declared for name in (each.id, each.name)}


def _declared(path: str | Path) -> Province:
    file = Path(path)
    try:
        text = file.read_text("utf-8")
    except OSError as error:
        raise refused("province", path, f"name a province file that can be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise refused("province", path, "a province file is text in UTF-8") from None
    return read_province(text, file.name)


def single_pool(processors: int) -> PoolRow:
    """One pool, "machine/all", of so many nodes with one core each, free of charge: the machine of a log.

    A job of `workload.processors(n)` takes n of its nodes. Raises ProblemError for a size that is out of range.
    """
    if not 1 <= processors <= MOST_NODES:
        raise refused("procs", processors, f"give a number of processors from 1 to {MOST_NODES}")
    return PoolRow(
        key="machine/all",
        centre="machine",
        city="",
        kind="supercomputing",
        device_model="",
        stack="",
        domestic=False,
        device_memory_bytes=0,
        precisions=(),
        nodes=processors,
        devices_per_node=0,
        cores_milli_per_node=1_000,
        memory_bytes_per_node=0,
        shares=False,
        speed_milli=1_000,
        device_hour_micro_yuan=0,
        core_hour_micro_yuan=0,
        carbon_g_per_kwh=0,
        device_power_watts=0,
        capabilities=frozenset({"gang"}),
    )


__all__ = ["load_province", "load_shares", "single_pool"]
