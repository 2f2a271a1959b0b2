"""Rows of the two lakes: deleted at once, so that nobody sees them any more, and then rewritten out of every file.

Whoever writes to a lake holds its lock (`charthouse.lake.session.writing`), from the look at who is gone to the commit.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Final

from charthouse.lake import shelf
from charthouse.lake.session import RECORDS, VAULT, open_records, open_vault, purge, quoted, transaction, writing
from charthouse.privacy.registry import Place, places
from charthouse.sync import strays

if TYPE_CHECKING:
    from collections.abc import Sequence

    import duckdb

    from charthouse.privacy.subjects import Subject
    from charthouse.settings import Settings

_AT_ONCE: Final = 500
OPENED = {VAULT: open_vault, RECORDS: open_records}


def delete_rows(lake: Any, subjects: Sequence[Subject], settings: Settings) -> dict[str, int]:
    """Delete the subjects' rows from a lake, in one transaction. Who is built stays said for those who keep a link."""
    taken: dict[str, int] = {}
    heads = _heads(subjects, settings) if lake == RECORDS else {}
    with writing(lake, settings), OPENED[lake](settings=settings) as connection, ExitStack() as changing:
        if lake == RECORDS:
            changing.enter_context(shelf.changing({subject.person_key for subject in subjects}, settings))
        known = _tables(connection, lake)
        _name(connection, subjects)
        with transaction(connection):
            for place in places(lake, "lake"):
                for table in place.what:
                    if table in known:
                        taken[place.name] = _delete(connection, f"{lake}.{table}", place)
                        if place.name == "vault.quarantine":
                            taken[place.name] += _delete_misdelivered(connection, subjects, settings)
            if lake == RECORDS and "built_people" in known:
                _rest(connection, heads)
    return taken


def rewrite(lake: Any, settings: Settings) -> None:
    """Leave no file of a lake that holds what was deleted, nor one that belongs to no snapshot."""
    with writing(lake, settings), OPENED[lake](settings=settings) as connection:
        purge(connection, lake)
        connection.execute(f"CALL ducklake_delete_orphaned_files({quoted(lake)}, cleanup_all => true)")


def _name(connection: duckdb.DuckDBPyConnection, subjects: Sequence[Subject]) -> None:
    """Temporary tables of who and what goes."""
    people = sorted({subject.person_key for subject in subjects})
    whole = sorted({subject.person_key for subject in subjects if subject.whole})
    links = sorted({link for subject in subjects for link in subject.link_ids})
    for name, keys in (("concerned", people), ("whole", whole), ("gone_links", links)):
        connection.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS SELECT unnest(?::VARCHAR[]) AS key", [keys])


def _delete(connection: duckdb.DuckDBPyConnection, table: str, place: Place) -> int:
    clauses = [f"{place.person} IN (FROM whole)"]
    if place.link == "row_key":
        clauses.append("split_part(row_key, '/', 1) IN (FROM gone_links)")
    elif place.link:
        clauses.append(f"{place.link} IN (FROM gone_links)")
    done = connection.execute(
        f"DELETE FROM {table} WHERE person_key IN (FROM concerned) AND ({' OR '.join(clauses)})"
    ).fetchone()
    return int(done[0]) if done else 0


def _delete_misdelivered(connection: duckdb.DuckDBPyConnection, subjects: Sequence[Subject], settings: Settings) -> int:
    """Delete what a provider sent to others though it is about these patients (CH207); it is in quarantine."""
    whom = strays.looked_for([pair for subject in subjects for pair in subject.patients], settings)
    if not whom:
        return 0
    rows = connection.execute(
        """
        SELECT link_id, content_hash, resource FROM vault.quarantine
        WHERE list_contains(rules, $rule) AND link_id IN (SELECT unnest($links))
        """,
        {"rule": strays.RULE, "links": list(whom)},
    )
    found: list[tuple[str, str]] = []
    while some := rows.fetchmany(_AT_ONCE):
        found += [(link, content_hash) for link, content_hash, resource in some if whom[link].named_in(resource)]
    done = connection.execute(
        """
        DELETE FROM vault.quarantine
        WHERE (link_id, content_hash) IN (SELECT unnest($links::VARCHAR[]), unnest($hashes::VARCHAR[]))
        """,
        {"links": [link for link, _ in found], "hashes": [content_hash for _, content_hash in found]},
    ).fetchone()
    return int(done[0]) if done else 0


def _rest(connection: duckdb.DuckDBPyConnection, heads: dict[str, int]) -> None:
    """Of those who keep other links: what is left was built as far as before, and their vault may end sooner now."""
    for person, head in heads.items():
        connection.execute(
            "UPDATE records.built_people SET vault_seq = ? WHERE person_key = ? AND vault_seq > ?",
            [head, person, head],
        )


def _heads(subjects: Sequence[Subject], settings: Settings) -> dict[str, int]:
    people = [subject.person_key for subject in subjects if not subject.whole]
    if not people:
        return {}
    with open_vault(read_only=True, settings=settings) as connection:
        rows = connection.execute(
            "SELECT person_key, max(stored_seq) FROM vault.resources WHERE person_key IN (SELECT unnest(?)) GROUP BY 1",
            [people],
        ).fetchall()
    return {person: int(head) for person, head in rows}


def _tables(connection: duckdb.DuckDBPyConnection, lake: str) -> set[str]:
    rows = connection.execute("SELECT table_name FROM duckdb_tables() WHERE database_name = ?", [lake]).fetchall()
    return {name for (name,) in rows}
