"""The schema as it was published last (`schemas/tables.lock.json`), and what has changed since.

A query may rely on the names and types of columns, and on what keys mean. New tables and columns break none, nor does a
new field of a struct; whatever breaks one asks for another `SCHEMA_VERSION`.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import duckdb

from transforms.tables.catalogue import is_key, published
from transforms.tables.version import SCHEMA_VERSION

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from transforms.tables.relation import Relation


def schema_data(relations: Sequence[Relation] | None = None, version: int = SCHEMA_VERSION) -> dict[str, Any]:
    """What is locked of the schema: for each table and view its key, the types of columns, the meaning of keys."""
    tables = {
        each.name: {
            "key": list(each.key),
            "columns": {column.name: column.sql_type for column in each.columns},
            "keys_mean": {column.name: column.description for column in each.columns if is_key(column.name)},
        }
        for each in (published() if relations is None else relations)
    }
    return {"version": version, "tables": dict(sorted(tables.items()))}


def lock_text(data: Mapping[str, Any]) -> str:
    """The text of the lock file."""
    return json.dumps(data, indent=1, ensure_ascii=False) + "\n"


def breaking(locked: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What of the schema as it is now would break a query that was written for the locked one, in words."""
    return list(_breaking(locked["tables"], now["tables"]))


def refusals(locked: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """The breaking changes that no newer version announces. The lock must not be written while there are any."""
    return [] if now["version"] > locked["version"] else breaking(locked, now)


def _breaking(locked: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    with duckdb.connect() as connection:
        for name, was in locked.items():
            if name not in now:
                yield f"{name} is gone"
                continue
            new = now[name]
            if was["key"] != new["key"]:
                yield f"{name}: a row was named by ({', '.join(was['key'])}), now by ({', '.join(new['key'])})"
            for column, kind in was["columns"].items():
                if column not in new["columns"]:
                    yield f"{name}.{column} is gone"
                elif not _fits(connection.sqltype(kind), connection.sqltype(new["columns"][column])):
                    yield f"{name}.{column} was {kind}, now {new['columns'][column]}"
                elif was["keys_mean"].get(column) != new["keys_mean"].get(column):
                    yield f"{name}.{column} is a key, and means something else"


def _fits(was: Any, new: Any) -> bool:
    """Whether what was written for a type can be asked of another: the same, with more fields perhaps."""
    if was.id != new.id:
        return False
    if was.id == "list":
        return _fits(was.children[0][1], new.children[0][1])
    if was.id == "struct":
        fields = dict(new.children)
        return all(name in fields and _fits(kind, fields[name]) for name, kind in was.children)
    return bool(was == new)
