"""Views, and the fastest SQL for the same rows that we can write by hand.

The hand-written SQL reads only the fields of the view, typed, and trusts the file: it looks neither for what does not
fit nor for references of other forms, and keeps nine digits after the point, which is all that the made-up people need.
"""

from __future__ import annotations

from typing import Any

VITAL = "category.coding.where(code = 'vital-signs').exists()"


def columns(**wanted: tuple[str, str]) -> list[dict[str, str]]:
    """Columns of a view: name → (path, type)."""
    return [{"name": name, "path": path, "type": kind} for name, (path, kind) in wanted.items()]


def view(resource: str, *select: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A ViewDefinition."""
    return {"resourceType": "ViewDefinition", "resource": resource, "status": "active", "select": [*select], **more}


OBSERVATION = columns(
    id=("getResourceKey()", "string"),
    status=("status", "code"),
    code=("code.coding.first().code", "code"),
    patient=("subject.getReferenceKey(Patient)", "string"),
    effective=("effective.ofType(dateTime)", "dateTime"),
    value=("value.ofType(Quantity).value", "decimal"),
    unit=("value.ofType(Quantity).unit", "string"),
)

VIEWS = {
    "Observation": view("Observation", {"column": OBSERVATION}),
    "Encounter": view(
        "Encounter",
        {
            "column": columns(
                id=("getResourceKey()", "string"),
                status=("status", "code"),
                class_code=("class.code", "code"),
                type_code=("type.first().coding.first().code", "code"),
                patient=("subject.getReferenceKey(Patient)", "string"),
                started=("period.start", "dateTime"),
                ended=("period.end", "dateTime"),
            )
        },
    ),
    "MedicationRequest": view(
        "MedicationRequest",
        {
            "column": columns(
                id=("getResourceKey()", "string"),
                status=("status", "code"),
                intent=("intent", "code"),
                code=("medication.ofType(CodeableConcept).coding.first().code", "code"),
                patient=("subject.getReferenceKey(Patient)", "string"),
                authored=("authoredOn", "dateTime"),
                dosage=("dosageInstruction.first().text", "string"),
            )
        },
    ),
    "Condition": view(
        "Condition",
        {
            "column": columns(
                id=("getResourceKey()", "string"),
                clinical=("clinicalStatus.coding.first().code", "code"),
                verification=("verificationStatus.coding.code.first()", "code"),
                code=("code.coding.where(system = 'http://snomed.info/sct').code.first()", "code"),
                text=("code.text", "string"),
                patient=("subject.getReferenceKey(Patient)", "string"),
                recorded=("recordedDate", "dateTime"),
            )
        },
    ),
    "Immunization": view(
        "Immunization",
        {
            "column": columns(
                id=("getResourceKey()", "string"),
                status=("status", "code"),
                code=("vaccineCode.coding.first().code", "code"),
                text=("vaccineCode.text", "string"),
                patient=("patient.getReferenceKey(Patient)", "string"),
                occurred=("occurrence.ofType(dateTime)", "dateTime"),
                lot=("lotNumber", "string"),
            )
        },
    ),
    "Procedure": view(
        "Procedure",
        {
            "column": columns(
                id=("getResourceKey()", "string"),
                status=("status", "code"),
                code=("code.coding.first().code", "code"),
                display=("code.coding.first().display", "string"),
                patient=("subject.getReferenceKey(Patient)", "string"),
                started=("performed.ofType(Period).start", "dateTime"),
                ended=("performed.ofType(Period).end", "dateTime"),
            )
        },
    ),
    "Observation, a row a component": view(
        "Observation",
        {"column": OBSERVATION[:2] + OBSERVATION[3:5]},
        {"forEach": "component", "column": [OBSERVATION[2], *OBSERVATION[5:]]},
    ),
    "Observation, vital signs": view("Observation", {"column": OBSERVATION}, where=[{"path": VITAL}]),
    "Patient, a row a name": view(
        "Patient",
        {
            "column": columns(
                id=("getResourceKey()", "string"), gender=("gender", "code"), birth_date=("birthDate", "date")
            )
        },
        {
            "forEach": "name",
            "column": columns(
                use=("use", "code"),
                family=("family", "string"),
                given=("given.join(' ')", "string"),
                first_given=("given.first()", "string"),
            ),
        },
    ),
}

HEADLINE = ("Observation", "Encounter")
"""The two that all contenders run."""

_PATIENT = "CASE WHEN starts_with({0}.reference, 'Patient/') THEN {0}.reference END AS patient"
_SUBJECT = _PATIENT.format("subject")
_CODED = "STRUCT(coding STRUCT(code VARCHAR)[])"


def by_hand(resource: str, select: str, fields: str, *, also: str = "", unnested: str = "") -> str:
    """SELECT over a typed read_ndjson; `{file}` is to be filled in."""
    reader = (
        f"read_ndjson('{{file}}', columns = {{{{resourceType: 'VARCHAR', id: 'VARCHAR', {fields}}}}}) "
        f"WHERE resourceType = '{resource}'{also}"
    )
    origin = f"(SELECT *, unnest({unnested}) AS item FROM {reader})" if unnested else reader
    return f"SELECT '{resource}/' || id AS id, {select} FROM {origin}"


_OBSERVATION = (
    f"status, code.coding[1].code AS code, {_SUBJECT}, effectiveDateTime AS effective, "
    "CAST(valueQuantity.value AS DECIMAL(38, 18)) AS value, valueQuantity.unit AS unit"
)
_OBSERVATION_FIELDS = (
    f"status: 'VARCHAR', code: '{_CODED}', subject: 'STRUCT(reference VARCHAR)', effectiveDateTime: 'VARCHAR', "
    "valueQuantity: 'STRUCT(\"value\" DECIMAL(18, 9), unit VARCHAR)'"
)
HAND_WRITTEN = {
    "Observation": by_hand("Observation", _OBSERVATION, _OBSERVATION_FIELDS),
    "Encounter": by_hand(
        "Encounter",
        f'status, "class".code AS class_code, "type"[1].coding[1].code AS type_code, {_SUBJECT}, '
        'period.start AS started, period."end" AS ended',
        f"status: 'VARCHAR', \"class\": 'STRUCT(code VARCHAR)', \"type\": '{_CODED}[]', "
        "subject: 'STRUCT(reference VARCHAR)', period: 'STRUCT(\"start\" VARCHAR, \"end\" VARCHAR)'",
    ),
    "MedicationRequest": by_hand(
        "MedicationRequest",
        f"status, intent, medicationCodeableConcept.coding[1].code AS code, {_SUBJECT}, authoredOn AS authored, "
        "dosageInstruction[1].text AS dosage",
        f"status: 'VARCHAR', intent: 'VARCHAR', medicationCodeableConcept: '{_CODED}', "
        "subject: 'STRUCT(reference VARCHAR)', authoredOn: 'VARCHAR', dosageInstruction: 'STRUCT(text VARCHAR)[]'",
    ),
    "Condition": by_hand(
        "Condition",
        "clinicalStatus.coding[1].code AS clinical, verificationStatus.coding[1].code AS verification, "
        "list_filter(code.coding, lambda c: c.system = 'http://snomed.info/sct')[1].code AS code, code.text AS text, "
        f"{_SUBJECT}, recordedDate AS recorded",
        f"clinicalStatus: '{_CODED}', verificationStatus: '{_CODED}', "
        "code: 'STRUCT(coding STRUCT(system VARCHAR, code VARCHAR)[], text VARCHAR)', "
        "subject: 'STRUCT(reference VARCHAR)', recordedDate: 'VARCHAR'",
    ),
    "Immunization": by_hand(
        "Immunization",
        f"status, vaccineCode.coding[1].code AS code, vaccineCode.text AS text, {_PATIENT.format('patient')}, "
        "occurrenceDateTime AS occurred, lotNumber AS lot",
        "status: 'VARCHAR', vaccineCode: 'STRUCT(coding STRUCT(code VARCHAR)[], text VARCHAR)', "
        "patient: 'STRUCT(reference VARCHAR)', occurrenceDateTime: 'VARCHAR', lotNumber: 'VARCHAR'",
    ),
    "Procedure": by_hand(
        "Procedure",
        f"status, code.coding[1].code AS code, code.coding[1].display AS display, {_SUBJECT}, "
        'performedPeriod.start AS started, performedPeriod."end" AS ended',
        "status: 'VARCHAR', code: 'STRUCT(coding STRUCT(code VARCHAR, display VARCHAR)[])', "
        "subject: 'STRUCT(reference VARCHAR)', performedPeriod: 'STRUCT(start VARCHAR, \"end\" VARCHAR)'",
    ),
    "Observation, a row a component": by_hand(
        "Observation",
        f"status, {_SUBJECT}, effectiveDateTime AS effective, item.code.coding[1].code AS code, "
        "CAST(item.valueQuantity.value AS DECIMAL(38, 18)) AS value, item.valueQuantity.unit AS unit",
        "status: 'VARCHAR', subject: 'STRUCT(reference VARCHAR)', effectiveDateTime: 'VARCHAR', "
        f"component: 'STRUCT(code {_CODED}, valueQuantity STRUCT(\"value\" DECIMAL(18, 9), unit VARCHAR))[]'",
        unnested="component",
    ),
    "Observation, vital signs": by_hand(
        "Observation",
        _OBSERVATION,
        f"category: '{_CODED}[]', {_OBSERVATION_FIELDS}",
        also=" AND len(list_filter(flatten(list_transform(category, lambda c: c.coding)), "
        "lambda c: c.code = 'vital-signs')) > 0",
    ),
    "Patient, a row a name": by_hand(
        "Patient",
        "gender, birthDate AS birth_date, item.use AS use, item.family AS family, "
        "coalesce(array_to_string(item.given, ' '), '') AS given, item.given[1] AS first_given",
        "gender: 'VARCHAR', birthDate: 'VARCHAR', name: 'STRUCT(\"use\" VARCHAR, family VARCHAR, given VARCHAR[])[]'",
        unnested="name",
    ),
}
JSON_PATHS = {
    "Observation": """
        SELECT 'Observation/' || (json ->> '$.id') AS id, json ->> '$.status' AS status,
               json ->> '$.code.coding[0].code' AS code,
               CASE WHEN starts_with(json ->> '$.subject.reference', 'Patient/')
                    THEN json ->> '$.subject.reference' END AS patient,
               json ->> '$.effectiveDateTime' AS effective,
               CAST(TRY_CAST(json ->> '$.valueQuantity.value' AS DECIMAL(18, 9)) AS DECIMAL(38, 18)) AS value,
               json ->> '$.valueQuantity.unit' AS unit
        FROM read_ndjson_objects('{file}') WHERE (json ->> '$.resourceType') = 'Observation'""",
    "Encounter": """
        SELECT 'Encounter/' || (json ->> '$.id') AS id, json ->> '$.status' AS status,
               json ->> '$.class.code' AS class_code, json ->> '$.type[0].coding[0].code' AS type_code,
               CASE WHEN starts_with(json ->> '$.subject.reference', 'Patient/')
                    THEN json ->> '$.subject.reference' END AS patient,
               json ->> '$.period.start' AS started, json ->> '$.period.end' AS ended
        FROM read_ndjson_objects('{file}') WHERE (json ->> '$.resourceType') = 'Encounter'""",
}
