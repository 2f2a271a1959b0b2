"""Duplicates among the rows that were built, person by person and table by table."""

from __future__ import annotations

import hashlib
from functools import cache
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING, Final

from transforms.duplicates.best import ranked
from transforms.duplicates.facts import all_keys, facts_sql, row_of
from transforms.duplicates.groups import grouped
from transforms.duplicates.relation import COLUMNS, FOUND
from transforms.duplicates.vocabulary import content

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    import duckdb

    from transforms.duplicates.facts import Keys, Row

_VERSION: Final = 1
"""Raised with every change of how rows are compared that neither the declarations nor the SQL of the facts show."""
_BATCH: Final = 20_000
Line = tuple[str, str, str, str, str, int, bool, int, str, str | None]


def find(connection: duckdb.DuckDBPyConnection, rows: Mapping[str, str]) -> int:
    """Make the relation `FOUND` of the duplicates among the rows of the tables. Returns how many rows it has.

    Args:
        connection: where the rows are, and the relation is made.
        rows: table → a relation of its rows; a table that is not named has none.
    """
    columns = ", ".join(f"{name} {kind}" for name, kind in COLUMNS.items())
    connection.execute(f"CREATE OR REPLACE TABLE {FOUND} ({columns})")
    there = (keys for keys in all_keys() if keys.table in rows)
    lines = [line for keys in there for line in _of_table(connection, keys, rows[keys.table])]
    for start in range(0, len(lines), _BATCH):
        values = [list(column) for column in zip(*lines[start : start + _BATCH], strict=True)]
        unnested = ", ".join(f"unnest(?::{kind}[])" for kind in COLUMNS.values())
        connection.execute(f"INSERT INTO {FOUND} SELECT {unnested}", values)
    return len(lines)


@cache
def fingerprint() -> str:
    """Of all by which duplicates are told: when it changes, everyone's are told anew."""
    said = [str(_VERSION), *(facts_sql(keys, keys.table) for keys in all_keys())]
    said += [repr(content(name)) for name in ("concepts", "drugs", "rules", "vaccines", "words")]
    return hashlib.sha256("\n".join(said).encode()).hexdigest()[:16]


def _of_table(connection: duckdb.DuckDBPyConnection, keys: Keys, relation: str) -> Iterator[Line]:
    with connection.cursor() as cursor:
        found = cursor.execute(facts_sql(keys, relation))

        def read() -> Iterator[Row]:
            while batch := found.fetchmany(_BATCH):
                yield from (row_of(keys, each) for each in batch)

        yield from duplicates(keys, read())


def duplicates(keys: Keys, rows: Iterable[Row]) -> Iterator[Line]:
    """The rows of a table that are in a group, given all that may be, by person. Rows of two people never meet."""
    for person, theirs in groupby(rows, key=attrgetter("person_key")):
        grouping = grouped(keys, list(theirs))
        for name in sorted(grouping.members):
            order = ranked(keys, grouping.members[name])
            group = hashlib.sha256(f"{keys.table}/{name}".encode()).hexdigest()[:16]
            for rank, (row, better) in enumerate(order, start=1):
                by = grouping.by[row.row_key]
                yield person, row.link_id, keys.table, row.row_key, group, rank, rank == 1, len(order), by, better
