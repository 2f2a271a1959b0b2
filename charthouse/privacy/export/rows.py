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
    "allergies": ("reaction_words", "reaction_displays", "criticality", "clinical_status", "verification_status"),
    "conditions": ("clinical_status", "severity_display", "body_site_display", "verification_status"),
    "medications": ("dosage_words", "status", "reason_display"),
    "procedures": ("status", "outcome_display", "body_site_display"),
    "vaccines": ("status", "site_display", "lot_number"),
    "visits": ("class_display", "reason_display", "status"),
}
NAMES: Final = ("code_text", "code_display", "medication_display", "code", "class_display", "service_type_display")
_HIDDEN: Final = frozenset(
    ("row_key", "person_key", "link_id", "codes", "code_systems", "has_value", "has_members", "component_number")
)
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
        if each is not None and each != "" and column not in hidden and not column.endswith(("_precision", "_text"))
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


def _cell(column: str, value: Any, values: Mapping[str, Any]) -> str:
    if isinstance(value, datetime):
        return day(value, values.get(f"{column}_precision"))
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return shown(values.get(f"{column}_text") or value)
    return shown(value)


def _measured(values: Mapping[str, Any]) -> tuple[str, set[str]]:
    """The result of an observation, with its unit and reference range."""
    unit = values.get("unit") or values.get("ucum_code") or ""
    text = ""
    if values.get("value_text"):
        text = f"{values.get('comparator') or ''}{values['value_text']} {unit}"
    elif values.get("value_low_text") or values.get("value_high_text"):
        text = f"{values.get('value_low_text') or ''} to {values.get('value_high_text') or ''} {unit}"
    elif values.get("ratio_numerator_text"):
        text = f"{values['ratio_numerator_text']} : {values.get('ratio_denominator_text') or ''}"
    elif values.get("value_boolean") is not None:
        text = "yes" if values["value_boolean"] else "no"
    elif values.get("value_moment") is not None:
        text = day(values["value_moment"], values.get("value_moment_precision"))
    else:
        words = ("value_words", "value_display", "value_string", "value_code", "data_absent_reason")
        text = str(next((values[word] for word in words if values.get(word)), ""))
    used = {"value", "unit", "value_words", "value_display", "value_string", "comparator", "reference_words"}
    used |= {"interpretation_code", "interpretation_display", "value_low", "value_high", "reference_low"}
    used |= {"reference_high", "reference_unit", "value_moment", "value_boolean"}
    low, high = values.get("reference_low_text"), values.get("reference_high_text")
    if low or high:
        text += f" (reference {low or ''}–{high or ''})"
    elif values.get("reference_words"):
        text += f" (reference {values['reference_words']})"
    return text.strip(), used


def _told(name: str, values: Mapping[str, Any], named: str | None) -> tuple[str, set[str]]:
    used = [column for column in SAID[name] if values.get(column) and column != named]
    return " · ".join(dict.fromkeys(str(values[column]) for column in used)), set(used)
