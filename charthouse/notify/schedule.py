"""When a delivery that failed is tried again, as data: soon at first, then more and more rarely, for three days."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from typing import Final

RETRY_AFTER: Final = (
    timedelta(seconds=5),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=5),
    timedelta(hours=10),
    timedelta(hours=14),
    timedelta(hours=20),
    timedelta(hours=24),
)
"""The waits behind the first, second … try. After as many failures and one more, it is undeliverable."""
JITTER: Final = 0.1
"""Waits are longer by up to this share, so that what failed together does not come back together."""
LONGEST_ASKED: Final = timedelta(days=1)
"""The longest wait that a receiver may ask for (Retry-After)."""
PAUSE: Final = timedelta(minutes=5)
"""How long a channel is left alone whose receiver was found down; tries are not counted meanwhile."""


def next_try(tries: int, at: datetime, asked: float | None = None) -> datetime | None:
    """When to try again what failed `tries` times; None for no more. `asked` are seconds that the receiver names."""
    if tries > len(RETRY_AFTER):
        return None
    wait = RETRY_AFTER[max(tries, 1) - 1] * random.uniform(1, 1 + JITTER)  # noqa: S311 - no secret
    if asked is not None:
        wait = max(wait, min(timedelta(seconds=asked), LONGEST_ASKED))
    return at + wait
