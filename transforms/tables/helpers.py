"""The helpers beside the tables: what belongs to no category, what is there twice, what nobody maps yet.

Each is built for a person and a link as the tables are, so that it is replaced and erased with them; who asks about all
people adds the rows up.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from transforms.classification import rules
from transforms.duplicates import relation as duplicates
from transforms.tables.references import CLASSIFIED
from transforms.tables.relation import Column, Relation
from transforms.tables.systems import every_address
from transforms.tables.table import all_tables, tables
from transforms.tables.text import literal
from transforms.values import worklists

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from transforms.tables.table import Table

_PERSON = {
    "person_key": Column("person_key", "VARCHAR", "The person: random, says nothing about who it is."),
    "link_id": Column("link_id", "VARCHAR", "The link (a person at a provider) that it came by."),
}
_ABOUT = {
    "table_name": "The table in which it stands.",
    "unit": "The unit in the sender's words.",
    "unit_code": "The unit's code as sent.",
    "code": "The code of what the rows are about.",
    "code_system": "The system of that code.",
    "reason": "What is not known about it.",
    "row_count": "How many rows of the table.",
    "first_seen": "The first day on which one of them was true of the person.",
    "last_seen": "The last such day.",
}
_ADDITIONAL = (
    *_PERSON.values(),
    Column("resource_type", "VARCHAR", "The FHIR type."),
    Column("rule", "VARCHAR", "The rule that decided: docs/categories.md."),
    Column("reason", "VARCHAR", "What the rule says."),
    Column("resources", "BIGINT", "How many resources."),
    Column("last_seen", "TIMESTAMPTZ", "When the newest of them was stored."),
)


@dataclass(frozen=True, slots=True)
class Helper(Relation):
    """A helper table. `select` makes its SELECT of the relation in which each table's rows stand, by table.

    `settle` makes of the rows that may be published those that are: some may have lost what they were told by.
    """

    select: Callable[[Mapping[str, str]], str]
    settle: Callable[[str], str] | None = None

    def select_sql(self, rows: Mapping[str, str]) -> str:
        """The SELECT of exactly its columns, in order, over what `prepare` made and the rows of the tables."""
        return self.select(rows)

    def settled_sql(self, rows: str) -> str:
        """The SELECT of its rows as they are published, of a relation of those that may be."""
        return self.settle(rows) if self.settle else f"FROM {rows}"


@cache
def helpers() -> tuple[Helper, ...]:
    """All helpers, by name."""
    return (
        Helper(
            "additional",
            "Additional records",
            "What belongs to no category, by person, link, type and reason: kept in the vault and in exports.",
            _ADDITIONAL,
            lambda _: _additional(),
        ),
        Helper(
            "duplicates",
            "Duplicates",
            "Rows of the ten tables that are one record, by group: sent by several links, or twice by one.",
            _columns(duplicates.COLUMNS, duplicates.ABOUT),
            lambda _: duplicates.select_sql(),
            duplicates.settled_sql,
        ),
        Helper(
            "unmapped_codes",
            "Unmapped codes",
            "Codes that name rows in no known system, and measured LOINC codes without a canonical unit.",
            _columns(worklists.CODES_COLUMNS),
            lambda rows: worklists.unmapped_codes(_sources(rows), every_address()),
        ),
        Helper(
            "unmapped_units",
            "Unmapped units",
            "Units of numbers in a spelling that is not known, or in which what is measured does not come.",
            _columns(worklists.UNITS_COLUMNS),
            lambda rows: worklists.unmapped_units(_sources(rows)),
        ),
    )


@cache
def built_tables() -> tuple[Relation, ...]:
    """Everything that is built for people and replaced with them: the tables, then the helpers."""
    return (*all_tables(), *helpers())


def _additional() -> str:
    known = (each for each in rules().values() if each.category is None)
    reasons = " ".join(f"WHEN {literal(each.id)} THEN {literal(each.reason)}" for each in known)
    return (
        f"SELECT person_key, link_id, resource_type, rule, CASE rule {reasons} END AS reason,\n"
        f"  count(*) AS resources, max(stored_at) AS last_seen\n"
        f"FROM (SELECT person_key, link_id, resource_type, resource_id, stored_at FROM staged\n"
        f"  UNION ALL SELECT person_key, link_id, resource_type, resource_id, stored_at FROM others)\n"
        f"JOIN {CLASSIFIED} USING (link_id, resource_type, resource_id) WHERE category IS NULL\n"
        f"GROUP BY ALL ORDER BY ALL"
    )


def _columns(declared: Mapping[str, str], about: Mapping[str, str] = _ABOUT) -> tuple[Column, ...]:
    return tuple(_PERSON.get(name) or Column(name, kind, about[name]) for name, kind in declared.items())


def _sources(rows: Mapping[str, str]) -> list[worklists.Source]:
    return [_source(each, rows[each.name]) for each in tables() if each.name in rows]


def _source(table: Table, relation: str) -> worklists.Source:
    """The number of a table that has a unit: a measured value, or a dose, which is none of the drug's own."""
    names = {column.name for column in table.columns}
    for number in ("value", "dose"):
        if f"{number}_unit_code" in names:
            measured = "true" if number == "value" else "false"
            return worklists.Source(table.name, relation, number, f"{number}_unit", f"{number}_unit_code", measured)
    return worklists.Source(table.name, relation)
