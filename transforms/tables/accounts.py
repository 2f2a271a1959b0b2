"""What the records say of their own making: up to where each person was built, and what is kept out of the tables."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from transforms.tables.relation import Column, Relation

_PERSON = Column("person_key", "VARCHAR", "The person: random, says nothing about who it is.")


@dataclass(frozen=True, slots=True)
class Account(Relation):
    """A table that publishing itself writes. `unique` are the columns that name a row."""

    unique: tuple[str, ...]

    @property
    def key(self) -> tuple[str, ...]:
        """The columns that name a row."""
        return self.unique


@cache
def accounts() -> tuple[Account, ...]:
    """All of them, by name."""
    return (
        Account(
            "built_people",
            "Built people",
            "Up to where the published rows of each person go, one row each.",
            (
                _PERSON,
                Column("vault_seq", "BIGINT", "The newest version of the vault that the rows were built from."),
                Column("declaration", "VARCHAR", "A fingerprint of how the tables and rules were declared then."),
            ),
            ("person_key",),
        ),
        Account(
            "withheld_rows",
            "Withheld rows",
            "Rows that a rule of the audit keeps out of the tables, one row for each rule that does.",
            (
                _PERSON,
                Column("table_name", "VARCHAR", "The table in which it would stand."),
                Column("row_key", "VARCHAR", "The row."),
                Column("rule", "VARCHAR", "The rule that it breaks."),
            ),
            ("table_name", "row_key", "rule"),
        ),
    )
