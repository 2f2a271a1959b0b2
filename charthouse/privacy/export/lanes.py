"""Reading much in a fixed order with little memory: DuckDB holds what it sorts, so only a little is sorted at a time.

Everything has a place: a hash of its key, evenly spread. What is larger than a lane is read lane by lane, each of them
a range of places; the order over all lanes is that of the places, however many lanes there are.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from charthouse.lake.session import quoted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import duckdb

PLACES: Final = 2**63
AT_ONCE: Final = 256
_GAP: Final = re.compile(r"(?<=[\s(])\?(?=::|[\s,)]|$)")


def place(key: str) -> str:
    """The SQL of the place of a key: the same in every version of DuckDB, for a job may be gone on with by another."""
    return f"(md5_number_lower({key}) >> 1)::BIGINT"


def lanes(amount: int, each: int, *, begin: int = 0) -> list[tuple[int, int]]:
    """The ranges (from, before) of the places from `begin` on, in which there is about `each` of `amount`."""
    count = max(1, -(-amount // each))
    edges = [PLACES * number // count for number in range(count + 1)]
    return [(max(low, begin), high) for low, high in pairwise(edges) if high > begin]


def bound(query: str, values: Sequence[Any]) -> str:
    """The query with its values as literals: given as parameters, they would make DuckDB import pandas (50 MB)."""
    left = iter(values)
    return _GAP.sub(lambda _: _literal(next(left)), query)


def rows(connection: duckdb.DuckDBPyConnection, query: str, values: Sequence[Any] = ()) -> Iterator[Any]:
    """The rows of a query, as they come."""
    cursor = connection.cursor().execute(bound(query, values))
    while some := cursor.fetchmany(AT_ONCE):
        yield from some


def everything(connection: duckdb.DuckDBPyConnection, query: str, values: Sequence[Any] = ()) -> list[Any]:
    """The rows of a query, of which there are few."""
    return connection.execute(bound(query, values)).fetchall()


def _literal(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, list):
        return f"[{', '.join(_literal(each) for each in value)}]::VARCHAR[]"
    return quoted(str(value))
