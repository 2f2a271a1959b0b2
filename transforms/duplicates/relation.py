"""The table `duplicates`: its columns, its SELECT of what was found, and how it is put right when rows are gone."""

from __future__ import annotations

from typing import Final

FOUND: Final = "found_duplicates"
"""The relation that `find` leaves."""
COLUMNS: Final = {
    "person_key": "VARCHAR",
    "link_id": "VARCHAR",
    "table_name": "VARCHAR",
    "row_key": "VARCHAR",
    "duplicate_group": "VARCHAR",
    "rank": "BIGINT",
    "is_best": "BOOLEAN",
    "group_rows": "BIGINT",
    "matched_by": "VARCHAR",
    "better_by": "VARCHAR",
}
ABOUT: Final = {
    "table_name": "The table in which the row stands.",
    "row_key": "The row.",
    "duplicate_group": "Names the group: the same for rows that are one record. It says nothing else.",
    "rank": "1 for the best row of the group, 2 for the next …",
    "is_best": "Whether it is the best row of its group.",
    "group_rows": "How many rows the group has: two at least.",
    "matched_by": "By what it came into its group: how far the matter agrees, and the time. See duplicates.md.",
    "better_by": "By what it is better than the next of its group; NULL for the last.",
}


def select_sql() -> str:
    """What was found, in the columns of the table."""
    return f"SELECT {', '.join(COLUMNS)} FROM {FOUND} ORDER BY ALL"


def settled_sql(rows: str) -> str:
    """The rows of the table once some of a group are gone: ranked anew, groups of one dropped.

    Args:
        rows: a relation of the rows that still stand.
    """
    made = {
        "rank": "row_number() OVER ranked",
        "is_best": "row_number() OVER ranked = 1",
        "group_rows": "count(*) OVER whole",
        "better_by": "CASE WHEN row_number() OVER ranked < count(*) OVER whole THEN better_by END",
    }
    listed = ", ".join(f'{made.get(name, name)} AS "{name}"' for name in COLUMNS)
    return (
        f"SELECT {listed} FROM {rows} WINDOW whole AS (PARTITION BY person_key, table_name, duplicate_group),"
        " ranked AS (PARTITION BY person_key, table_name, duplicate_group ORDER BY rank, row_key)"
        " QUALIFY count(*) OVER whole > 1"
    )
