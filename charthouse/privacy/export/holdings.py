"""What the vault holds of a person, read for an export: in a fixed order, a little at a time, whatever there is of it.

It is laid down once, unsorted, in tables of the connection's own, which spill encrypted; and read lane by lane.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from charthouse.lake.session import RECORDS, attach, open_vault, quoted
from charthouse.privacy.export.lanes import everything, lanes, place, rows
from charthouse.privacy.export.sheets import Sheet
from charthouse.sync.unserved import RELATION as UNSERVED
from charthouse.sync.unserved import REMARK, stage_unserved
from transforms.tables import tables

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import duckdb

    from charthouse.privacy.export.scope import Scope
    from charthouse.settings import Settings
    from transforms.tables import Table

MEMORY: Final = 400_000_000
"""What DuckDB may use at least, and more for each version (what joins hold) and for the largest text (its copies).

Most of the least is never touched: a table of lists of structs has hundreds of columns, each with blocks of its own."""
PER_VERSION: Final = 250
PER_BYTE: Final = 8
MOST_MEMORY: Final = 1_000_000_000
LANE_BYTES: Final = 8_000_000
LANE_ROWS: Final = 20_000
_KEY: Final = "link_id || '/' || resource_type || '/' || resource_id"
_TEXTS: Final = "resource_type, link_id, resource_id, stored_seq, stored_at, last_updated, content_hash, remarks, place"


@dataclass(frozen=True, slots=True)
class Held:
    """A version of a resource as received. `place` is where it stands in the order."""

    resource_type: str
    link_id: str
    resource_id: str
    stored_seq: int
    stored_at: str
    last_updated: str
    content_hash: str
    remarks: tuple[str, ...]
    place: int
    text: str

    @property
    def key(self) -> tuple[str, str, str, int]:
        """What names the version."""
        return (self.resource_type, self.link_id, self.resource_id, self.stored_seq)


@dataclass(frozen=True, slots=True)
class Stopped:
    """Something that is in quarantine, and the rules that stopped it."""

    link_id: str
    content_hash: str
    resource_type: str
    resource_id: str
    stored_at: str
    rules: tuple[str, ...]
    place: int
    content: bytes


class Holdings:
    """A person's part of both lakes, narrowed to a scope. `link_ids` are the links that it is narrowed to."""

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, person_key: str, scope: Scope, link_ids: Sequence[str], until: int
    ) -> None:
        self._connection = connection
        self._person, self._scope, self._links = person_key, scope, list(link_ids)
        self.until = until
        self._lay_down()

    def types(self, *, earlier: bool = False) -> dict[str, int]:
        """How many resources there are of each type: current ones, or earlier versions of them."""
        query = "SELECT resource_type, count(*) FROM held WHERE is_current <> ? GROUP BY ALL ORDER BY ALL"
        return dict(everything(self._connection, query, [earlier]))

    def resources(
        self, resource_type: str, *, earlier: bool = False, after: int = -1, broken: bool = False
    ) -> Iterator[Held]:
        """The versions of one type behind a place. `broken` are those with line breaks in their text, or the others."""
        condition = "resource_type = ? AND is_current <> ? AND is_broken = ?"
        yield from self._texts(condition, [resource_type, earlier, broken], after)

    def with_data(self) -> Iterator[Held]:
        """Current resources that may hold attachments."""
        yield from self._texts("is_current AND has_data")

    def unplaced(self) -> dict[str, int]:
        """How many current resources of each type are in no category."""
        query = "SELECT resource_type, count(*) FROM held WHERE is_current AND NOT is_placed GROUP BY ALL"
        return dict(everything(self._connection, query))

    def others(self, resource_type: str) -> Iterator[Held]:
        """The current resources of a type that are in no category; of a very large one, the beginning."""
        condition = "is_current AND NOT is_placed AND resource_type = ?"
        yield from self._texts(condition, [resource_type], text="left(resource, 2000000)")

    def sources(self) -> Iterator[tuple[Any, ...]]:
        """(type, link, id, sequence, current, last updated, received, hash, remarks, has line breaks) of all.

        The current version of what its provider serves no longer has that among its remarks.

        By type, the current ones first, and then in the order in which `resources` gives them.
        """
        stage_unserved(self._connection, [self._person])
        shown = f"""array_to_string(CASE WHEN is_current AND {_KEY} IN (FROM {UNSERVED})
                    THEN list_append(coalesce(remarks, []), {quoted(REMARK)}) ELSE remarks END, ' ')"""
        for is_current in (True, False):
            for resource_type, count in self.types(earlier=not is_current).items():
                for low, high in lanes(count, LANE_ROWS):
                    query = f"""
                        SELECT resource_type, link_id, resource_id, stored_seq, is_current, last_updated, stored_at,
                               content_hash, {shown}, is_broken
                        FROM held
                        WHERE resource_type = ? AND is_current = ? AND place >= ? AND place < ? ORDER BY place
                    """
                    yield from rows(self._connection, query, [resource_type, is_current, low, high])

    def some(self, resource_type: str, keys: Sequence[tuple[str, str]]) -> list[Held]:
        """Current resources of a type by (link, id)."""
        found: list[Held] = []
        query = f"""
            SELECT {_TEXTS}, resource FROM held WHERE resource_type = ? AND is_current
              AND (link_id || '/' || resource_id) IN (SELECT unnest(?))
        """
        for start in range(0, len(keys), 500):
            part = [f"{link}/{name}" for link, name in keys[start : start + 500]]
            found += [_held(row) for row in rows(self._connection, query, [resource_type, part])]
        return found

    def newest_patient(self) -> tuple[str, str] | None:
        """(link, text) of the Patient that was changed last, whatever the categories."""
        narrowed, values = self._narrowed(["person_key = ?", "stored_seq <= ?"], [self._person, self.until])
        query = f"""
            SELECT link_id, resource FROM vault.resources WHERE {narrowed} AND resource_type = 'Patient'
            ORDER BY last_updated DESC NULLS LAST, stored_seq DESC LIMIT 1
        """
        found = everything(self._connection, query, values)
        return found[0] if found else None

    def quarantined(self) -> int:
        """How much is in quarantine."""
        return int(everything(self._connection, "SELECT count(*) FROM stopped")[0][0])

    def quarantine(self, *, after: int = -1, content: bool = True, broken: bool = False) -> Iterator[Stopped]:
        """What is in quarantine behind a place. `broken`: as `resources`."""
        size = everything(self._connection, "SELECT sum(octet_length(resource)) FROM stopped")[0][0] or 0
        chosen = "resource" if content else "NULL"
        query = f"""
            SELECT link_id, content_hash, resource_type, resource_id, stored_at, rules, place, {chosen}
            FROM stopped WHERE is_broken = ? AND place >= ? AND place < ? ORDER BY place
        """
        for low, high in lanes(int(size), LANE_BYTES, begin=after + 1):
            for row in rows(self._connection, query, [broken, low, high]):
                rules, text = tuple(row[5] or ()), bytes(row[7] or b"")
                yield Stopped(row[0], row[1], row[2] or "", row[3] or "", row[4] or "", rules, row[6], text)

    def count(self, table: Table) -> int:
        """How many rows a category has."""
        if self._scope.categories and table.name not in self._scope.categories:
            return 0
        condition, values = self._of_category()
        return int(everything(self._connection, f"SELECT count(*) FROM records.{table.name} {condition}", values)[0][0])

    def sheet(self, table: Table) -> Sheet:
        """The rows of a category."""
        condition, values = self._of_category()
        return Sheet(self._connection, table, condition, values)

    def withheld(self) -> list[tuple[str, str, str]]:
        """(table, row key, rule) of the rows that the audit keeps out of the tables."""
        query = "SELECT table_name, row_key, rule FROM records.withheld_rows WHERE person_key = ? ORDER BY ALL"
        found = everything(self._connection, query, [self._person])
        links = set(self._links)
        return [row for row in found if not self._scope.providers or str(row[1]).partition("/")[0] in links]

    def _texts(
        self, condition: str, values: Sequence[Any] = (), after: int = -1, *, text: str = "resource"
    ) -> Iterator[Held]:
        size = everything(self._connection, f"SELECT sum(size) FROM held WHERE {condition}", values)[0][0] or 0
        query = f"""
            SELECT {_TEXTS}, {text} FROM held WHERE {condition} AND place >= ? AND place < ? ORDER BY place
        """
        for low, high in lanes(int(size), LANE_BYTES, begin=after + 1):
            yield from (_held(row) for row in rows(self._connection, query, [*values, low, high]))

    def _narrowed(self, conditions: list[str], values: list[Any], since: str = "") -> tuple[str, list[Any]]:
        if self._scope.providers:
            conditions, values = [*conditions, "link_id IN (SELECT unnest(?))"], [*values, self._links]
        if self._scope.since and since:
            conditions, values = [*conditions, f"{since} >= ?::TIMESTAMPTZ"], [*values, self._scope.since.isoformat()]
        return " AND ".join(conditions), values

    def _of_category(self) -> tuple[str, list[Any]]:
        condition, values = self._narrowed(["person_key = ?"], [self._person])
        if self._scope.since:  # as of the resource, so that files and tables agree
            condition += f" AND resource_key IN (SELECT {_KEY} FROM held WHERE is_current)"
        return f"WHERE {condition}", values

    def _lay_down(self) -> None:
        """Take the person's versions out of the vault, once."""
        mine = quoted(self._person)
        # Joined by hashes (128 bits) and not by keys: what a join holds in memory is small then.
        keys = [
            f"SELECT md5_number(resource_key) FROM records.{each.name} WHERE person_key = {mine}" for each in tables()
        ]
        self._make(f"placed AS {' UNION '.join(keys)}")
        current = "person_key = ? AND stored_seq <= ?"  # decided on the keys of all, whatever the scope
        self._make(
            f"""newest AS SELECT md5_number({_KEY}) AS resource_hash, max(stored_seq) AS stored_seq
            FROM vault.resources WHERE {current} GROUP BY ALL""",
            [self._person, self.until],
        )
        changed = "coalesce(TRY_CAST(last_updated AS TIMESTAMPTZ), stored_at)"
        narrowed, values = self._narrowed(current.split(" AND "), [self._person, self.until], changed)
        if self._scope.categories:
            wanted = [
                f"SELECT md5_number(resource_key) FROM records.{name} WHERE person_key = {mine}"
                for name in self._scope.categories
            ]
            if "medications" in self._scope.categories:  # what it looks up
                wanted.append(f"SELECT md5_number(medication_key) FROM records.medications WHERE person_key = {mine}")
            self._make(f"wanted AS {' UNION '.join(wanted)}")
            narrowed += f" AND md5_number({_KEY}) IN (FROM wanted)"
        self._make(
            f"""held AS SELECT resource_type, link_id, resource_id, stored_seq, stored_at::VARCHAR AS stored_at,
                   last_updated, content_hash, remarks, {place(f"{_KEY} || '/' || stored_seq")} AS place,
                   newest.stored_seq IS NOT NULL AS is_current, contains(resource, '"data"') AS has_data,
                   contains(resource, chr(10)) OR contains(resource, chr(13)) AS is_broken,
                   resource_hash IN (FROM placed) AS is_placed, strlen(resource) AS size, resource
            FROM (SELECT *, md5_number({_KEY}) AS resource_hash FROM vault.resources WHERE {narrowed})
            LEFT JOIN newest USING (resource_hash, stored_seq)""",
            values,
        )
        narrowed, values = self._narrowed(["person_key = ?"], [self._person], "stored_at")
        if self._scope.categories:  # what could not be read is of no category
            narrowed += " AND false"
        self._make(
            f"""stopped AS SELECT link_id, content_hash, resource_type, resource_id, stored_at::VARCHAR AS stored_at,
                   rules, {place("link_id || '/' || content_hash")} AS place,
                   regexp_matches(hex(resource), '^(?:..)*?0[AD]') AS is_broken, resource
            FROM vault.quarantine WHERE {narrowed}""",
            values,
        )

    def _make(self, table: str, values: Sequence[Any] = ()) -> None:
        everything(self._connection, f"CREATE OR REPLACE TABLE {table}", values)


@contextmanager
def open_holdings(
    person_key: str, scope: Scope, link_ids: Sequence[str], *, until: int | None, settings: Settings | None = None
) -> Iterator[Holdings]:
    """Both lakes, with a person's part at hand up to the vault's `until` (None: up to now).

    Raises:
        LakeError: CH501, CH502 or CH505, as `open_vault`.
    """
    with open_vault(read_only=True, settings=settings) as connection:
        attach(connection, RECORDS, read_only=True, settings=settings)
        connection.execute(f"SET threads = 1; SET memory_limit = '{_memory(connection, person_key)}B'")
        if until is None:
            until = int(everything(connection, "SELECT coalesce(max(stored_seq), 0) FROM vault.resources")[0][0])
        yield Holdings(connection, person_key, scope, link_ids, until)


def _memory(connection: duckdb.DuckDBPyConnection, person_key: str) -> int:
    query = "SELECT count(*), max({size}(resource)) FROM vault.{table} WHERE person_key = ?"
    sizes = [
        everything(connection, query.format(size=size, table=table), [person_key])[0]
        for table, size in (("resources", "strlen"), ("quarantine", "octet_length"))
    ]
    versions, largest = sum(int(count) for count, _ in sizes), max(int(most or 0) for _, most in sizes)
    return min(MOST_MEMORY, MEMORY + PER_VERSION * versions + PER_BYTE * largest)


def _held(row: Sequence[Any]) -> Held:
    remarks = tuple(row[7] or ())
    return Held(row[0], row[1], row[2], row[3], row[4] or "", row[5] or "", row[6] or "", remarks, row[8], row[9])
