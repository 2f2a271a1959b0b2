"""Practitioners, organizations and places: who they are by name, wherever a link's records name them.

They are told by their own records, by copies contained in others, by references that say what they point at although
that was never sent, and by names without a reference where FHIR permits no other type (the manufacturer of a vaccine is
an Organization). A name alone in any other place may be a relative's, and that of a place an address: they make no row.
"""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING, Final

from transforms.fhir_r4 import r4
from transforms.sql_on_fhir.values import Type
from transforms.tables.references import NAMED
from transforms.tables.table import all_tables, other_tables
from transforms.tables.text import literal, quoted, words

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from transforms.tables.declaration import ViewColumn

KINDS: Final = {
    "practitioners": ("Practitioner", "PractitionerRole"),
    "organizations": ("Organization",),
    "locations": ("Location",),
}
"""Table → the types that its rows are."""
NPI: Final = ("http://hl7.org/fhir/sid/us-npi", "urn:oid:2.16.840.1.113883.4.6")
FOUND_AS: Final = ("record", "contained", "reference", "name")
"""How a row is known, the best first."""
_CONCEPT = {"text": "VARCHAR", "coding": [{"code": "VARCHAR", "display": "VARCHAR"}]}
_REFERENCE = {"reference": "VARCHAR", "display": "VARCHAR"}
_SPEC: Final = {
    "identifier": [{"system": "VARCHAR", "value": "VARCHAR"}],
    "specialty": [_CONCEPT],
    "qualification": [{"code": _CONCEPT}],
    "type": "JSON",
    "organization": _REFERENCE,
    "partOf": _REFERENCE,
    "managingOrganization": _REFERENCE,
}
DETAILS: Final[dict[str, tuple[tuple[str, str, str], ...]]] = {
    "practitioners": (
        ("npi", "VARCHAR", "The National Provider Identifier."),
        ("specialty_code", "VARCHAR", "The code of the specialty, or of the qualification."),
        ("specialty", "VARCHAR", "The specialty, or the qualification, in words."),
        ("organization_key", "VARCHAR", "The organization of a role."),
    ),
    "organizations": (
        ("npi", "VARCHAR", "The National Provider Identifier."),
        ("type_code", "VARCHAR", "The code of its kind."),
        ("type", "VARCHAR", "Its kind, in words. Free text."),
        ("organization_key", "VARCHAR", "The organization that it is a part of."),
    ),
    "locations": (
        ("npi", "VARCHAR", "The National Provider Identifier."),
        ("type_code", "VARCHAR", "The code of its kind."),
        ("type", "VARCHAR", "Its kind, in words. Free text."),
        ("organization_key", "VARCHAR", "The organization that runs it."),
    ),
}
"""Table → its own columns: name, type, what it is. All are taken from a record of one's own alone."""


def professionals_sql(table: str, rows: Mapping[str, str]) -> str:
    """The SELECT of a table of `KINDS` over what `prepare` made and the rows of the tables.

    Args:
        table: which.
        rows: the relation in which each table's rows stand, by table.
    """
    kinds = ", ".join(map(literal, KINDS[table]))
    mentioned = "\nUNION ALL ".join(_mentions(KINDS[table], rows)) or _NO_MENTIONS
    best = ", ".join(map(literal, FOUND_AS))
    own = ", ".join(quoted(name) for name, *_ in DETAILS[table])
    return f"""WITH whose AS (SELECT DISTINCT link_id, person_key FROM staged),
known AS (
  SELECT person_key, link_id, key AS resource_key, kind AS resource_type, display AS name,
    CASE WHEN contains(key, '#') THEN 'contained' ELSE 'record' END AS found_as
  FROM {NAMED} JOIN whose USING (link_id) WHERE kind IN ({kinds})
  UNION ALL BY NAME
  SELECT DISTINCT person_key, link_id, resource_key, resource_type, name,
    CASE WHEN resource_key IS NULL THEN 'name' ELSE 'reference' END AS found_as
  FROM (\n{mentioned}\n) WHERE name IS NOT NULL
), told AS (
{_details(table)}
)
SELECT person_key, known.link_id, known.resource_key, resource_type, name, {own}, found_as
FROM known LEFT JOIN told ON told.resource_key = known.resource_key
QUALIFY row_number() OVER (
  PARTITION BY known.link_id, coalesce(known.resource_key, resource_type || '/' || name)
  ORDER BY list_position([{best}], found_as), name
) = 1
ORDER BY ALL"""


_NO_MENTIONS = (
    "SELECT NULL::VARCHAR AS person_key, NULL::VARCHAR AS link_id, NULL::VARCHAR AS resource_key,"
    " NULL::VARCHAR AS resource_type, NULL::VARCHAR AS name WHERE false"
)


def _details(table: str) -> str:
    spec = literal(json.dumps(_SPEC))
    kinds = ", ".join(map(literal, KINDS[table]))
    concept = "coalesce(r.specialty[1], r.qualification[1].code)" if table == "practitioners" else "kind"
    name, code = ("specialty", "specialty_code") if table == "practitioners" else ("type", "type_code")
    owner = {"practitioners": "organization", "organizations": "partOf", "locations": "managingOrganization"}[table]
    systems = ", ".join(map(literal, NPI))
    one = literal(json.dumps(_CONCEPT))
    return f"""  SELECT link_id || '/' || resource_type || '/' || resource_id AS resource_key,
    nullif(list_filter(r.identifier, lambda i: i.system IN ({systems}))[1].value, '') AS npi,
    nullif({concept}.coding[1].code, '') AS {code},
    coalesce({words(f"{concept}.text")}, {words(f"{concept}.coding[1].display")}) AS {name},
    link_id || '/' || nullif(regexp_extract(r.{owner}.reference, '(?:^|/)(Organization/[^/?#]+)$', 1), '')
      AS organization_key
  FROM (
    SELECT *, from_json(CASE json_type(r.type) WHEN 'ARRAY' THEN r.type -> 0 ELSE r.type END, {one}) AS kind
    FROM (
      SELECT link_id, resource_type, resource_id, unnest([TRY(from_json(resource, {spec}))]) AS r
      FROM staged WHERE resource_type IN ({kinds})
    )
  )"""


def _mentions(kinds: tuple[str, ...], rows: Mapping[str, str]) -> Iterator[str]:
    """A SELECT for each column of a table that may name one of these."""
    listed = ", ".join(map(literal, kinds))
    for table, element, permitted in _references():
        may_be = permitted & set(kinds) if permitted else set(kinds)
        if table not in rows or not may_be:
            continue
        key, display = quoted(f"{element}_key"), quoted(f"{element}_display")
        pointed = f"split_part({key}, '/', 2) IN ({listed}) AND NOT contains({key}, '#')"
        kind, there = f"split_part({key}, '/', 2)", pointed
        if permitted and permitted <= set(kinds) and "Location" not in kinds:
            kind = f"CASE WHEN {key} IS NULL THEN {literal(kinds[0])} ELSE {kind} END"
            there = f"({key} IS NULL OR ({pointed}))"
        yield (
            f"SELECT DISTINCT person_key, link_id, {key} AS resource_key, {kind} AS resource_type, {display} AS name"
            f" FROM {rows[table]} WHERE {display} IS NOT NULL AND {there}"
        )


@cache
def _references() -> tuple[tuple[str, str, frozenset[str]], ...]:
    """The columns that show a reference: the table, what the columns begin with, the types it may point at."""
    found = []
    for table in (*all_tables(), *other_tables()):
        names = {column.name for column in table.columns}
        for declared in table.declaration.columns:
            if not {f"{declared.name}_key", f"{declared.name}_display"} <= names:
                continue
            targets = [
                _targets(table.declaration.each.get(resource, ""), resource, column)
                for resource, several in declared.alternatives.items()
                for alternative in several
                for column in alternative
                if column.type == "Reference"
            ]
            known = frozenset[str]().union(*targets) if all(targets) else frozenset[str]()
            found.append((table.name, declared.name, known))
    return tuple(found)


def _targets(within: str, resource: str, column: ViewColumn) -> frozenset[str]:
    """The types that R4 permits an element to point at; none where that is not said."""
    owner, base, found = resource, within, None
    for step in column.path.replace(".first()", "").split("."):
        found = r4().children(owner, base).get(step)
        if found is None:
            return frozenset()
        inner = Type.at(found)
        owner, base = inner.owner, inner.path
    return frozenset(found.targets) if found else frozenset()
