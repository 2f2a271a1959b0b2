"""How large the pages are that hosts are asked for: large at first, halved where one cannot do it, remembered.

A page of a thousand takes one request where pages of twenty take fifty, but servers refuse large ones (400), break over
them (500) or need longer than anybody waits. What a host is known to serve is remembered for a week, across nights.
"""

from __future__ import annotations

import re
import threading
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from charthouse.partners.hosts import Hosts

SMALLEST: Final = 20
"""Below this a page is not what breaks a server, but for one that is too large for memory."""
FORGOTTEN_AFTER: Final = 7 * 86400.0
"""Seconds after which a host is asked for large pages again: it may have had a bad night."""
SURE_AFTER: Final = 2
"""Times that a smaller page came where a larger one had failed, before it counts: one failure may be anything."""
_COUNT: Final = re.compile(r"(?<=[?&]_count=)([0-9]{1,6})(?=&|$)")


def count_in(url: str) -> int | None:
    """The `_count` of a search's address, or of a page's within it."""
    found = _COUNT.search(url)
    return int(found[1]) if found else None


def halved(url: str) -> str | None:
    """The same search, or the same place in it, by half the `_count`; None where that is no use.

    A server that counts in pages then starts at an earlier place than it was asked for: things come twice, and none is
    missed.
    """
    count = count_in(url)
    if count is None or count // 2 < SMALLEST:
        return None
    return _COUNT.sub(str(count // 2), url)


class PageSizes:
    """The page sizes of the hosts that a batch asks, for all its threads."""

    def __init__(self, hosts: Hosts) -> None:
        self._hosts = hosts
        self._most: dict[str, int] = {}
        self._served: dict[str, int] = {}
        self._helped: dict[tuple[str, int], int] = {}
        self._lock = threading.Lock()

    def of(self, host: str, planned: int) -> int:
        """The `_count` to ask of a host where `planned` was to be asked."""
        with self._lock:
            if host not in self._most:
                size, age = self._hosts.page_size(host)
                self._most[host] = size if age < FORGOTTEN_AFTER else 0
            return min(planned, self._most[host] or planned)

    def served(self, host: str, size: int) -> None:
        """The host answered a search with a `_count` of this size."""
        with self._lock:
            self._served[host] = max(size, self._served.get(host, 0))

    def is_served(self, host: str, size: int) -> bool:
        """Whether the host has answered a search with a `_count` as large as this."""
        with self._lock:
            return self._served.get(host, 0) >= size

    def helped(self, host: str, size: int, *, sure: bool) -> None:
        """A page of this size came where a larger one had not: it was refused (`sure`), or it failed."""
        with self._lock:
            times = self._helped[host, size] = self._helped.get((host, size), 0) + 1
            if not (sure or times >= SURE_AFTER) or 0 < self._most.get(host, 0) <= size:
                return
            self._most[host] = size
        self._hosts.keep_page_size(host, size)
