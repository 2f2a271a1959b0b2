"""What time it is: one place, so that tests move time instead of sleeping."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta

from charthouse.settings import get_settings


def now() -> datetime:
    """This instant, aware, in UTC; moved by the seconds that CHARTHOUSE_CLOCK_FILE holds, where tests name one."""
    at = datetime.now(UTC)
    file = get_settings().clock_file
    if file is not None:
        with suppress(OSError, ValueError, OverflowError):  # a file that is being written moves nothing
            at += timedelta(seconds=float(file.read_text(encoding="ascii")))
    return at
