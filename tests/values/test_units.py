"""Units: every declared pair against the library, and what reaches a row."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.values.analytes import accepted, analytes, conversions, known_spellings
from transforms.values.factors import Library, generated
from transforms.values.units import CONVERSIONS, canonical

if TYPE_CHECKING:
    import duckdb

ROOT = Path(__file__).resolve().parents[2]
CONVERSIONS_FILE = ROOT / "schemas" / "units" / "conversions.json"
UCUM = "http://unitsofmeasure.org"


def read(database: duckdb.DuckDBPyConnection, rows: list[tuple[Any, ...]]) -> list[dict[str, Any] | None]:
    """Rows of value, unit, UCUM code, system and LOINC code, as the tables read them."""
    columns = [list(column) for column in zip(*rows, strict=True)]
    return [
        row[0]
        for row in database.execute(
            f"SELECT {canonical('v', 'u', 'c', 's', 'l')} FROM (SELECT unnest($1::DOUBLE[]) AS v,"
            " unnest($2::VARCHAR[]) AS u, unnest($3::VARCHAR[]) AS c, unnest($4::VARCHAR[]) AS s,"
            " unnest($5::VARCHAR[]) AS l, unnest($6::INT[]) AS n) ORDER BY n",
            [*columns, list(range(len(rows)))],
        ).fetchall()
    ]


def test_the_factors_are_the_librarys() -> None:
    """The generated file is what the library says today, and a second way of asking it agrees on every pair."""
    said, written = json.loads(generated()), json.loads(CONVERSIONS_FILE.read_text(encoding="utf-8"))
    assert said["spellings"] == written["spellings"]
    for analyte, units in said["conversions"].items():
        assert units.keys() == written["conversions"][analyte].keys()
        for code, numbers in units.items():  # another version of the library may differ in the last digit
            assert numbers == pytest.approx(written["conversions"][analyte][code], rel=1e-13, abs=1e-12), (
                analyte,
                code,
            )
    assert said["conversions"].keys() == written["conversions"].keys()
    registry = Library().registry
    for analyte in analytes():
        goal = registry.from_ucum(analyte.canonical) if analyte.canonical not in {"1", "[pH]"} else None
        for code, conversion in conversions()[analyte.id].items():
            if goal is None or code in analyte.linear:
                continue
            unit = registry.from_ucum(code)
            quantity = registry.Quantity(7.0 * unit.magnitude, unit.units)
            if analyte.valence and code.partition("/")[0].endswith("eq"):
                quantity = quantity / analyte.valence
            if quantity.dimensionality != goal.dimensionality:
                assert analyte.molar_mass
                molar = registry.Quantity(analyte.molar_mass, "g/mol")
                there = [quantity * molar, quantity / molar]
                [quantity] = [each for each in there if each.dimensionality == goal.dimensionality]
            expected = quantity.to(goal.units).magnitude / goal.magnitude
            assert conversion.of(7.0) == pytest.approx(expected, rel=1e-11), (analyte.id, code)


def test_every_accepted_code_and_spelling_reaches_one_conversion(database: duckdb.DuckDBPyConnection) -> None:
    assert not database.execute(
        f"SELECT loinc, spelling FROM {CONVERSIONS} GROUP BY ALL HAVING count(*) > 1"
    ).fetchall(), "a spelling means two units of one thing"
    rows, expected = [], []
    for analyte in analytes():
        for code, unit in accepted(analyte).items():
            for written in {code, code.upper()} if code else {code}:
                rows.append((3.0, None, written, UCUM, analyte.loinc[0]))
                expected.append((conversions()[analyte.id][unit].of(3.0), analyte.canonical))
    for row, wanted, sent in zip(read(database, rows), expected, rows, strict=True):
        assert row is not None
        assert (row["value"], row["unit"]) == (pytest.approx(wanted[0], rel=1e-12), wanted[1]), sent


def test_codes_are_loincs_and_stand_once() -> None:
    codes = [code for analyte in analytes() for code in analyte.loinc]
    assert len(codes) == len(set(codes))
    for code in codes:
        digits, _, check = code.partition("-")
        total = 0
        for place, digit in enumerate(reversed(digits)):
            number = int(digit) * (2 if place % 2 == 0 else 1)
            total += number // 10 + number % 10
        assert (10 - total % 10) % 10 == int(check), code


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ((98.6, "F", "[degF]", UCUM, "8310-5"), (37.0, "Cel", None)),
        ((98.6, "°F", None, None, "8310-5"), (37.0, "Cel", None)),
        ((120, "mmHg", None, None, "8480-6"), (120, "mm[Hg]", None)),
        ((16, "kPa", "kPa", UCUM, "8480-6"), (120.01, "mm[Hg]", None)),
        ((150, "lbs", "[lb_av]", UCUM, "29463-7"), (68.039, "kg", None)),
        ((70, "in", None, None, "8302-2"), (177.8, "cm", None)),
        ((72, "bpm", "{beats}/min", UCUM, "8867-4"), (72, "/min", None)),
        ((53, "mmol/mol", "mmol/mol", UCUM, "4548-4"), (7.0, "%", None)),
        ((7.0, "% of total Hgb", None, None, "4548-4"), (7.0, "%", None)),
        ((7.0, "%A1C", None, None, "4548-4"), (7.0, "%", None)),
        ((99, "mg/dL (calc)", None, None, "13457-7"), (99, "mg/dL", None)),
        ((5.5, "MMOL/L", None, None, "2345-7"), (99.09, "mg/dL", None)),
        ((2.5, "mmol/L", "mmol/L", UCUM, "17861-6"), (10.02, "mg/dL", None)),
        ((5, "mEq/L", None, None, "17861-6"), (10.02, "mg/dL", None)),
        ((88.42, "µmol/L", None, None, "2160-0"), (1.0, "mg/dL", None)),
        ((75, "nmol/L", None, None, "1989-3"), (30.05, "ng/mL", None)),
        ((2.1, "uIU/mL", None, None, "3016-3"), (2.1, "m[IU]/L", None)),
        ((2.1, "mU/L", "m[IU]/L", UCUM, "3016-3"), (2.1, "m[IU]/L", None)),
        ((30, "IU/L", None, None, "1742-6"), (30, "U/L", None)),
        ((6.2, "G/L", None, None, "6690-2"), (6.2, "10*3/uL", None)),
        ((13, "G/L", None, None, "718-7"), (1.3, "g/dL", None)),
        ((250, "x10E3/uL", None, None, "777-3"), (250, "10*3/uL", None)),
        ((250, "Thousand/uL", None, None, "777-3"), (250, "10*3/uL", None)),
        ((5.1, "10⁶/µL", None, None, "789-8"), (5.1, "10*6/uL", None)),
        ((90, "mL/min/1.73 m²", "mL/min/{1.73_m2}", UCUM, "33914-3"), (90, "mL/min/{1.73_m2}", None)),
        ((3, "mg/mmol creat", None, None, "14959-1"), (26.52, "mg/g", None)),
        ((1.1, None, None, None, "6301-6"), (1.1, "1", None)),
        ((7.4, "pH", "[pH]", UCUM, "2744-1"), (7.4, "[pH]", None)),
        ((0.45, "L/L", "L/L", UCUM, "4544-3"), (45, "%", None)),
        ((5, "mg/dL", "258797006", "http://snomed.info/sct", "2345-7"), (5, "mg/dL", None)),
        ((5000, "mg/dL", "mg/dL", UCUM, "2345-7"), (5000, "mg/dL", "implausible-value")),
        ((5, None, None, None, "2345-7"), (None, None, "missing-unit")),
        ((5, " ", "", UCUM, "2345-7"), (None, None, "missing-unit")),
        ((5, "furlongs", None, None, "2345-7"), (None, None, "unknown-unit")),
        ((5, "kg", "kg", UCUM, "2345-7"), (None, None, "unfit-unit")),
        ((42, "%", "%", UCUM, "59261-8"), (None, None, "unfit-unit")),
        ((5, "mg/dL", "mmol/L", UCUM, "2345-7"), (None, None, "contradicting-units")),
    ],
)
def test_a_value_as_servers_write_it(
    database: duckdb.DuckDBPyConnection, sent: tuple[Any, ...], expected: tuple[float | None, str | None, str | None]
) -> None:
    [row] = read(database, [sent])
    assert row is not None
    assert row["value"] == (None if expected[0] is None else pytest.approx(expected[0], rel=1e-3))
    assert (row["unit"], row["remark"]) == expected[1:]


def test_what_has_no_canonical_unit_or_no_value_is_null(database: duckdb.DuckDBPyConnection) -> None:
    assert read(
        database, [(5, "mg/dL", None, None, "5778-6"), (5, "mg/dL", None, None, None), (None, "%", "%", UCUM, "4548-4")]
    ) == [
        None,
        None,
        None,
    ]


@settings(max_examples=15, deadline=None)
@given(st.data())
def test_conversions_are_increasing_and_come_back(database: duckdb.DuckDBPyConnection, data: st.DataObject) -> None:
    analyte = data.draw(st.sampled_from(analytes()))
    code = data.draw(st.sampled_from(sorted(conversions()[analyte.id])))
    low, high = sorted(data.draw(st.lists(st.floats(0.001, 1e6), min_size=2, max_size=2)))
    conversion = conversions()[analyte.id][code]
    first, second = read(database, [(value, None, code, UCUM, analyte.loinc[0]) for value in (low, high)])
    assert first is not None
    assert second is not None
    assert first["value"] <= second["value"]
    back = (first["value"] - conversion.summand) / conversion.factor + conversion.shift
    assert back == pytest.approx(low, rel=1e-6, abs=1e-9)
    if code == analyte.canonical:
        assert first["value"] == low  # untouched, to the bit


@settings(max_examples=15, deadline=None)
@given(
    st.lists(
        st.tuples(st.floats() | st.none(), st.text(max_size=16) | st.none(), st.text(max_size=16) | st.none()),
        min_size=1,
        max_size=20,
    )
)
def test_no_unit_fails(
    database: duckdb.DuckDBPyConnection, drawn: list[tuple[float | None, str | None, str | None]]
) -> None:
    def clean(text: str | None) -> str | None:
        return text and text.replace("\0", "").encode("utf-8", "ignore").decode()

    rows = [(value, clean(unit), clean(code), UCUM, "2345-7") for value, unit, code in drawn]
    assert len(read(database, rows)) == len(rows)


@pytest.mark.shared_data
def test_every_quantity_of_the_published_people_goes_through(
    database: duckdb.DuckDBPyConnection, sent: list[dict[str, Any]]
) -> None:
    """None is lost; what has a canonical unit gets one, in the unit as sent where that is the canonical one."""
    rows = []
    for each in sent:
        quantity = each.get("valueQuantity") or {}
        value = quantity.get("value")
        loinc = next(
            (c.get("code") for c in each.get("code", {}).get("coding", []) if c.get("system") == "http://loinc.org"),
            None,
        )
        if isinstance(value, int | float) and abs(value) < 1e300:
            rows.append((float(value), quantity.get("unit"), quantity.get("code"), quantity.get("system"), loinc))
    found = read(database, rows)
    measured = {code for analyte in analytes() for code in analyte.loinc}
    goal = {code: analyte.canonical for analyte in analytes() for code in analyte.loinc}
    odd = set()
    for row, result in zip(rows, found, strict=True):
        assert (result is not None) == (row[4] in measured)
        if result is not None and result["remark"]:
            odd.add((row[1], row[2], row[4], result["remark"]))
        if result is not None and row[2] == goal[row[4]]:
            assert result["value"] == row[0]
    assert {each for each in odd if each[3] != "implausible-value"} <= {(None, None, "2345-7", "missing-unit")}, odd


def test_the_declarations_name_units_that_exist() -> None:
    spelled = json.loads((ROOT / "schemas" / "units" / "spellings.json").read_text(encoding="utf-8"))["spellings"]
    listed = {code for codes in known_spellings().values() for code in codes}
    assert set(spelled) <= listed
    accepted_somewhere = {unit for analyte in analytes() for unit in accepted(analyte).values()}
    assert accepted_somewhere <= listed
