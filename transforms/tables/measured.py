"""The value of an observation, read: what its words say, and its number in the canonical unit of what is measured.

`transforms.values` says what a text or a unit means; here it meets the columns of a row. What was sent stands beside
it, untouched: `value_text`, `value_unit`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from transforms.tables import text as sql
from transforms.tables.datatypes import Field, unread_number
from transforms.values import results, units

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from transforms.tables.datatypes import Writer

SYSTOLIC, DIASTOLIC = "systolic", "diastolic"
PRESSURES = {SYSTOLIC: "8480-6", DIASTOLIC: "8462-4"}
"""The columns of a whole blood pressure, each with the LOINC code that says what is measured."""
_UNIT_REMARKS = tuple(units.REMARKS)


def read_result(kinds: Mapping[str, str], writer: Writer) -> str:
    """SQL of what the words of a value say (`results.COLUMNS`): a number that is none, a text, or a concept.

    Args:
        kinds: FHIR type → SQL of the value of that type.
        writer: the row's.
    """
    kinds = {kind: each for kind, each in kinds.items() if each != sql.NOTHING}
    said = []
    if "Quantity" in kinds:
        number = writer.let(f"{writer.let(kinds['Quantity'])}.value")
        said.append(f"CASE WHEN {writer.let(sql.number(number))} IS NULL THEN {number} END")
    if "string" in kinds:
        said.append(kinds["string"])
    if "CodeableConcept" in kinds:
        concept = writer.let(kinds["CodeableConcept"])
        said += [f"nullif({concept}.text, '')", f"nullif({concept}.coding[1].display, '')"]
    words = writer.let(sql.words(writer.let(f"coalesce({', '.join(said or ['CAST(NULL AS VARCHAR)'])})")))
    read = writer.lookup("results_read", (words,), results.result)
    if "Quantity" not in kinds:
        return read
    return writer.let(f"CASE WHEN {_contradicts(read, kinds['Quantity'], writer)} THEN NULL ELSE {read} END")


def _contradicts(result: str, quantity: str, writer: Writer) -> str:
    """SQL: whether the words of a Quantity's number have another unit or comparator than the Quantity itself."""
    quantity = writer.let(quantity)
    unit = f"lower({result}.unit)"
    other_unit = f"coalesce({unit} <> lower(trim({quantity}.unit)), {unit} <> lower(trim({quantity}.code)), false)"
    same_code = f"coalesce({unit} = lower(trim({quantity}.code)), false)"
    other_sign = f"coalesce({result}.comparator <> {quantity}.comparator, false)"
    if "comparator" in writer.lacks:
        other_sign = "false"
    return writer.let(f"({other_unit} AND NOT {same_code}) OR {other_sign}")


def with_result(made: Sequence[Field], kinds: Mapping[str, str], writer: Writer) -> list[Field]:
    """The columns of a value, completed by what its words say."""
    result = read_result(kinds, writer)
    quantity = writer.let(kinds["Quantity"])
    if quantity != sql.NOTHING:
        number = writer.let(f"{quantity}.value")
        # A number that its words are read as is no number that could not be read.
        was_unread = unread_number(number, writer.let(sql.number(number)))
        unread = writer.remarks["unread-number"]
        unread[unread.index(was_unread)] = f"({was_unread} AND coalesce({result}.kind, 'text') = 'text')"
    for remark in results.REMARKS:
        writer.remark(remark, f"{result}.remark = {sql.literal(remark)}")
    is_range = f"{result}.kind = 'range'"
    unit, code, system = (sql.member(quantity, part) for part in ("unit", "code", "system"))
    no_unit = f"{unit} IS NULL AND {code} IS NULL"
    bound = f"CASE WHEN {result}.kind = 'bound' THEN {result}.comparator END"
    read = {
        "value": f"{result}.number",
        "value_comparator": bound,
        "value_unit": f"CASE WHEN {no_unit} THEN {result}.unit END",
        "value_numerator": f"{result}.numerator",
        "value_denominator": f"{result}.denominator",
        "value_denominator_comparator": f"CASE WHEN {result}.kind = 'ratio' THEN {result}.comparator END",
    }
    for side in ("low", "high"):
        read |= {
            f"value_{side}": f"{result}.{side}",
            f"value_{side}_unit": f"CASE WHEN {is_range} THEN coalesce({result}.unit, {unit}) END",
            f"value_{side}_unit_code": _where(f"{is_range} AND {result}.unit IS NULL", code),
            f"value_{side}_unit_system": _where(f"{is_range} AND {result}.unit IS NULL", system),
        }
    return [
        replace(each, sql=sql.first_of((each.sql, read[each.name]))) if each.name in read else each for each in made
    ]


def _where(condition: str, made: str) -> str:
    return made if made == sql.NOTHING else f"CASE WHEN {condition} THEN {made} END"


def is_positive(kinds: Mapping[str, str], writer: Writer, interpretations: str) -> Field:
    """Whether the value says yes or no to what was looked for, in words or by a code; else its interpretation."""
    found = [f"{read_result(kinds, writer)}.is_positive"]
    if kinds.get("CodeableConcept", sql.NOTHING) != sql.NOTHING:
        found.insert(0, _said_by(f"{writer.let(kinds['CodeableConcept'])}.coding", writer))
    if interpretations not in {sql.NOTHING, sql.NO_ITEMS}:
        found.append(_said_by(f"flatten(list_transform({interpretations}, lambda p: p.coding))", writer))
    about = "Whether what was looked for was found; NULL: neither the value nor its interpretation says so."
    return Field("is_positive", "BOOLEAN", f"coalesce({', '.join(found)})", about)


def _said_by(codings: str, writer: Writer) -> str:
    """What the first coding says that says yes or no."""
    each = writer.fresh()
    said = f"list_transform({codings}, lambda {each}: {results.positive_code(f'{each}.system', f'{each}.code')})"
    return f"list_filter({said}, lambda {each}: {each} IS NOT NULL)[1]"


def canonical(name: str, made: Sequence[Field], loinc: str, writer: Writer) -> list[Field]:
    """A number's columns in the canonical unit of what the LOINC code measures.

    Args:
        name: what the columns of the number begin with.
        made: those columns, as they are shown.
        loinc: SQL of the LOINC code.
        writer: the row's.
    """
    shown = {each.name: writer.let(each.sql) for each in made}
    asked = (*(shown[f"{name}_{part}"] for part in ("unit", "unit_code", "unit_system")), loinc)
    read = writer.let(units.converted(shown[name], writer.lookup("units_read", asked, units.conversion)))
    for remark in _UNIT_REMARKS:
        writer.remark(remark, f"{read}.remark = {sql.literal(remark)}")
    about = "In the canonical unit of what is measured, a bound where the number is one; NULL: none is known."
    return [
        Field(f"{name}_canonical", "DOUBLE", f"{read}.value", about),
        Field(f"{name}_canonical_unit", "VARCHAR", f"{read}.unit", "That unit, as a UCUM code."),
    ]
