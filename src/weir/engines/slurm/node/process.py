"""What a compute node's processes are asked and told, with the standard library of older Pythons too."""

import os

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
_IGNORED_BY_PYTHON = ("SIGPIPE", "SIGXFZ", "SIGXFSZ")


def listen() -> None:
    """Keep what is waited for from being acted upon by itself."""
    signal.pthread_sigmask(signal.SIG_BLOCK, HEARD)


def unblock() -> None:
    """In a new process, before its program: it hears every signal."""
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def start(program: str, command: "list[str]", environment: "dict[str, str]", outputs: "list[int]") -> int:
    """Start a task, a session of its own that writes to `outputs`; its process. Raises OSError where it is no
    program, as `subprocess` would, whose import costs as much as a Python's whole start."""
    argv = [_bytes(word) for word in command]
    given = {_bytes(name): _bytes(environment[name]) for name in environment}
    told, tell = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            _become(program, argv, given, outputs, tell)
        except OSError as error:
            os.write(tell, str(error.errno).encode("ascii"))
        finally:
            os._exit(255)
    os.close(tell)
    said = os.read(told, 16)  # nothing, once the program has taken the process over
    os.close(told)
    if said:
        os.waitpid(pid, 0)
        number = int(said)
        raise OSError(number, os.strerror(number), program)
    return pid


def _bytes(text: str) -> bytes:
    """As the tenant wrote it, whatever language this node speaks."""
    return text.encode("utf-8", "surrogateescape")


def _become(
    program: str, argv: "list[bytes]", environment: "dict[bytes, bytes]", outputs: "list[int]", tell: int
) -> None:
    os.setsid()
    _go_first()
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(outputs[0], 1)
    os.dup2(outputs[1], 2)
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2 and int(name) != tell:
            try:
                os.close(int(name))
            except OSError:
                pass  # the listing's own
    for name in _IGNORED_BY_PYTHON:
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_DFL)
    unblock()
    os.execve(program, argv, environment)  # noqa: S606 (the tenant's own command, without a shell)


def _go_first() -> None:
    """Where memory runs out, the task goes before its runner."""
    try:
        descriptor = os.open("/proc/self/oom_score_adj", os.O_WRONLY)
        try:
            os.write(descriptor, b"800")
        finally:
            os.close(descriptor)
    except OSError:
        pass


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
    me = os.getpid()
    try:
        with open(f"/proc/{me}/task/{me}/children", encoding="ascii") as file:
            return [int(child) for child in file.read().split()]
    except OSError:
        return []


def kill_group(pid: int, number: int) -> None:
    """Send a signal to a process group, if it still exists."""
    try:
        os.killpg(pid, number)
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
