"""A child that ends when whoever started it has ended, killed or not.

    python -m charthouse.operating.tether PARENT COMMAND [ARGUMENT …]

A child in a session of its own hears no Ctrl-C of the terminal's, and would outlive a parent that was killed: a night
would go on beside the one that is begun in its place. Linux tells a process of its parent's end (prctl(2),
PR_SET_PDEATHSIG), also through an exec; other systems do not, and there the command simply runs.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

_PR_SET_PDEATHSIG: Final = 1


def tethered(command: Sequence[str]) -> list[str]:
    """The command that runs `command` as a child of the calling thread, for as long as that lives."""
    return [sys.executable, "-m", "charthouse.operating.tether", str(os.getpid()), *command]


def main(parent: int, command: list[str]) -> None:
    """Become `command`. A parent that has ended already is not waited for."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        raise SystemExit(1)
    os.execv(command[0], command)  # noqa: S606 - the command that our parent chose


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
