"""What a compute node's processes are asked and told, with the standard library of older Pythons too."""

import posix

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
else:
    try:
        import _signal as signal  # what `signal` dresses in enumerations, which cost a third of a runner's start
    except ImportError:
        import signal

__all__ = [
    "HEARD",
    "become_subreaper",
    "children",
    "encoded",
    "kill_group",
    "listen",
    "out_of_memory",
    "signal",
    "signal_name",
    "start",
    "unblock",
]

HEARD = {signal.SIGCHLD, signal.SIGTERM}
"""Waited for, never handled in the middle of something."""

_SET_CHILD_SUBREAPER = 36
_IGNORED_BY_PYTHON = (signal.SIGPIPE, signal.SIGXFSZ)


def listen() -> None:
    """Keep what is waited for from being acted upon by itself."""
    signal.pthread_sigmask(signal.SIG_BLOCK, HEARD)


def unblock() -> None:
    """In a new process, before its program: it hears every signal."""
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def start(program: str, command: "list[str]", environment: "dict[bytes, bytes]", outputs: "list[int]") -> int:
    """Start a task as a session of its own that writes to `outputs`; its process. Raises OSError.

    As `subprocess` would, whose import costs as much as a Python's whole start.
    """
    argv = [encoded(word) for word in command]
    strays = [
        int(name) for name in posix.listdir("/proc/self/fd") if int(name) > 2 and _is_inherited(int(name))
    ]
    try:
        pid = _spawn(program, argv, environment, outputs, strays)
    except (
        AttributeError,
        NotImplementedError,
    ):  # before Python 3.8, or with a C library that has no such thing
        pid = _fork(program, argv, environment, outputs, strays)
    # Where memory runs out, the task goes before its runner.
    try:
        descriptor = posix.open(f"/proc/{pid}/oom_score_adj", posix.O_WRONLY)
        try:
            posix.write(descriptor, b"800")
        finally:
            posix.close(descriptor)
    except OSError:
        pass
    return pid


def encoded(text: str) -> bytes:
    """As the tenant wrote it, whatever language this node speaks."""
    return text.encode("utf-8", "surrogateescape")


def _is_inherited(descriptor: int) -> bool:
    try:
        return posix.get_inheritable(descriptor)
    except OSError:
        return False  # the listing's own, which is closed by now


def _spawn(
    program: str,
    argv: "list[bytes]",
    environment: "dict[bytes, bytes]",
    outputs: "list[int]",
    strays: "list[int]",
) -> int:
    return posix.posix_spawn(
        program,
        argv,
        environment,
        file_actions=[
            (posix.POSIX_SPAWN_OPEN, 0, "/dev/null", posix.O_RDONLY, 0),
            (posix.POSIX_SPAWN_DUP2, outputs[0], 1),
            (posix.POSIX_SPAWN_DUP2, outputs[1], 2),
            *[(posix.POSIX_SPAWN_CLOSE, stray) for stray in strays],
        ],
        setsid=True,
        setsigmask=(),
        setsigdef=_IGNORED_BY_PYTHON,
    )


def _fork(
    program: str,
    argv: "list[bytes]",
    environment: "dict[bytes, bytes]",
    outputs: "list[int]",
    strays: "list[int]",
) -> int:
    told, tell = posix.pipe()
    pid = posix.fork()
    if not pid:
        try:
            posix.setsid()
            posix.dup2(posix.open("/dev/null", posix.O_RDONLY), 0)
            posix.dup2(outputs[0], 1)
            posix.dup2(outputs[1], 2)
            for stray in strays:
                posix.close(stray)
            for number in _IGNORED_BY_PYTHON:
                signal.signal(number, signal.SIG_DFL)
            unblock()
            posix.execve(program, argv, environment)
        except OSError as error:
            posix.write(tell, str(error.errno).encode("ascii"))
        finally:
            posix._exit(255)  # noqa: SLF001 (its name elsewhere too)
    posix.close(tell)
    said = posix.read(told, 16)  # nothing, once the program has taken the process over
    posix.close(told)
    if said:
        posix.waitpid(pid, 0)
        raise OSError(int(said), posix.strerror(int(said)), program)
    return pid


def out_of_memory() -> bool:
    """Whether the kernel has killed something of this job because its memory ran out."""
    with open("/proc/self/cgroup", encoding="ascii", errors="replace") as file:
        lines = [line.strip().split(":", 2) for line in file]
    for _, controllers, path in lines:
        if controllers == "memory":
            root, name = "/sys/fs/cgroup/memory", "memory.oom_control"
        elif not controllers:
            root, name = "/sys/fs/cgroup", "memory.events"
        else:
            continue
        parts = path.strip("/").split("/")
        while parts and any(part.startswith("job_") for part in parts):
            if _oom_kills("/".join([root, *parts, name])):
                return True
            parts.pop()
    return False


def _oom_kills(path: str) -> int:
    try:
        with open(path, encoding="ascii") as file:
            return sum(int(line.split()[1]) for line in file if line.startswith("oom_kill "))
    except (OSError, ValueError):
        return 0


def children() -> "list[int]":
    """The children of this process, which has one thread."""
    me = posix.getpid()
    try:
        with open(f"/proc/{me}/task/{me}/children", encoding="ascii") as file:
            return [int(child) for child in file.read().split()]
    except OSError:
        return []


def kill_group(pid: int, number: int) -> None:
    """Send a signal to a process group, if it still exists."""
    try:
        posix.killpg(pid, number)
    except OSError:
        pass


def become_subreaper() -> None:
    """Make this program the parent of what its tasks leave behind, where the system can."""
    try:
        # The package `ctypes` stands on this module, and costs twice as much.
        from _ctypes import call_function, dlopen, dlsym

        here = dlopen(None, 0)  # type: ignore[arg-type]  # None is this process itself
        call_function(dlsym(here, "prctl"), (_SET_CHILD_SUBREAPER, 1, 0, 0, 0))
    except (ImportError, OSError):
        try:
            import ctypes

            ctypes.CDLL(None).prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        except (ImportError, OSError, AttributeError):
            pass


def signal_name(number: int) -> str:
    """Such as SIGSEGV."""
    import signal as names  # here alone, as it is dear

    try:
        return names.Signals(number).name
    except ValueError:
        return "a real-time signal"
