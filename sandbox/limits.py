"""How many requests a provider takes: a rate for its token endpoint, and a number for each minute of the clock."""

from __future__ import annotations

import math
import threading
import time


class Rate:
    """So many requests a second, as a bucket that holds one second's worth."""

    def __init__(self, per_second: float) -> None:
        self.per_second = per_second
        self._lock = threading.Lock()
        self._room = max(per_second, 1.0)
        self._seen = time.monotonic()

    def refused_for(self) -> int:
        """0 when a request may pass, else the whole seconds of `Retry-After`."""
        with self._lock:
            now = time.monotonic()
            self._room = min(max(self.per_second, 1.0), self._room + (now - self._seen) * self.per_second)
            self._seen = now
            if self._room >= 1:
                self._room -= 1
                return 0
            return max(1, math.ceil((1 - self._room) / self.per_second))


class MinuteWindow:
    """Requests in the present minute; the count starts anew at each full minute."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._minute = 0
        self._number = 0

    def takes(self, now: float, most: int) -> bool:
        """Count a request; whether it is within the limit."""
        with self._lock:
            minute = int(now // 60)
            if minute != self._minute:
                self._minute, self._number = minute, 0
            self._number += 1
            return self._number <= most
