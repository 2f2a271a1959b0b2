"""The rows of a category as people read them: when, what, the result, from whom, and the rest under "More"."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from charthouse.privacy.export.render import day, shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from charthouse.privacy.export.sheets import Sheet

SAID: Final = {
    "allergies": ("reactions", "criticality", "status", "verification_status_code"),
    "conditions": ("status", "severity_display", "body_site_display", "verification_status_code"),
    "medications": ("dosage_text", "status", "reason_display"),
    "procedures": ("status", "outcome_display", "body_site_display"),
    "vaccines": ("status", "site_display", "lot_number"),
    "visits": ("class_display", "reason_display", "status"),
}
NAMES: Final = ("text", "display", "medication_display", "code", "class_display", "service_type_display")
_HIDDEN: Final = frozenset(
    {
        *("row_key", "person_key", "link_id", "provider", "route", "mapping_version", "remarks", "codings", "absent"),
        *("has_value", "has_members", "has_components", "component_number", "value_type", "record_type"),
    }
)
_ENDINGS: Final = ("_precision", "_text", "_day", "_offset", "_system", "_codings", "_unit_code")
_WORDS: Final = {
    "loinc": "LOINC",
    "snomed": "SNOMED",
    "rxnorm": "RxNorm",
    "icd10": "ICD-10",
    "cvx": "CVX",
    "ndc": "NDC",
}
_WORDS_MORE: Final = {"cpt": "CPT", "icd10pcs": "ICD-10-PCS", "ucum": "UCUM"}


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a page. `file` is a path of ours to an attachment."""

    number: int
    when: str
    what: str
    value: str
    flag: str
    more: Sequence[tuple[str, str]]
    source: str
    day: str = ""
    file: str = ""
    file_name: str = ""


def rows_of(sheet: Sheet, name: str, sources: Mapping[str, str]) -> Iterator[Row]:
    """The rows of a category, newest first; those without a date at the end. `sources` names providers by link."""
    labels = {column: label(column) for column in sheet.columns}
    for number, values in enumerate(sheet.shown(), 1):
        yield _row(number, name, values, sheet.dates, labels, sources)


def label(column: str) -> str:
    """A column's name as words."""
    words = [_WORDS.get(word, word) for word in column.removesuffix("_key").split("_")]
    text = " ".join(words)
    return text[:1].upper() + text[1:]


def _row(
    number: int,
    name: str,
    values: dict[str, Any],
    dates: Sequence[str],
    labels: Mapping[str, str],
    sources: Mapping[str, str],
) -> Row:
    shown_at = next((column for column in dates if values.get(column) is not None), None)
    when = day(values[shown_at], values.get(f"{shown_at}_precision")) if shown_at else ""
    named = next((column for column in NAMES if values.get(column)), None)
    value, used = _told(name, values, named) if name in SAID else _measured(values)
    flag = str(values.get("interpretation_display") or values.get("interpretation_code") or "")
    hidden = _HIDDEN | {shown_at, named} | used
    more = [
        (labels[column], _cell(column, each, values))
        for column, each in values.items()
        if each is not None and each != "" and column not in hidden and not _is_beside(column, values)
    ]
    return Row(
        number,
        when,
        shown(values[named], 300) if named else "(no name)",
        shown(value),
        "" if flag.casefold() in ("", "n", "normal") else shown(flag, 80),
        more,
        sources.get(str(values["link_id"]), ""),
        day(values[shown_at], "year" if values.get(f"{shown_at}_precision") == "year" else "month") if shown_at else "",
    )


def _is_beside(column: str, values: Mapping[str, Any]) -> bool:
    """Whether a column stands beside another that is shown, and says no more to people."""
    if column == "text" or not column.endswith(_ENDINGS):
        return False
    return not column.endswith("_text") or values.get(column.removesuffix("_text")) is not None


def _words(value: Any) -> str:
    """A value as people read it; of a list of structs what each is called."""
    if isinstance(value, list):
        return "; ".join(filter(None, map(_words, value)))
    if not isinstance(value, dict):
        return "" if value is None else str(value)
    names = ("text", "display", "code", "key")
    found = (
        each for name in names for key, each in value.items() if each and (key == name or key.endswith(f"_{name}"))
    )
    return str(next(found, ""))


def _cell(column: str, value: Any, values: Mapping[str, Any]) -> str:
    if isinstance(value, datetime):
        return day(value, values.get(f"{column}_precision"))
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | dict):
        return shown(_words(value))
    if isinstance(value, float):
        return shown(values.get(f"{column}_text") or value)
    return shown(value)


def _measured(values: Mapping[str, Any]) -> tuple[str, set[str]]:
    """The result of an observation, with its unit and reference range."""
    unit = values.get("value_unit") or values.get("value_unit_code") or ""
    text = ""
    if values.get("value_text"):
        text = f"{values.get('value_comparator') or ''}{values['value_text']} {unit}"
    elif values.get("value_low_text") or values.get("value_high_text"):
        unit = values.get("value_low_unit") or values.get("value_high_unit") or ""
        text = f"{_bound(values, 'value_low')} to {_bound(values, 'value_high')} {unit}"
    elif values.get("value_numerator_text"):
        text = f"{_bound(values, 'value_numerator')} : {_bound(values, 'value_denominator')}"
    elif values.get("value_boolean") is not None:
        text = "yes" if values["value_boolean"] else "no"
    elif values.get("value_date") is not None:
        text = day(values["value_date"], values.get("value_date_precision"))
    elif values.get("systolic_text") or values.get("diastolic_text"):
        unit = values.get("systolic_unit") or values.get("diastolic_unit") or ""
        text = f"{_bound(values, 'systolic')}/{_bound(values, 'diastolic')} {unit}"
    else:
        words = ("value_display", "value_code", "data_absent_reason_display", "data_absent_reason_text")
        text = str(next((values[word] for word in (*words, "data_absent_reason_code") if values.get(word)), ""))
    used = {column for column in values if column.startswith(("value_", "systolic", "diastolic", "data_absent_reason"))}
    used |= {"value", "reference_ranges", "interpretation_code", "interpretation_display", "interpretations"}
    ranges = values.get("reference_ranges") or []
    low, high, said = (ranges[0].get(name) for name in ("low_text", "high_text", "text")) if ranges else (None,) * 3
    if low or high:
        text += f" (reference {low or ''}–{high or ''})"
    elif said:
        text += f" (reference {said})"
    return text.strip(), used


def _bound(values: Mapping[str, Any], name: str) -> str:
    return f"{values.get(f'{name}_comparator') or ''}{values.get(f'{name}_text') or ''}"


def _told(name: str, values: Mapping[str, Any], named: str | None) -> tuple[str, set[str]]:
    used = [column for column in SAID[name] if values.get(column) and column != named]
    return " · ".join(dict.fromkeys(_words(values[column]) for column in used)), set(used)
