"""A lock that one process holds for one name, over a wait for the network, and that dies with its holder.

Held by the kernel (a file beside SQLite's) or by PostgreSQL (an advisory lock of an open transaction), so that whoever
gets it knows that nobody else is at work on that name: what looks unfinished then *is* the trace of a crash.
"""

from __future__ import annotations

import hashlib
from contextlib import contextmanager
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from charthouse.errors import StateError
from charthouse.settings import Settings, get_settings
from charthouse.state.engine import engine, sqlite_file

if TYPE_CHECKING:
    from collections.abc import Iterator

STRIPES = 4096  # lock files; two names on one of them wait for each other, and nothing worse


@contextmanager
def exclusive(name: str, settings: Settings | None = None, *, wait: float = 300.0) -> Iterator[None]:
    """Hold `name` alone among all threads, processes and (on PostgreSQL) machines. `wait` is in seconds; 0 asks once.

    Raises:
        StateError: CH608 when it is not free in time.
    """
    settings = settings or get_settings()
    digest = hashlib.sha256(name.encode()).digest()
    file = sqlite_file(settings)
    if file is not None:
        folder = file.with_name(file.name + ".locks")
        folder.mkdir(exist_ok=True, mode=0o700)
        lock = FileLock(folder / f"{int.from_bytes(digest[:2], 'big') % STRIPES:03x}.lock", timeout=wait)
        try:
            lock.acquire()
        except Timeout:
            raise StateError("CH608", where=name) from None
        try:
            yield
        finally:
            lock.release()
        return
    key = int.from_bytes(digest[:8], "big", signed=True)
    with engine(settings).connect() as connection, connection.begin():
        if wait <= 0:
            if not connection.execute(text("SELECT pg_try_advisory_xact_lock(:key)"), {"key": key}).scalar():
                raise StateError("CH608", where=name)
            yield
            return
        connection.execute(text(f"SET LOCAL lock_timeout = '{int(wait * 1000)}ms'"))
        try:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": key})
        except OperationalError:
            raise StateError("CH608", where=name) from None
        yield
