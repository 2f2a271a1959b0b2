"""The database of runs that are given no connection: one a process, in memory, opened by the first of them.

To open one takes DuckDB longer than a view over ten thousand resources, and so does touching fresh memory; so it stays.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import duckdb

if TYPE_CHECKING:
    from collections.abc import Iterator

MEMORY_LIMIT = "512MB"
"""What the runs of a process have together; what is more spills to disk."""


@dataclass(slots=True)
class _Kept:
    connection: duckdb.DuckDBPyConnection
    spill: str
    runs: int = 0


_lock = threading.Lock()
_kept: list[_Kept] = []
_lost: list[_Kept] = []


@contextmanager
def connected() -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection of one's own to the database."""
    with _lock:
        if not _kept:
            _kept.append(_opened())
        kept = _kept[0]
        own = kept.connection.cursor()
        kept.runs += 1
    try:
        with own:
            own.execute("SET enable_progress_bar = false")
            yield own
    finally:
        with _lock:
            kept.runs -= 1


def _opened() -> _Kept:
    spill = tempfile.mkdtemp(prefix="views-")
    connection = duckdb.connect(config={"memory_limit": MEMORY_LIMIT, "temp_directory": spill})
    connection.execute("SET preserve_insertion_order = false; SET enable_external_file_cache = false")
    return _Kept(connection, spill)


def _close() -> None:
    while _kept:
        kept = _kept.pop()
        kept.connection.close()
        shutil.rmtree(kept.spill, ignore_errors=True)


def _before_fork() -> None:
    _lock.acquire()
    if _kept and not _kept[0].runs:
        _close()


def _in_child() -> None:
    _lost.extend(_kept)
    _kept.clear()
    _lock.release()


# DuckDB's threads do not survive a fork: a child opens a database of its own, and never touches its parent's.
os.register_at_fork(before=_before_fork, after_in_parent=_lock.release, after_in_child=_in_child)
atexit.register(_close)
