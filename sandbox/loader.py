"""Load a SOURCE into a store: read, resolve, merge. Loading the same again changes nothing.

Every resource read is accounted for: read = stored + repeated + older versions, by type. The reading is staged in a
scratch database beside the store, so that a server that uses the store waits only for the merge.
"""

from __future__ import annotations

import gc
import sqlite3
import uuid
from collections import defaultdict
from contextlib import closing, contextmanager
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final

import msgspec

from sandbox.files import Aside, Entry, Fault, Group, Part, read_file
from sandbox.folders import shown, source_files
from sandbox.inventory import take_inventory
from sandbox.merge import merge
from sandbox.references import ID, Names, identifier_query, kind_of, localise, name_in, restful_target, settle
from sandbox.sameness import are_two, same, version_of
from sandbox.scratch import scratch_folder
from sandbox.tally import Tally
from sandbox.texts import with_id
from transforms.fhir_r4 import r4

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from sandbox.store import Store

_STAGE: Final = """
CREATE TABLE staged (
    row INTEGER PRIMARY KEY, type TEXT NOT NULL, key TEXT NOT NULL, id TEXT, raw_hash BLOB NOT NULL, hash BLOB NOT NULL,
    posted INTEGER NOT NULL,
    unresolved INTEGER NOT NULL, body BLOB NOT NULL, UNIQUE (type, key)
)
"""
_INSERT: Final = (
    "INSERT OR IGNORE INTO staged (type, key, id, raw_hash, hash, posted, unresolved, body)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)
_FAULTS_KEPT: Final = 100
_MOST_WAITING: Final = 8_000_000
_Row = tuple[str, str, str | None, bytes, bytes, bool, int, bytes]
_NAMESPACE: Final = uuid.UUID("6f9b8a52-7a5e-4d39-9f0e-0a1c6f7b6c11")


class SourceError(Exception):
    """A SOURCE that cannot be loaded at all. The text is one sentence for the operator."""


class _Identified(msgspec.Struct):
    identifier: Any = None


_IDENTIFIED: Final = msgspec.json.Decoder(_Identified)


def load_folder(
    store: Store, folder: Path, on_progress: Callable[[int, int, int], None] = lambda *_: None
) -> dict[str, Any]:
    """Make the store hold what a folder, or a single file, holds. Returns the inventory.

    `on_progress(files done, files in all, resources read)` is called after each file.

    Raises:
        SourceError: not there, not readable, or nothing of FHIR in it; the store is then as before.
    """
    try:
        files = source_files(folder)
    except OSError as error:
        raise SourceError(f"SOURCE cannot be read ({type(error).__name__}): {folder}") from None
    types = r4().resources

    def groups() -> Iterator[Part]:
        for path, reason in files.unreadable:
            yield Fault(shown(path, folder), 1, reason)
        for done, path in enumerate(files.found):
            tally.files = done
            yield from read_file(path, shown(path, folder), types)
            on_progress(done + 1, len(files.found), tally.total)
        tally.files = len(files.found)

    tally = Tally()
    tally.aside.update(files.aside)
    return _load(store, groups(), tally, nowhere=f"SOURCE holds no FHIR resources: {folder}")


def load_groups(store: Store, groups: Iterable[Part]) -> dict[str, Any]:
    """Make the store hold the resources of these groups. Returns the inventory.

    Raises:
        SourceError: there are none.
    """
    return _load(store, groups, Tally(), nowhere="there are no FHIR resources to load")


@contextmanager
def _without_collector() -> Iterator[None]:
    """Millions of short-lived dicts make the cycle collector run all the time, for nothing."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _load(store: Store, groups: Iterable[Part], tally: Tally, *, nowhere: str) -> dict[str, Any]:
    with _without_collector(), scratch_folder(store.path) as scratch:
        file = scratch / "staged.sqlite"
        with closing(sqlite3.connect(file, isolation_level=None)) as stage:
            stage.execute("PRAGMA page_size = 16384")
            stage.execute("PRAGMA journal_mode = OFF")
            stage.execute("PRAGMA synchronous = OFF")
            stage.execute(_STAGE)
            stage.execute("BEGIN")
            reading = _Reading(stage, tally)
            reading.run(groups)
            if not tally.total:
                raise SourceError(nowhere)
            _resolve(stage, tally, reading.needs, reading.bases)
            stage.execute("COMMIT")
        changes = merge(store, file)
    return take_inventory(store, tally, changes)


class _Reading:
    """The first pass: every resource into the scratch database, with the ids and references that its Bundle gives."""

    def __init__(self, stage: sqlite3.Connection, tally: Tally) -> None:
        self.stage = stage
        self.tally = tally
        self.needs: set[str] = set()
        self.bases: set[str] = set()
        self.conditions: dict[tuple[str, str], str] = {}
        self.searches: dict[bytes, str] = {}
        # Hashes of the keys met so far: most are new, and need not be looked for in the database.
        self.seen: set[int] = set()
        self.waiting: list[_Row] = []
        self.waiting_bytes = 0

    def run(self, groups: Iterable[Part]) -> None:
        for group in groups:
            if isinstance(group, Fault):
                self.tally.reasons[group.reason] += 1
                if self.tally.reasons[group.reason] <= _FAULTS_KEPT:
                    self.tally.faults.append(group)
            elif isinstance(group, Aside):
                self.tally.aside[group.what] += 1
            else:
                self._take(group)
        self._flush()

    def _take(self, group: Group) -> None:
        names = Names(searches=self.searches)
        chosen: list[tuple[Entry, str | None, bytes]] = []
        here: dict[tuple[str, str], tuple[bytes, bytes]] = {}
        apart = group.bundle not in (None, "history") and self._is_of_another(group)
        for entry in group.entries:
            self.tally.read[entry.type] += 1
            raw_hash = _hash(entry.raw)
            identity = self._identify(entry, raw_hash, here, apart=apart)
            if identity:
                own = f"{entry.type}/{entry.id}" if entry.id else None
                names.add(entry.full_url, f"{entry.type}/{identity}", own)
            chosen.append((entry, identity, raw_hash))
        self.bases |= names.bases
        for entry, identity, raw_hash in chosen:
            self._stage(entry, identity, raw_hash, names)
        for reference in group.deleted:
            self._delete(reference)

    def _held(self, kind: str, identity: str) -> tuple[bytes, bytes, bool] | None:
        """(hash, text, whether it was POSTed) of what is staged under a type and id."""
        if hash((kind, identity)) not in self.seen:
            return None
        self._flush()
        query = "SELECT raw_hash, body, posted FROM staged WHERE type = ? AND key = ?"
        row: tuple[bytes, bytes, bool] | None = self.stage.execute(query, (kind, identity)).fetchone()
        return row

    def _is_of_another(self, group: Group) -> bool:
        """Whether a Bundle calls its patient by the id of somebody else."""
        for entry in group.entries:
            if entry.type == "Patient" and entry.id and entry.method != "POST":
                held = self._held("Patient", entry.id)
                if held and are_two("Patient", held[1], entry.raw):
                    return True
        return False

    def _identify(
        self, entry: Entry, raw_hash: bytes, here: dict[tuple[str, str], tuple[bytes, bytes]], *, apart: bool
    ) -> str | None:
        """The id under which the server stores a resource; None where it stays without one.

        `apart` holds for a Bundle whose ids are not those of the rest of the source.
        """
        posted = entry.method == "POST"
        if posted and entry.if_none_exist:
            condition = (entry.type, entry.if_none_exist)
            if condition in self.conditions:
                return self.conditions[condition]
            identity = self._new_identity(entry, raw_hash, here, apart=apart)
            if identity:
                self.conditions[condition] = identity
            return identity
        return self._new_identity(entry, raw_hash, here, apart=apart)

    def _new_identity(
        self, entry: Entry, raw_hash: bytes, here: dict[tuple[str, str], tuple[bytes, bytes]], *, apart: bool
    ) -> str | None:
        posted = entry.method == "POST"
        identity = entry.id
        if identity is None or (posted and not ID.fullmatch(identity)):
            named = name_in(entry.full_url, entry.type)
            if named:
                return named
            return str(uuid.uuid5(_NAMESPACE, raw_hash.hex())) if posted or entry.method == "PUT" else None
        place = (entry.type, identity)
        staged = self._held(*place)
        apart = apart or (staged is not None and entry.type != "Patient" and are_two(entry.type, staged[1], entry.raw))
        if not posted and not apart:
            return identity
        held = here.get(place) or (staged[:2] if staged and (staged[2] or apart) else None)
        if held is not None and held[0] != raw_hash and not same(held[1], entry.raw, but_references=not apart):
            # Two creates, or two people's resources, that happen to have used one name.
            self.tally.apart += not posted
            return str(uuid.uuid5(_NAMESPACE, f"{identity} {raw_hash.hex()}"))
        here[place] = (raw_hash, entry.raw)
        return identity

    def _stage(self, entry: Entry, identity: str | None, raw_hash: bytes, names: Names) -> None:
        body, left = localise(entry.raw, names)
        if identity and identity != entry.id:
            body = with_id(body, identity)
        key = identity or "~" + raw_hash.hex()
        # What is not resolved yet is hashed when it is.
        digest = raw_hash if body is entry.raw or left else _hash(body)
        row = (entry.type, key, identity, raw_hash, digest, entry.method == "POST", len(left), body)
        self.needs.update(left)
        place = hash((entry.type, key))
        if place in self.seen:
            self._flush()
            self._again(row)
            return
        self.seen.add(place)
        self.waiting.append(row)
        self.waiting_bytes += len(body)
        if self.waiting_bytes > _MOST_WAITING or len(self.waiting) > 1000:
            self._flush()

    def _flush(self) -> None:
        self.stage.executemany(_INSERT, self.waiting)
        self.waiting.clear()
        self.waiting_bytes = 0

    def _again(self, row: _Row) -> None:
        """A type and id that are there already: the same content, or another version of it."""
        kind, key, _, raw_hash, _, posted, _, body = row
        found = self.stage.execute(
            "SELECT row, raw_hash, posted, body FROM staged WHERE type = ? AND key = ?", (kind, key)
        ).fetchone()
        if found is None:  # deleted since, or another key of the same hash
            self.stage.execute(_INSERT, row)
            return
        number, held_hash, held_posted, held = found
        if held_hash == raw_hash or (posted and held_posted) or same(held, body):
            self.tally.repeated[kind] += 1
            return
        self.tally.older[kind] += 1
        self.tally.overlaid += kind == "Patient" and are_two(kind, held, body)
        if version_of(body) >= version_of(held):
            self.stage.execute("DELETE FROM staged WHERE row = ?", [number])
            self.stage.execute(_INSERT, row)

    def _delete(self, reference: str) -> None:
        self._flush()
        kind, _, identity = reference.partition("/")
        done = self.stage.execute("DELETE FROM staged WHERE type = ? AND key = ?", (kind, identity.partition("/")[0]))
        self.tally.older[kind] += done.rowcount


def _resolve(stage: sqlite3.Connection, tally: Tally, needs: set[str], bases: set[str]) -> None:
    """The second pass: references that only the whole source can answer."""
    if not needs:
        return
    stage.execute("CREATE INDEX staged_by_id ON staged (id)")
    resolved = {need.encode(): answer.encode() for need, answer in _answers(stage, needs, bases).items()}
    cursor = stage.execute("SELECT row, body FROM staged WHERE unresolved > 0")
    while rows := cursor.fetchmany(500):
        changed = []
        for row, body in rows:
            settled, left = settle(body, resolved)
            tally.unresolved.update(left)
            changed.append((settled, _hash(settled), row))
        stage.executemany("UPDATE staged SET body = ?, hash = ? WHERE row = ?", changed)


def _answers(stage: sqlite3.Connection, needs: set[str], bases: set[str]) -> dict[str, str]:
    """Reference → `Type/id` for each that has exactly one answer in the source.

    `bases` are the servers by which the source calls its own resources. Where it calls none of them so, the one server
    that its references name is its own; of several, none is.
    """
    answers: dict[str, str] = {}
    own = bases or {target[0] for need in needs if (target := restful_target(need))}
    if not bases and len(own) > 1:
        own = set()
    wanted: defaultdict[str, list[tuple[str, str | None, str]]] = defaultdict(list)
    for need in needs:
        query = identifier_query(need)
        if query:
            wanted[query[0]].append((need, query[1], query[2]))
            continue
        if kind_of(need) == "urn":
            identity = need.rpartition(":")[2]
            rows = stage.execute("SELECT type, id FROM staged WHERE id = ? LIMIT 2", [identity]).fetchall()
        else:
            base, kind, identity = restful_target(need) or ("", "", "")
            if base not in own:
                continue
            rows = stage.execute("SELECT type, id FROM staged WHERE type = ? AND key = ?", (kind, identity)).fetchall()
        if len(rows) == 1:
            answers[need] = f"{rows[0][0]}/{rows[0][1]}"
    for kind, queries in wanted.items():
        found = _by_identifier(stage, kind, {query[2] for query in queries})
        for need, system, value in queries:
            matches = {identity for held, identity in found.get(value, ()) if system is None or held == system}
            if len(matches) == 1:
                answers[need] = f"{kind}/{matches.pop()}"
    return answers


def _by_identifier(stage: sqlite3.Connection, kind: str, values: set[str]) -> dict[str, set[tuple[str, str]]]:
    """Identifier value → (system, id) of the resources of a type that carry it."""
    found: defaultdict[str, set[tuple[str, str]]] = defaultdict(set)
    rows = stage.execute("SELECT id, body FROM staged WHERE type = ? AND id IS NOT NULL", [kind])
    for identity, body in rows:
        carried = _IDENTIFIED.decode(body).identifier
        for identifier in carried if isinstance(carried, list) else [carried]:
            if isinstance(identifier, dict) and identifier.get("value") in values:
                system = identifier.get("system")
                found[identifier["value"]].add((system if isinstance(system, str) else "", identity))
    return found


def _hash(raw: bytes) -> bytes:
    return blake2b(raw, digest_size=16).digest()
