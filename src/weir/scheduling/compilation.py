"""Compiled code: where it is kept, and how it is made ready before work is taken.

Numba's own cache does not notice a change in a module that a compiled function calls. So the folder is named by a
hash over every source that compiled code may come from, Numba's version and the CPU. These files are the only
thing outside itself that the core touches.
"""

import fcntl
import hashlib
import importlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

_ROOMS = ("scheduling", "units")
_KERNELS = (
    "coming",
    "reasons",
    "room",
    "running",
    "waiting",
    "promises",
    "live",
    "clock",
    "prediction",
    "preemption",
    "province_clock",
    "tenants",
    "vacancy",
)


@cache
def code_version() -> str:
    """The code's version for replay: a SHA-256 over every source of `scheduling` and `units`."""
    digest = hashlib.sha256()
    weir = Path(__file__).parents[1]
    for room in _ROOMS:
        for path in sorted((weir / room).rglob("*.py")):
            source = path.read_bytes()
            digest.update(f"{path.relative_to(weir).as_posix()}\0{len(source)}\0".encode())
            digest.update(source)
    return digest.hexdigest()


def cache_folder(room: str = "scheduling") -> Path:
    """Where a room's compiled code is kept: in WEIR_CACHE if set, else XDG_CACHE_HOME/weir, else ~/.cache/weir.

    Another room's folder is named by its own kernels too, so that a change in them leaves the core's as it is.
    """
    import llvmlite.binding  # type: ignore[import-untyped]  # it ships no types
    import numba

    parts = (
        code_version(),
        "" if room == "scheduling" else _sources(room),
        numba.__version__,
        sys.implementation.cache_tag or "",
        llvmlite.binding.get_host_cpu_name(),
        llvmlite.binding.get_host_cpu_features().flatten(),
    )
    name = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:20]
    return _user_folder() / f"numba-{name}"


def kernel(name: str) -> ModuleType:
    """A module of compiled functions; the first use says where they are kept and imports Numba."""
    return _kernels()[name]


@cache
def kernel_of(room: str, name: str) -> ModuleType:
    """The module `weir.ROOM.kernels.NAME` of compiled functions; they may call the core's."""
    return _loaded(_place(room)[0], f"weir.{room}.kernels.{name}")


PARTS = {
    "live": "the scheduling core",
    "twin": "the simulation",
    "times": "the simulation of what changes with time",
}
"""What can be made ready by itself: what a server needs; what simulations of many pools need; and what they need
besides where pools change with time, or jobs have deadlines, checkpoints or several priorities."""


def warm_up(progress: Callable[[str], None] = lambda line: None, parts: Iterable[str] = PARTS) -> bool:
    """Make compiled code ready; True if it had to be compiled (less than a minute for each part, once a machine).

    May be repeated, and called by several processes at once: one compiles a part and the rest wait for it. `progress`
    is told in words what goes on, among it that no cache folder could be written and what follows from that.
    """
    folder, notice = _place()
    if notice:
        progress(notice)
    for part in parts:
        with (folder / f"lock-{part}").open("a+b") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            done = folder / f"{part}-{_installation()}"
            if not done.exists():
                progress(f"compiling {PARTS[part]}, once on this machine")
            from weir.scheduling.rehearsal import rehearse

            rehearse(part)
            if not done.exists():
                done.touch()
                progress(f"{PARTS[part]} is compiled")
    before = _misses_told[0]
    _misses_told[0] = _misses()
    return _misses_told[0] > before


_misses_told = [0]


def _misses() -> int:
    """How many functions this process has compiled, rather than loaded."""
    return sum(
        sum(function.stats.cache_misses.values())
        for module in _kernels().values()
        for function in vars(module).values()
        if hasattr(function, "stats")
    )


def _installation() -> str:
    """Names these very files: Numba compiles again when one of them was written anew, though it says the same."""
    kernels = Path(__file__).parent / "kernels"
    stamps = [f"{path}\0{path.stat().st_mtime_ns}" for path in sorted(kernels.glob("*.py"))]
    return "complete-" + hashlib.sha256("\0".join(stamps).encode()).hexdigest()[:20]


def _user_folder() -> Path:
    own = os.environ.get("WEIR_CACHE")
    if own:
        return Path(own)
    base = os.environ.get("XDG_CACHE_HOME")
    # The standard says that a relative path there counts as not set.
    if base and Path(base).is_absolute():
        return Path(base) / "weir"
    with suppress(RuntimeError):
        return Path.home() / ".cache" / "weir"
    return Path(tempfile.gettempdir()) / f"weir-{os.getuid()}"


def _sources(room: str) -> str:
    """A SHA-256 over the sources of a room's kernels."""
    digest = hashlib.sha256()
    for path in sorted((Path(__file__).parents[1] / room / "kernels").glob("*.py")):
        source = path.read_bytes()
        digest.update(f"{path.name}\0{len(source)}\0".encode())
        digest.update(source)
    return digest.hexdigest()


@cache
def _place(room: str = "scheduling") -> tuple[Path, str]:
    """The folder to use, made, and a notice when it is not the wanted one."""
    wanted = cache_folder(room)
    try:
        wanted.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryFile(dir=wanted):
            pass
    except OSError as error:
        folder = Path(tempfile.mkdtemp(prefix="weir-numba-"))
        return folder, (
            f"{wanted} cannot be written ({error.strerror}), so compiled code goes to {folder} and is compiled again "
            "at the next start; set WEIR_CACHE to a folder that can be written"
        )
    return wanted, ""


@cache
def _kernels() -> dict[str, ModuleType]:
    folder, _ = _place()
    return {name: _loaded(folder, f"weir.scheduling.kernels.{name}") for name in _KERNELS}


def _loaded(folder: Path, module: str) -> ModuleType:
    """A module of compiled functions that keeps them in this folder."""
    import numba

    settings: Any = numba.config  # its names are set while it runs
    before = settings.CACHE_DIR
    settings.CACHE_DIR = str(folder)  # read where a function is declared, that is, in this import
    try:
        return importlib.import_module(module)
    finally:
        settings.CACHE_DIR = before
