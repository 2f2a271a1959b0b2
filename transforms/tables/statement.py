"""The SELECT that builds a table: its views compiled, their alternatives merged, the house rules applied."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from transforms.sql_on_fhir import SqlRelation, compile_view
from transforms.tables.declaration import TableError
from transforms.tables.rules import earliest_instant, quoted, raw_expression, table_expressions

if TYPE_CHECKING:
    from transforms.tables.declaration import Column, View

_CARRIED = ("person_key", "link_id", "resource_type", "resource_id", "last_updated")


@cache
def select_sql(columns: tuple[Column, ...], views: tuple[View, ...], helpers: tuple[View, ...], source: str) -> str:
    """Exactly `columns`, in order, of everyone in `source`; `helpers` are what the views look up."""
    rows = "\nUNION ALL\n".join(_view_sql(view, source) for view in views)
    if not helpers:
        return f"SELECT {', '.join(quoted(column.name) for column in columns)}\nFROM (\n{rows}\n)"
    look_up = views[0].look_up
    if look_up is None:
        raise TableError(f"{views[0].name}: no column looks anything up")
    key = quoted(look_up[0])
    filled = _expanded(helpers[0])
    chosen = [
        f"coalesce(rows.{name}, helper.{name}) AS {name}" if name in filled else f"rows.{name}"
        for name in (quoted(column.name) for column in columns)
    ]
    return (
        f"SELECT {', '.join(chosen)}\nFROM (\n{rows}\n) AS rows\n"
        f"LEFT JOIN (\n{_helper_sql(helpers, key, source)}\n) AS helper ON rows.{key} = helper.{key}"
    )


def _helper_sql(helpers: tuple[View, ...], key: str, source: str) -> str:
    # A malformed record may contain the same id twice: one row a key, the same one every night.
    names = _expanded(helpers[0])
    parts = "\nUNION ALL\n".join(_view_sql(helper, source) for helper in helpers)
    return f"SELECT DISTINCT ON ({key}) {', '.join(names)} FROM (\n{parts}\n) ORDER BY {', '.join([key, *names])}"


def _expanded(view: View) -> list[str]:
    return [quoted(column.name) for each in view.shown for column in each.expanded()]


def _view_sql(view: View, source: str) -> str:
    """One view's rows in the columns of the table, its alternatives merged and the house rules applied."""
    raw = ",\n    ".join(
        f"{raw_expression(column, *view.stand_ins(column.name))} AS {quoted(column.name)}" for column in view.shown
    )
    number = quoted(view.row_number) if view.row_number else "0"
    columns = [f"resource_key || '/' || {number} AS row_key", "person_key", "link_id", "resource_key"]
    for each in view.shown:
        expressions = table_expressions(each)
        columns += [f"{sql} AS {quoted(column.name)}" for sql, column in zip(expressions, each.expanded(), strict=True)]
    columns += [f"{earliest_instant('carried_update')} AS last_updated", "[]::VARCHAR[] AS remarks"]
    listed = ",\n    ".join(columns)
    return (
        f"SELECT\n    {listed}\nFROM (\nSELECT\n    person_key, link_id,\n"
        "    link_id || '/' || resource_type || '/' || resource_id AS resource_key,\n"
        f"    last_updated AS carried_update,\n    {raw}\nFROM (\n{_compiled(view, source)}\n)\n)"
    )


def _compiled(view: View, source: str) -> str:
    """The view's own SQL.

    A view that picks some resources of its type first finds them by the few fields that its conditions read, and then
    parses those alone: of four tables, each Observation is in one at most.
    """
    definition = view.with_digits()
    if len(definition.get("where", ())) < 2:
        return compile_view(definition, SqlRelation(source), carry=_CARRIED)
    picking = {**definition, "select": [{"column": [{"name": "id", "path": "id", "type": "id"}]}]}
    picked = compile_view(picking, SqlRelation(source), carry=(*_CARRIED, "resource"))
    laying_out = {name: part for name, part in definition.items() if name != "where"}
    rows = compile_view(laying_out, SqlRelation("picked"), carry=_CARRIED)
    return f"WITH picked AS NOT MATERIALIZED (\n{picked}\n)\n{rows}"
