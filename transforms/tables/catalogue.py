"""Everything that analysts find in the records: what it is, which kind, what names a row, what points where."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final, Literal

from transforms.tables.accounts import accounts
from transforms.tables.declaration import TableError
from transforms.tables.helpers import published_tables
from transforms.tables.sql_views import SqlView, sql_views
from transforms.tables.table import Table

if TYPE_CHECKING:
    from transforms.tables.relation import Relation

Kind = Literal["table", "child", "helper", "view"]

_IDS: Final = frozenset({"link_id"})
"""Columns that are keys, though they are not called so."""


@cache
def published() -> tuple[Relation, ...]:
    """All tables, then the views.

    Raises:
        TableError: where a table, a view or a column does not say what it is.
    """
    found: tuple[Relation, ...] = (*published_tables(), *accounts(), *sql_views())
    for each in found:
        silent = [column.name for column in each.columns if not column.description.strip()]
        if silent or not each.description.strip():
            raise TableError(f"{each.name}: {', '.join(silent) or 'the table'} has no entry in the dictionary")
    return found


def kind_of(relation: Relation) -> Kind:
    """A category's table, the child of one, a helper beside them, or a view."""
    if isinstance(relation, SqlView):
        return "view"
    if isinstance(relation, Table):
        return "table" if relation.parent is None else "child"
    return "helper"


def is_key(column: str) -> bool:
    """Whether a column is made to be joined by."""
    return column.endswith("_key") or column in _IDS


def points_at(relation: Relation, column: str) -> tuple[str, str] | None:
    """The table and column whose values those of a column are, all of them; None where there is no such promise."""
    if isinstance(relation, Table) and relation.parent is not None and column == "parent_key":
        return relation.parent, "row_key"
    return None
