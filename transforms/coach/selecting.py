"""SQL that gives the rows of people as `transforms.coach.facts.Row`, one JSON text a row.

Names of tables and columns are those of `schemas/tables/`; where a table stands is for the caller to say.
"""

from __future__ import annotations

from typing import Final

OBSERVATIONS: Final = ("lab_results", "vitals", "pregnancy", "social_history")
TABLES: Final = ("allergies", "conditions", *OBSERVATIONS[:1], "medications", *OBSERVATIONS[2:3], "procedures",
                 *OBSERVATIONS[3:], "vaccines", "visits", *OBSERVATIONS[1:2])  # fmt: skip

_DETAILS: Final[dict[str, dict[str, str]]] = {
    "allergies": {
        "clinical_status": "status",
        "verification": "coalesce(verification_status_code, verification_status_text)",
        "criticality": "criticality",
        "type": "type",
        "reactions": "nullif(array_to_string(list_filter(list_transform(reactions, lambda each: coalesce("
        "each.manifestation_display, each.manifestation_text, each.description)), lambda each: each IS NOT NULL),"
        " '; '), '')",
    },
    "conditions": {
        "clinical_status": "status",
        "verification": "coalesce(verification_status_code, verification_status_text)",
        "category": "coalesce(category_display, category_text, category_code)",
        "severity": "coalesce(severity_display, severity_text)",
        "body_site": "coalesce(body_site_display, body_site_text)",
        "onset": "onset_text",
        "abatement": "abatement_text",
    },
    "medications": {
        "record_type": "record_type",
        "intent": "intent",
        "dosage": "dosage_text",
        "dose": "CASE WHEN dose_text IS NOT NULL THEN concat_ws(' ', dose_text, dose_unit) END",
        "reason": "coalesce(reason_display, reason_text, reason_record_display)",
        "prescriber": "requester_display",
        "category": "coalesce(category_display, category_text, category_code)",
        "status_reason": "coalesce(status_reason_display, status_reason_text)",
    },
    "procedures": {
        "reason": "coalesce(reason_display, reason_text, reason_record_display)",
        "body_site": "coalesce(body_site_display, body_site_text)",
        "outcome": "coalesce(outcome_display, outcome_text)",
        "performer": "performer_display",
        "location": "location_display",
    },
    "vaccines": {
        "lot_number": "lot_number",
        "site": "coalesce(site_display, site_text)",
        "dose": "CASE WHEN dose_text IS NOT NULL THEN concat_ws(' ', dose_text, dose_unit) END",
        "dose_number": "dose_number_text",
        "manufacturer": "manufacturer_display",
        "performer": "performer_display",
        "location": "location_display",
        "occurrence": "occurrence_text",
        "reported": "CASE WHEN primary_source = false THEN 'told by others than who gave it' END",
    },
    "visits": {
        "class": "coalesce(class_display, class_code)",
        "reason": "coalesce(reason_display, reason_text, reason_record_display)",
        "service": "coalesce(service_type_display, service_type_text)",
        "practitioner": "practitioner_display",
        "organization": "organization_display",
        "location": "location_display",
        "discharge": "coalesce(discharge_display, discharge_text)",
    },
}
_FLAGS: Final[dict[str, dict[str, str]]] = {
    "medications": {
        "do-not-perform": "coalesce(do_not_perform, false)",
        "reported": "coalesce(reported_boolean, false) OR reported_key IS NOT NULL",
    },
    "vaccines": {"subpotent": "coalesce(is_subpotent, false)"},
}


def rows_sql(table: str, of: str, steps: str, duplicates: str, people: str) -> str:
    """Rows of a table as `(person_key, row)`, `row` being JSON.

    Args:
        of, steps, duplicates: The table itself, `medication_dosages` and `duplicates`, as they are named to DuckDB.
        people: SQL of a list of person keys.
    """
    with_steps = table == "medications"
    columns = {**_common(table), **(_observation(table) if table in OBSERVATIONS else {}), **_kept(table)}
    if with_steps:
        columns["steps"] = "coalesce(s.steps, [])"
        columns["end"] = _moment("effective_end")
    joined = f"LEFT JOIN ({_steps(steps, people)}) AS s ON s.parent_key = t.row_key" if with_steps else ""
    struct = ", ".join(f"'{name}': {value}" for name, value in columns.items())
    return (
        f"SELECT t.person_key, to_json({{{struct}}})::VARCHAR AS row FROM {of} AS t\n"
        f"LEFT JOIN (SELECT row_key AS of_row, duplicate_group, rank FROM {duplicates}\n"
        f"    WHERE table_name = '{table}' AND person_key IN (SELECT unnest({people}))) AS d ON d.of_row = t.row_key\n"
        f"{joined}\nWHERE t.person_key IN (SELECT unnest({people}))"
    )


def _common(table: str) -> dict[str, str]:
    return {
        "table": f"'{table}'",
        **{name: f"t.{name}" for name in ("row_key", "resource_key", "link_id", "provider", "route")},
        "status": "status",
        "code": "code",
        "system": "code_system",
        "display": "display",
        "text": "text",
        "codings": "list_transform(coalesce(codings, []), lambda c: "
        "{'system': c.system, 'code': c.code, 'display': c.display})",
        "start": _moment("effective_start"),
        "start_precision": "effective_start_precision",
        "start_day": "effective_start_day",
        "start_offset": "effective_start_offset",
        "end": _moment("effective_end"),
        "end_precision": "effective_end_precision",
        "recorded": _moment("recorded_at"),
        "updated": _moment("last_updated"),
        "entered_in_error": "coalesce(is_entered_in_error, false)",
        "negated": "coalesce(is_negated, false)",
        "encounter_key": "encounter_key",
        "encounter_start": _moment("encounter_start"),
        "remarks": "coalesce(remarks, [])",
        "group": "d.duplicate_group",
        "rank": "coalesce(d.rank, 0)",
    }


def _kept(table: str) -> dict[str, str]:
    """What else a category knows: in words, and as flags."""
    kept = {}
    if table in _DETAILS:
        pairs = ", ".join(f"{{'k': '{name}', 'v': {value}}}" for name, value in _DETAILS[table].items())
        kept["details"] = f"map_from_entries(list_filter([{pairs}], lambda each: each.v IS NOT NULL AND each.v <> ''))"
    if table in _FLAGS:
        flags = ", ".join(f"CASE WHEN {value} THEN '{name}' END" for name, value in _FLAGS[table].items())
        kept["flags"] = f"list_filter([{flags}], lambda each: each IS NOT NULL)"
    if table not in ("visits",):
        kept["notes"] = (
            "list_filter(list_transform(coalesce(notes, []), lambda each: each.text), lambda each: each IS NOT NULL)"
        )
    return kept


def _observation(table: str) -> dict[str, str]:
    pressures = ("systolic", "diastolic") if table == "vitals" else ()
    return {
        "component": "coalesce(component_number, 0)",
        "panel": "CASE WHEN component_number > 0 THEN {'system': observation_system, 'code': observation_code,"
        " 'display': observation_display} END",
        "panel_text": "CASE WHEN component_number > 0 THEN observation_text END",
        "members": "list_filter(list_transform(coalesce(members, []), lambda each: each.key),"
        " lambda each: each IS NOT NULL)",
        "has_value": "has_value",
        "value_type": "value_type",
        "value": _amount("value", canonical=True),
        "low": _amount("value_low"),
        "high": _amount("value_high"),
        "numerator": _amount("value_numerator"),
        "denominator": _amount("value_denominator"),
        **{name: _amount(name, canonical=True) for name in pressures},
        "concept": "CASE WHEN value_code IS NOT NULL OR value_display IS NOT NULL THEN"
        " {'system': value_system, 'code': value_code, 'display': value_display} END",
        "boolean": "value_boolean",
        "positive": "is_positive",
        "date": _moment("value_date"),
        "date_precision": "value_date_precision",
        "period": f"CASE WHEN value_start IS NOT NULL OR value_end IS NOT NULL THEN [{_moment('value_start')},"
        f" {_moment('value_end')}] END",
        "absent": "coalesce(data_absent_reason_display, data_absent_reason_text, data_absent_reason_code)",
        "usual": "list_transform(coalesce(reference_ranges, []), lambda r: {"
        "'low': {'number': r.low, 'text': r.low_text, 'unit': r.low_unit, 'unit_code': r.low_unit_code},"
        " 'high': {'number': r.high, 'text': r.high_text, 'unit': r.high_unit, 'unit_code': r.high_unit_code},"
        " 'text': r.text, 'kind': coalesce(r.type_display, r.type_text, r.type_code),"
        " 'applies_to': coalesce(r.applies_to_display, r.applies_to_text, r.applies_to_code)})",
        "interpretations": "list_transform(coalesce(interpretations, []), lambda i: {'system': i.system,"
        " 'code': i.code, 'display': coalesce(i.display, i.text)})",
    }


def _amount(name: str, *, canonical: bool = False) -> str:
    # JSON knows no infinity and no NaN.
    more = f", 'canonical': {name}_canonical, 'canonical_unit': {name}_canonical_unit" if canonical else ""
    return (
        f"CASE WHEN {name} IS NOT NULL OR {name}_text IS NOT NULL THEN {{'number': CASE WHEN isfinite({name})"
        f" THEN {name} END, 'text': {name}_text, 'comparator': {name}_comparator, 'unit': {name}_unit,"
        f" 'unit_code': {name}_unit_code{more}}} END"
    )


def _moment(name: str) -> str:
    """A moment as text. The connection's time zone is UTC."""
    return f"strftime({name}, '%Y-%m-%dT%H:%M:%SZ')"


def _steps(table: str, people: str) -> str:
    duration = (
        "CASE WHEN timing_bounds_duration_comparator IS NULL AND timing_bounds_duration BETWEEN 0 AND 36500"
        " THEN timing_bounds_duration * CASE lower(coalesce(timing_bounds_duration_unit_code,"
        " timing_bounds_duration_unit)) WHEN 'h' THEN 1.0 / 24 WHEN 'd' THEN 1 WHEN 'day' THEN 1 WHEN 'days' THEN 1"
        " WHEN 'wk' THEN 7 WHEN 'mo' THEN 30.4375 WHEN 'a' THEN 365.25 END END"
    )
    return (
        f"SELECT parent_key, list({{'begins': {_moment('timing_bounds_start')}, 'ends': {_moment('timing_bounds_end')},"
        f" 'ends_precision': timing_bounds_end_precision, 'days': {duration}}}) AS steps\nFROM {table}"
        f" WHERE person_key IN (SELECT unnest({people})) GROUP BY parent_key"
    )
