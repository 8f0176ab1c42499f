"""How large the engines' suite is played: quick with every test run, in full by `make conformance`."""

import os
import socket

import pytest

from weir.engines.conformance import CASES, FULL, QUICK, Scale

IMAGES = frozenset(case.name for case in CASES if "containers" in case.needs)
"""The cases that take a container image."""


FULL_SIZE = os.environ.get("WEIR_CONFORMANCE") == "full"


def time_limit(quick_s: int) -> pytest.MarkDecorator:
    """The mark that ends a test which hangs: of the quick suite after so long, of the full one after an hour."""
    return pytest.mark.timeout(3_600 if FULL_SIZE else quick_s)


def engine_scale() -> Scale:
    """QUICK, or FULL where WEIR_CONFORMANCE is `full`. Each driver's tests change what their engine needs."""
    return FULL if FULL_SIZE else QUICK


def free_port() -> int:
    """A port of this machine that nobody listens on now."""
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        return int(trial.getsockname()[1])
