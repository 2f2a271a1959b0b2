"""A provider's database: one SQLite file with the resources it holds, their index, and the grants it has given.

Several processes may open it (WAL): the server reads while a load writes. Bodies are kept as they are served.
"""

from __future__ import annotations

import secrets
import sqlite3
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import orjson

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

VERSION: Final = 2
_SCHEMA: Final = """
CREATE TABLE setting (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE resource (
    seq INTEGER PRIMARY KEY,
    type TEXT NOT NULL,
    key TEXT NOT NULL,             -- the id, or `~` and the content's hash where a resource has none
    id TEXT,
    version INTEGER NOT NULL,
    version_id TEXT NOT NULL,      -- meta.versionId as served
    last_updated TEXT NOT NULL,    -- meta.lastUpdated as served
    updated INTEGER NOT NULL,      -- the same in microseconds since 1970
    hash BLOB NOT NULL,            -- of the text before the stamp
    gone INTEGER NOT NULL DEFAULT 0,
    UNIQUE (type, key)
);
CREATE INDEX resource_by_type ON resource (type, gone, seq);
CREATE TABLE body (seq INTEGER PRIMARY KEY, body BLOB NOT NULL);
CREATE TABLE link (
    target TEXT NOT NULL, type TEXT NOT NULL, parameter TEXT NOT NULL, seq INTEGER NOT NULL,
    PRIMARY KEY (target, type, parameter, seq)
) WITHOUT ROWID;
CREATE INDEX link_by_seq ON link (seq);
CREATE TABLE token (
    seq INTEGER NOT NULL, parameter TEXT NOT NULL, code TEXT NOT NULL, system TEXT NOT NULL,
    PRIMARY KEY (seq, parameter, code, system)
) WITHOUT ROWID;
CREATE TABLE point (
    seq INTEGER NOT NULL, role TEXT NOT NULL, type TEXT NOT NULL, key TEXT NOT NULL,
    PRIMARY KEY (seq, role, type, key)
) WITHOUT ROWID;
CREATE INDEX point_by_target ON point (type, key, role);
CREATE TABLE access_grant (
    id TEXT PRIMARY KEY, client_id TEXT NOT NULL, patient TEXT NOT NULL, scope TEXT NOT NULL,
    created REAL NOT NULL, ended REAL,
    ends REAL,                     -- when the person's permission runs out
    refreshed REAL,                -- when it was last refreshed
    suspended INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE TABLE credential (
    hash BLOB PRIMARY KEY, kind TEXT NOT NULL, grant_id TEXT NOT NULL REFERENCES access_grant (id),
    scope TEXT NOT NULL, expires REAL, used REAL, detail TEXT NOT NULL DEFAULT ''
) WITHOUT ROWID;
CREATE INDEX credential_by_grant ON credential (grant_id);
"""
_UPGRADE: Final = (
    "ALTER TABLE access_grant ADD COLUMN ends REAL",
    "ALTER TABLE access_grant ADD COLUMN refreshed REAL",
    "ALTER TABLE access_grant ADD COLUMN suspended INTEGER NOT NULL DEFAULT 0",
    "PRAGMA user_version = 2",
)
"""From version 1, which knew neither ends nor pauses of a permission."""


class StoreError(Exception):
    """A store cannot be used. The text is one sentence for the operator."""


class Store:
    """One provider's file. A connection belongs to one thread; open one each."""

    def __init__(self, path: Path, *, create: bool = False) -> None:
        """Open, and with `create` make where there is none.

        Raises:
            StoreError: no such file, not a store, or not to be written.
        """
        if not create and not path.is_file():
            raise StoreError(f"there is no store at {path}")
        try:
            if create:
                path.parent.mkdir(parents=True, exist_ok=True)
            self.db = sqlite3.connect(path, timeout=60, isolation_level=None, check_same_thread=False)
            self._prepare(create=create)
        except (sqlite3.Error, OSError) as error:
            raise StoreError(f"{path} cannot be used as a store: {error}") from None
        self.path = path

    def _prepare(self, *, create: bool) -> None:
        (version,) = self.db.execute("PRAGMA user_version").fetchone()
        if version == 0 and create:
            self.db.execute("PRAGMA page_size = 16384")
            self.db.execute("PRAGMA journal_mode = WAL")
            with self.writing():
                if self.db.execute("PRAGMA user_version").fetchone() == (0,):
                    for statement in _SCHEMA.split(";\n"):
                        self.db.execute(statement)
                    self.db.execute("INSERT INTO setting VALUES ('secret', ?)", [secrets.token_hex(32)])
                    self.db.execute(f"PRAGMA user_version = {VERSION}")
        elif version == 1:
            with self.writing():
                if self.db.execute("PRAGMA user_version").fetchone() == (1,):
                    for statement in _UPGRADE:
                        self.db.execute(statement)
        elif version != VERSION:
            raise sqlite3.DatabaseError(f"it is of version {version}, this sandbox needs {VERSION}")
        self.db.execute("PRAGMA synchronous = NORMAL")
        self.db.execute("PRAGMA foreign_keys = ON")
        self.db.execute("PRAGMA cache_size = -16000")

    def close(self) -> None:
        """Close the connection."""
        self.db.close()

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One write transaction: all of it or nothing."""
        self.db.execute("BEGIN IMMEDIATE")
        try:
            yield self.db
        except BaseException:
            self.db.execute("ROLLBACK")
            raise
        self.db.execute("COMMIT")

    def setting(self, name: str) -> str | None:
        """A named value of this store."""
        row = self.db.execute("SELECT value FROM setting WHERE name = ?", [name]).fetchone()
        return row[0] if row else None

    def set(self, name: str, value: str | None) -> None:
        """Set a named value, or with None forget it."""
        if value is None:
            self.db.execute("DELETE FROM setting WHERE name = ?", [name])
        else:
            self.db.execute("INSERT OR REPLACE INTO setting VALUES (?, ?)", [name, value])

    @property
    def secret(self) -> bytes:
        """The key that signs this provider's page links."""
        return bytes.fromhex(self.setting("secret") or "")

    def inventory(self) -> dict[str, Any]:
        """What the last load read and kept; see `inventory.py`."""
        said = self.setting("inventory")
        return dict(orjson.loads(said)) if said else {}

    def people(self) -> list[str]:
        """The ids of the patients who can sign in, in the order of loading."""
        rows = self.db.execute(
            "SELECT id FROM resource WHERE type = 'Patient' AND gone = 0 AND id IS NOT NULL ORDER BY seq"
        )
        return [row[0] for row in rows]

    def patients(self) -> Iterator[tuple[str, bytes]]:
        """The ids and texts of the patients who can sign in, in the order of loading."""
        yield from self.db.execute(
            "SELECT r.id, b.body FROM resource r JOIN body b ON b.seq = r.seq"
            " WHERE r.type = 'Patient' AND r.gone = 0 AND r.id IS NOT NULL ORDER BY r.seq"
        )

    def has_person(self, identity: str) -> bool:
        """Whether a patient of this id can sign in."""
        row = self.db.execute(
            "SELECT 1 FROM resource WHERE type = 'Patient' AND key = ? AND gone = 0 AND id IS NOT NULL", [identity]
        )
        return row.fetchone() is not None

    def row_of(self, kind: str, identity: str) -> int | None:
        """The row of a resource that is served."""
        found = self.db.execute(
            "SELECT seq FROM resource WHERE type = ? AND id = ? AND gone = 0", [kind, identity]
        ).fetchone()
        return int(found[0]) if found else None

    def types(self) -> list[str]:
        """The types of which the store holds resources, as the last load noted them."""
        said = self.setting("types")
        return list(orjson.loads(said)) if said else []


def instant(microseconds: int) -> str:
    """Microseconds since 1970 as a FHIR instant, UTC."""
    moment = datetime.fromtimestamp(microseconds // 1_000_000, tz=UTC).replace(microsecond=microseconds % 1_000_000)
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def microseconds(text: str) -> int | None:
    """A FHIR instant as microseconds since 1970; None where it is none."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return round(moment.timestamp() * 1_000_000)


def now_microseconds() -> int:
    """The server's clock, cut to milliseconds."""
    return int(datetime.now(UTC).timestamp() * 1000) * 1000
