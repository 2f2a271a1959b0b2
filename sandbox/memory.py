"""What a counterparty remembers of people, clients and tokens: values by kind and key, in a file of their own.

Each value is written when it changes, so whoever is killed knows at the next start what it answered before.
"""

from __future__ import annotations

import sqlite3
import threading
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from sandbox.store import StoreError

if TYPE_CHECKING:
    from pathlib import Path

T = TypeVar("T")


class Memory:
    """One file, or nothing but this process where none is named. Safe between threads."""

    def __init__(self, file: Path | None = None) -> None:
        """Open the file, made where there is none.

        Raises:
            StoreError: it is no such file, or cannot be written.
        """
        self._lock = threading.Lock()
        try:
            if file is not None:
                file.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(file or ":memory:", timeout=60, isolation_level=None, check_same_thread=False)
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = NORMAL")  # a killed process loses nothing by it
            self._db.execute(
                "CREATE TABLE IF NOT EXISTS known (kind TEXT, name TEXT, value BLOB NOT NULL, PRIMARY KEY (kind, name))"
            )
        except (sqlite3.Error, OSError) as error:
            raise StoreError(f"{file} cannot be used to remember people: {error}") from None

    def put(self, kind: str, name: str, value: Any) -> None:
        """Remember a value, in place of the one before."""
        body = msgspec.json.encode(value)
        with self._lock:
            self._db.execute("INSERT OR REPLACE INTO known VALUES (?, ?, ?)", [kind, name, body])

    def drop(self, kind: str, name: str) -> None:
        """Forget a value."""
        with self._lock:
            self._db.execute("DELETE FROM known WHERE kind = ? AND name = ?", [kind, name])

    def all(self, kind: str, of: type[T]) -> dict[str, T]:
        """All values of a kind, by name, in the order in which they were first remembered."""
        with self._lock:
            rows = self._db.execute("SELECT name, value FROM known WHERE kind = ? ORDER BY rowid", [kind]).fetchall()
        return {name: msgspec.json.decode(value, type=of) for name, value in rows}

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()
