"""Books of hosts: in memory, for one process, and in the state database, for all workers on all machines."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from sqlalchemy import text
from sqlalchemy.dialects import postgresql, sqlite

from charthouse.errors import StateError
from charthouse.log import get_logger
from charthouse.partners import hosts
from charthouse.partners.hosts import Admission, HostRecord
from charthouse.state import session
from charthouse.state.hosts import Host

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy.orm import Session

    from charthouse.settings import Settings

T = TypeVar("T")
log = get_logger(__name__)
_FIELDS = tuple(HostRecord.__dataclass_fields__)


class _Book:
    """The steps on a record, whatever keeps it. `_change` hands out the record of a host and the book's time."""

    def _change(self, host: str, step: Callable[[HostRecord, float], T]) -> T:
        raise NotImplementedError

    def admit(self, host: str, rate: float, want: int, patience: float) -> Admission:
        """As `hosts.admit`."""
        return self._change(host, lambda record, now: hosts.admit(record, now, rate, want, patience))

    def close(self, host: str, seconds: float) -> None:
        """As `hosts.close`."""
        self._change(host, lambda record, now: hosts.close(record, now, seconds))

    def fail(self, host: str, most: float) -> None:
        """As `hosts.fail`."""
        self._change(host, lambda record, now: hosts.fail(record, now, most))

    def succeed(self, host: str) -> None:
        """As `hosts.succeed`."""
        self._change(host, lambda record, _: hosts.succeed(record))

    def page_size(self, host: str) -> tuple[int, float]:
        """The largest page that the host is known to serve, and how many seconds ago that was learnt."""
        return self._change(host, lambda record, now: (record.page_size, now - record.page_size_at))

    def keep_page_size(self, host: str, size: int) -> None:
        """Remember the largest page that the host serves."""

        def keep(record: HostRecord, now: float) -> None:
            record.page_size, record.page_size_at = size, now

        self._change(host, keep)


class MemoryBook(_Book):
    """A book for the threads of one process."""

    def __init__(self) -> None:
        self._records: dict[str, HostRecord] = {}
        self._lock = threading.Lock()

    def _change(self, host: str, step: Callable[[HostRecord, float], T]) -> T:
        with self._lock:
            return step(self._records.setdefault(host, HostRecord()), time.monotonic())


class StateBook(_Book):
    """A book that all workers share. While the state database cannot be used, each process has a book of its own."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._own = MemoryBook()
        self._told = False

    def _change(self, host: str, step: Callable[[HostRecord, float], T]) -> T:
        try:
            with session(self._settings) as state, _held(state, host) as (record, now):
                return step(record, now)
        except StateError as error:
            if not self._told:
                log.warning("hosts are paced by this process alone", code=error.code)
                self._told = True
            return self._own._change(host, step)


@contextmanager
def _held(state: Session, host: str) -> Iterator[tuple[HostRecord, float]]:
    """The record of a host, locked until the transaction ends, and the time by the clock that all workers share."""
    server = state.get_bind().dialect.name == "postgresql"
    insert = postgresql.insert if server else sqlite.insert
    row = state.get(Host, host, with_for_update=True)
    if row is None:
        state.execute(insert(Host).values(host=host).on_conflict_do_nothing())
        row = state.get_one(Host, host, with_for_update=True)
    clock = "SELECT EXTRACT(EPOCH FROM clock_timestamp())"
    now = float(state.scalar(text(clock))) if server else time.time()
    record = HostRecord(**{name: getattr(row, name) for name in _FIELDS})
    yield record, now
    for name in _FIELDS:
        setattr(row, name, getattr(record, name))
