"""The views `<table>_best`: one row of each group of duplicates, and why that one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

ADDED: Final = {
    "duplicate_group": ("VARCHAR", "The group of `duplicates` that the row stands for; NULL: it is the only one."),
    "group_rows": ("BIGINT", "For how many rows it stands: itself, and its duplicates."),
    "best_because": ("VARCHAR", "By what it is better than the next of its group; NULL: it is the only one."),
}
"""Columns that a view has beside its table's."""


def best_about(table: str) -> str:
    """What the view of a table is."""
    return (
        f"`{table}` without duplicates: the best row of each group, and every row that is in none. Rows that say that"
        " something is not so, or was entered in error, are there as in the table."
    )


def best_sql(table: str, columns: Sequence[str] = ()) -> str:
    """The SELECT of the view of a table, over it and `duplicates` by their bare names: these columns, or all.

    The best is the first by rank of those that stand: a row may have gone since the ranks were given.
    """
    listed = ", ".join(f't."{name}"' for name in columns) or "t.*"
    return (
        f"SELECT {listed}, d.duplicate_group, coalesce(d.group_rows, 1) AS group_rows, d.better_by AS best_because\n"
        f"FROM {table} AS t LEFT JOIN (\n"
        "    SELECT row_key, duplicate_group, group_rows, better_by,\n"
        "        row_number() OVER (PARTITION BY person_key, duplicate_group ORDER BY rank, row_key) AS standing\n"
        f"    FROM duplicates WHERE table_name = '{table}'\n"
        ") AS d USING (row_key)\n"
        "WHERE d.standing IS NULL OR d.standing = 1"
    )
