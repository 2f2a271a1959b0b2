"""What the lines of an export are held against: what belongs to nobody, and what has landed for whom."""

from __future__ import annotations

import sqlite3
import threading
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_SHARED: Final = "shared.sqlite"


class SharedResources:
    """What belongs to nobody, by `Type/id`, until it is known who points at it; and what has landed for whom.

    Safe between threads. What lands is jotted down, a row for many, and looked through only when something asks: to
    keep a row each would be a quarter of an export's work, and most hold nothing that asks.
    """

    def __init__(self, folder: Path) -> None:
        self._lock = threading.Lock()
        self._db = sqlite3.connect(folder / _SHARED, isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.execute("CREATE TABLE IF NOT EXISTS shared (key TEXT PRIMARY KEY, body BLOB NOT NULL) WITHOUT ROWID")
        self._db.execute("CREATE TABLE IF NOT EXISTS jotted (link TEXT NOT NULL, keys TEXT NOT NULL)")
        self._db.execute(
            "CREATE TABLE IF NOT EXISTS landed (key TEXT, link TEXT, PRIMARY KEY (key, link)) WITHOUT ROWID"
        )

    def add(self, rows: Iterable[tuple[str, bytes]]) -> None:
        """Keep some, in place of those of the same key."""
        with self._lock:
            self._db.execute("BEGIN")
            self._db.executemany("INSERT OR REPLACE INTO shared VALUES (?, ?)", rows)
            self._db.execute("COMMIT")

    def get(self, key: str) -> bytes | None:
        """One of them, as received."""
        with self._lock:
            row = self._db.execute("SELECT body FROM shared WHERE key = ?", [key]).fetchone()
        return bytes(row[0]) if row is not None else None

    def note_landed(self, rows: Iterable[tuple[str, str]]) -> None:
        """Note which resources (`Type/id`) have landed for which link."""
        of_link: dict[str, list[str]] = {}
        for key, link in rows:
            of_link.setdefault(link, []).append(key)
        jotted = [(link, "\n".join(keys)) for link, keys in of_link.items()]
        with self._lock:
            self._db.execute("BEGIN")
            self._db.executemany("INSERT INTO jotted VALUES (?, ?)", jotted)
            self._db.execute("COMMIT")

    def landed_for(self, keys: Iterable[str]) -> dict[str, set[str]]:
        """The links for which each of these resources has landed."""
        found: dict[str, set[str]] = {}
        with self._lock:
            self._look_through()
            for key in keys:
                rows = self._db.execute("SELECT link FROM landed WHERE key = ?", [key]).fetchall()
                if rows:
                    found[key] = {row[0] for row in rows}
        return found

    def _look_through(self) -> None:
        """Give what is jotted down a row each."""
        self._db.execute("BEGIN")
        for (row,) in self._db.execute("SELECT rowid FROM jotted").fetchall():
            link, keys = self._db.execute("SELECT link, keys FROM jotted WHERE rowid = ?", [row]).fetchone()
            each = ((key, link) for key in keys.split("\n"))
            self._db.executemany("INSERT OR IGNORE INTO landed VALUES (?, ?)", each)
            self._db.execute("DELETE FROM jotted WHERE rowid = ?", [row])
        self._db.execute("COMMIT")

    def close(self) -> None:
        """Close the file."""
        self._db.close()
