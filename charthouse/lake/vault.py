"""The vault: every version of every resource ever accepted, as received, and what had to be quarantined.

Append only. The current version of a resource is the one with the greatest `stored_seq` among those of the same
(link_id, resource_type, resource_id): arrival decides, since a provider may restore an older text.

Each append that brought something leaves a deposit: a random id, committed with it. Whoever remembers a deposit can
tell whether this vault still is the one that took it (`charthouse.sync.footing`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow.parquet as pq

from charthouse import faults
from charthouse.errors import LakeError
from charthouse.lake import rewritten
from charthouse.lake.session import VAULT, maintain, more_memory, purge, quoted, transaction
from transforms.tables.additional import ABOUT, about_sql

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from pathlib import Path

    import duckdb

HOLDING = frozenset({"resources", "quarantine"})
"""The tables that hold what came."""
BUCKETS = 16
ROW_GROUP = 2048
ROW_GROUP_BYTES = "8MB"
"""What a file is written and merged by, so that memory depends on neither the vault's size nor that of its texts."""
INSERT_BYTES = 32_000_000
"""Text that one insert brings: it writes up to sixteen partitions side by side."""
CARRIERS = ("DiagnosticReport", "DocumentReference")
"""The types that a build reads and that carry documents, base64."""
SHORT = 4096
"""A text that is not longer is read as it stands."""
_CONTENTS = r'("data"\s*:\s*")[A-Za-z0-9+/=_\-\s]{64,}"'
LARGE_FACTOR = 13
"""Memory that a slice needs that is larger because one resource is: times its size, as measured."""

_TABLES = f"""
CREATE TABLE IF NOT EXISTS vault.resources (
    stored_seq BIGINT, run_id VARCHAR, stored_at TIMESTAMPTZ,
    person_key VARCHAR, link_id VARCHAR, resource_type VARCHAR, resource_id VARCHAR,
    content_hash VARCHAR, last_updated VARCHAR, remarks VARCHAR[], resource VARCHAR
);
ALTER TABLE vault.resources SET PARTITIONED BY (bucket({BUCKETS}, person_key));
CALL vault.set_option('parquet_row_group_size', {ROW_GROUP});
CALL vault.set_option('parquet_row_group_size_bytes', '{ROW_GROUP_BYTES}');
CREATE TABLE IF NOT EXISTS vault.quarantine (
    run_id VARCHAR, stored_at TIMESTAMPTZ,
    person_key VARCHAR, link_id VARCHAR, resource_type VARCHAR, resource_id VARCHAR,
    content_hash VARCHAR, rules VARCHAR[], resource BLOB
);
CREATE VIEW IF NOT EXISTS vault.current_resources AS
SELECT person_key, link_id, resource_type, resource_id, last_updated, content_hash, stored_seq, resource
FROM vault.resources
QUALIFY row_number() OVER (
    PARTITION BY person_key, link_id, resource_type, resource_id ORDER BY stored_seq DESC
) = 1;
"""
_LAST = """greatest(
    (SELECT coalesce(max(stored_seq), 0) FROM vault.resources),
    (SELECT coalesce(max(stored_seq), 0) FROM vault.deposits)
)"""
_DEPOSITS = """
BEGIN;
CREATE TABLE IF NOT EXISTS vault.deposits (
    deposit VARCHAR, stored_seq BIGINT, run_id VARCHAR, stored_at TIMESTAMPTZ
);
INSERT INTO vault.deposits
SELECT uuid()::VARCHAR, coalesce(max(stored_seq), 0), NULL, now() FROM vault.resources;
COMMIT;
"""
"""The first deposit is the founding of the vault, so there always is one."""
# The vault is not sorted: a batch comes person by person, and a sort would hold all texts in memory, here and whenever
# files are merged.
# person_key stands in the window's partition, though link_id implies it, so that a filter on people is pushed below it.


@dataclass(frozen=True, slots=True)
class Stored:
    """What one batch changed: new versions appended, resources that were there already, newly quarantined."""

    new: int
    unchanged: int
    quarantined: int


def create(connection: duckdb.DuckDBPyConnection) -> None:
    """Make the vault's tables where they are missing."""
    standing = _standing(connection)
    if not standing >= HOLDING | {"current_resources"}:
        connection.execute(_TABLES)
    if "deposits" not in standing:
        connection.execute(_DEPOSITS)


def _standing(connection: duckdb.DuckDBPyConnection) -> set[str]:
    """The tables and views that are there."""
    found = connection.execute(
        """
        SELECT table_name FROM duckdb_tables() WHERE database_name = $lake
        UNION ALL SELECT view_name FROM duckdb_views() WHERE database_name = $lake
        """,
        {"lake": VAULT},
    ).fetchall()
    return {name for (name,) in found}


def is_empty(connection: duckdb.DuckDBPyConnection) -> bool:
    """Whether the vault holds nothing at all, not even in quarantine, or a table of it is gone."""
    if not _standing(connection) >= HOLDING:
        return True
    held = connection.execute("SELECT EXISTS (FROM vault.resources) OR EXISTS (FROM vault.quarantine)").fetchone()
    return held == (False,)


def deposits_among(connection: duckdb.DuckDBPyConnection, deposits: Collection[str]) -> set[str]:
    """Those of `deposits` that this vault has taken."""
    if not deposits or "deposits" not in _standing(connection):
        return set()
    found = connection.execute(
        "SELECT deposit FROM vault.deposits WHERE deposit IN (SELECT unnest(?))", [list(deposits)]
    ).fetchall()
    return {deposit for (deposit,) in found}


def newest_deposit(connection: duckdb.DuckDBPyConnection) -> str:
    """The last deposit: a vault that has it has everything that was appended up to it."""
    row = connection.execute(
        "SELECT deposit FROM vault.deposits ORDER BY stored_seq DESC, stored_at DESC LIMIT 1"
    ).fetchone()
    if row is None:
        raise LakeError("CH501", where=VAULT, what="its deposits are gone")
    return str(row[0])


def append(
    connection: duckdb.DuckDBPyConnection,
    checked: Path,
    quarantined: Path,
    run_id: str,
    *,
    gone: Sequence[str] = (),
    left_out: Sequence[tuple[str, str]] = (),
) -> Stored:
    """Append the versions of `checked` that differ from the current ones, and what `quarantined` newly holds.

    Run twice, it appends nothing the second time: the content hash of the current version decides, and where that
    differs, whether the two texts say the same (`charthouse.lake.rewritten`).

    Args:
        checked: a Parquet file as docs/architecture.md describes under "Checked".
        quarantined: its twin of resources that cannot be used.
        run_id: the run that received them.
        gone: links of which nothing is kept any more, though the files may hold it.
        left_out: what of `quarantined` is not kept, by link and content hash: it is about somebody who is gone.
    """
    connection.execute("CREATE OR REPLACE TEMP TABLE gone_links AS SELECT unnest(?::VARCHAR[]) AS key", [list(gone)])
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE left_out AS SELECT unnest(?::VARCHAR[]) AS link_id, unnest(?::VARCHAR[]) AS hash",
        [[link for link, _ in left_out], [content_hash for _, content_hash in left_out]],
    )
    incoming = f"(FROM read_parquet({quoted(str(checked))}) WHERE link_id NOT IN (FROM gone_links))"
    with transaction(connection):
        # A removal may have taken the newest versions away; their numbers are not given again.
        sequence = connection.execute(f"SELECT {_LAST} + 1").fetchone()
        connection.execute(
            f"""
            CREATE OR REPLACE TEMP TABLE known AS
            SELECT link_id, resource_type, resource_id, arg_max(content_hash, stored_seq) AS content_hash,
                   max(stored_seq) AS stored_seq
            FROM vault.resources
            WHERE person_key IN (SELECT DISTINCT person_key FROM {incoming}) GROUP BY ALL
            """
        )
        rewritten.note(connection, (part for part, _ in _parts(checked)))
        # A provider may change a resource between two pages: both versions are kept, the later one counts.
        connection.execute(
            f"""
            CREATE OR REPLACE TEMP TABLE versions AS
            SELECT link_id, resource_type, resource_id, content_hash,
                   row_number() OVER (PARTITION BY link_id, resource_type, resource_id ORDER BY last_updated) AS version
            FROM {incoming}
            QUALIFY count(*) OVER (PARTITION BY link_id, resource_type, resource_id) > 1
            """
        )
        new = _insert(
            connection,
            checked,
            """
            INSERT INTO vault.resources
            SELECT ? + coalesce(versions.version, 0), ?, now(), person_key, link_id, resource_type, resource_id,
                   content_hash, last_updated, remarks, resource
            FROM {incoming} AS incoming
            ANTI JOIN known USING (link_id, resource_type, resource_id, content_hash)
            ANTI JOIN rewritten USING (link_id, resource_type, resource_id, content_hash)
            LEFT JOIN versions USING (link_id, resource_type, resource_id, content_hash)
            """,
            [sequence[0] if sequence else 1, run_id],
        )
        kept = _insert(
            connection,
            quarantined,
            """
            INSERT INTO vault.quarantine
            SELECT ?, now(), person_key, link_id, resource_type, resource_id, content_hash, rules, resource
            FROM {incoming} AS incoming
            ANTI JOIN vault.quarantine AS there ON incoming.link_id = there.link_id
                  AND incoming.content_hash = there.content_hash
            ANTI JOIN left_out ON incoming.link_id = left_out.link_id AND incoming.content_hash = left_out.hash
            """,
            [run_id],
        )
        if new or kept:
            connection.execute(
                f"INSERT INTO vault.deposits SELECT uuid()::VARCHAR, {_LAST}, ?, now()",
                [run_id],
            )
        total = connection.execute(f"SELECT count(*) FROM {incoming}").fetchone()
    return Stored(new=new, unchanged=(total[0] if total else 0) - new, quarantined=kept)


def _insert(connection: duckdb.DuckDBPyConnection, file: Path, statement: str, values: Sequence[object]) -> int:
    """Run an INSERT that reads `{incoming}`, once for each slice of the file. Returns how many rows it inserted."""
    inserted = 0
    for incoming, size in _parts(file):
        with more_memory(connection, LARGE_FACTOR * size if size > INSERT_BYTES else 0):
            done = connection.execute(statement.format(incoming=incoming), list(values)).fetchone()
        inserted += done[0] if done else 0
    return inserted


def _parts(file: Path) -> Iterator[tuple[str, int]]:
    """SQL that reads a part of a Parquet file, without what is of links that are gone, and its bytes."""
    rows = f"read_parquet({quoted(str(file))}, file_row_number => true)"
    for first, last, size in _slices(file):
        within = f"file_row_number BETWEEN {first} AND {last}"
        yield f"(FROM {rows} WHERE {within} AND link_id NOT IN (FROM gone_links))", size


def _slices(file: Path) -> Iterator[tuple[int, int, int]]:
    """(first row, last row, bytes) of parts of a Parquet file: about `INSERT_BYTES` at most, or one row group."""
    metadata = pq.read_metadata(file)
    first = after = size = 0
    for group in map(metadata.row_group, range(metadata.num_row_groups)):
        if size and size + group.total_byte_size > INSERT_BYTES:
            yield first, after - 1, size
            first, size = after, 0
        after += group.num_rows
        size += group.total_byte_size
    if after > first:
        yield first, after - 1, size


@dataclass(frozen=True, slots=True)
class Head:
    """How far a person's part of the vault goes: the newest `stored_seq`, and how many versions there are."""

    stored_seq: int
    versions: int


def heads(connection: duckdb.DuckDBPyConnection) -> dict[str, Head]:
    """The head of each person: what a build must have seen to be current."""
    rows = connection.execute(
        "SELECT person_key, max(stored_seq), count(*) FROM vault.resources GROUP BY ALL"
    ).fetchall()
    return {person: Head(sequence, versions) for person, sequence, versions in rows}


@dataclass(frozen=True, slots=True)
class Newest:
    """The newest version of a resource, as received; `remarks` are the rules that it breaks."""

    resource: bytes
    remarks: tuple[str, ...]
    quarantined: bool


def newest(connection: duckdb.DuckDBPyConnection, link_id: str, resource_type: str, resource_id: str) -> Newest | None:
    """The current version of one resource; where none was ever accepted, the newest that was quarantined."""
    key = [link_id, resource_type, resource_id]
    where = "WHERE link_id = ? AND resource_type = ? AND resource_id = ?"
    row = connection.execute(
        f"SELECT encode(resource), remarks FROM vault.resources {where} ORDER BY stored_seq DESC LIMIT 1", key
    ).fetchone()
    if row is not None:
        return Newest(bytes(row[0]), tuple(row[1] or ()), quarantined=False)
    row = connection.execute(
        f"SELECT resource, rules FROM vault.quarantine {where} ORDER BY stored_at DESC LIMIT 1", key
    ).fetchone()
    return None if row is None else Newest(bytes(row[0]), tuple(row[1] or ()), quarantined=True)


def stage_current(connection: duckdb.DuckDBPyConnection, people: Sequence[str], types: Sequence[str]) -> None:
    """Make of the current versions of `people` the in-memory tables that a build reads.

    `staged` are those of `types`, with their texts; `others` are the rest, by their keys and what they are about. Every
    cursor of the connection sees them. Which versions are current is decided on the keys: a window over the texts would
    hold them all in memory. The contents of documents are left out (`"data": "-"`): they may be most of the bytes, and
    no row shows them.
    """
    holding = ", ".join(map(quoted, CARRIERS))
    told = (
        f"CASE WHEN resource_type IN ({holding}) AND strlen(resource) > {SHORT}"
        f" THEN regexp_replace(resource, '{_CONTENTS}', '\\1-\"', 'g') ELSE resource END"
    )
    connection.execute(
        """
        CREATE OR REPLACE TEMP TABLE current_versions AS
        SELECT person_key, link_id, resource_type, resource_id, max(stored_seq) AS stored_seq,
               max(stored_at) AS stored_at
        FROM vault.resources WHERE person_key IN (SELECT unnest(?)) GROUP BY ALL
        """,
        [list(people)],
    )
    connection.execute(
        f"""
        CREATE OR REPLACE TABLE others AS
        SELECT person_key, link_id, resource_type, resource_id, stored_at, about FROM current_versions
        LEFT JOIN (
            SELECT link_id, resource_type, resource_id, stored_seq, {about_sql("resource_type", "resource")} AS about
            FROM vault.resources
            WHERE person_key IN (SELECT unnest($people)) AND resource_type IN (SELECT unnest($told))
        ) USING (link_id, resource_type, resource_id, stored_seq)
        WHERE resource_type NOT IN (SELECT unnest($types))
        """,
        {"people": list(people), "types": list(types), "told": sorted(set(ABOUT) - set(types))},
    )
    connection.execute(
        f"""
        CREATE OR REPLACE TABLE staged AS
        SELECT person_key, link_id, resource_type, resource_id, last_updated, stored_at, remarks, {told} AS resource
        FROM vault.resources
        SEMI JOIN (FROM current_versions WHERE resource_type IN (SELECT unnest($types)))
            USING (link_id, resource_type, resource_id, stored_seq)
        WHERE person_key IN (SELECT unnest($people))
        """,
        {"people": list(people), "types": list(types)},
    )


def ids_of(connection: duckdb.DuckDBPyConnection, resource_type: str, link_ids: Sequence[str]) -> set[tuple[str, str]]:
    """(link, id) of everything of a type that came by these links."""
    query = """
        SELECT DISTINCT link_id, resource_id FROM vault.resources
        WHERE resource_type = ? AND link_id IN (SELECT unnest(?))
    """
    return set(connection.execute(query, [resource_type, list(link_ids)]).fetchall())


def types_of(connection: duckdb.DuckDBPyConnection, link_ids: Sequence[str]) -> dict[str, set[str]]:
    """The types of what came by each of these links."""
    found: dict[str, set[str]] = {}
    query = "SELECT DISTINCT link_id, resource_type FROM vault.resources WHERE link_id IN (SELECT unnest(?))"
    for link_id, kind in connection.execute(query, [list(link_ids)]).fetchall():
        found.setdefault(link_id, set()).add(kind)
    return found


def remove_links(connection: duckdb.DuckDBPyConnection, link_ids: Sequence[str]) -> int:
    """Take away everything that came by these links, so that no file and no snapshot holds it. Returns its versions.

    Run twice, it finds nothing the second time, and makes up for a purge that was cut off.
    """
    if not _standing(connection) >= HOLDING:
        return 0
    removed = 0
    with transaction(connection):
        for table in sorted(HOLDING):
            done = connection.execute(
                f"DELETE FROM vault.{table} WHERE link_id IN (SELECT unnest(?))", [list(link_ids)]
            ).fetchone()
            removed += done[0] if done else 0
    faults.point("removal.vault")
    purge(connection, VAULT)
    return removed


def links_among(connection: duckdb.DuckDBPyConnection, link_ids: Sequence[str]) -> set[str]:
    """Those of `link_ids` by which the vault holds anything."""
    found: set[str] = set()
    for table in sorted(HOLDING & _standing(connection)):
        rows = connection.execute(
            f"SELECT DISTINCT link_id FROM vault.{table} WHERE link_id IN (SELECT unnest(?))", [list(link_ids)]
        ).fetchall()
        found.update(link_id for (link_id,) in rows)
    return found


def holders(
    connection: duckdb.DuckDBPyConnection, link_ids: Sequence[str], keys: Collection[tuple[str, str]]
) -> dict[str, set[tuple[str, str]]]:
    """Of some resources, by type and id, those that the vault holds by each of these links."""
    if not keys or not _standing(connection) >= HOLDING:
        return {}
    kinds, names = zip(*sorted(keys), strict=True)
    rows = connection.execute(
        """
        SELECT DISTINCT link_id, resource_type, resource_id FROM vault.resources
        SEMI JOIN (SELECT unnest($kinds::VARCHAR[]) AS resource_type, unnest($names::VARCHAR[]) AS resource_id)
            USING (resource_type, resource_id)
        WHERE link_id IN (SELECT unnest($links::VARCHAR[]))
        """,
        {"kinds": list(kinds), "names": list(names), "links": list(link_ids)},
    ).fetchall()
    found: dict[str, set[tuple[str, str]]] = {}
    for link_id, kind, name in rows:
        found.setdefault(link_id, set()).add((kind, name))
    return found


def unseen(
    connection: duckdb.DuckDBPyConnection,
    people: Collection[str],
    asked: Collection[tuple[str, str]],
    served: Sequence[Path],
    *,
    texts: bool,
) -> list[tuple[tuple[str, str, str], str]]:
    """What the vault holds of `asked` (link and type) that none of the `served` files names: its key, its newest text.

    Without `texts` these stay empty. `people` are those whom the links belong to.
    """
    if not asked:
        return []
    links, kinds = zip(*sorted(asked), strict=True)
    names = " UNION ALL ".join(
        f"SELECT link_id, resource_type, resource_id FROM read_parquet({quoted(str(file))})" for file in served
    )
    rows = connection.execute(
        f"""
        SELECT link_id, resource_type, resource_id, {"arg_max(resource, stored_seq)" if texts else "''"}
        FROM vault.resources
        SEMI JOIN (SELECT unnest($links::VARCHAR[]) AS link_id, unnest($kinds::VARCHAR[]) AS resource_type)
            USING (link_id, resource_type)
        ANTI JOIN ({names}) USING (link_id, resource_type, resource_id)
        WHERE person_key IN (SELECT unnest($people::VARCHAR[])) GROUP BY ALL
        """,
        {"links": list(links), "kinds": list(kinds), "people": list(people)},
    ).fetchall()
    return [((link_id, kind, name), text) for link_id, kind, name, text in rows]


def stopped_before(connection: duckdb.DuckDBPyConnection, link_ids: Sequence[str], run_id: str) -> set[tuple[str, str]]:
    """(link, content hash) of what runs before this one have put into quarantine for these links."""
    rows = connection.execute(
        """
        SELECT DISTINCT link_id, content_hash FROM vault.quarantine
        WHERE link_id IN (SELECT unnest(?)) AND run_id <> ?
        """,
        [list(link_ids), run_id],
    ).fetchall()
    return {(link_id, content_hash) for link_id, content_hash in rows}


def held_among(
    connection: duckdb.DuckDBPyConnection, people: Collection[str], keys: Collection[tuple[str, str, str]]
) -> set[tuple[str, str, str]]:
    """Those of some resources, by link, type and id, that the vault holds; `people` are whom the links belong to."""
    if not keys:
        return set()
    links, kinds, names = zip(*sorted(keys), strict=True)
    rows = connection.execute(
        """
        SELECT DISTINCT link_id, resource_type, resource_id FROM vault.resources
        SEMI JOIN (SELECT unnest($links::VARCHAR[]) AS link_id, unnest($kinds::VARCHAR[]) AS resource_type,
                          unnest($names::VARCHAR[]) AS resource_id)
            USING (link_id, resource_type, resource_id)
        WHERE person_key IN (SELECT unnest($people::VARCHAR[]))
        """,
        {"links": list(links), "kinds": list(kinds), "names": list(names), "people": list(people)},
    ).fetchall()
    return {(link_id, kind, name) for link_id, kind, name in rows}


def compact(connection: duckdb.DuckDBPyConnection) -> None:
    """Merge the small files that the night's batches left."""
    maintain(connection, VAULT)
