"""Become another program that ends when the one that started it does, however that one ends.

    python -IS leash.py PARENT_PID PROGRAM [ARGUMENT ...]

On Linux the kernel sends SIGTERM when the parent dies (prctl(2), PR_SET_PDEATHSIG), which survives exec;
elsewhere the program is merely run. This runs before every service, so it imports next to nothing; it is a
program of its own since code between fork and exec in a process with threads is not safe.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1

if __name__ == "__main__":
    parent, *program = sys.argv[1:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != int(parent):
            # The parent died before the kernel was asked to tell.
            sys.exit(1)
    os.execvp(program[0], program)  # noqa: S606 - a shell is what must not be between
