"""Results sent as text: what is read, and what must stay text."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.values.comparators import comparator
from transforms.values.results import COLUMNS, positive_code, result, result_of_each

if TYPE_CHECKING:
    import duckdb

READ: dict[str, dict[str, Any]] = {
    "<5.7": {"kind": "bound", "comparator": "<", "number": 5.7},
    "< 5.7 mg/dL": {"kind": "bound", "comparator": "<", "number": 5.7, "unit": "mg/dL"},
    "≤3": {"kind": "bound", "comparator": "<=", "number": 3},
    "> = 100": {"kind": "bound", "comparator": ">=", "number": 100},
    "&lt;&#x3D;149": {"kind": "bound", "comparator": "<=", "number": 149},
    ">60 mL/min/1.73m2": {"kind": "bound", "comparator": ">", "number": 60, "unit": "mL/min/1.73m2"},
    ">10^5 CFU/mL": {"kind": "bound", "comparator": ">", "number": 1e5, "unit": "CFU/mL"},
    "1:128": {"kind": "ratio", "numerator": 1, "denominator": 128},
    "1/128": {"kind": "ratio", "numerator": 1, "denominator": 128},
    "<1:8": {"kind": "ratio", "comparator": "<", "numerator": 1, "denominator": 8},
    "3-5": {"kind": "range", "low": 3, "high": 5},
    "3 – 5 mg/dL": {"kind": "range", "low": 3, "high": 5, "unit": "mg/dL"},
    "0.4 to 1.2": {"kind": "range", "low": 0.4, "high": 1.2},
    "-5 to -3": {"kind": "range", "low": -5, "high": -3},
    "0-2 /HPF": {"kind": "range", "low": 0, "high": 2, "unit": "/HPF"},
    "1,234.5": {"kind": "number", "number": 1234.5},
    "1,234,567": {"kind": "number", "number": 1234567},
    "10^3": {"kind": "number", "number": 1000},
    "1.2e3": {"kind": "number", "number": 1200},
    "1.2 x 10^3": {"kind": "number", "number": 1200},
    "5.2 x10E3/uL": {"kind": "number", "number": 5.2, "unit": "x10E3/uL"},
    "5%": {"kind": "number", "number": 5, "unit": "%"},
    "120/80 mm Hg": {"kind": "pressure", "systolic": 120, "diastolic": 80, "unit": "mm Hg"},
    "+++": {"kind": "grade", "is_positive": True},
    "2+": {"kind": "grade", "is_positive": True},
    "POSITIVE": {"kind": "word", "is_positive": True},
    "Not detected.": {"kind": "word", "is_positive": False},
    "Non-Reactive": {"kind": "word", "is_positive": False},
    "1E400": {"kind": "number", "remark": "unread-number"},
    "1e-400": {"kind": "number", "remark": "unread-number"},
    "5,7": {"kind": "text", "remark": "ambiguous-number"},
    "1,234": {"kind": "text", "remark": "ambiguous-number"},
    "1.234,5": {"kind": "text", "remark": "ambiguous-number"},
    "<>5": {"kind": "text", "remark": "unknown-comparator"},
    "~ 5 mg/dL": {"kind": "text", "remark": "unknown-comparator"},
    "less than 5": {"kind": "text", "remark": "unknown-comparator"},
}
TEXT = (
    "120/80",
    "TNTC",
    "SEE NOTE",
    "2023-04-05",
    "04/05/2023",
    "1/12",
    "04-05",
    "20230405",
    "2019-2020",
    "10:30",
    "12:00:00",
    "555-1234",
    "555-123-4567",
    "(555) 123-4567",
    "5551234567",
    "007",
    "+2",
    "5-3",
    "5 ft 2 in",
    "12 Main St",
    "5 H",
    "5 L",
    "5 mg/dL (H)",
    "O Positive",
    "no evidence of disease",
    "nan",
    "Infinity",
    "0x10",
    "١٢",
    "5'; DROP TABLE x; --",
)


def read(database: duckdb.DuckDBPyConnection, texts: list[str | None]) -> list[dict[str, Any] | None]:
    """The texts as the tables read them."""
    rows = database.execute(
        f"SELECT {result('text')} FROM (SELECT unnest($1::VARCHAR[]) AS text, unnest($2::INT[]) AS n) ORDER BY n",
        [texts, list(range(len(texts)))],
    ).fetchall()
    return [row[0] for row in rows]


def parts(row: dict[str, Any] | None) -> dict[str, Any]:
    """What is there."""
    return {name: value for name, value in (row or {}).items() if value is not None}


def test_what_is_read_is_exactly_what_the_text_says(database: duckdb.DuckDBPyConnection) -> None:
    assert dict(zip(READ, map(parts, read(database, list(READ))), strict=True)) == READ
    assert {text: parts(row) for text, row in zip(TEXT, read(database, list(TEXT)), strict=True)} == {
        text: {"kind": "text"} for text in TEXT
    }
    assert read(database, [None, "", "   "]) == [None, None, None]


def test_a_text_in_a_list_is_read_as_one_in_a_column(database: duckdb.DuckDBPyConnection) -> None:
    texts = [*READ, *TEXT, "", None]
    [(listed,)] = database.execute(
        f"SELECT list_transform($1::VARCHAR[], lambda text: {result_of_each('text')})", [texts]
    ).fetchall()
    assert listed == read(database, texts)
    assert set(listed[0]) == set(COLUMNS)


numbers = st.floats(allow_nan=False, allow_infinity=False, min_value=-1e9, max_value=1e9)


@settings(max_examples=15, deadline=None)
@given(
    st.lists(st.tuples(numbers, st.sampled_from(["<", "<=", ">", ">=", "≤", "≥", "&lt;"])), min_size=1, max_size=20),
)
def test_a_number_comes_back_and_a_bound_never_loses_its_sign(
    database: duckdb.DuckDBPyConnection, drawn: list[tuple[float, str]]
) -> None:
    written = [f"{number:.4f}" for number, _ in drawn]
    for row, text in zip(read(database, list(written)), written, strict=True):
        assert parts(row) == {"kind": "number", "number": float(text)}
    for row, text in zip(
        read(database, [sign + text for text, (_, sign) in zip(written, drawn, strict=True)]), written, strict=True
    ):
        assert row is not None
        assert row["kind"] == "bound"
        assert row["comparator"] in {"<", "<=", ">", ">="}
        assert row["number"] == float(text)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.text(max_size=24) | st.from_regex(r"[-<>=~ 0-9.,:/eExX^+*a-zA-Z%µ&;]{0,16}", fullmatch=True), max_size=40
    )
)
def test_no_text_fails_and_no_number_is_infinite(database: duckdb.DuckDBPyConnection, texts: list[str]) -> None:
    clean = [text.replace("\0", "").encode("utf-8", "ignore").decode() for text in texts]
    for text, row in zip(clean, read(database, list(clean)), strict=True):
        for value in (row or {}).values():
            assert not isinstance(value, float) or math.isfinite(value)
        if row and row["kind"] in {"text", "word", "grade"}:
            assert row["number"] is None
        if row and row["number"] is not None:
            assert row["comparator"] or not any(sign in text for sign in "<>=~≤≥")


def test_comparators_are_fhirs_or_stand_as_sent_with_a_remark(database: duckdb.DuckDBPyConnection) -> None:
    sent = {"<": "<", "≤": "<=", "&gt;": ">", "=>": ">=", "ad": "ad", "<>": "<>", "=": "=", "less than": "less than"}
    rows = database.execute(
        f"SELECT sent, {comparator('sent')} FROM (SELECT unnest($1) AS sent)", [[*sent, "", " "]]
    ).fetchall()
    for text, row in rows:
        if not text.strip():
            assert row is None
        else:
            assert row["comparator"] == sent[text]
            assert (row["remark"] is None) == (sent[text] in {"<", "<=", ">=", ">", "ad"})


@pytest.mark.parametrize(
    ("system", "code", "verdict"),
    [
        ("http://snomed.info/sct", "10828004", True),
        ("http://snomed.info/sct/", "260385009", False),
        ("http://loinc.org", "10828004", None),
        (None, "10828004", None),
    ],
)
def test_a_coded_result_says_yes_or_no_in_its_own_system_alone(
    database: duckdb.DuckDBPyConnection, system: str | None, code: str, verdict: bool | None
) -> None:
    assert database.execute(f"SELECT {positive_code('$1', '$2')}", [system, code]).fetchone() == (verdict,)


@pytest.mark.shared_data
def test_every_text_of_the_published_people_goes_through(
    database: duckdb.DuckDBPyConnection, sent: list[dict[str, Any]]
) -> None:
    texts = [str(each["valueString"]) for each in sent if each.get("valueString")]
    texts += [str(each["valueCodeableConcept"].get("text")) for each in sent if each.get("valueCodeableConcept")]
    assert texts
    for text, row in zip(texts, read(database, list(texts)), strict=True):
        assert row is not None
        if row["kind"] == "number":
            assert text.strip().startswith(tuple("-.0123456789"))
