"""How compiled code is declared.

`entry` is what Python calls; it is kept in the cache. `inner` is what only compiled code calls: it is compiled into
the entries that use it (see kernels/linked.py). `folded` is an inner one that is small and called so often that even
the call would cost too much.

The `bare` ones do not count references to arrays, which takes a third of the time off loops that call much; they
cannot make arrays.
"""

from typing import Any

import numba

from weir.scheduling.kernels.linked import EntryCompiler, InnerCompiler

# Numba's own types do not name these options.
_BARE: Any = {"_nrt": False}
_INNER: Any = {"pipeline_class": InnerCompiler, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}

entry = numba.njit(cache=True, error_model="numpy", pipeline_class=EntryCompiler)
inner = numba.njit(error_model="numpy", **_INNER)
folded = numba.njit(error_model="numpy", forceinline=True, **_INNER)
bare = numba.njit(cache=True, error_model="numpy", pipeline_class=EntryCompiler, **_BARE)
bare_inner = numba.njit(error_model="numpy", **_INNER, **_BARE)
bare_folded = numba.njit(error_model="numpy", forceinline=True, **_INNER, **_BARE)
