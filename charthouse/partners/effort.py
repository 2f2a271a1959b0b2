"""What asking takes: requests, tries after the first, and the seconds waited before them.

Counted for each thread by itself. A query is asked in one thread, so the difference between two looks is what it took.
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True)
class Effort:
    """`requests` sent, `retries` among them, and seconds `waited`: for the host's turn, and between tries."""

    requests: int = 0
    retries: int = 0
    waited: float = 0.0

    def __add__(self, other: Effort) -> Effort:
        """Both together."""
        return Effort(self.requests + other.requests, self.retries + other.retries, self.waited + other.waited)

    def __sub__(self, other: Effort) -> Effort:
        """What came after `other`."""
        return Effort(self.requests - other.requests, self.retries - other.retries, self.waited - other.waited)


NONE: Final = Effort()


class _Here(threading.local):
    spent = NONE


_here = _Here()


def spent() -> Effort:
    """What this thread has spent since it began."""
    return _here.spent


def sent(*, again: bool) -> None:
    """Count a request of this thread; `again` where one for the same was in vain."""
    _here.spent += Effort(requests=1, retries=int(again))


@contextmanager
def waiting() -> Iterator[None]:
    """Count what the block takes as waited."""
    began = time.monotonic()
    try:
        yield
    finally:
        _here.spent += Effort(waited=time.monotonic() - began)
