"""What references point at, resolved for all tables in one place.

`prepare(source)` are statements that make of a relation of resources what the tables' queries read:

- `named`: what can be pointed at, by key: what it is called, the concept of a Medication, the start of an Encounter.
- `references_of`: for each resource, the references in it that name one of those.
- `classified`: the category of each resource, and the rule that says so (`transforms.classification`).
- `resources`: the resources with their references.
- `observed`: the Observations that belong to a category, or a table beside those, with it; also those that stand inside
  other resources (`transforms.tables.inner`), where these were staged.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from transforms.classification import classified_sql, rules
from transforms.sql_on_fhir.parts import parts_of, struct_type
from transforms.sql_on_fhir.values import Type
from transforms.tables.datatypes import typed_reference
from transforms.tables.declaration import read_declarations
from transforms.tables.inner import INNER, create_sql
from transforms.tables.text import literal, words

if TYPE_CHECKING:
    from transforms.sql_on_fhir.parts import Part

NAMED = "named"
RESOURCES = "resources"
OBSERVED = "observed"
CATEGORY = "mapped_category"
"""The column of `observed` that names the category."""
SHOWN_AS = "shown_as"
CLASSIFIED = "classified"
"""Every resource's category and the rule that says so."""
_REFS = "references_of"
_TARGETS = "named_targets"

NO_LINKS = "(SELECT NULL::VARCHAR AS link_id, NULL::VARCHAR AS provider, NULL::VARCHAR AS route)"
NO_KEYS = "(SELECT NULL::VARCHAR AS link_id, NULL::VARCHAR AS resource_type, NULL::VARCHAR AS resource_id WHERE false)"
CARRIED = (
    "person_key",
    "link_id",
    "resource_type",
    "resource_id",
    "last_updated",
    "link_provider",
    "link_route",
    "refs",
    "is_mended",
)
"""What the tables' queries take along from `resources`, beside the text of the resource."""

NAMED_TYPES = (
    "CareTeam", "Condition", "Device", "Encounter", "HealthcareService", "Location", "Medication", "Organization",
    "Practitioner", "PractitionerRole", "Procedure", "RelatedPerson", "Specimen", "Substance",
)  # fmt: skip
"""The types whose names, codes or times other rows show."""
_PEOPLE = ("Patient", "RelatedPerson")
"""The person and their relatives, who are pointed at and never named."""

_CONCEPT = Type.of("CodeableConcept")
CONCEPT_TYPE = struct_type(parts_of(_CONCEPT))


def prepare(source: str, *, links: str = NO_LINKS, mended: str = NO_KEYS, others: str = NO_KEYS) -> tuple[str, ...]:
    """The statements, to be run in their order.

    Args:
        source: a table with `person_key, link_id, resource_type, resource_id, last_updated, resource`, all VARCHAR.
        links: a relation with `link_id, provider, route`, all VARCHAR.
        mended: a relation with `link_id, resource_type, resource_id` of what is not in the shape that was sent.
        others: a relation with `link_id, resource_type, resource_id` of what no table reads, and `additional` counts.
    """
    return (
        create_sql(),
        f"CREATE OR REPLACE TABLE {_TARGETS} AS\n{_targets(source)}",
        f"CREATE OR REPLACE TABLE {NAMED} AS\n{_named()}",
        f"CREATE OR REPLACE TABLE {_REFS} AS\n{_references(source, others)}",
        f"CREATE OR REPLACE TABLE {CLASSIFIED} AS\n{_classified(source, links, others)}",
        f"CREATE OR REPLACE VIEW {RESOURCES} AS\n"
        "SELECT source.*, source.rowid AS nth, origin.provider AS link_provider, origin.route AS link_route,"
        " found.refs AS refs, mended.resource_id IS NOT NULL AS is_mended\n"
        f"FROM {source} AS source LEFT JOIN {_REFS} AS found ON found.nth = source.rowid\n"
        f"LEFT JOIN {mended} AS mended USING (link_id, resource_type, resource_id)\n"
        f"LEFT JOIN {links} AS origin ON origin.link_id = source.link_id",
        f"CREATE OR REPLACE VIEW {OBSERVED} AS\n{_observed()}",
    )


def _observed() -> str:
    """The Observations with their tables, `SHOWN_AS` what they are wherever they stand."""
    return (
        f"SELECT {RESOURCES}.*, 'Observation' AS {SHOWN_AS}, {_table_of()} AS {CATEGORY} FROM {RESOURCES}\n"
        f"JOIN {CLASSIFIED} USING (link_id, resource_type, resource_id)\n"
        f"WHERE resource_type = 'Observation' AND {_table_of()} IS NOT NULL\n"
        f"UNION ALL BY NAME\n"
        f"SELECT held.* REPLACE (inside.resource_id AS resource_id, inside.resource AS resource),"
        f" 'Observation' AS {SHOWN_AS}, inside.category AS {CATEGORY}\n"
        f"FROM {INNER} AS inside JOIN {RESOURCES} AS held ON held.nth = inside.nth"
    )


def _table_of() -> str:
    """The table of an Observation by the rule that decided: a category, or what takes its kind beside those."""
    cases = " ".join(f"WHEN {literal(rule)} THEN {literal(name)}" for rule, name in beside_by_rule().items())
    return f"coalesce(category, CASE rule {cases} END)"


def beside_by_rule() -> dict[str, str]:
    """The rules whose Observations belong to no category, and are rows of a table beside those."""
    beside = {
        f"{source}/{kind}": declaration.name
        for declaration in read_declarations().values()
        for kind in declaration.kinds
        for source in ("category", "loinc-class")
    }
    return {rule: name for rule, name in sorted(beside.items()) if rule in rules()}


def _classified(source: str, links: str, others: str) -> str:
    """The category and rule of each resource. Of most types none is read for it: they are told by the type."""
    told = f"CASE resource_type WHEN 'Observation' THEN resource END AS resource FROM {source}"
    kept = f"NULL::VARCHAR AS resource FROM {others}"
    keys = "link_id, resource_type, resource_id"
    routed = (
        f"(SELECT held.*, origin.route AS route FROM (SELECT {keys}, {told} UNION ALL SELECT {keys}, {kept}) AS held"
        f" LEFT JOIN {links} AS origin ON origin.link_id = held.link_id)"
    )
    return classified_sql(routed, ("link_id", "resource_id"))


def _spec(parts: tuple[Part, ...]) -> dict[str, object]:
    made: dict[str, object] = {}
    for part in parts:
        inner: object = _spec(part.parts) if part.parts else "VARCHAR"
        made[part.name] = [inner] if part.many else inner
    return made


def _targets(source: str) -> str:
    """Everything that may be pointed at and has a name, a concept or a start; contained resources too."""
    concept = _spec(parts_of(_CONCEPT))
    reference = {"reference": "VARCHAR", "display": "VARCHAR"}
    spec = literal(
        json.dumps(
            {
                "name": "JSON",
                "code": concept,
                "type": "JSON",
                "period": {"start": "VARCHAR"},
                "deviceName": [{"name": "VARCHAR"}],
                "practitioner": reference,
                "organization": reference,
                "ingredient": [{"itemCodeableConcept": concept, "itemReference": reference}],
                "identifier": [{"system": "VARCHAR", "value": "VARCHAR"}],
            }
        )
    )
    types = ", ".join(map(literal, NAMED_TYPES))
    held = ", ".join(map(literal, sorted({*NAMED_TYPES, *_PEOPLE, "Observation"})))
    contained = (
        f"SELECT link_id, resource_key || '#' || ltrim(json_extract_string(held, '$.id'), '#') AS key,"
        f" resource_key, json_extract_string(held, '$.resourceType') AS kind, held::VARCHAR AS resource FROM (\n"
        f"  SELECT link_id, {_key('')} AS resource_key,"
        ' unnest(from_json(resource, \'{"contained":["JSON"]}\').contained)'
        f" AS held FROM {source} WHERE contains(resource, '\"contained\"')"
        f" AND resource_type NOT IN ({', '.join(map(literal, _PEOPLE))})\n)"
    )
    found = (
        f"SELECT link_id, {_key('')} AS key, {_key('')} AS resource_key, resource_type AS kind, resource FROM {source}"
        f" WHERE resource_type IN ({types})\nUNION ALL\nSELECT * FROM ({contained}) WHERE kind IN ({held})"
    )
    parts = "nullif(concat_ws(' ', r.name ->> '$[0].given[0]', r.name ->> '$[0].family'), '')"
    human = f"coalesce(r.name ->> '$[0].text', {parts})"
    return (
        "SELECT link_id, key, resource_key, kind, r.period.start AS start, r.practitioner AS practitioner,\n"
        "  r.organization AS organization, r.ingredient AS ingredient, r.identifier AS identifiers,\n"
        f"  CASE WHEN kind IN ('Medication', 'Substance') THEN r.code END AS concept,\n"
        f"  CASE WHEN kind IN ({', '.join(map(literal, _PEOPLE))}) THEN NULL WHEN kind = 'Practitioner' THEN {human}\n"
        "    WHEN kind = 'Device' THEN r.deviceName[1].name\n"
        "    WHEN kind IN ('Medication', 'Substance', 'Condition', 'Procedure') THEN"
        f" coalesce({words('r.code.text')}, {words('r.code.coding[1].display')}, {words('r.code.coding[1].code')})\n"
        "    WHEN kind = 'Specimen' THEN coalesce(r.type ->> '$.text', r.type ->> '$.coding[0].display')\n"
        "    WHEN json_type(r.name) = 'VARCHAR' THEN r.name ->> '$' END AS display\n"
        "FROM (\nSELECT link_id, key, resource_key, kind,"
        f" unnest([TRY(from_json(resource, {spec}))]) AS r FROM (\n{found}\n)\n)"
    )


def _named() -> str:
    """The targets, with the names that some of them have by others only: of a role's person, of a drug's ingredients.

    A malformed record may contain the same id twice: one row a key, the same one every night. Only those are sorted.
    """
    item = "i.itemCodeableConcept"
    of_ingredient = (
        f"coalesce({words(f'{item}.text')}, {words(f'{item}.coding[1].display')}, {words(f'{item}.coding[1].code')})"
    )
    return f"""WITH twice AS MATERIALIZED (
  SELECT key FROM {_TARGETS} GROUP BY key HAVING count(*) > 1
), targets AS MATERIALIZED (
  SELECT * FROM {_TARGETS} ANTI JOIN twice USING (key)
  UNION ALL
  FROM (
    SELECT DISTINCT ON (key) * FROM {_TARGETS} SEMI JOIN twice USING (key)
    ORDER BY key, concept IS NULL, display, start, kind
  )
), parts AS (
  SELECT key, nth, coalesce({of_ingredient}, {words("i.itemReference.display")}) AS name,
    {item} AS concept, {_target("i.itemReference.reference", "t")} AS target
  FROM (
    SELECT key, link_id, resource_key, unnest(ingredient) AS i, unnest(range(len(ingredient))) AS nth FROM targets
  ) AS t
), ingredients AS (
  SELECT parts.key, string_agg(coalesce(parts.name, other.display), ' / ' ORDER BY nth) AS display,
    count(*) AS parts, flatten(list(coalesce(parts.concept.coding, other.concept.coding) ORDER BY nth)
      FILTER (coalesce(parts.concept.coding, other.concept.coding) IS NOT NULL)) AS codings
  FROM parts LEFT JOIN targets AS other ON other.key = parts.target GROUP BY parts.key
)
SELECT targets.key, targets.link_id, targets.kind, targets.start,
  coalesce(targets.display, {words("targets.practitioner.display")}, person.display,
    {words("targets.organization.display")}, organization.display, ingredients.display) AS display,
  CASE WHEN targets.kind IN ('Medication', 'Substance') THEN
    CASE WHEN targets.concept.text <> '' OR len(targets.concept.coding) > 0 THEN targets.concept
      ELSE {{'coding': ingredients.codings, 'text': NULL, 'extension': NULL}}::{CONCEPT_TYPE}
    END END AS concept,
  CASE WHEN targets.concept.text <> '' OR len(targets.concept.coding) > 0 THEN NULL ELSE ingredients.parts END AS parts
FROM targets
LEFT JOIN targets AS person ON person.key = {_target("targets.practitioner.reference", "targets")}
LEFT JOIN targets AS organization ON organization.key = {_target("targets.organization.reference", "targets")}
LEFT JOIN ingredients ON ingredients.key = targets.key"""


def _references(source: str, others: str) -> str:
    """For each resource, those of its references that name a target. Visits, and most people, are told without this."""
    useful = "NOT (contains(sent, 'Patient/') OR (contains(sent, 'Encounter/') AND NOT starts_with(sent, '#')))"
    people = ", ".join(map(literal, _PEOPLE))
    return f"""WITH candidates AS (
  SELECT rowid AS nth, person_key, link_id, {_key("")} AS resource_key,
    unnest(TRY(json_extract_string(resource, '$..reference'))) AS sent
  FROM {source}
), pointing AS (
  SELECT nth, person_key, link_id, resource_key, sent AS reference FROM candidates WHERE {useful}
), there AS (
  SELECT link_id, resource_type, resource_id FROM {source}
  UNION SELECT link_id, resource_type, resource_id FROM {others}
), identified AS (
  SELECT link_id, kind || '?identifier=' || coalesce(i.system, '') || '|' || i.value AS search, min(key) AS key
  FROM (SELECT link_id, kind, key, unnest(identifiers) AS i FROM {_TARGETS} WHERE NOT contains(key, '#'))
  WHERE i.value <> '' GROUP BY ALL HAVING count(DISTINCT key) = 1
), resolved AS (
  SELECT nth, reference, CASE WHEN kind = 'Patient' THEN NULL ELSE key END AS key, display,
    kind IN ({people}) AS is_person
  FROM pointing JOIN {NAMED} ON key = {_target("reference", "pointing")}
  UNION ALL
  SELECT nth, reference,
    CASE WHEN other.resource_type = 'Patient' THEN person_key
      ELSE other.link_id || '/' || other.resource_type || '/' || other.resource_id END AS key,
    {NAMED}.display, other.resource_type IN ({people}) AS is_person
  FROM pointing JOIN there AS other
    ON other.link_id = pointing.link_id AND other.resource_id = substr(reference, 10)
  LEFT JOIN {NAMED} ON {NAMED}.key = other.link_id || '/' || other.resource_type || '/' || other.resource_id
  WHERE starts_with(reference, 'urn:uuid:')
  UNION ALL
  SELECT nth, reference, identified.key, {NAMED}.display, {NAMED}.kind IN ({people}) AS is_person
  FROM pointing JOIN identified ON identified.link_id = pointing.link_id
    AND identified.search = regexp_extract(url_decode(reference), '[^/?]+[?]identifier=.*$')
  JOIN {NAMED} ON {NAMED}.key = identified.key
  WHERE contains(reference, '?identifier=')
)
SELECT nth, list_sort(list_distinct(list(
  {{'reference': reference, 'key': key, 'display': display, 'is_person': is_person}}))) AS refs
FROM resolved GROUP BY ALL"""


def _key(relation: str) -> str:
    under = f"{relation}." if relation else ""
    return f"{under}link_id || '/' || {under}resource_type || '/' || {under}resource_id"


def _target(reference: str, relation: str) -> str:
    """The key that a reference asks for, within the resource that holds it."""
    typed = typed_reference(reference)
    return (
        f"CASE WHEN starts_with({reference}, '#')"
        f" THEN split_part({relation}.resource_key, '#', 1) || '#' || ltrim({reference}, '#')"
        f" ELSE {relation}.link_id || '/' || {typed} END"
    )
