"""Named points at which a crash test kills the process, for real (SIGKILL: no handler, no clean-up)."""

from __future__ import annotations

import os
import signal

from charthouse.settings import get_settings


def point(name: str) -> None:
    """Kill this process if `CHARTHOUSE_CRASH_AT` names this point; otherwise nothing."""
    if get_settings().crash_at == name:
        os.kill(os.getpid(), signal.SIGKILL)
