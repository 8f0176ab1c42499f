"""How what compiled code calls gets into it: all that an entry reaches is put together once, and only then optimised.

Numba by itself optimises each function together with all that it calls, and makes machine code of that, before it
does the same for whoever calls it: what lies deep is compiled again at every level. What only compiled code calls is
therefore no more than translated here.
"""

from collections.abc import Iterable
from typing import Any, ClassVar

from numba import _dynfunc  # type: ignore[attr-defined]  # it is written in C
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.compiler_machinery import PassManager, register_pass
from numba.core.typed_passes import NativeLowering


class _Inner(JITCodeLibrary):
    """One translated function; whom it calls is remembered, and nothing is made of it."""

    def finalize(self) -> None:
        self._finalized = True

    def calls(self) -> Iterable[Any]:
        """The libraries of what it calls."""
        return self._linking_libraries


class _Entry(JITCodeLibrary):
    """A function that Python calls, with all that it reaches."""

    def finalize(self) -> None:
        # Callers first: what nobody has asked for when its turn comes is left out.
        reached: dict[Any, None] = {}
        _reach(self._linking_libraries, reached)
        self._linking_libraries = list(reversed(reached))
        super().finalize()


def _reach(libraries: Iterable[Any], reached: dict[Any, None]) -> None:
    """Add the libraries and what they reach, each after all that it calls."""
    for library in libraries:
        if library not in reached:
            if isinstance(library, _Inner):
                _reach(library.calls(), reached)
            reached[library] = None


@register_pass(mutates_CFG=True, analysis_only=False)
class _LowerInner(NativeLowering):
    _name = "weir_lower_inner"

    def run_pass(self, state: Any) -> bool:
        state.library = _Inner(state.targetctx.codegen(), state.func_id.func_qualname)
        state.flags = state.flags.copy()
        state.flags.no_compile = True
        super().run_pass(state)
        # Numba knows a compiled function by something to call, and this one cannot be called.
        lowered = state["cr"]
        description = lowered.fndesc
        name = description.qualname.rpartition(".")[2]
        known_by = _dynfunc.make_function(description.lookup_module(), name, "", 0, lowered.env, ())
        state.targetctx.insert_user_function(known_by, description, [state.library])
        state["cr"] = lowered._replace(cfunc=known_by)
        return True


@register_pass(mutates_CFG=True, analysis_only=False)
class _LowerEntry(NativeLowering):
    _name = "weir_lower_entry"

    def run_pass(self, state: Any) -> bool:
        state.library = _Entry(state.targetctx.codegen(), state.func_id.func_qualname)
        state.library.enable_object_caching()  # before anything is compiled, or it could not be kept
        super().run_pass(state)
        return True


class _Compiler(CompilerBase):
    """Numba's own but for one pass."""

    lowering: ClassVar[type[NativeLowering]]

    def define_pipelines(self) -> list[PassManager]:
        passes = DefaultPassBuilder.define_nopython_pipeline(self.state)
        passes.passes = [
            (self.lowering if each is NativeLowering else each, about) for each, about in passes.passes
        ]
        passes.finalize()
        return [passes]


class EntryCompiler(_Compiler):
    """Of what Python calls."""

    lowering = _LowerEntry


class InnerCompiler(_Compiler):
    """Of what only compiled code calls."""

    lowering = _LowerInner


__all__ = ["EntryCompiler", "InnerCompiler"]
