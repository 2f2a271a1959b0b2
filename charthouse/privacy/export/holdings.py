"""What the lakes hold of a person, read for an export: in a fixed order, a little at a time, whatever there is of it.

The texts are taken out of the vault once, into the connection's own memory, which spills encrypted.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import duckdb

from charthouse.lake.session import RECORDS, attach, more_memory, open_vault, quoted
from transforms.tables import tables

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow as pa

    from charthouse.privacy.export.scope import Scope
    from charthouse.settings import Settings
    from transforms.tables import Table

MEMORY: Final = "96MB"
SORT_BYTES: Final = 1_500_000_000
"""What a sort may use that did not get by with `MEMORY`: one text is larger than that."""
AT_ONCE: Final = 256
_PLACE: Final = re.compile(r"(?<=[\s(])\?(?=::|[\s,)]|$)")


@dataclass(frozen=True, slots=True)
class Held:
    """A version of a resource as received."""

    resource_type: str
    link_id: str
    resource_id: str
    stored_seq: int
    stored_at: str
    last_updated: str
    content_hash: str
    remarks: tuple[str, ...]
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
    content: bytes


class Holdings:
    """A person's part of both lakes, narrowed to a scope. `link_ids` are the links that it is narrowed to, or all."""

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, person_key: str, scope: Scope, link_ids: Sequence[str], until: int
    ) -> None:
        self._connection = connection
        self._person, self._scope, self._links = person_key, scope, list(link_ids)
        self.until = until
        self._stage()

    def types(self, *, earlier: bool = False) -> dict[str, int]:
        """How many resources there are of each type: current ones, or earlier versions of them."""
        found = self._all(
            "SELECT resource_type, count(*) FROM held WHERE is_current <> ? GROUP BY ALL ORDER BY ALL", [earlier]
        )
        return dict(found)

    def resources(
        self, resource_type: str, *, earlier: bool = False, after: Sequence[Any] | None = None, broken: bool = False
    ) -> Iterator[Held]:
        """The versions of one type in order of link, id and arrival; those behind the key `after`.

        `broken` are those whose text has line breaks in it, the others have none.
        """
        behind = "" if after is None else "AND (link_id, resource_id, stored_seq) > (?, ?, ?)"
        query = f"""
            SELECT resource_type, link_id, resource_id, stored_seq, stored_at::VARCHAR, last_updated, content_hash,
                   remarks, resource
            FROM held WHERE resource_type = ? AND is_current <> ? AND is_broken = ? {behind}
        """
        yield from (_held(row) for row in self._rows(query, [resource_type, earlier, broken, *(after or ())]))

    def sources(self) -> Iterator[tuple[Any, ...]]:
        """(type, link, id, sequence, current, last updated, received, hash, remarks, has line breaks) of all."""
        return self._rows(
            """
            SELECT resource_type, link_id, resource_id, stored_seq, is_current, last_updated, stored_at::VARCHAR,
                   content_hash, array_to_string(remarks, ' '), is_broken
            FROM held ORDER BY is_current DESC, rowid
            """,
            [],
        )

    def unplaced(self) -> dict[str, int]:
        """How many current resources of each type are in no category."""
        return dict(
            self._all("SELECT resource_type, count(*) FROM held WHERE is_current AND NOT is_placed GROUP BY ALL", [])
        )

    def others(self, resource_type: str) -> Iterator[Held]:
        """The current resources of a type that are in no category, by link and id."""
        query = """
            SELECT resource_type, link_id, resource_id, stored_seq, stored_at::VARCHAR, last_updated, content_hash,
                   remarks, left(resource, 2000000) FROM held
            WHERE resource_type = ? AND is_current AND NOT is_placed
        """
        yield from (_held(row) for row in self._rows(query, [resource_type]))

    def with_data(self) -> Iterator[Held]:
        """Current resources that may hold attachments."""
        types = [
            name
            for (name,) in self._all(
                "SELECT DISTINCT resource_type FROM held WHERE has_data AND is_current ORDER BY ALL", []
            )
        ]
        for resource_type in types:
            query = """
                SELECT resource_type, link_id, resource_id, stored_seq, '', '', '', NULL, resource FROM held
                WHERE resource_type = ? AND is_current AND has_data
            """
            yield from (_held(row) for row in self._rows(query, [resource_type]))

    def quarantined(self) -> int:
        """How much is in quarantine."""
        return int(self._all("SELECT count(*) FROM stopped", [])[0][0])

    def quarantine(
        self, after: Sequence[Any] | None = None, *, content: bool = True, broken: bool = False
    ) -> Iterator[Stopped]:
        """What is in quarantine, in order of link and hash; that behind the key `after`. `broken`: as `resources`."""
        behind = "" if after is None else "AND (link_id, content_hash) > (?, ?)"
        chosen = "resource" if content else "NULL"
        query = f"""
            SELECT link_id, content_hash, resource_type, resource_id, stored_at::VARCHAR, rules, {chosen}
            FROM stopped WHERE is_broken = ? {behind}
        """
        for row in self._rows(query, [broken, *(after or ())]):
            yield Stopped(
                row[0], row[1], row[2] or "", row[3] or "", row[4] or "", tuple(row[5] or ()), bytes(row[6] or b"")
            )

    def rows(self, table: Table) -> int:
        """How many rows a category has."""
        if self._scope.categories and table.name not in self._scope.categories:
            return 0
        where, values = self._of_person()
        return int(self._all(f"SELECT count(*) FROM records.{table.name} WHERE {where}", values)[0][0])

    def table(self, table: Table, after: str | None = None, *, order: str = "row_key") -> Iterator[Any]:
        """The rows of a category by their keys, as tuples; those behind the key `after`."""
        where, values = self._of_person()
        if after is not None:
            where, values = f"{where} AND row_key > ?", [*values, after]
        return self._rows(f"SELECT * FROM records.{table.name} WHERE {where} ORDER BY {order}", values)

    def batches(self, table: Table, after: str | None, size: int) -> Iterator[pa.RecordBatch]:
        """The rows of a category by their keys, as Arrow batches."""
        where, values = self._of_person()
        if after is not None:
            where, values = f"{where} AND row_key > ?", [*values, after]
        query = f"SELECT * FROM records.{table.name} WHERE {where} ORDER BY row_key"
        yield from self._connection.cursor().execute(_bound(query, values)).to_arrow_reader(size)

    def newest(
        self, table: Table, columns: str, where: str, date: str, per: str, each: int, most: int
    ) -> list[tuple[Any, ...]]:
        """The newest `most` rows of a category that are among the newest `each` of their `per`; all SQL is ours."""
        of_person, values = self._of_person()
        query = f"""
            SELECT {columns} FROM records.{table.name} WHERE {of_person} AND ({where})
            QUALIFY row_number() OVER (PARTITION BY {per} ORDER BY {date} DESC NULLS LAST, row_key) <= {int(each)}
            ORDER BY {date} DESC NULLS LAST, row_key LIMIT {int(most)}
        """
        return self._all(query, values)

    def measured(self, table: Table, most: int) -> Iterator[tuple[Any, ...]]:
        """(code, unit, name, when, value, reference low, high) of what was measured twice or more, oldest first."""
        where, values = self._of_person()
        query = f"""
            WITH points AS (
                SELECT coalesce(loinc_code, code, code_text, code_display) AS what, coalesce(unit, '') AS unit,
                       coalesce(code_text, code_display, code) AS name, coalesce(effective, issued) AS moment, value,
                       reference_low, reference_high
                FROM records.{table.name}
                WHERE {where} AND value IS NOT NULL AND coalesce(effective, issued) IS NOT NULL
            ), often AS (
                SELECT what, unit, count(*) AS n FROM points WHERE what IS NOT NULL GROUP BY ALL
                HAVING count(DISTINCT moment) > 1 ORDER BY n DESC, what, unit LIMIT {int(most)}
            )
            SELECT what, unit, name, moment, value, reference_low, reference_high
            FROM points JOIN often USING (what, unit)
            ORDER BY what, unit, moment
        """
        return self._rows(query, values)

    def withheld(self) -> list[tuple[str, str, str]]:
        """(table, row key, rule) of the rows that the audit keeps out of the tables."""
        found = self._all(
            "SELECT table_name, row_key, rule FROM records.withheld_rows WHERE person_key = ? ORDER BY ALL",
            [self._person],
        )
        links = set(self._links)
        return [row for row in found if not self._scope.providers or str(row[1]).partition("/")[0] in links]

    def newest_patient(self) -> tuple[str, str] | None:
        """(link, text) of the Patient that was changed last, whatever the categories."""
        narrowed = "AND link_id IN (SELECT unnest(?))" if self._scope.providers else ""
        query = f"""
            SELECT link_id, resource FROM vault.resources
            WHERE person_key = ? AND resource_type = 'Patient' AND stored_seq <= ? {narrowed}
            ORDER BY last_updated DESC NULLS LAST, stored_seq DESC LIMIT 1
        """
        values: list[Any] = [self._person, self.until, *([self._links] if narrowed else [])]
        found = self._all(query, values)
        return found[0] if found else None

    def some(self, resource_type: str, keys: Sequence[tuple[str, str]]) -> list[Held]:
        """Current resources of a type by (link, id)."""
        found: list[Held] = []
        query = """
            SELECT resource_type, link_id, resource_id, stored_seq, '', '', '', remarks, resource
            FROM held WHERE resource_type = ? AND is_current
              AND (link_id || '/' || resource_id) IN (SELECT unnest(?))
        """
        for start in range(0, len(keys), 500):
            part = [f"{link}/{name}" for link, name in keys[start : start + 500]]
            found += [_held(row) for row in self._rows(query, [resource_type, part])]
        return found

    def _stage(self) -> None:
        """Take the person's versions into memory, in the order in which they are written."""
        conditions = ["person_key = ?", "stored_seq <= ?"]
        values: list[Any] = [self._person, self.until]
        if self._scope.providers:
            conditions.append("link_id IN (SELECT unnest(?))")
            values.append(self._links)
        if self._scope.since:
            conditions.append("coalesce(TRY_CAST(last_updated AS TIMESTAMPTZ), stored_at) >= ?::TIMESTAMPTZ")
            values.append(self._scope.since.isoformat())
        if self._scope.categories:
            mine = quoted(self._person)
            parts = " UNION ".join(
                f"SELECT resource_key FROM records.{name} WHERE person_key = {mine}" for name in self._scope.categories
            )
            if "medications" in self._scope.categories:  # what it looks up
                parts += f" UNION SELECT medication_key FROM records.medications WHERE person_key = {mine}"
            self._all(f"CREATE TABLE wanted AS {parts}", [])
            conditions.append("link_id || '/' || resource_type || '/' || resource_id IN (FROM wanted)")
        # Which version is current is decided on the keys of all, whatever the scope.
        self._all(
            """
            CREATE TABLE newest AS
            SELECT link_id, resource_type, resource_id, max(stored_seq) AS stored_seq FROM vault.resources
            WHERE person_key = ? AND stored_seq <= ? GROUP BY ALL
            """,
            [self._person, self.until],
        )
        mine = quoted(self._person)
        placed = " UNION ".join(
            f"SELECT resource_key FROM records.{table.name} WHERE person_key = {quoted(self._person)}"
            for table in tables()
        )
        self._all(f"CREATE TABLE placed AS {placed}", [])
        self._sorted(
            f"""
            CREATE OR REPLACE TABLE held AS
            SELECT resource_type, link_id, resource_id, stored_seq, stored_at, last_updated, content_hash, remarks,
                   newest.stored_seq IS NOT NULL AS is_current, contains(resource, '"data"') AS has_data,
                   contains(resource, chr(10)) OR contains(resource, chr(13)) AS is_broken,
                   link_id || '/' || resource_type || '/' || resource_id IN (FROM placed) AS is_placed, resource
            FROM vault.resources LEFT JOIN newest USING (link_id, resource_type, resource_id, stored_seq)
            WHERE {" AND ".join(conditions)}
            ORDER BY resource_type, link_id, resource_id, stored_seq
            """,
            values,
        )
        narrowed, values = ["person_key = ?"], [self._person]
        if self._scope.providers:
            narrowed.append("link_id IN (SELECT unnest(?))")
            values.append(self._links)
        if self._scope.since:
            narrowed.append("stored_at >= ?::TIMESTAMPTZ")
            values.append(self._scope.since.isoformat())
        if self._scope.categories:  # what could not be read is of no category
            narrowed.append("false")
        self._sorted(
            f"""
            CREATE OR REPLACE TABLE stopped AS
            SELECT link_id, content_hash, resource_type, resource_id, stored_at, rules,
                   regexp_matches(hex(resource), '^(?:..)*?0[AD]') AS is_broken, resource FROM vault.quarantine
            WHERE {" AND ".join(narrowed)} ORDER BY link_id, content_hash
            """,
            values,
        )

    def _sorted(self, statement: str, values: Sequence[Any]) -> None:
        try:
            self._connection.execute(_bound(statement, values))
        except duckdb.OutOfMemoryException:
            with more_memory(self._connection, SORT_BYTES):
                self._connection.execute(_bound(statement, values))
            self._connection.execute(f"SET memory_limit = {quoted(MEMORY)}")

    def _of_person(self) -> tuple[str, list[Any]]:
        conditions: list[str] = ["person_key = ?"]
        values: list[Any] = [self._person]
        if self._scope.providers:
            conditions.append("link_id IN (SELECT unnest(?))")
            values.append(self._links)
        if self._scope.since:  # as of the resource, so that files and tables agree
            conditions.append(
                "resource_key IN (SELECT link_id || '/' || resource_type || '/' || resource_id"
                " FROM held WHERE is_current)"
            )
        return " AND ".join(conditions), values

    def _rows(self, query: str, values: Sequence[Any]) -> Iterator[Any]:
        cursor = self._connection.cursor().execute(_bound(query, values))
        while some := cursor.fetchmany(AT_ONCE):
            yield from some

    def _all(self, query: str, values: Sequence[Any]) -> list[Any]:
        return self._connection.execute(_bound(query, values)).fetchall()


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
        # Rows leave in the order in which they were laid down; one thread and little memory are enough for that.
        connection.execute(f"SET memory_limit = {quoted(MEMORY)}; SET threads = 1; SET preserve_insertion_order = true")
        if until is None:
            row = connection.execute("SELECT coalesce(max(stored_seq), 0) FROM vault.resources").fetchone()
            until = int(row[0]) if row else 0
        yield Holdings(connection, person_key, scope, link_ids, until)


def _held(row: Sequence[Any]) -> Held:
    remarks = tuple(row[7] or ())
    return Held(row[0], row[1], row[2], row[3], row[4] or "", row[5] or "", row[6] or "", remarks, row[8])


def _bound(query: str, values: Sequence[Any]) -> str:
    """The query with its values as literals: given as parameters, they would make DuckDB import pandas (50 MB)."""
    left = iter(values)
    return _PLACE.sub(lambda _: _literal(next(left)), query)


def _literal(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, list):
        return f"[{', '.join(_literal(each) for each in value)}]::VARCHAR[]"
    return quoted(str(value))


def columns_of(table: Table) -> list[str]:
    """The names of a category's columns, in order."""
    return [column.name for column in table.columns]
