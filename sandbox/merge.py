"""Bring a store in line with what a source holds now: what is new or changed is stamped, what is missing is gone.

FHIR R4 §3.1.0.4: a server sets `meta.versionId` and `meta.lastUpdated`. A resource that brings its own lastUpdated
keeps it, unless that would hide a change from a client that asks for what changed since it last came.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import orjson

from sandbox.compartment import DERIVED, MEMBERSHIP, NAMED, index_of
from sandbox.store import instant, microseconds, now_microseconds
from sandbox.texts import with_meta

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping
    from pathlib import Path

    from sandbox.store import Store

_BATCH: Final = 1000


@dataclass(frozen=True, slots=True)
class Changes:
    """How many resources a load added, changed, removed and left alone."""

    added: int
    changed: int
    removed: int
    unchanged: int


def merge(store: Store, staged: Path) -> Changes:
    """Take over the scratch database of a load, in one transaction."""
    db = store.db
    db.execute("ATTACH ? AS source", [str(staged)])
    try:
        last = int(store.setting("loaded") or 0)
        moment = max(now_microseconds(), last + 1000)
        # From here to the commit no client may be told a time later than the stamps that it will find next.
        store.set("merging", str(moment))
        with store.writing():
            changes = _merge(db, moment, last)
            if changes.added or changes.changed or changes.removed:
                store.set("loaded", str(moment + changes.added + changes.changed))
            store.set("merging", None)
    finally:
        db.execute("DETACH source")
    return changes


def _merge(db: sqlite3.Connection, moment: int, last: int) -> Changes:
    (unchanged,) = db.execute(
        "SELECT count(*) FROM source.staged s JOIN main.resource r ON r.type = s.type AND r.key = s.key"
        " WHERE r.hash = s.hash AND r.gone = 0"
    ).fetchone()
    removed = db.execute(
        "SELECT r.seq FROM main.resource r WHERE r.gone = 0"
        " AND NOT EXISTS (SELECT 1 FROM source.staged s WHERE s.type = r.type AND s.key = r.key)"
    ).fetchall()
    _forget(db, removed)
    db.executemany("DELETE FROM main.body WHERE seq = ?", removed)
    db.executemany(
        "UPDATE main.resource SET gone = 1, version = version + 1, last_updated = ?, updated = ? WHERE seq = ?",
        ((instant(moment), moment, seq) for (seq,) in removed),
    )
    (top,) = db.execute("SELECT coalesce(max(seq), 0) FROM main.resource").fetchone()
    writing = _Writing(db, moment, last, top)
    cursor = db.execute(
        "SELECT s.type, s.key, s.id, s.hash, s.body, r.seq, r.version FROM source.staged s"
        " LEFT JOIN main.resource r ON r.type = s.type AND r.key = s.key"
        " WHERE r.seq IS NULL OR r.hash <> s.hash OR r.gone = 1 ORDER BY s.row"
    )
    while rows := cursor.fetchmany(_BATCH):
        for row in rows:
            writing.take(*row)
        writing.flush()
    if removed or writing.added or writing.changed:
        _derive(db)
        kinds = [row[0] for row in db.execute("SELECT DISTINCT type FROM main.resource WHERE gone = 0 ORDER BY type")]
        db.execute("INSERT OR REPLACE INTO main.setting VALUES ('types', ?)", [orjson.dumps(kinds).decode()])
    return Changes(writing.added, writing.changed, len(removed), unchanged)


def write_anew(store: Store, seq: int | None) -> None:
    """Let a resource be updated now, by an update that leaves its content as it is."""
    with store.writing() as db:
        row = db.execute(
            "SELECT r.version, b.body FROM resource r JOIN body b ON b.seq = r.seq WHERE r.seq = ?", [seq]
        ).fetchone()
        if row is None:
            return
        moment, version = now_microseconds(), row[0] + 1
        stamp = {"versionId": str(version), "lastUpdated": instant(moment)}
        body = with_meta(row[1], stamp, has_meta=True, replace=True)
        db.execute("UPDATE body SET body = ? WHERE seq = ?", [body, seq])
        db.execute(
            "UPDATE resource SET version = ?, version_id = ?, last_updated = ?, updated = ? WHERE seq = ?",
            [version, str(version), instant(moment), moment, seq],
        )


class _Writing:
    """Rows of the store, collected and written a batch at a time."""

    def __init__(self, db: sqlite3.Connection, moment: int, last: int, top: int) -> None:
        self.db = db
        self.moment = moment
        self.last = last
        self.top = top
        self.added = 0
        self.changed = 0
        self._clear()

    def _clear(self) -> None:
        self.again: list[tuple[int]] = []
        self.resources: list[tuple[Any, ...]] = []
        self.bodies: list[tuple[int, bytes]] = []
        self.links: list[tuple[str, str, str, int]] = []
        self.tokens: list[tuple[int, str, str, str]] = []
        self.points: list[tuple[int, str, str, str]] = []

    def take(
        self, kind: str, key: str, identity: str | None, digest: bytes, raw: bytes, seq: int | None, version: int | None
    ) -> None:
        """Stamp one resource that is new (`seq` None) or changed."""
        if seq is None or version is None:
            self.top += 1
            self.added += 1
            seq, version = self.top, 1
            keep_after = self.last
        else:
            self.changed += 1
            version += 1
            self.again.append((seq,))
            keep_after = self.moment
        content = _parsed(raw)
        # Each write has an instant of its own, as on a server that takes them one by one.
        moment = self.moment + self.added + self.changed
        body, version_id, updated_text, updated = _stamped(raw, content, version, moment, keep_after)
        self.resources.append((seq, kind, key, identity, version, version_id, updated_text, updated, digest))
        self.bodies.append((seq, body))
        index = index_of(kind, content)
        self.links.extend((target, kind, parameter, seq) for target, parameter in index.links)
        self.tokens.extend((seq, parameter, code, system) for parameter, system, code in index.tokens)
        for role, target in index.points:
            pointed, _, name = target.partition("/")
            self.points.append((seq, role, pointed, name))

    def flush(self) -> None:
        """Write what was collected."""
        _forget(self.db, self.again)
        self.db.executemany(
            "INSERT OR REPLACE INTO main.resource"
            " (seq, type, key, id, version, version_id, last_updated, updated, hash)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            self.resources,
        )
        self.db.executemany("INSERT OR REPLACE INTO main.body VALUES (?, ?)", self.bodies)
        self.db.executemany("INSERT INTO main.link VALUES (?, ?, ?, ?)", self.links)
        self.db.executemany("INSERT OR IGNORE INTO main.token VALUES (?, ?, ?, ?)", self.tokens)
        self.db.executemany("INSERT OR IGNORE INTO main.point VALUES (?, ?, ?, ?)", self.points)
        self._clear()


def _stamped(
    raw: bytes, content: Mapping[str, Any], version: int, moment: int, keep_after: int
) -> tuple[bytes, str, str, int]:
    """(body, versionId, lastUpdated, the same in microseconds) of a resource as this server serves it."""
    meta = content.get("meta")
    ours = {"versionId": str(version), "lastUpdated": instant(moment)}
    if meta is not None and not isinstance(meta, dict):
        return raw, ours["versionId"], ours["lastUpdated"], moment
    own = meta or {}
    sent = own.get("lastUpdated")
    updated = microseconds(sent) if isinstance(sent, str) else None
    if isinstance(sent, str) and updated is not None and updated > keep_after:
        held = own.get("versionId")
        if isinstance(held, str):
            return raw, held, sent, updated
        missing = {"versionId": ours["versionId"]} if held is None else {}
        return with_meta(raw, missing, has_meta=True), ours["versionId"], sent, updated
    body = with_meta(raw, ours, has_meta=meta is not None, replace=bool({"lastUpdated", "versionId"} & own.keys()))
    return body, ours["versionId"], ours["lastUpdated"], moment


def _parsed(raw: bytes) -> Mapping[str, Any]:
    try:
        content = orjson.loads(raw)
    except orjson.JSONDecodeError:
        # orjson refuses some strings that JSON permits, such as a lone surrogate.
        try:
            content = json.loads(raw)
        except (ValueError, RecursionError):
            content = {}
    return content if isinstance(content, dict) else {}


def _forget(db: sqlite3.Connection, rows: list[tuple[int]]) -> None:
    for table in ("link", "token", "point"):
        db.executemany(f"DELETE FROM main.{table} WHERE seq = ?", rows)


def _derive(db: sqlite3.Connection) -> None:
    """Give to patients what names them by an identifier that no other patient has, and Provenance and Binary to those
    whose resources they speak of or show."""
    prefix = len(NAMED) + 1
    db.execute(
        "DELETE FROM main.link WHERE EXISTS"
        " (SELECT 1 FROM main.point p WHERE p.seq = link.seq AND p.role = ? || link.parameter)",
        [NAMED],
    )
    db.execute(
        "INSERT OR IGNORE INTO main.link"
        " SELECT 'Patient/' || max(o.id), r.type, substr(p.role, ?), r.seq FROM main.point p"
        " JOIN main.resource r ON r.seq = p.seq"
        " JOIN main.point i ON i.type = p.type AND i.key = p.key AND i.role = 'identifier'"
        " JOIN main.resource o ON o.seq = i.seq WHERE p.role GLOB ? || '*' GROUP BY r.seq, p.role"
        " HAVING count(DISTINCT o.seq) = 1",
        [prefix, NAMED],
    )
    db.execute(f"DELETE FROM main.link WHERE type IN {DERIVED}")
    for parameter in (MEMBERSHIP, "patient"):
        db.execute(
            "INSERT OR IGNORE INTO main.link"
            " SELECT DISTINCT l.target, 'Provenance', ?, p.seq FROM main.point p"
            " JOIN main.resource r ON r.type = p.type AND r.key = p.key JOIN main.link l ON l.seq = r.seq"
            " WHERE p.role = 'target' AND l.parameter = ?",
            [parameter, MEMBERSHIP],
        )
    db.execute(
        "INSERT OR IGNORE INTO main.link"
        " SELECT DISTINCT l.target, 'Binary', ?, b.seq FROM main.point p"
        " JOIN main.resource b ON b.type = p.type AND b.key = p.key"
        " JOIN main.link l ON l.seq = p.seq WHERE p.role = 'attachment' AND l.parameter = ?",
        [MEMBERSHIP, MEMBERSHIP],
    )
