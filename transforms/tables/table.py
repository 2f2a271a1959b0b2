"""A table of the records: its columns, its DDL, and the SELECT that builds it from resources."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from transforms.tables import references
from transforms.tables.declaration import Declaration, read_declarations
from transforms.tables.demographics import PATIENT
from transforms.tables.inner import INNER_TYPES
from transforms.tables.references import CATEGORY, NAMED_TYPES, NO_KEYS, NO_LINKS, OBSERVED, RESOURCES
from transforms.tables.relation import Column, Relation
from transforms.tables.statement import columns_of, observations_sql, select_sql
from transforms.tables.text import literal
from transforms.values.units import relations

if TYPE_CHECKING:
    from transforms.tables.presence import Presence


@dataclass(frozen=True, slots=True)
class Table(Relation):
    """One of the tables that show records: a category, or a child of one (`parent`).

    The common columns come first; `resource_types` are all types that its rows are made from.
    """

    resource_types: tuple[str, ...]
    parent: str | None
    declaration: Declaration

    @property
    def key(self) -> tuple[str, ...]:
        """The column that names a row."""
        return ("row_key",)

    @property
    def of_observations(self) -> bool:
        """Whether its rows are taken from those of all Observations, the last that `prepare` makes."""
        return self.declaration.category is not None

    def has_rows_sql(self) -> str:
        """A query of one boolean: whether any resource makes rows of this table, over what `prepare` made."""
        if self.declaration.category:
            return f"SELECT EXISTS (FROM {OBSERVED} WHERE {CATEGORY} = {literal(self.declaration.category)})"
        kinds = ", ".join(map(literal, self.resource_types))
        return f"SELECT EXISTS (FROM {RESOURCES} WHERE resource_type IN ({kinds}))"

    def select_sql(self, present: Presence | None = None) -> str:
        """The whole SELECT: exactly the table's columns, in order, over what `prepare` made.

        Args:
            present: what the resources have, as `presence.read` says; all of R4, where it is not known.
        """
        return select_sql(self.declaration, present)


@cache
def all_tables() -> tuple[Table, ...]:
    """The category tables and their child tables, by name.

    Raises:
        TableError: for a declaration that cannot be a table.
    """
    return tuple(each for each in _declared() if not each.declaration.beside)


@cache
def other_tables() -> tuple[Table, ...]:
    """The tables that show records beside the ten categories, by name: reports, documents, surveys."""
    return tuple(each for each in _declared() if each.declaration.beside)


@cache
def tables() -> tuple[Table, ...]:
    """The ten category tables, by name."""
    return tuple(each for each in all_tables() if each.parent is None)


def table(name: str) -> Table:
    """The table of that name. Raises KeyError for any other name."""
    return {each.name: each for each in _declared()}[name]


def prepare(source: str, *, links: str = NO_LINKS, mended: str = NO_KEYS, others: str = NO_KEYS) -> tuple[str, ...]:
    """The statements that the tables' SELECTs need to have been run, in their order, whatever the resources have.

    Args:
        source: a relation with `person_key, link_id, resource_type, resource_id, last_updated, resource`, all VARCHAR.
        links: a relation with `link_id, provider, route`, all VARCHAR.
        mended: a relation with `link_id, resource_type, resource_id` of what is not in the shape that was sent.
        others: a relation with `link_id, resource_type, resource_id` of what no table reads, and `additional` counts.
    """
    return (*prepare_resources(source, links=links, mended=mended, others=others), *observations())


def prepare_resources(
    source: str, *, links: str = NO_LINKS, mended: str = NO_KEYS, others: str = NO_KEYS
) -> tuple[str, ...]:
    """The first of them, after which those of `observations` are due for the tables `of_observations` alone."""
    return (*relations(), *references.prepare(source, links=links, mended=mended, others=others))


def observations(present: Presence | None = None) -> tuple[str, ...]:
    """The statements that make the rows of all Observations, in their order.

    Args:
        present: what the resources have, as `presence.read` says; all of R4, where it is not known.
    """
    return observations_sql(tuple(each.declaration for each in _declared() if each.of_observations), present)


def resource_types() -> tuple[str, ...]:
    """All types that a build reads: what rows are made from, and what they show the names of."""
    return tuple(
        sorted({kind for each in _declared() for kind in each.resource_types} | {*NAMED_TYPES, *INNER_TYPES, PATIENT})
    )


@cache
def _declared() -> tuple[Table, ...]:
    return tuple(_table(each) for each in read_declarations().values())


def _table(declaration: Declaration) -> Table:
    columns = tuple(Column(each.name, each.type, each.about) for each in columns_of(declaration))
    return Table(
        name=declaration.name,
        title=declaration.title,
        description=declaration.about,
        columns=columns,
        resource_types=declaration.resources,
        parent=declaration.of,
        declaration=declaration,
    )
