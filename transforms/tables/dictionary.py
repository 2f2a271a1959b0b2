"""The data dictionary: every table, view and column, as Markdown and as JSON, from the declarations alone."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from transforms.tables.catalogue import kind_of, points_at, published
from transforms.tables.table import Table
from transforms.tables.version import SCHEMA_VERSION

if TYPE_CHECKING:
    from transforms.tables.relation import Relation

_HEAD = """\
# Data dictionary

Generated from `schemas/tables/*.json` and `schemas/sql_views/*.sql` by `python -m transforms.tables`; a test compares
it. How to query the tables, and what the endings `_precision`, `_text` and `_key` mean, is told in
[analysts.md](analysts.md). For programs: `charthouse dictionary --json`.
"""


def dictionary_markdown() -> str:
    """The whole page, `docs/dictionary.md`."""
    parts = [_HEAD]
    parts += [f"- [{each.name}](#{each.name}): {each.description}" for each in published()]
    parts += ["", *(_table_markdown(each) for each in published())]
    return "\n".join(parts).rstrip() + "\n"


def dictionary_data(*names: str) -> dict[str, Any]:
    """The dictionary for programs: of the tables and views named, or of all.

    `version` is that of the schema (`transforms.tables.version`). A column is `{name, type, description}`, with
    `points_at` where each of its values stands in a column of another table.
    """
    tables = [_table_data(each) for each in published() if not names or each.name in names]
    return {"version": SCHEMA_VERSION, "tables": tables}


def dictionary_json() -> str:
    """The whole of `schemas/dictionary.json`."""
    return json.dumps(dictionary_data(), indent=1, ensure_ascii=False) + "\n"


def _table_data(relation: Relation) -> dict[str, Any]:
    said: dict[str, Any] = {
        "name": relation.name,
        "kind": kind_of(relation),
        "title": relation.title,
        "description": relation.description,
        "key": list(relation.key),
    }
    if isinstance(relation, Table):
        said["made_from"] = list(relation.resource_types)
        if relation.parent:
            said["parent"] = relation.parent
    columns = []
    for column in relation.columns:
        entry: dict[str, Any] = {
            "name": column.name,
            "type": column.sql_type,
            "description": column.description,
        }
        if target := points_at(relation, column.name):
            entry["points_at"] = dict(zip(("table", "column"), target, strict=True))
        columns.append(entry)
    return said | {"columns": columns}


def _table_markdown(table: Relation) -> str:
    # A view that begins as a table does tells what it adds: a hundred lines twice help nobody.
    begins = next((each for each in published() if each is not table and _adds_to(table, each)), None)
    shown = table.columns[len(begins.columns) :] if begins else table.columns
    rows = "\n".join(
        f"| `{column.name}` | {column.sql_type.replace(chr(34), '')} |"
        f" {column.description.replace('|', chr(92) + '|')} |"
        for column in shown
    )
    sources = f" From: {', '.join(table.resource_types)}." if isinstance(table, Table) else ""
    sources += " A view." if kind_of(table) == "view" else ""
    sources += f" The columns of [{begins.name}](#{begins.name}), and:" if begins else ""
    return f"## {table.name}\n\n{table.description}{sources}\n\n| column | type | is |\n|---|---|---|\n{rows}\n"


def _adds_to(view: Relation, table: Relation) -> bool:
    """Whether a view has all columns of a table, as they are there, and then its own."""
    return kind_of(view) == "view" and kind_of(table) == "table" and view.columns[: len(table.columns)] == table.columns
