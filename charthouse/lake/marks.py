"""What the audit said of staged rows, on their way into the tables: marked, made void in part, or kept out.

A row that breaks a rule of severity warning carries the rule's id in its `remarks`, unless a remark of the build there
says the same, and NULL in what cannot be true by that rule. A row that breaks any other rule, also one that no suite
knows, is kept out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from charthouse.lake.session import quoted
from transforms.auditing import rules_of
from transforms.tables import tables

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import duckdb

    from transforms.auditing import Rule
    from transforms.tables import Table


def read(connection: duckdb.DuckDBPyConnection, broken: Path) -> None:
    """Make the temporary tables `withheld (table_name, row_key, rule)` and `marked (table_name, row_key, rules)`.

    Args:
        broken: a Parquet file `table_name, row_key, rule`, as the audit wrote it.
    """
    marking = [rule.id for table in tables() for rule in rules_of(table.name) if rule.severity == "warning"]
    found = f"(SELECT DISTINCT table_name, row_key, rule FROM read_parquet({quoted(str(broken))}))"
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE withheld AS FROM {found} WHERE NOT list_contains($marking, rule)",
        {"marking": marking},
    )
    connection.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE marked AS
        SELECT table_name, row_key, list(rule ORDER BY rule) AS rules
        FROM {found} WHERE list_contains($marking, rule) GROUP BY ALL
        """,
        {"marking": marking},
    )


def select_sql(connection: duckdb.DuckDBPyConnection, table: Table, files: str) -> str:
    """`SELECT … FROM` the staged rows of a table as they are published; a `WHERE` may follow.

    Args:
        files: the staged Parquet files as an SQL list.
    """
    said = connection.execute("SELECT DISTINCT unnest(rules) FROM marked WHERE table_name = ?", [table.name]).fetchall()
    broken = [rule for rule in rules_of(table.name) if (rule.id,) in said] if said else []
    columns = ", ".join(_published(column.name, broken) for column in table.columns)
    staged = f"SELECT {columns} FROM read_parquet({files}) AS staged"
    if not broken:
        return staged
    marks = f"SELECT row_key, rules FROM marked WHERE table_name = {quoted(table.name)}"
    return f"{staged} LEFT JOIN ({marks}) AS marks USING (row_key)"


def _published(column: str, broken: Sequence[Rule]) -> str:
    name = f'"{column}"'
    voiding = ", ".join(quoted(rule.id) for rule in broken if column in rule.voids)
    if voiding:
        return f"CASE WHEN list_has_any(rules, [{voiding}]) THEN NULL ELSE {name} END AS {name}"
    if column == "remarks" and broken:
        said = [f"WHEN {quoted(rule.id)} THEN {quoted(rule.same_as)}" for rule in broken if rule.same_as]
        same = f"coalesce(list_contains({name}, CASE r {' '.join(said)} END), false)"
        new = f"list_filter(rules, lambda r: NOT {same})" if said else "rules"
        return f"list_concat({name}, {new}) AS {name}"
    return name
