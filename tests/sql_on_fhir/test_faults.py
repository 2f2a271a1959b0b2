"""Views that cannot be run: one error each, with its code, JSON path, expression and column."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import duckdb
import pytest

from transforms.sql_on_fhir import NdjsonFiles, SqlRelation, ViewError, compile_view, describe_view, run_view
from transforms.sql_on_fhir.errors import CODES

if TYPE_CHECKING:
    from pathlib import Path

COLUMN = "$.select[0].column[0]"
PATH = f"{COLUMN}.path"


def column(path: Any, **more: Any) -> dict[str, Any]:
    return {"resource": "Observation", "select": [{"column": [{"name": "v", "path": path, **more}]}]}


def part(**parts: Any) -> dict[str, Any]:
    return {"resource": "Observation", "select": [{"column": [{"name": "v", "path": "id"}], **parts}]}


def named(name: str, path: str = "id") -> dict[str, Any]:
    return {"column": [{"name": name, "path": path}]}


def constants(*values: dict[str, Any]) -> dict[str, Any]:
    return part() | {"constant": [{"name": "a", **value} for value in values]}


@pytest.mark.parametrize(
    ("view", "code", "path", "position"),
    [
        (column("stattus"), "CH303", PATH, 0),
        (column("code.coding.kode"), "CH303", PATH, 12),
        (column("status.text"), "CH303", PATH, 7),
        (column("valueQuantity.value"), "CH303", PATH, 0),
        (column("value.unit"), "CH303", PATH, 6),
        (column("value"), "CH303", PATH, 0),
        (column("value.ofType(Address)"), "CH304", PATH, 13),
        (column("value.ofType(5)"), "CH304", PATH, 13),
        (column("code.ofType(Coding)"), "CH304", PATH, 12),
        (column("code"), "CH304", PATH, 0),
        (column("status", type="boolean"), "CH304", PATH, 0),
        (column("status", type="Coding"), "CH304", PATH, 0),
        (column("status", type="number"), "CH304", f"{COLUMN}.type", None),
        (column("status + 1"), "CH304", PATH, 7),
        (column("status > 1"), "CH304", PATH, 7),
        (column("issued > '2024-01-01'"), "CH304", PATH, 7),
        (column("status and true"), "CH304", PATH, 7),
        (column("code.coding.where(code)"), "CH304", PATH, 12),
        (column("code.coding['a'].code"), "CH304", PATH, 11),
        (column("status.getResourceKey()"), "CH304", PATH, 7),
        (column("subject.getReferenceKey(Patiemt)"), "CH310", PATH, 24),
        (column("code.text.lowBoundary()"), "CH304", PATH, 10),
        (column("status.soundex()"), "CH305", PATH, 7),
        (column("status.first(1)"), "CH305", PATH, 7),
        (column("status.where()"), "CH305", PATH, 7),
        (column("%nothing"), "CH306", PATH, 0),
        (column("$that"), "CH306", PATH, 0),
        (column("status."), "CH302", PATH, 7),
        (column("status = 'a"), "CH302", PATH, 9),
        (column("status = 'a\\q'"), "CH302", PATH, 11),
        (column("(status"), "CH302", PATH, 7),
        (column("status # 1"), "CH302", PATH, 7),
        (column("(" * 500 + "1" + ")" * 500), "CH302", PATH, None),
        (column("a" + ".b" * 6000), "CH302", PATH, None),
        (column(" "), "CH301", PATH, None),
        (column(5), "CH301", PATH, None),
        (column("id", collection="yes"), "CH301", f"{COLUMN}.collection", None),
        (column("id", colection=True), "CH301", COLUMN, None),
        (column("id", tag=[{"name": "ansi/type", "value": "BLOB); DROP"}]), "CH304", f"{COLUMN}.tag[0].value", None),
        (column("id", tag=[{"name": "ansi/type", "value": "DECIMAL(99)"}]), "CH304", f"{COLUMN}.tag[0].value", None),
        ({"resource": "Observation", "select": [named("1v")]}, "CH308", f"{COLUMN}.name", None),
        (part(select=[named("V")]), "CH308", "$.select[0].select[0].column[0].name", None),
        (part(unionAll=[named("a"), named("b")]), "CH308", "$.select[0].unionAll[1]", None),
        (part(unionAll=[named("a"), named("a", "1")]), "CH308", "$.select[0].unionAll[1].column[0]", None),
        (part(forEach="component", forEachOrNull="component"), "CH301", "$.select[0].forEachOrNull", None),
        (part(forEach=["component"]), "CH301", "$.select[0].forEach", None),
        (part(forEach="komponent"), "CH303", "$.select[0].forEach", 0),
        (part(repeat="component"), "CH301", "$.select[0].repeat", None),
        (part(repeat=[]), "CH301", "$.select[0].repeat", None),
        (part(repeat=["status"]), "CH304", "$.select[0].repeat[0]", 0),
        (part(repeat=["component", "kid"]), "CH303", "$.select[0].repeat[1]", 0),
        (part(repeat=["component.first()"]), "CH305", "$.select[0].repeat[0]", 10),
        (part() | {"where": [{"path": "status"}]}, "CH304", "$.where[0].path", 0),
        (part() | {"where": [{"path": "true"}, {}]}, "CH301", "$.where[1].path", None),
        (part() | {"where": "true"}, "CH301", "$.where", None),
        (part() | {"constant": [{"name": "a"}]}, "CH306", "$.constant[0]", None),
        (constants({"valueString": "%a"}, {"valueString": "%a"}), "CH306", "$.constant[1].name", None),
        (constants({"valueExpression": {"expression": "%a"}}), "CH306", "$.constant[0].valueExpression", None),
        (part() | {"constant": [{"name": "a", "valueInteger": "x"}]}, "CH306", "$.constant[0].valueInteger", None),
        (part() | {"constant": [{"name": "a", "valueDate": "soon"}]}, "CH306", "$.constant[0].valueDate", None),
        (part(unionAll=[{}, {}]), "CH308", "$.select[0].unionAll[0]", None),
        (part(unionAll=[{"select": [{}]}]), "CH308", "$.select[0].unionAll[0]", None),
        (part(forEach="5 'mg'", select=[named("a", "value")]), "CH305", "$.select[0].column[0].path", 0),
        (column("5 'mg'.value"), "CH305", PATH, 7),
        (column("@2024-02-30"), "CH302", PATH, 0),
        (column("effective.ofType(dateTime) > @2024-01-01T25:00"), "CH302", PATH, 29),
        (column("@2024TZ"), "CH302", PATH, 6),
        (column("'\\ud800'"), "CH302", PATH, 0),
        (column("1" + " + 1" * 2000), "CH302", PATH, None),
        (column("status.exists()" + " and true" * 1000), "CH302", PATH, None),
        (column("'a'" + " | 'a'" * 900), "CH302", PATH, None),
        (column("code.coding.first()" + ".where(code = 'a')" * 60 + ".code"), "CH302", PATH, None),
        (column("subject.getReferenceKey('Patiemt')"), "CH310", PATH, 24),
        (part() | {"wher": []}, "CH301", "$", None),
        (part() | {"status": "final"}, "CH301", "$.status", None),
        (part() | {"status": 5}, "CH301", "$.status", None),
        (part() | {"resourceType": "Patient"}, "CH301", "$.resourceType", None),
        (part() | {"where": [{"path": "true", "discription": "x"}]}, "CH301", "$.where[0]", None),
        (constants({"valueString": "a", "nmae": "b"}), "CH301", "$.constant[0]", None),
        (constants({"valueDate": "2024-02-30"}), "CH306", "$.constant[0].valueDate", None),
        (column("id", tag=[{"name": "ansi/type", "valeu": "DATE"}]), "CH301", f"{COLUMN}.tag[0]", None),
        (part() | {"resource": "Observations"}, "CH310", "$.resource", None),
        (part() | {"resource": "Resource"}, "CH310", "$.resource", None),
        ({"resource": "Observation", "select": [{}]}, "CH301", "$.select", None),
        ({"resource": "Observation", "select": [7]}, "CH301", "$.select[0]", None),
        ({"resource": "Observation"}, "CH301", "$.select", None),
        ([], "CH301", "$", None),
        (None, "CH301", "$", None),
    ],
)  # fmt: skip
def test_faults(view: Any, code: str, path: str, position: int | None) -> None:
    with pytest.raises(ViewError) as caught:
        compile_view(view, SqlRelation("resources"))
    fault = caught.value
    assert (fault.code, fault.path) == (code, path), str(fault)
    if position is not None:
        assert fault.position == position, str(fault)
        assert fault.column == position + 1
        assert fault.expression is not None
    assert fault.code in str(fault)
    assert fault.path in str(fault)
    assert "\n" not in str(fault)


def test_an_error_says_what_was_meant() -> None:
    with pytest.raises(ViewError, match=r"did you mean status\?"):
        describe_view(column("stattus"))
    with pytest.raises(ViewError, match=r"write value\.ofType\(Quantity\)"):
        describe_view(column("valueQuantity"))
    for view, meant in (
        (part() | {"resource": "Observations"}, "Observation"),
        (part() | {"wher": []}, "where"),
        (column("id", tags=[]), "tag"),
        (column("id", type="bool"), "boolean"),
    ):
        with pytest.raises(ViewError, match=rf"did you mean {meant}\?"):
            describe_view(view)


def test_an_error_can_be_printed_whatever_the_view_holds() -> None:
    for view in (column("\ud800"), column("x" * 5000), column("id", type="y" * 5000), part(forEach="\ud83d")):
        with pytest.raises(ViewError) as caught:
            describe_view(view)
        assert len(str(caught.value).encode()) < 800


def test_every_code_is_explained() -> None:
    assert all(entry.title and entry.mend for entry in CODES.values())


def test_several_values_end_the_run_with_the_place_and_no_value() -> None:
    view = column("category.text")
    resource = {"resourceType": "Observation", "category": [{"text": "secret-1"}, {"text": "secret-2"}]}
    with pytest.raises(ViewError) as caught:
        run_view(view, [resource])
    assert (caught.value.code, caught.value.path, caught.value.expression) == ("CH307", PATH, "category.text")
    assert "secret" not in str(caught.value)
    (described,) = describe_view(view)
    assert described.warning
    assert "first()" in described.warning


def test_carried_columns_do_not_hide_others() -> None:
    for carry in (["v"], ["V"], ["json"], ["a", "A"]):
        with pytest.raises(ViewError, match="CH308"):
            compile_view(part(), SqlRelation("resources"), carry=carry)
    with pytest.raises(ViewError, match="CH309"):
        compile_view(part(), "files.ndjson", carry=["a"])


@pytest.mark.parametrize(
    "source",
    [
        *("/nowhere/*.ndjson", "", "docs", SqlRelation("nowhere"), SqlRelation("a b"), [object()]),
        *({"resourceType": "Observation"}, b"{}", None, 5),
        duckdb.sql("SELECT 1 AS resource"),
        duckdb.sql("SELECT 1 AS other"),
    ],
    ids=lambda source: re.sub(r" at 0x\w+", "", str(source)),  # the same in every worker
)
def test_sources_that_cannot_be_read(source: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "docs").mkdir()
    monkeypatch.chdir(tmp_path)  # the checkout may hold NDJSON: after a night, say
    with pytest.raises(ViewError) as caught:
        run_view(part(), source)
    assert caught.value.code == "CH309"


def test_connections_that_cannot_be_used() -> None:
    closed, failed, locked = (duckdb.connect() for _ in range(3))
    closed.close()
    failed.begin()
    with pytest.raises(duckdb.Error):
        failed.sql("SELECT error('x')").fetchall()
    locked.sql("SET enable_external_access = false")
    for connection, source in ((closed, []), (failed, []), (locked, "any.ndjson"), (closed, "any.ndjson")):
        with pytest.raises(ViewError) as caught:
            run_view(part(), source, connection)
        assert caught.value.code == "CH309"
    assert run_view(part(), [], locked).num_rows == 0


def test_the_strict_reader_refuses_views_that_need_digits() -> None:
    view = column("value.ofType(Quantity).value.toString()")
    with pytest.raises(ViewError, match="digits"):
        compile_view(view, NdjsonFiles.of("any.ndjson", strict=True))
