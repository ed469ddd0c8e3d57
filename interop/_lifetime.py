"""Child processes that do not outlive us, however we end."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable

# prctl(2): the signal that the kernel sends a process when its parent ends, even by kill -9. Linux alone has it.
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


def with_us() -> Callable[[], None]:
    """What a child calls before it becomes another program (`preexec_fn`), so that it gets SIGTERM when we end."""
    parent = os.getpid()

    def bind() -> None:
        if _libc is not None:
            _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
            if os.getppid() != parent:  # we ended before that
                os._exit(1)

    return bind
