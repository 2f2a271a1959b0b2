"""The clock of the authorization server: the machine's, moved by what a file says.

A test writes seconds into the file (`86400` is tomorrow) and every expiry, grace period and minute window moves
along. The file is read at each use, so nothing needs to be told that it changed.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Clock:
    """The time of day. Without a file, or while the file holds no number, it is the machine's."""

    file: Path | None = None

    def now(self) -> float:
        """Seconds since 1970."""
        moment = time.time()
        if self.file is None:
            return moment
        try:
            return moment + float(self.file.read_text() or 0)
        except (OSError, ValueError):
            return moment
