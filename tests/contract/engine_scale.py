"""How large the engines' suite is played: quick with every test run, in full by `make conformance`."""

import os

from weir.engines.conformance import FULL, QUICK, Scale


def engine_scale() -> Scale:
    """QUICK, or FULL where WEIR_CONFORMANCE is `full`. Each driver's tests change what their engine needs."""
    return FULL if os.environ.get("WEIR_CONFORMANCE") == "full" else QUICK
