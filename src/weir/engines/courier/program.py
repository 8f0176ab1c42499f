"""The program for the nodes, as text."""

import functools
import pkgutil

__all__ = ["node_program"]


@functools.cache
def node_program() -> str:
    """The source of `node.py`, which runs by itself; found in an archive too."""
    source = pkgutil.get_data("weir.engines.courier", "node.py")
    assert source is not None
    return source.decode()
