"""Resources that do not fit their type: NULL there, a counted remark, no row lost, no run stopped."""

from __future__ import annotations

import gzip
from decimal import Decimal
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import duckdb
import msgspec
import pytest

from transforms.sql_on_fhir import Remark, SqlRelation, ViewError, compile_view, remarks_of, run_view, write_view

if TYPE_CHECKING:
    from pathlib import Path

VIEW = {
    "resource": "Observation",
    "select": [
        {
            "column": [
                {"name": "id", "path": "id", "type": "id"},
                {"name": "status", "path": "status", "type": "code"},
                {"name": "code", "path": "code.coding.first().code", "type": "code"},
                {"name": "codes", "path": "code.coding.code", "type": "code", "collection": True},
                {"name": "value", "path": "value.ofType(Quantity).value", "type": "decimal"},
                {"name": "count", "path": "value.ofType(integer)", "type": "integer"},
                {"name": "flag", "path": "value.ofType(boolean)", "type": "boolean"},
                {"name": "unit", "path": "value.ofType(Quantity).unit", "type": "string"},
            ]
        }
    ],
}
EMPTY = {"status": None, "code": None, "codes": [], "value": None, "count": None, "flag": None, "unit": None}


@pytest.mark.parametrize(
    ("fields", "expected", "where"),
    [
        ({"status": {"a": 1}}, {}, "status"),
        ({"status": ["final"]}, {}, "status"),
        ({"code": "text"}, {}, "code"),
        ({"code": ["text"]}, {}, "code"),
        ({"code": {"coding": {"code": "a"}}}, {}, "code.coding"),
        ({"code": {"coding": ["a", {"code": "b"}]}}, {"codes": ["b"]}, "code.coding[*]"),
        ({"code": {"coding": [{"code": {"a": []}}]}}, {}, "code.coding[*].code"),
        ({"valueQuantity": 5}, {}, "valueQuantity"),
        ({"valueQuantity": {"value": "high"}}, {}, "valueQuantity.value"),
        ({"valueQuantity": {"value": [1]}}, {}, "valueQuantity.value"),
        ({"valueInteger": "many"}, {}, "valueInteger"),
        ({"valueInteger": 1.5}, {}, "valueInteger"),
        ({"valueInteger": 2**70}, {}, "valueInteger"),
        ({"valueInteger": 3_000_000_000}, {}, "valueInteger"),
        ({"valueInteger": -(2**31) - 1}, {}, "valueInteger"),
        ({"valueQuantity": {"value": 10**20}}, {}, "valueQuantity.value"),
        ({"valueQuantity": {"value": -1e25}}, {}, "valueQuantity.value"),
        ({"valueInteger": "5"}, {}, "valueInteger"),
        ({"valueInteger": [5]}, {}, "valueInteger"),
        ({"valueQuantity": {"value": "5"}}, {}, "valueQuantity.value"),
        ({"valueQuantity": {"value": "1.10"}}, {}, "valueQuantity.value"),
        ({"valueQuantity": {"value": True}}, {}, "valueQuantity.value"),
        ({"valueBoolean": "perhaps"}, {}, "valueBoolean"),
        ({"valueBoolean": "true"}, {}, "valueBoolean"),
        ({"valueBoolean": 1}, {}, "valueBoolean"),
        ({"valueBoolean": {}}, {}, "valueBoolean"),
    ],
)
def test_a_misfit_is_null_and_counted(
    fields: dict[str, Any], expected: dict[str, Any], where: str, tmp_path: Path
) -> None:
    resources = [
        {"resourceType": "Observation", "id": "good", "status": "final"},
        {"resourceType": "Observation", "id": "bad", **fields},
    ]
    file = tmp_path / "resources.ndjson"
    file.write_bytes(b"\n".join(map(msgspec.json.encode, resources)))
    rows = [{"id": "good", **EMPTY, "status": "final"}, {"id": "bad", **EMPTY, **expected}]
    for source in (resources, file, str(file)):
        table = run_view(VIEW, source)
        assert sorted(table.to_pylist(), key=lambda row: row["id"]) == sorted(rows, key=lambda row: row["id"])
        assert remarks_of(table) == (Remark("CH320", f"Observation.{where}", 1),)
    # the SQL alone does not stop either
    assert len(duckdb.connect().sql(compile_view(VIEW, file)).fetchall()) == 2


ITEMS = {
    "resource": "QuestionnaireResponse",
    "select": [
        {
            "repeat": ["item", "answer.item"],
            "column": [
                {"name": "link", "path": "linkId"},
                {"name": "value", "path": "answer.value.ofType(decimal).first()"},
            ],
        }
    ],
}
ENTRIES = {
    "resource": "Bundle",
    "select": [
        {
            "forEach": "entry.resource.ofType(Patient)",
            "column": [
                {"name": "family", "path": "name.family.first()"},
                {"name": "at", "path": "contained.ofType(Organization).name.first()"},
            ],
        }
    ],
}


def answers(item: Any) -> dict[str, Any]:
    return {"resourceType": "QuestionnaireResponse", "item": [{"linkId": "1"}, item]}


def entries(*resources: Any) -> dict[str, Any]:
    return {"resourceType": "Bundle", "entry": [{"resource": resource} for resource in resources]}


@pytest.mark.parametrize(
    ("view", "resource", "rows", "where"),
    [
        (ITEMS, answers({"linkId": "2"}), [("1", None), ("2", None)], []),
        (ITEMS, answers("x"), [("1", None), (None, None)], ["item[*]"]),
        (ITEMS, answers({"linkId": {}}), [("1", None), (None, None)], ["item[*].linkId"]),
        (
            ITEMS,
            answers({"answer": [{"item": [{"linkId": "3", "answer": [{"valueDecimal": "high"}]}]}]}),
            [("1", None), ("3", None), (None, None)],
            ["item[*].answer[*].valueDecimal"],
        ),
        (
            ITEMS,
            answers({"item": ["x", {"item": "y"}]}),
            [("1", None), (None, None), (None, None), (None, None)],
            ["item[*].item[*]", "item[*].item"],
        ),
        (
            ENTRIES,
            entries(
                {"resourceType": "Patient", "name": "x", "contained": [{"resourceType": "Organization", "name": []}]},
                {"resourceType": "Group", "name": {}},
                {"resourceType": "Patient", "contained": [{"resourceType": "Patient", "name": 5}]},
            ),
            [(None, None), (None, None)],
            ["entry[*].resource.name", "entry[*].resource.contained[*].name"],
        ),
    ],
)
def test_misfits_within_documents_count_at_any_depth(
    view: dict[str, Any], resource: dict[str, Any], rows: list[tuple[Any, ...]], where: list[str], tmp_path: Path
) -> None:
    """Items of a repeat, and resources within resources."""
    file = tmp_path / "resources.ndjson"
    file.write_bytes(msgspec.json.encode(resource))
    for source in ([resource], file):
        table = run_view(view, source)
        assert sorted((tuple(row.values()) for row in table.to_pylist()), key=str) == rows
        remarks = {Remark("CH320", f"{view['resource']}.{path}", 1) for path in where}
        assert set(remarks_of(table)) == remarks
        assert len(remarks_of(table)) == len(remarks)


@pytest.mark.parametrize("value", ["5", "1.10", True, [5], {"a": 5}])
@pytest.mark.parametrize("kind", ["string", "decimal"])
def test_what_is_no_number_has_no_text_either(value: Any, kind: str, tmp_path: Path) -> None:
    paths = ["value.ofType(Quantity).value", "value.ofType(integer)", "component.value.ofType(Quantity).value"]
    columns = [{"name": f"c{i}", "path": path, "type": kind, "collection": i == 2} for i, path in enumerate(paths)]
    double = {"name": "d", "path": paths[0], "type": "decimal", "tag": [{"name": "ansi/type", "value": "DOUBLE"}]}
    resource = {
        "resourceType": "Observation",
        "valueQuantity": {"value": value},
        "valueInteger": value,
        "component": [{"valueQuantity": {"value": value}}, {"valueQuantity": {"value": Decimal("2.50")}}],
    }
    file = tmp_path / "resource.ndjson"
    file.write_bytes(msgspec.json.Encoder(decimal_format="number").encode(resource))
    for source in ([resource], file):
        table = run_view({"resource": "Observation", "select": [{"column": [*columns, double]}]}, source)
        (row,) = table.to_pylist()
        assert list(row.values()) == [None, None, ["2.50" if kind == "string" else Decimal("2.5")], None]
        assert len(remarks_of(table)) == 3


def test_nothing_is_made_of_what_is_no_string(tmp_path: Path) -> None:
    made = ["status & '!'", "status.upper()", "status.toString()", "code.coding.code.join(',')", "status + 'x'"]
    columns = [{"name": f"c{i}", "path": path} for i, path in enumerate(made)]
    resource = {
        "resourceType": "Observation",
        "status": {"a": 1},
        "code": {"coding": [{"code": ["x"]}, {"code": "[y]"}, {"code": "z"}]},
    }
    file = tmp_path / "resource.ndjson"
    file.write_bytes(msgspec.json.encode(resource))
    for source in ([resource], file):
        table = run_view({"resource": "Observation", "select": [{"column": columns}]}, source)
        assert [*table.to_pylist()[0].values()] == ["!", None, None, "[y],z", None]
        assert len(remarks_of(table)) == 2


def test_what_is_no_number_is_not_there(tmp_path: Path) -> None:
    columns = [
        {"name": "a", "path": "value.ofType(integer).exists()"},
        {"name": "b", "path": "component.value.ofType(integer).count()"},
        {"name": "c", "path": "value.ofType(boolean).empty()"},
    ]
    resource = {
        "resourceType": "Observation",
        "valueInteger": "5",
        "valueBoolean": "true",
        "component": [{"valueInteger": {}}, {"valueInteger": 5}],
    }
    file = tmp_path / "resource.ndjson"
    file.write_bytes(msgspec.json.encode(resource))
    for source in ([resource], file):
        table = run_view({"resource": "Observation", "select": [{"column": columns}]}, source)
        assert table.to_pylist() == [{"a": False, "b": 1, "c": True}]
        assert len(remarks_of(table)) == 3


@pytest.mark.parametrize(
    ("path", "where", "value"),
    [
        ("code.coding.where(system = 's').code.first()", "code.coding[*].system", None),
        ("code.coding.exists(system = 's' and code = 'c')", "code.coding[*].system", False),
        ("code.coding.exists(code = 'x' or code = 'c')", "code.coding[*].code", False),
        ("code.coding.all(system != 's')", "code.coding[*].system", True),
        ("code.coding.code = code.coding.code", "code.coding[*].code", True),
        ("code.coding.code.count()", "code.coding[*].code", 1),
        ("code.coding.code.distinct().count()", "code.coding[*].code", 1),
        ("status.exists()", "status", True),
        ("status in ('a' | 'b')", "status", False),
        ("iif(true, status, 'x')", "status", None),
        ("'[x]'.startsWith(status)", "status", None),
        ("'[x]'.contains(code.text)", "code.text", None),
        ("('a' | status).last()", "status", None),
        ("extension.where(url = 'u').exists()", "extension[*].url", False),
        ("extension('u').exists()", "extension[*].url", False),
        ("getResourceKey()", "id", None),
        ("subject.getReferenceKey()", "subject.reference", None),
        ("subject.getReferenceKey(Patient)", "subject.reference", None),
        ("value.ofType(Quantity) > 5 'mg'", "valueQuantity.unit", None),
        ("effective.ofType(dateTime) > @2020", "effectiveDateTime", None),
        ("effective.ofType(dateTime).lowBoundary()", "effectiveDateTime", None),
        ("effective.ofType(dateTime).precision()", "effectiveDateTime", None),
    ],
)
@pytest.mark.parametrize("odd", [{"a": "Patient/1"}, ["s"]], ids=["object", "list"])
def test_what_stands_in_place_of_a_string_counts_where_it_is_only_asked_about(
    path: str, where: str, value: Any, odd: Any, tmp_path: Path
) -> None:
    resource: dict[str, Any] = {"resourceType": "Observation", "valueQuantity": {"value": 6}}
    part, names = resource, where.replace("[*]", ".0").split(".")
    for name, below in pairwise(names):
        content: Any = [{}] if below == "0" else {}
        part = part[0] if name == "0" else part.setdefault(name, content)
    (part[0] if isinstance(part, list) else part)[names[-1]] = odd
    file = tmp_path / "resource.ndjson"
    file.write_bytes(msgspec.json.encode(resource))
    for source in ([resource], file):
        table = run_view({"resource": "Observation", "select": [{"column": [{"name": "v", "path": path}]}]}, source)
        assert table["v"].to_pylist() == [value]
        assert remarks_of(table) == (Remark("CH320", f"Observation.{where}", 1),)


@pytest.mark.parametrize("odd", ["[1]", "5", '"x"', "[]", "no json"])
def test_a_line_that_is_no_object_leaves_the_others(odd: str, tmp_path: Path) -> None:
    """Also where nothing of the resources is read but their type."""
    file = tmp_path / "resources.ndjson"
    file.write_text(f'{{"resourceType": "Observation"}}\n{odd}\n{{"resourceType": "Patient"}}\n')
    view = {"resource": "Observation", "select": [{"column": [{"name": "k", "path": "'k'"}]}]}
    table = run_view(view, file)
    assert table["k"].to_pylist() == ["k"]
    assert remarks_of(table) == (Remark("CH321", "Observation", 1),)


def test_text_that_looks_like_json_is_text() -> None:
    for text in ("{score}", "[degF]", '{"a": 1}', "[1]", "{}", "[]", '["a"]', '{"a": "\\"é😀"}'):
        resource = {"resourceType": "Observation", "status": text, "valueQuantity": {"unit": text}}
        table = run_view(VIEW, [resource])
        assert table["unit"][0].as_py() == text
        assert table["status"][0].as_py() == text
        assert remarks_of(table) == ()


def test_a_misfit_that_duckdb_cannot_quote(tmp_path: Path) -> None:
    """Its message cuts the text that it quotes, maybe within a character."""
    file = tmp_path / "resources.ndjson"
    for count in (1, 400, 401):
        file.write_text('{"resourceType": "Observation", "id": "a", "code": "' + "é😀" * count + '"}', encoding="utf-8")
        table = run_view(VIEW, file)
        assert table["id"].to_pylist() == ["a"]
        assert remarks_of(table) == (Remark("CH320", "Observation.code", 1),)


def test_numbers_beyond_their_type_are_counted_wherever_they_stand(tmp_path: Path) -> None:
    """In a list, in the item of a repeat, in a resource within; and what is read as its text alone is no misfit."""
    answer = {"valueInteger": 2**31, "valueDecimal": 10**30}
    cases: list[tuple[Any, str, Any, list[str]]] = [
        ("component.value.ofType(integer)", "integer", {"component": [{"valueInteger": 2**31}]}, ["component[*].*I"]),
        (
            "component.value.ofType(integer) > 1",
            "boolean",
            {"component": [{"valueInteger": 2**31}]},
            ["component[*].*I"],
        ),
        ("component.value.ofType(integer)", "string", {"component": [{"valueInteger": 2**31}]}, ["component[*].*I"]),
        ("value.ofType(Quantity).value", "string", {"valueQuantity": {"value": 10**20}}, []),
    ]
    file = tmp_path / "resource.ndjson"
    for path, kind, fields, where in cases:
        view = {"resource": "Observation", "select": [{"column": [{"name": "v", "path": path, "type": kind}]}]}
        resource = {"resourceType": "Observation", **fields}
        file.write_bytes(msgspec.json.encode(resource))
        for source in ([resource], file):
            table = run_view(view, source)
            assert table["v"].to_pylist() == ([None] if where else [str(10**20)])
            paths = [remark.path for remark in remarks_of(table)]
            assert paths == [f"Observation.{place}".replace("*I", "valueInteger") for place in where]
    items = {"repeat": ["item"], "column": [{"name": "i", "path": "answer.value.ofType(integer).first()"}]}
    items["column"].append({"name": "d", "path": "answer.value.ofType(decimal).first()"})
    resource = {"resourceType": "QuestionnaireResponse", "item": [{"item": [{"answer": [answer]}]}]}
    file.write_bytes(msgspec.json.encode(resource))
    for source in ([resource], file):
        table = run_view({"resource": "QuestionnaireResponse", "select": [items]}, source)
        assert table.to_pylist() == [{"i": None, "d": None}] * 2
        assert {(remark.path, remark.resources) for remark in remarks_of(table)} == {
            ("QuestionnaireResponse.item[*].answer[*].valueInteger", 1),
            ("QuestionnaireResponse.item[*].answer[*].valueDecimal", 1),
        }


@pytest.mark.parametrize(
    ("path", "kind", "tag", "fields", "where"),
    [
        ("effective.ofType(dateTime)", "dateTime", "TIMESTAMP", {"effectiveDateTime": "soon"}, "effectiveDateTime"),
        ("effective.ofType(dateTime)", "dateTime", "TIMESTAMP", {"effectiveDateTime": ""}, "effectiveDateTime"),
        ("effective.ofType(dateTime)", "dateTime", "DATE", {"effectiveDateTime": "2024-02-30"}, "effectiveDateTime"),
        ("issued", "instant", "TIMESTAMP WITH TIME ZONE", {"issued": "2024-01-01T25:00:00Z"}, "issued"),
        ("effective.ofType(Timing).event.first()", "dateTime", "DATE", {"effectiveTiming": {"event": ["-1"]}}, "*"),
        ("value.ofType(time)", "time", "TIME", {"valueTime": "late"}, "valueTime"),
        ("value.ofType(string)", "string", "INTEGER", {"valueString": "five"}, "valueString"),
        ("value.ofType(integer)", "integer", "SMALLINT", {"valueInteger": 40000}, "valueInteger"),
        ("value.ofType(integer)", "decimal", "DECIMAL(5,1)", {"valueInteger": 40000}, "valueInteger"),
        ("valueQuantity", "decimal", "DECIMAL(5,1)", {"valueQuantity": {"value": 1e4}}, "valueQuantity.value"),
    ],
)  # fmt: skip
def test_what_the_type_of_a_tag_does_not_hold_is_counted(
    path: str, kind: str, tag: str, fields: dict[str, Any], where: str, tmp_path: Path
) -> None:
    path = path.replace("valueQuantity", "value.ofType(Quantity).value")
    tagged = {"name": "v", "path": path, "type": kind, "tag": [{"name": "ansi/type", "value": tag}]}
    plain = {"name": "v", "path": path, "type": kind}
    resource = {"resourceType": "Observation", **fields}
    file = tmp_path / "resource.ndjson"
    file.write_bytes(msgspec.json.encode(resource))
    for source in ([resource], file):
        table = run_view({"resource": "Observation", "select": [{"column": [tagged]}]}, source)
        assert table["v"].to_pylist() == [None]
        place = "effectiveTiming.event[*]" if where == "*" else where
        assert remarks_of(table) == (Remark("CH320", f"Observation.{place}", 1),)
        table = run_view({"resource": "Observation", "select": [{"column": [plain]}]}, source)
        assert table["v"].to_pylist() != [None]
        assert remarks_of(table) == ()


def test_numbers_that_are_no_integers_are_null() -> None:
    for number, expected in ((1.5, None), (10**12, None), (-3, -3)):
        table = run_view(VIEW, [{"resourceType": "Observation", "valueInteger": number}])
        assert table["count"][0].as_py() == expected


def test_files_of_every_kind(tmp_path: Path) -> None:
    good = b'{"resourceType":"Observation","id":"a","valueQuantity":{"value":1.10}}'
    (tmp_path / "a.ndjson").write_bytes(good + b"\n\n" + b'{"resourceType":"Patient","id":"p","code":7,"name":"x"}\n')
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "b.ndjson.gz").write_bytes(gzip.compress(good.replace(b'"a"', b'"b"') + b"\nnot json\n[1]\n"))
    for source in (tmp_path, f"{tmp_path}/**/*.ndjson*"):
        table = run_view(VIEW, source)
        assert sorted(table["id"].to_pylist()) == ["a", "b"]
        assert remarks_of(table) == (Remark("CH321", "Observation", 2),)
    for target in (tmp_path / "out.parquet", tmp_path / "out.csv"):
        assert write_view(VIEW, tmp_path, target) == (2, (Remark("CH321", "Observation", 2),))
        assert sorted(row[0] for row in duckdb.connect().sql(f"SELECT id FROM '{target}'").fetchall()) == ["a", "b"]
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.ndjson", "deep", "out.csv", "out.parquet"]


def test_long_decimals_in_files_take_the_exact_way(tmp_path: Path) -> None:
    file = tmp_path / "long.ndjson"
    file.write_text('{"resourceType":"Observation","valueQuantity":{"value":0.123456789012345678}}\n')
    assert run_view(VIEW, file)["value"][0].as_py() == Decimal("0.123456789012345678")
    assert duckdb.connect().sql(compile_view(VIEW, file)).fetchall()[0][4] == Decimal("0.123456789012345678")


def test_relations_with_carried_columns() -> None:
    connection = duckdb.connect()
    connection.sql('CREATE SCHEMA "odd ""schema"')
    connection.sql(
        """CREATE TABLE "odd ""schema".kept AS SELECT * FROM (VALUES
        ('k1', 'Observation', '{"resourceType": "Observation", "id": "a", "status": "final"}'),
        ('k2', 'Observation', 'not json'), ('k3', 'Observation', NULL),
        ('k4', 'Patient', '{"resourceType": "Patient", "id": "p"}')) AS t(person_key, resource_type, resource)"""
    )
    source = SqlRelation('"odd ""schema".kept')
    table = run_view(VIEW, source, connection, carry=["person_key"])
    assert table.column_names[:2] == ["person_key", "id"]
    rows = sorted(zip(table["person_key"].to_pylist(), table["status"].to_pylist(), strict=True))
    assert rows == [("k1", "final"), ("k2", None), ("k3", None)]
    assert remarks_of(table) == (Remark("CH321", "Observation", 2),)
    struct = connection.sql("SELECT {'resourceType': 'Observation', 'id': 'a', 'status': 'final'} AS resource")
    assert run_view(VIEW, struct)["id"].to_pylist() == ["a"]
    relation = connection.sql('SELECT resource::JSON AS resource FROM "odd ""schema".kept WHERE json_valid(resource)')
    assert run_view(VIEW, relation)["id"].to_pylist() == ["a"]
    assert len(connection.sql(compile_view(VIEW, relation)).fetchall()) == 1


STRUCT = "{'resourceType': 'Observation', 'id': 'a', 'valueInteger': 5}"


@pytest.mark.parametrize("resource", [STRUCT, f"MAP {STRUCT}".replace(" 5", " '5'"), f"to_json({STRUCT})"])
def test_relations_of_structs_and_maps(resource: str, tmp_path: Path) -> None:
    connection = duckdb.connect()
    connection.sql(f'CREATE TABLE t AS SELECT \'k\' AS person_key, {resource} AS "the ""resource"')
    source = SqlRelation("t", resource='the "resource', resource_type=None)
    relation = connection.sql('SELECT person_key, "the ""resource" AS resource FROM t')
    for table in (run_view(VIEW, source, connection, carry=["person_key"]), run_view(VIEW, relation)):
        assert table["id"].to_pylist() == ["a"]
        remarks = (Remark("CH320", "Observation.valueInteger", 1),) if "MAP" in resource else ()
        assert remarks_of(table) == remarks
    assert write_view(VIEW, source, tmp_path / "out.csv", connection) == (1, remarks)


@pytest.mark.parametrize("resource", [f"[{STRUCT}]", f"[MAP {STRUCT}]".replace(" 5", " '5'"), "1", "'{}'::BLOB"])
def test_relations_of_what_is_no_resource(resource: str, tmp_path: Path) -> None:
    connection = duckdb.connect()
    connection.sql(f"CREATE TABLE t AS SELECT {resource} AS resource")
    source = SqlRelation("t", resource_type=None)
    for run in (
        lambda: run_view(VIEW, source, connection),
        lambda: run_view(VIEW, connection.sql("FROM t")),
        lambda: write_view(VIEW, source, tmp_path / "out.csv", connection),
    ):
        with pytest.raises(ViewError, match=r"CH309.*where JSON text is due"):
            run()


def test_the_sql_parses_each_resource_once() -> None:
    view = {
        "resource": "Patient",
        "where": [{"path": "active"}, {"path": "name.exists()"}],
        "select": [
            {"column": [{"name": "id", "path": "id"}]},
            {"forEach": "name", "column": [{"name": "f", "path": "family"}]},
        ],
    }
    connection = duckdb.connect()
    connection.sql('CREATE TABLE t AS SELECT \'{"resourceType": "Patient"}\' AS resource FROM range(10)')
    sql = compile_view(view, SqlRelation("t", resource_type=None))
    plan = connection.sql(f"EXPLAIN {sql}").fetchall()[0][1]
    # UNNEST shows no expression in a plan: a from_json that can be seen is a second parsing
    assert "from_json" not in "".join(character for character in plan if character.isalpha() or character == "_")
    assert sql.count("from_json") == 1
