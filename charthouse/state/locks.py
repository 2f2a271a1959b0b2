"""A lock that one process holds for one name, over a wait for the network, and that dies with its holder.

Held by the kernel (a file beside SQLite's) or by PostgreSQL (an advisory lock of an open transaction), so that whoever
gets it knows that nobody else is at work on that name: what looks unfinished then *is* the trace of a crash.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import time
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from typing import TYPE_CHECKING

from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from charthouse.errors import StateError
from charthouse.settings import Settings, get_settings
from charthouse.state.engine import engine, sqlite_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from sqlalchemy import Connection

STRIPES = 4096  # lock files; two names on one of them wait for each other, and nothing worse

POLL_SECONDS = 0.02


@contextmanager
def exclusive(name: str, settings: Settings | None = None, *, wait: float = 300.0) -> Iterator[None]:
    """Hold `name` alone among all threads, processes and (on PostgreSQL) machines. `wait` is in seconds; 0 asks once.

    Raises:
        StateError: CH608 when it is not free in time.
    """
    settings = settings or get_settings()
    file = sqlite_file(settings)
    if file is not None:
        with _locked(_lock_file(file, name), name, wait):
            yield
        return
    with engine(settings).connect() as connection, connection.begin():
        if wait <= 0:
            if not _taken(connection, name):
                raise StateError("CH608", where=name)
            yield
            return
        connection.execute(text(f"SET LOCAL lock_timeout = '{int(wait * 1000)}ms'"))
        try:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _number(name)})
        except OperationalError:
            raise StateError("CH608", where=name) from None
        yield


@contextmanager
def exclusive_among(names: Sequence[str], settings: Settings | None = None) -> Iterator[set[str]]:
    """Hold those of `names` that nobody holds now, each as `exclusive` does; waits for none."""
    settings = settings or get_settings()
    file = sqlite_file(settings)
    got = set()
    if file is None:
        with engine(settings).connect() as connection, connection.begin():
            yield {name for name in names if _taken(connection, name)}
        return
    with ExitStack() as locks:
        for name in names:
            with suppress(StateError):
                locks.enter_context(_locked(_lock_file(file, name), name, 0))
                got.add(name)
        yield got


def _digest(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()


def _number(name: str) -> int:
    return int.from_bytes(_digest(name)[:8], "big", signed=True)


def _taken(connection: Connection, name: str) -> bool:
    return bool(connection.execute(text("SELECT pg_try_advisory_xact_lock(:key)"), {"key": _number(name)}).scalar())


def _lock_file(file: Path, name: str) -> Path:
    folder = _folder(file.with_name(file.name + ".locks"))
    # Names that begin otherwise are of another kind: who holds one of each must not wait for itself.
    kind = re.sub(r"\W.*", "", name, flags=re.DOTALL)
    return folder / f"{kind}-{int.from_bytes(_digest(name)[:2], 'big') % STRIPES:03x}.lock"


@cache
def _folder(folder: Path) -> Path:
    folder.mkdir(exist_ok=True, mode=0o700)
    return folder


@contextmanager
def _locked(file: Path, name: str, wait: float) -> Iterator[None]:
    """Hold a file. The kernel lets go of it when the descriptor closes, by whatever end of the process."""
    ends = time.monotonic() + wait
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= ends:
                    raise StateError("CH608", where=name) from None
                time.sleep(POLL_SECONDS)
        yield
    finally:
        os.close(descriptor)
