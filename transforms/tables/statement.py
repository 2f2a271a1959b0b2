"""The SELECT that builds a table: its views compiled, names looked up, every datatype read by its one rule."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

from transforms.tables import text as sql
from transforms.tables.declaration import Declaration, Declared, TableError
from transforms.tables.measured import PRESSURES
from transforms.tables.references import CATEGORY
from transforms.tables.row import Row

if TYPE_CHECKING:
    from collections.abc import Collection

    from transforms.tables.datatypes import (
        Field,
    )
    from transforms.tables.presence import Presence

_OBSERVED_ROWS = "observed_rows"
OBSERVATIONS = "observations"
"""The rows of the Observations of all categories, of which each table takes its own."""
REPEATED = "repeated-result"
"""The remark of a row that says what another row of the same link says of the same moment."""
_VALUE_PARTS = (
    *("value", "value_text", "value_comparator", "value_unit", "value_unit_code", "value_code", "value_system"),
    *("value_display", "value_boolean", "value_date", "value_start", "value_end", "value_low", "value_high"),
    *("value_numerator", "value_denominator", "systolic", "systolic_unit", "diastolic", "diastolic_unit"),
)
"""The columns in which two values that are the same are alike."""
_KEPT = 64
"""How many statements a process keeps: groups of like resources are laid out alike."""


def columns_of(declaration: Declaration) -> tuple[Field, ...]:
    """The columns of a table in their order, each with the SQL of it over the rows that `select_sql` puts together."""
    return tuple(Row(declaration).columns())


def columns_for(declaration: Declaration) -> tuple[tuple[Declared, tuple[str, ...]], ...]:
    """Each element that is the table's own, with the names of its columns."""
    row = Row(declaration)
    return tuple((each, tuple(field.name for field in row.own(each))) for each in declaration.columns)


@lru_cache(maxsize=_KEPT)
def select_sql(declaration: Declaration, present: Presence | None = None) -> str:
    """The SELECT of exactly the table's columns, in order, over what `prepare` made.

    It is shorter by what no resource has, where `present` says so; otherwise it is right for all resources.
    """
    if declaration.category is None:
        return _laid_out(declaration, present)
    columns = {each.name: each for each in Row(declaration, present).columns()}
    shown = {
        name: sql.typed(each.sql, each.type) if _is_empty(each) else f"laid.{sql.quoted(name)}"
        for name, each in columns.items()
    }
    own = f"{CATEGORY} = {sql.literal(declaration.category)}"
    there = {name for name, each in columns.items() if not _is_empty(each)}
    joined = ""
    if {"effective_start", "has_value"} <= there:
        marked = f"list_append({shown['remarks']}, '{REPEATED}')"
        shown["remarks"] = f"CASE WHEN again.row_key IS NULL THEN {shown['remarks']} ELSE {marked} END"
        joined = f" LEFT JOIN (\n{_repeated(there, own)}\n) AS again ON again.row_key = laid.row_key"
    listed = ", ".join(f"{made} AS {sql.quoted(name)}" for name, made in shown.items())
    return f"SELECT {listed}\nFROM {OBSERVATIONS} AS laid{joined} WHERE {own}"


def _repeated(there: Collection[str], own: str) -> str:
    """The keys of rows that say what another row of the link says of the same moment: all but the first by key."""
    same = ("link_id", "code", "code_system", "text", "observation_code", "observation_text", *_VALUE_PARTS)
    alike = ", ".join(sql.quoted(name) for name in same if name in there)
    says = " OR ".join(["has_value", *(f"{name} IS NOT NULL" for name in PRESSURES if name in there)])
    return (
        f"SELECT row_key FROM (\n  SELECT row_key, row_number() OVER (PARTITION BY effective_start,"
        f" effective_start_precision, {alike} ORDER BY row_key) AS nth\n"
        f"  FROM {OBSERVATIONS} WHERE {own} AND ({says}) AND effective_start_precision IN ('day', 'minute', 'second')"
        f" AND NOT is_entered_in_error\n) WHERE nth > 1"
    )


@lru_cache(maxsize=_KEPT)
def observations_sql(declarations: tuple[Declaration, ...], present: Presence | None = None) -> tuple[str, ...]:
    """The statements that make the rows of the Observations of these tables, in the columns of all, with a category.

    Each Observation is parsed once, and the long statement is planned once instead of four times. What is looked up for
    the few units and texts that there are is worked out on the side: a subquery in the midst of the rows would hold all
    of their columns.

    Raises:
        TableError: they differ in more than their own columns.
    """
    first, *others = declarations
    columns = {each.name: each for declaration in declarations for each in declaration.columns}
    for other in others:
        if (other.common, other.systems, other.prefer, other.negated) != (
            first.common,
            first.systems,
            first.prefer,
            first.negated,
        ):
            raise TableError(f"{other.name}: tables of Observations begin alike")
    row = Row(replace(first, name=OBSERVATIONS, columns=tuple(columns.values())), present)
    laid_out = _listed([each for each in row.columns() if not _is_empty(each)], CATEGORY)
    made = {
        _OBSERVED_ROWS: row.views(),
        **row.writer.looked_up(_OBSERVED_ROWS),
        OBSERVATIONS: f"{laid_out}\nFROM (\n{row.completed(f'FROM {_OBSERVED_ROWS}')}\n)",
    }
    return tuple(f"CREATE OR REPLACE TABLE {name} AS\n{query}" for name, query in made.items())


def _laid_out(declaration: Declaration, present: Presence | None) -> str:
    """The SELECT of all columns of a declaration."""
    row = Row(declaration, present)
    return f"{_listed(row.columns())}\nFROM (\n{row.query()}\n)"


def _is_empty(column: Field) -> bool:
    """Whether a column has nothing in any row."""
    return column.sql in {sql.NOTHING, sql.NO_ITEMS}


def _listed(columns: list[Field], *carried: str) -> str:
    """The list of a SELECT: the columns, and some that stand in its source."""
    named = (f"{sql.typed(each.sql, each.type)} AS {sql.quoted(each.name)}" for each in columns)
    return "SELECT\n  " + ",\n  ".join([*named, *carried])
