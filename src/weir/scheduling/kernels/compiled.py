"""How compiled code is declared.

`entry` is what Python calls; it is kept in the cache. `inner` is what only compiled code calls: it is compiled into
the entries that use it, without a way in from Python, which saves half of the time that compiling takes. `folded`
is an inner one that is small and called so often that even the call would cost too much.

The `bare` ones do not count references to arrays, which takes a third of the time off loops that call much; they
cannot make arrays.
"""

from typing import Any

import numba

# Numba's own types do not name these options.
_WITHOUT_PYTHON: Any = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
_BARE: Any = {"_nrt": False}

entry = numba.njit(cache=True, error_model="numpy")
inner = numba.njit(error_model="numpy", **_WITHOUT_PYTHON)
folded = numba.njit(error_model="numpy", forceinline=True, **_WITHOUT_PYTHON)
bare = numba.njit(cache=True, error_model="numpy", **_BARE)
bare_inner = numba.njit(error_model="numpy", **_WITHOUT_PYTHON, **_BARE)
bare_folded = numba.njit(error_model="numpy", forceinline=True, **_WITHOUT_PYTHON, **_BARE)
