"""A process that is started beside another and must not outlive it, however that one ends."""

import ctypes
import os
import signal

_PR_SET_PDEATHSIG = 1


def end_with(parent: int) -> bool:
    """Have the kernel send SIGTERM to this process when its parent is gone; False if it is gone already.

    `parent` is the process id that the parent knows itself by. Raises OSError where the kernel refuses.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    return os.getppid() == parent


__all__ = ["end_with"]
