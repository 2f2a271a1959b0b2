"""The data dictionary: every table, view and column, as Markdown, from the declarations alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from transforms.tables.helpers import published_tables
from transforms.tables.sql_views import SqlView, sql_views
from transforms.tables.table import Table

if TYPE_CHECKING:
    from transforms.tables.relation import Relation

_HEAD = """\
# Data dictionary

Generated from `schemas/tables/*.json` and `schemas/sql_views/*.sql` by `python -m transforms.tables`; a test compares
it. How to query the tables, and what the endings `_precision`, `_text` and `_key` mean, is told in
[analysts.md](analysts.md).
"""


def dictionary_markdown() -> str:
    """The whole page, `docs/dictionary.md`."""
    parts = [_HEAD]
    everything = (*published_tables(), *sql_views())
    parts += [f"- [{each.name}](#{each.name}): {each.description}" for each in everything]
    parts += ["", *(_table_markdown(each) for each in everything)]
    return "\n".join(parts).rstrip() + "\n"


def _table_markdown(table: Relation) -> str:
    rows = "\n".join(
        f"| `{column.name}` | {column.sql_type.replace(chr(34), '')} |"
        f" {column.description.replace('|', chr(92) + '|')} |"
        for column in table.columns
    )
    sources = f" From: {', '.join(table.resource_types)}." if isinstance(table, Table) else ""
    sources += " A view." if isinstance(table, SqlView) else ""
    return f"## {table.name}\n\n{table.description}{sources}\n\n| column | type | is |\n|---|---|---|\n{rows}\n"
