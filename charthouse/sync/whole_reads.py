"""Which links are asked for everything tonight, and not for what is new alone.

What is new never shows what a provider made visible late with an older instant, nor what it serves no longer. So each
link is read whole once in so many days, on a day of its own that its id gives it: no night asks for all. Where nights
were missed, those that are due longest go first, twice as many as a night would have.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from charthouse.linking.links import LinkWork


def due_tonight(links: Sequence[LinkWork], days: int, at: datetime) -> frozenset[str]:
    """The ids of the links that are read whole at this instant. Those that were never read need not be told to.

    Args:
        links: all that the night takes on.
        days: in how many days each has its turn; 0 for never.
        at: now, by the clock of the state.
    """
    if not days:
        return frozenset()
    today = at.date().toordinal()
    waiting = []
    for link in links:
        own_day = today - (today - zlib.crc32(link.link_id.encode())) % days
        last = link.read_whole_at.date().toordinal() if link.read_whole_at is not None else 0
        if link.watermarks and last < own_day:
            waiting.append((last, link.link_id))
    most = -(-2 * len(links) // days)
    return frozenset(link_id for _, link_id in sorted(waiting)[:most])
