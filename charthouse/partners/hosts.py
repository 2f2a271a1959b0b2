"""The hosts of providers as all workers see them: how fast one may be asked, whether it is closed, whether it fails.

What is known of a host is one record, kept by a book: in memory for one process, or in the state database for all
processes and machines (`charthouse.partners.host_book`). A worker leases a slice of time from it, a quarter of a
second at most, in which it may send so many requests, evenly; slices never overlap, so the host's rate holds whoever
asks. What a killed worker leased passes by unused. A slice costs one write, not one a request.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

from charthouse.errors import FetchError

if TYPE_CHECKING:
    from charthouse.settings import Settings

SLICE: Final = 0.25
"""Most seconds of a host's time that a worker leases, and most seconds ahead of now. For twice as long a worker may not
know that another was told to wait."""
LATE: Final = 0.05
"""Seconds after which a place in a slice is lost: unused ones, sent all at once, would be more than the rate."""
EVENLY: Final = 0.9
"""The share of a host's rate that is used: what is sent evenly does not arrive so, and a host counts what arrives. At
the full rate, a partner of 60 a second saw 62 to 65 in its busiest one.
"""
BREAK_AFTER: Final = 16
"""Tries in a row, of any worker and link, that a host leaves unanswered or turns away before it is left alone."""
COOL_OFF: Final = 5.0
"""Seconds for which it is, at first; twice as long after each probe in vain, at most `retry_wait_max`."""
PROBE: Final = 60.0
"""Seconds that a probe has before another worker may send one: the first may have been killed."""


@dataclass(slots=True)
class HostRecord:
    """What all workers know of a host. Instants are in seconds since the epoch, by the book's clock.

    `free_at` is the end of the last slice leased. `failures` counts tries in a row since `failing_since`; from
    `BREAK_AFTER` on the host is asked by one probe, not before `probe_at`. `page_size` is the largest `_count` that the
    host is known to serve, 0 where nothing is known; it was learnt at `page_size_at`.
    """

    free_at: float = 0.0
    closed_until: float = 0.0
    failures: int = 0
    failing_since: float = 0.0
    probe_at: float = 0.0
    page_size: int = 0
    page_size_at: float = 0.0


@dataclass(frozen=True, slots=True)
class Admission:
    """A slice: `number` requests, evenly at `rate`, from `wait` seconds on. Without a number: ask again after `wait`.

    `left_alone` says that the host has failed for longer than anybody waits; `failing` that it did not answer last.
    """

    wait: float
    number: int = 0
    left_alone: bool = False
    failing: bool = False


def admit(record: HostRecord, now: float, rate: float, want: int, patience: float) -> Admission:
    """Lease the next slice of a host, at most `want` requests long, or say how long to wait; `patience` in seconds."""
    failing = record.failures > 0
    broken = record.failures >= BREAK_AFTER
    if broken and now < record.probe_at:
        return Admission(record.probe_at - now, left_alone=now - record.failing_since >= patience, failing=True)
    start = max(now, record.free_at, record.closed_until)
    if start - now > SLICE:
        return Admission(start - now - SLICE / 2, failing=failing)
    if broken:
        record.probe_at = now + PROBE
        want = 1
    number = max(1, min(want, int(rate * SLICE)))
    record.free_at = start + number / rate
    return Admission(start - now, number, failing=failing)


def close(record: HostRecord, now: float, seconds: float) -> None:
    """The host asked everybody to wait."""
    record.closed_until = max(record.closed_until, now + seconds)


def fail(record: HostRecord, now: float, most: float) -> None:
    """A try was in vain. The next probe is `most` seconds away at most."""
    record.failures += 1
    if record.failures == 1:
        record.failing_since = now
    if record.failures >= BREAK_AFTER:
        record.probe_at = now + min(COOL_OFF * 2 ** min(record.failures - BREAK_AFTER, 16), most)


def succeed(record: HostRecord) -> None:
    """The host answered."""
    record.failures, record.failing_since, record.probe_at = 0, 0.0, 0.0


class Book(Protocol):
    """Where the records of hosts are kept; each call is one step that nobody comes between."""

    def admit(self, host: str, rate: float, want: int, patience: float) -> Admission: ...

    def close(self, host: str, seconds: float) -> None: ...

    def fail(self, host: str, most: float) -> None: ...

    def succeed(self, host: str) -> None: ...

    def page_size(self, host: str) -> tuple[int, float]: ...

    def keep_page_size(self, host: str, size: int) -> None: ...


@dataclass(slots=True)
class _Door:
    """What this process holds of a host: a slice, and what it knows of the host's state."""

    lock: threading.Condition = field(default_factory=threading.Condition)
    """Held while the door is looked at; those who wait for the host are woken by whoever learns something of it."""
    start: float = 0.0
    number: int = 0
    gone: int = 0
    used: int = 4
    failing: bool = False

    @property
    def want(self) -> int:
        """How many requests the next slice should hold: as many as the last one was used for, twice over."""
        return max(2, 2 * self.used)

    def place(self, now: float, rate: float) -> float | None:
        """Seconds to the next place of the slice; None when there is none left."""
        late = now - LATE - self.start
        if late > 0:
            self.gone = max(self.gone, int(late * rate) + 1)
        if self.gone >= self.number:
            return None
        wait = self.start + self.gone / rate - now
        self.gone += 1
        self.used += 1
        return max(0.0, wait)

    def hold(self, slice_: Admission, now: float) -> None:
        """Hold a new slice."""
        self.start, self.number, self.gone, self.used = now + slice_.wait, slice_.number, 0, 0

    def drop(self) -> None:
        """Give the rest of the slice up."""
        self.number = 0


class Hosts:
    """The way in to every host, for all threads of a process."""

    def __init__(self, book: Book, settings: Settings) -> None:
        self._book = book
        self._settings = settings
        self._rates: dict[str, float] = {}
        self._doors: dict[str, _Door] = {}
        self._lock = threading.Lock()

    def pace(self, host: str, rate: float) -> None:
        """Ask a host so many times a second at most, where that is less than the settings say."""
        self._rates[host] = min(rate, self._settings.requests_per_second)

    def enter(self, host: str, ends: float) -> None:
        """Wait until one request may be sent, or until `ends` (on the monotonic clock).

        Raises:
            FetchError: CH140 when the host has failed for so long that it is left alone.
        """
        door = self._door(host)
        rate = EVENLY * self._rates.get(host, self._settings.requests_per_second)
        while time.monotonic() < ends:
            with door.lock:
                wait = door.place(time.monotonic(), rate)
                if wait is None:
                    said = self._book.admit(host, rate, door.want, self._settings.host_patience)
                    door.failing = said.failing
                    if said.left_alone:
                        raise FetchError("CH140", where=host)
                    if said.number:
                        door.hold(said, time.monotonic())
                        continue
                    door.lock.wait(max(0.0, min(said.wait, COOL_OFF, ends - time.monotonic())))
            if wait is not None:
                if wait > 0:
                    time.sleep(max(0.0, min(wait, ends - time.monotonic())))
                return

    def busy(self, host: str, seconds: float) -> None:
        """Let nobody ask for that long: the host wants everybody to wait."""
        door = self._door(host)
        with door.lock:
            door.drop()
            self._book.close(host, seconds)

    def failed(self, host: str) -> None:
        """A try was in vain: no answer, or one that turns everybody away."""
        door = self._door(host)
        with door.lock:
            door.failing = True
            self._book.fail(host, self._settings.retry_wait_max)
            door.lock.notify_all()

    def answered(self, host: str) -> None:
        """The host gave an answer."""
        door = self._door(host)
        if not door.failing:
            return
        with door.lock:
            door.failing = False
            self._book.succeed(host)
            door.lock.notify_all()

    def page_size(self, host: str) -> tuple[int, float]:
        """The largest page that the host is known to serve, 0 where none is known, and the seconds since it is."""
        return self._book.page_size(host)

    def keep_page_size(self, host: str, size: int) -> None:
        """Remember it, for the nights to come."""
        self._book.keep_page_size(host, size)

    def _door(self, host: str) -> _Door:
        with self._lock:
            return self._doors.setdefault(host, _Door())
