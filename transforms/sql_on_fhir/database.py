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

LONG_LINE_MEMORY_LIMIT = "768MB"
"""What a run over long lines has, in one thread: each takes buffers of twice the longest line allowed, and its text."""


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


@contextmanager
def for_long_lines() -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection to a database of its own, that reads lines of any length allowed within its memory."""
    with (
        tempfile.TemporaryDirectory(prefix="views-") as spill,
        _open({"memory_limit": LONG_LINE_MEMORY_LIMIT, "temp_directory": spill, "threads": "1"}) as own,
    ):
        own.execute("SET enable_progress_bar = false")
        yield own


def _opened() -> _Kept:
    spill = tempfile.mkdtemp(prefix="views-")
    return _Kept(_open({"memory_limit": MEMORY_LIMIT, "temp_directory": spill}), spill)


def _open(config: dict[str, str | bool | int | float | list[str]]) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(config=config)
    connection.execute("SET preserve_insertion_order = false; SET enable_external_file_cache = false")
    return connection


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
