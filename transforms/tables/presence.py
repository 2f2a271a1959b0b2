"""Which JSON properties the resources of a group have at all: what none of them has need not be read or laid out.

FHIR's types have many more elements than any one sender uses. What is absent is told exactly, from the texts, so rows
are the same with and without this knowledge; where a text may hide a name (an escape within it), nothing is absent.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TYPE_CHECKING

from transforms.sql_on_fhir.parts import parts_of
from transforms.sql_on_fhir.values import FAMILY, Type
from transforms.tables.declaration import read_declarations
from transforms.tables.text import literal
from transforms.tables.views import view_columns

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import duckdb

    from transforms.sql_on_fhir.parts import Part
    from transforms.tables.declaration import Declaration, ViewColumn

_USUAL = frozenset({
    "boundsPeriod", "code", "coding", "data", "denominator", "display", "end", "event", "high", "low", "numerator",
    "period", "reference", "repeat", "start", "status", "system", "text", "type", "unit", "url", "value", "valueCode",
    "valueString",
})  # fmt: skip
"""What nearly every record has somewhere, or rules reach for by name: never asked for, taken to be there."""
_CONCEPTS = ("Medication", "Substance")
"""The types whose concepts other rows show."""
_HIDDEN = r"\\u[^\"]*\"\s*:"
"""A name with an escape in it. One without a `u` (`\\/`) is none that FHIR has."""


@dataclass(frozen=True, slots=True)
class Presence:
    """What is there, by resource type: `keys` with the element in whose items they stand, "" for the resource itself.

    Of the types in `hidden` everything may be there.
    """

    keys: frozenset[tuple[str, str, str]]
    names: frozenset[tuple[str, str]]
    hidden: frozenset[str]

    def absent(self, declaration: Declaration, resource: str) -> frozenset[str]:
        """The columns of a view that are empty in every row."""
        return frozenset(
            column.name
            for declared in declaration.columns
            for column in view_columns(declared, resource)
            if not self._has(declaration, resource, column, in_row=declared.in_row)
        ) | frozenset(
            column.name
            for name, declared in declaration.common.items()
            for column in view_columns(declared, resource)
            if (name in _OPTIONAL or column.name not in {each.name for each in declared.view_columns(resource)})
            and not self._has(declaration, resource, column, in_row=declared.in_row)
        )

    def has_items(self, declaration: Declaration, resource: str) -> bool:
        """Whether any resource has the element whose items are rows beside its own."""
        return not self._tells(resource) or (resource, "", declaration.rows) in self.keys

    def lacking(self, declaration: Declaration) -> frozenset[str]:
        """The properties of datatypes that no element of the table has."""
        types = (*declaration.resources, *(_CONCEPTS if _is_pointed_at(declaration) else ()))
        if not all(map(self._tells, types)):
            return frozenset()
        return _asked(declaration) - {name for kind, name in self.names if kind in types}

    def _tells(self, resource: str) -> bool:
        """Whether it is known what the resources of a type have."""
        return resource in _questions()[0] and resource not in self.hidden

    def _has(self, declaration: Declaration, resource: str, column: ViewColumn, *, in_row: bool) -> bool:
        if not self._tells(resource) or not column.steps:
            return True
        first, *others = column.steps
        item = _items(declaration).get(resource, "") if in_row else ""
        places = {item, ""} if declaration.rows else {item}
        if not any((resource, place, first) in self.keys for place in places):
            return False
        return all(name in _USUAL or (resource, name) in self.names for name in others)


_OPTIONAL = frozenset({"effective", "end", "recorded", "encounter"})
"""The common columns that a table may be without; the others say what a row is."""


def read(connection: duckdb.DuckDBPyConnection, source: str) -> Presence:
    """What the resources of a relation have.

    Args:
        connection: where the relation is.
        source: its name; it has `resource_type` and `resource`, the JSON text.
    """

    def distinct(queries: Iterable[str]) -> set[tuple[str, ...]]:
        whole = "\nUNION ALL\n".join(queries)
        return set(connection.execute(f"SELECT DISTINCT * FROM (\n{whole}\n)").fetchall()) if whole else set()

    asked, items = _questions()
    of_type = {kind: f"FROM {source} WHERE resource_type = {literal(kind)}" for kind in asked}
    keys = distinct(
        f"SELECT {literal(kind)}, '', unnest(TRY(json_keys(resource))) {rows}" for kind, rows in of_type.items()
    )
    each = _each("held")
    keys |= distinct(
        f"SELECT {literal(kind)}, {literal(item)}, unnest(TRY(json_keys(each))) FROM (SELECT unnest({each}) AS each"
        f" FROM (SELECT TRY(json_extract(resource, '$.{item}')) AS held {of_type[kind]}) WHERE held IS NOT NULL)"
        for kind, item in items
        if (kind, "", item) in keys
    )
    patterns = {kind: literal(f'"({"|".join(sorted(names))})"') for kind, names in asked.items()}
    names = distinct(
        f"SELECT {literal(kind)}, unnest(regexp_extract_all(resource, {pattern}, 1)) {of_type[kind]}"
        f" AND regexp_matches(resource, {pattern})"
        for kind, pattern in patterns.items()
    )
    hidden = distinct(
        [
            f"SELECT resource_type FROM {source}"
            f" WHERE CASE WHEN contains(resource, '\\u') THEN regexp_matches(resource, '{_HIDDEN}') ELSE false END"
        ]
    )
    return Presence(
        keys=frozenset((kind, item, key) for kind, item, key in keys),
        names=frozenset((kind, name) for kind, name in names),
        hidden=frozenset(kind for (kind,) in hidden),
    )


def _each(held: str) -> str:
    """The items of a list, or what stands alone in its place."""
    return f"CASE json_type({held}) WHEN 'ARRAY' THEN from_json({held}, '[\"JSON\"]') ELSE [{held}] END"


@cache
def _questions() -> tuple[dict[str, frozenset[str]], frozenset[tuple[str, str]]]:
    """By resource type, the names to look for; and the elements whose items are rows, with their types."""
    asked: dict[str, set[str]] = {}
    items: set[tuple[str, str]] = set()
    for declaration in read_declarations().values():
        for resource in declaration.resources:
            asked.setdefault(resource, set()).update(_asked(declaration))
        items.update(_items(declaration).items())
    for resource in _CONCEPTS:
        asked.setdefault(resource, set()).update(set(_names(parts_of(Type.of("CodeableConcept")))) - _USUAL)
    return {kind: frozenset(names) for kind, names in asked.items()}, frozenset(items)


def _is_pointed_at(declaration: Declaration) -> bool:
    """Whether what a row is about may be another resource, whose concept it shows."""
    code = declaration.common.get("code")
    return code is not None and any(
        column.type == "Reference" for resource in declaration.resources for column in code.view_columns(resource)
    )


def _items(declaration: Declaration) -> dict[str, str]:
    """By resource type, the element whose items are rows."""
    if declaration.rows:
        return dict.fromkeys(declaration.resources, declaration.rows)
    return dict(declaration.each)


@lru_cache(maxsize=64)
def _asked(declaration: Declaration) -> frozenset[str]:
    """The names of properties below those that a table's views read."""
    found: set[str] = set()
    for resource in declaration.resources:
        for declared in declaration.declared:
            for column in view_columns(declared, resource):
                found.update(column.steps[1:])
                if column.type not in FAMILY:
                    found.update(_names(parts_of(column.within)))
    return frozenset(found - _USUAL)


def _names(parts: tuple[Part, ...]) -> Iterator[str]:
    for part in parts:
        yield part.name
        yield from _names(part.parts)
