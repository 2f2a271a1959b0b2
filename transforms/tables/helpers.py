"""The helpers beside the tables: what arrived, who people and professionals are, what is there twice, what is unmapped.

Each is built for a person and a link as the tables are, so that it is replaced and erased with them; who asks about all
people adds the rows up.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from transforms.duplicates import relation as duplicates
from transforms.tables import demographics, professionals
from transforms.tables.additional import additional_sql
from transforms.tables.relation import Column, Relation
from transforms.tables.standing import standing_tables
from transforms.tables.systems import every_address
from transforms.tables.table import all_tables, other_tables, tables
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
    Column("shown_in", "VARCHAR", "The table beside the ten in which each of them is a row; NULL: none."),
    Column("code", "VARCHAR", "What they are about: the first code of the element that says so."),
    Column("code_system", "VARCHAR", "The system of that code."),
    Column("about", "VARCHAR", "What they are about, in words: those of the code, else the sender's."),
    Column("resources", "BIGINT", "How many resources."),
    Column("last_seen", "TIMESTAMPTZ", "When the newest of them was stored."),
)
_ARRIVED = (
    *_PERSON.values(),
    Column("table_name", "VARCHAR", "The table."),
    Column("row_count", "BIGINT", "How many rows of it."),
    Column("resources", "BIGINT", "How many records these were made from."),
    Column("oldest", "TIMESTAMPTZ", "The earliest moment that one of them is true of."),
    Column("newest", "TIMESTAMPTZ", "The latest such moment."),
    Column("last_updated", "TIMESTAMPTZ", "When the provider last changed one of them, where it says so."),
)
_WHO = {
    "practitioners": ("Who takes care of people, and their roles: professionals, by name.", "practitioner or role"),
    "organizations": ("Hospitals, practices, laboratories, makers of vaccines …, by name.", "organization"),
    "locations": ("Places of care, by name.", "place"),
}


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
            "What belongs to no category, by person, link, type and subject: kept in the vault and in exports.",
            _ADDITIONAL,
            lambda _: additional_sql(),
        ),
        Helper(
            "arrived",
            "What arrived",
            "How many rows and records each link brought to each table, and how far they go. See `coverage`.",
            _ARRIVED,
            _arrived,
        ),
        Helper(
            "demographics",
            "Demographics",
            "What each provider says of a person: year of birth, sex, death, state; a row a link. See `people`.",
            (*_PERSON.values(), *(Column(name, *said) for name, said in demographics.COLUMNS.items())),
            lambda _: demographics.demographics_sql("staged"),
        ),
        *(_professionals(name) for name in professionals.KINDS),
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
    """Everything that is built for people and replaced with them: the tables, those beside them, then the helpers."""
    return (*all_tables(), *other_tables(), *helpers())


@cache
def published_tables() -> tuple[Relation, ...]:
    """Everything that holds rows of people: what is built of the vault, and what is told of their links."""
    return (*built_tables(), *standing_tables())


def _arrived(rows: Mapping[str, str]) -> str:
    """How much of each table came by each link."""
    counted = (
        f"SELECT person_key, link_id, {literal(each.name)} AS table_name, count(*) AS row_count,"
        " count(DISTINCT resource_key) AS resources, min(effective_start) AS oldest, max(effective_start) AS newest,"
        f" max(last_updated) AS last_updated FROM {rows[each.name]} GROUP BY ALL"
        for each in (*tables(), *other_tables())
        if each.name in rows and each.parent is None
    )
    none = ", ".join(f"NULL::{column.sql_type} AS {column.name}" for column in _ARRIVED)
    return " UNION ALL ".join([*counted, f"SELECT {none} WHERE false"]) + " ORDER BY ALL"


def _professionals(name: str) -> Helper:
    about, each = _WHO[name]
    columns = (
        *_PERSON.values(),
        Column("resource_key", "VARCHAR", f"The {each}: what columns that end in `_key` point at; NULL: a name alone."),
        Column("resource_type", "VARCHAR", "The FHIR type."),
        Column("name", "VARCHAR", "The name."),
        *(Column(*said) for said in professionals.DETAILS[name]),
        Column("found_as", "VARCHAR", "How it is known: record, contained (in another), reference or name."),
    )
    return Helper(name, name.capitalize(), about, columns, lambda rows: professionals.professionals_sql(name, rows))


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
