"""What belongs to no category: counted by type and by what it is about, with the table beside the ten that shows it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from transforms.classification import rules
from transforms.tables.inner import SURVEYS
from transforms.tables.references import CLASSIFIED, beside_by_rule
from transforms.tables.table import other_tables
from transforms.tables.text import literal, words

if TYPE_CHECKING:
    from collections.abc import Iterator

ABOUT: Final = {
    "AdverseEvent": "event",
    "Appointment": "serviceType",
    "CarePlan": "category",
    "CareTeam": "category",
    "Claim": "type",
    "ClinicalImpression": "code",
    "Communication": "category",
    "Consent": "category",
    "Coverage": "type",
    "Device": "type",
    "DeviceRequest": "codeCodeableConcept",
    "DiagnosticReport": "code",
    "DocumentReference": "type",
    "EpisodeOfCare": "type",
    "ExplanationOfBenefit": "type",
    "FamilyMemberHistory": "relationship",
    "Flag": "code",
    "Goal": "category",
    "ImagingStudy": "procedureCode",
    "Media": "type",
    "Observation": "code",
    "RiskAssessment": "code",
    "ServiceRequest": "code",
    "Specimen": "type",
    "Task": "code",
}
"""Type → the element, a concept or several, that says what a resource is about."""
_CONCEPT: Final = [{"text": "VARCHAR", "coding": [{"system": "VARCHAR", "code": "VARCHAR", "display": "VARCHAR"}]}]


def about_sql(resource_type: str, resource: str) -> str:
    """An SQL expression: the JSON of what a resource is about; NULL where no element says that.

    Args:
        resource_type: an SQL expression, its type.
        resource: one for its JSON text.
    """
    by_element: dict[str, list[str]] = {}
    for kind, element in ABOUT.items():
        by_element.setdefault(element, []).append(kind)
    cases = (
        f"WHEN {resource_type} IN ({', '.join(map(literal, kinds))})"
        f" THEN TRY(json_extract({resource}, {literal(f'$.{element}')}))"
        for element, kinds in by_element.items()
    )
    return f"CASE {' '.join(cases)} END"


def additional_sql() -> str:
    """The SELECT of the helper over what is staged, what is not (`others`) and what `prepare` made."""
    reasons = " ".join(_reasons())
    keys = "person_key, link_id, resource_type, resource_id, stored_at"
    shown = " ".join(f"WHEN rule = {literal(rule)} THEN {literal(name)}" for rule, name in beside_by_rule().items())
    shown += " " + " ".join(f"WHEN resource_type = {literal(kind)} THEN {literal(name)}" for kind, name in _shown())
    spec = literal(json.dumps(_CONCEPT))
    return f"""SELECT person_key, link_id, resource_type, rule, CASE rule {reasons} END AS reason,
  CASE {shown} END AS shown_in,
  nullif(c.coding[1].code, '') AS code, nullif(c.coding[1].system, '') AS code_system,
  coalesce({words("c.coding[1].display")}, {words("c.text")}) AS about,
  count(*) AS resources, max(stored_at) AS last_seen
FROM (
  SELECT * EXCLUDE (said), from_json(
      CASE json_type(said) WHEN 'ARRAY' THEN said WHEN 'OBJECT' THEN json_array(said) END, {spec}
    )[1] AS c
  FROM (
    SELECT {keys}, {about_sql("resource_type", "resource")} AS said FROM staged
    UNION ALL SELECT {keys}, about AS said FROM others
  )
)
JOIN {CLASSIFIED} USING (link_id, resource_type, resource_id) WHERE category IS NULL
GROUP BY ALL ORDER BY ALL"""


def _reasons() -> Iterator[str]:
    for each in rules().values():
        if each.category is None:
            yield f"WHEN {literal(each.id)} THEN {literal(each.reason)}"


def _shown() -> Iterator[tuple[str, str]]:
    """The types of which every resource is a row of a table beside the ten."""
    for table in other_tables():
        if table.parent is None and not table.of_observations:
            yield from ((kind, table.name) for kind in table.resource_types)
    yield "QuestionnaireResponse", SURVEYS
