"""A value in its canonical unit, as SQL: a hash join of the few ways that units are written, not work for each row.

`RELATIONS` are made once for each connection; `canonical(…)` is an expression that looks into them.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from transforms.values.analytes import Conversion, accepted, analytes, conversions, known_spellings
from transforms.values.spelling import folded

if TYPE_CHECKING:
    from collections.abc import Sequence

MISSING_UNIT: Final = "missing-unit"
UNKNOWN_UNIT: Final = "unknown-unit"
UNFIT_UNIT: Final = "unfit-unit"
CONTRADICTING_UNITS: Final = "contradicting-units"
IMPLAUSIBLE_VALUE: Final = "implausible-value"

REMARKS: Final[dict[str, str]] = {
    MISSING_UNIT: "What is measured has a unit, and none was sent: there is no canonical value.",
    UNKNOWN_UNIT: "The unit is written in a way that is not known: there is no canonical value.",
    UNFIT_UNIT: "The unit is known, but what is measured does not come in it: there is no canonical value.",
    CONTRADICTING_UNITS: "The unit's code and its text are different units: there is no canonical value.",
    IMPLAUSIBLE_VALUE: "The canonical value is outside of what can be: a wrong unit or a slip. The value stands.",
}
"""The remarks of this module: what each says about a row."""

CONVERSIONS: Final = "charthouse_unit_conversions"
SPELLINGS: Final = "charthouse_unit_spellings"
MEASURED: Final = "charthouse_measured"

UCUM_SYSTEMS: Final = ("http://unitsofmeasure.org", "https://unitsofmeasure.org", "urn:oid:2.16.840.1.113883.6.8")


def relations() -> tuple[str, ...]:
    """The statements that make the relations, once for each connection: idempotent, in order."""
    factors = [
        (analyte.id, code, *conversions()[analyte.id][read_as], analyte.canonical, *analyte.plausible)
        for analyte in analytes()
        for code, read_as in accepted(analyte).items()
    ]
    measured = [(loinc, analyte.id) for analyte in analytes() for loinc in analyte.loinc]
    spelled = [(spelling, code) for spelling, codes in known_spellings().items() for code in codes]
    return (
        f"CREATE TABLE IF NOT EXISTS {SPELLINGS} AS {_rows(spelled, 'spelling', 'code')}",
        f"CREATE TABLE IF NOT EXISTS {MEASURED} AS {_rows(measured, 'loinc', 'analyte')}",
        f"CREATE TABLE IF NOT EXISTS {CONVERSIONS} AS SELECT DISTINCT loinc, spelling,"
        " struct_pack(factor := factor, shift := shift, summand := summand, unit := unit, low := low, high := high)"
        f" AS conversion FROM ({_rows(factors, 'analyte', 'code', *Conversion._fields, 'unit', 'low', 'high')})"
        f" JOIN {MEASURED} USING (analyte) JOIN {SPELLINGS} USING (code)",
    )


def canonical(value: str, unit_text: str, ucum_code: str, unit_system: str, loinc_code: str) -> str:
    """`STRUCT(value DOUBLE, unit VARCHAR, remark VARCHAR)` of a DOUBLE and what was sent about its unit.

    All five are SQL expressions. A code counts as UCUM's in its system or in none; another system's code is not read.
    NULL where the LOINC code is of nothing that has a canonical unit, or where there is no value. A comparator is the
    caller's: a bound in another unit is a bound still (every conversion is increasing).
    """
    return converted(value, conversion(unit_text, ucum_code, unit_system, loinc_code))


def conversion(unit_text: str, ucum_code: str, unit_system: str, loinc_code: str) -> str:
    """How what was sent about a unit is taken to the canonical one: the first half of `canonical`, for `converted`.

    It is a subquery, so that each different combination is read once.
    """
    systems = ", ".join(f"'{system}'" for system in UCUM_SYSTEMS)
    code = f"CASE WHEN coalesce(rtrim({unit_system}, '/'), '{UCUM_SYSTEMS[0]}') IN ({systems}) THEN {ucum_code} END"
    first = "CASE WHEN ch_k.ch_code = '' THEN ch_k.ch_text ELSE ch_k.ch_code END"
    second = "CASE WHEN ch_k.ch_text = '' THEN ch_k.ch_code ELSE ch_k.ch_text END"
    both = "ch_c.conversion <> ch_t.conversion"
    return (
        "(SELECT struct_pack("
        f"by := CASE WHEN {both} THEN NULL ELSE coalesce(ch_c.conversion, ch_t.conversion) END,"
        f" remark := CASE WHEN {both} THEN '{CONTRADICTING_UNITS}'"
        " WHEN ch_c.conversion IS NOT NULL OR ch_t.conversion IS NOT NULL THEN NULL"
        f" WHEN ch_k.ch_code = '' AND ch_k.ch_text = '' THEN '{MISSING_UNIT}'"
        f" WHEN ch_s.spelling IS NOT NULL THEN '{UNFIT_UNIT}' ELSE '{UNKNOWN_UNIT}' END)"
        f" FROM (SELECT {loinc_code} AS ch_loinc, coalesce({folded(f'({code})')}, '') AS ch_code,"
        f" coalesce({folded(unit_text)}, '') AS ch_text) ch_k"
        f" JOIN {MEASURED} ch_m ON ch_m.loinc = ch_k.ch_loinc"
        f" LEFT JOIN {CONVERSIONS} ch_c ON ch_c.loinc = ch_k.ch_loinc AND ch_c.spelling = {first}"
        f" LEFT JOIN {CONVERSIONS} ch_t ON ch_t.loinc = ch_k.ch_loinc AND ch_t.spelling = {second}"
        f" LEFT JOIN (SELECT DISTINCT spelling FROM {SPELLINGS}) ch_s ON ch_s.spelling = {first})"
    )


def converted(value: str, found: str) -> str:
    """A DOUBLE by the `conversion` that was found for it: the second half of `canonical`."""
    number = "(ch.v - ch.f.by.shift) * ch.f.by.factor + ch.f.by.summand"
    return (
        f"list_transform([struct_pack(v := {value}, f := {found})], lambda ch: CASE"
        " WHEN ch.v IS NOT NULL AND ch.f IS NOT NULL THEN struct_pack("
        f"value := {number}, unit := ch.f.by.unit, remark := CASE"
        f" WHEN {number} NOT BETWEEN ch.f.by.low AND ch.f.by.high THEN '{IMPLAUSIBLE_VALUE}'"
        " ELSE ch.f.remark END) END)[1]"
    )


def _rows(rows: Sequence[tuple[object, ...]], *names: str) -> str:
    """SELECT of rows of texts and numbers. As JSON in one literal: thousands of literals take a quarter of a second."""
    kinds = {name: "VARCHAR" if isinstance(cell, str) else "DOUBLE" for name, cell in zip(names, rows[0], strict=True)}
    content = json.dumps([dict(zip(names, row, strict=True)) for row in rows], ensure_ascii=False)
    spec = json.dumps([kinds])
    texts = (each.replace("'", "''") for each in (content, spec))
    return "SELECT unnest(from_json('{}', '{}'), recursive := true)".format(*texts)
