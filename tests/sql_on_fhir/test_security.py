"""Views and resources are data: whatever they hold, the SQL is one SELECT, and a string comes out as it went in."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from transforms.sql_on_fhir import NdjsonFiles, SqlRelation, ViewError, compile_view, run_view

if TYPE_CHECKING:
    from collections.abc import Iterator

quick = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)

ATTACKS = [
    *(
        "'",
        "''",
        "\\'",
        '"',
        '""',
        "`",
        "$$x$$",
        "/*",
        "*/",
        "--",
        ";",
        "\\",
        "\\\\'",
        "\0",
        "\x1a",
        "\u2028",
        "%s",
        "{}",
        "{0}",
    ),
    *("${x}", "%x", "\n", "é😀", "\ud800", "E'\\''", "U&'\\0027'", "';DROP TABLE canary;--"),
    *("') UNION ALL SELECT secret FROM canary--", "x' AS y,(SELECT secret FROM canary) AS z--"),
]
attacks = st.lists(st.one_of(st.sampled_from(ATTACKS), st.text(max_size=6)), max_size=5).map("".join)
texts = attacks.filter(lambda text: not any(0xD800 <= ord(character) < 0xE000 for character in text))


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as opened:
        opened.sql("CREATE TABLE canary AS SELECT 'the secret' AS secret")
        opened.sql("CREATE TABLE resources AS SELECT 'Patient' AS resource_type, '{}' AS resource")
        yield opened


def literal(text: str) -> str:
    """A FHIRPath string."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def view(*columns: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"resource": "Patient", "select": [{"column": list(columns)}], **more}


@quick
@given(text=texts)
def test_a_string_comes_out_as_it_went_in(connection: duckdb.DuckDBPyConnection, text: str) -> None:
    definition = view(
        {"name": "a", "path": literal(text), "description": text},
        {"name": "b", "path": f"%c & {literal(text)}"},
        {"name": "c", "path": f"name.where(family = {literal(text)}).family"},
        {"name": "d", "path": f"name.family.join({literal(text)})"},
        {"name": "e", "path": f"extension({literal(text)}).url"},
        {"name": "f", "path": "name.family.first()"},
        constant=[{"name": "c", "valueString": text}],
    )
    resource = {
        "resourceType": "Patient",
        "name": [{"family": text}, {"family": text}][:1],
        "extension": [{"url": text}],
    }
    (row,) = run_view(definition, [resource], connection).to_pylist()
    assert row == {"a": text, "b": text + text, "c": text, "d": text, "e": text, "f": text}


@quick
@given(attack=attacks, where=st.integers(0, 11))
def test_an_attack_is_an_error_or_harmless(connection: duckdb.DuckDBPyConnection, attack: str, where: int) -> None:
    column: dict[str, Any] = {"name": "v", "path": "id"}
    definition = view(column)
    source: Any = SqlRelation("resources")
    match where:
        case 0:
            column["path"] = attack
        case 1:
            column["path"] = f"id = {attack}"
        case 2:
            column["path"] = f"`{attack}`"
        case 3:
            column["name"] = attack
        case 4:
            column["type"] = attack
        case 5:
            column["tag"] = [{"name": "ansi/type", "value": attack}]
        case 6:
            definition["resource"] = attack
        case 7:
            definition["constant"] = [{"name": attack, "valueString": attack}]
        case 8:
            definition["select"][0]["forEach"] = attack
        case 9:
            definition["where"] = [{"path": f"name.where(family = '{attack}').exists()"}]
        case 10:
            source = SqlRelation(f'"{attack}"')
        case 11:
            definition[attack] = attack
    try:
        sql = compile_view(definition, source)
    except ViewError:
        return
    (statement,) = duckdb.extract_statements(sql)
    assert statement.type == duckdb.StatementType.SELECT
    if where != 10:
        result = connection.sql(sql)
        assert len(result.columns) == 1
        assert all("the secret" not in str(row) for row in result.fetchall())
    assert connection.sql("SELECT count(*) FROM canary").fetchall() == [(1,)]


@quick
@given(attack=texts, carry=texts)
def test_names_of_files_and_carried_columns_are_quoted(attack: str, carry: str) -> None:
    for sql in (
        compile_view(view({"name": "v", "path": "id"}), NdjsonFiles((attack,))),
        compile_view(view({"name": "v", "path": "id"}), NdjsonFiles((attack, "b"), strict=True)),
    ):
        assert len(duckdb.extract_statements(sql)) == 1
    try:
        sql = compile_view(view({"name": "v", "path": "id"}), SqlRelation("t"), carry=[carry])
    except ViewError:
        return
    assert len(duckdb.extract_statements(sql)) == 1


@quick
@given(st.text(alphabet="abid.()[]'$%@`{}<>=+-*/|&, \\01.xT:fhirst", max_size=30))
def test_any_text_is_an_expression_or_a_view_error(expression: str) -> None:
    try:
        sql = compile_view(view({"name": "v", "path": expression}), SqlRelation("resources"))
    except ViewError:
        return
    assert len(duckdb.extract_statements(sql)) == 1


WHOLE: dict[str, Any] = {
    "resourceType": "ViewDefinition",
    "status": "active",
    "resource": "Patient",
    "constant": [{"name": "c", "valueString": "x"}],
    "where": [{"path": "active or name.exists(family = %c)"}],
    "select": [
        {"column": [{"name": "a", "path": "id", "type": "id", "tag": [{"name": "ansi/type", "value": "VARCHAR"}]}]},
        {
            "forEachOrNull": "contact",
            "column": [{"name": "b", "path": "name.given", "collection": True}],
            "select": [{"forEach": "telecom", "column": [{"name": "c", "path": "value"}]}],
            "unionAll": [
                {"repeat": ["extension"], "column": [{"name": "d", "path": "url"}]},
                {"forEach": "extension", "select": [{"column": [{"name": "d", "path": "url"}]}]},
            ],
        },
    ],
}
EXPRESSIONS = [
    *("id", "name", "name.given", "birthDate", "telecom.rank", "contained", "5 'mg'", "1", "'x'", "{}", "$this", "%c"),
    *("%rowIndex", "%resource", "@2020", "true", "extension('u').value", "extension.value.ofType(Quantity)", "-1.5"),
]
CALLS = [
    "first()",
    "exists()",
    "count()",
    "where(true)",
    "extension('u')",
    "join(id)",
    "lowBoundary()",
    "ofType(string)",
]
expressions = st.recursive(
    st.sampled_from(EXPRESSIONS),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(CALLS)).map(lambda two: f"({two[0]}).{two[1]}"),
        st.tuples(inner, st.sampled_from(["=", "&", "+", "|", "in", "and", "<"]), inner).map(
            lambda three: f"({three[0]} {three[1]} {three[2]})"
        ),
        inner.map(lambda one: f"iif({one}.exists(), {one}, {one})"),
    ),
    max_leaves=4,
)


def places(part: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if path:
        yield path
    children = part.items() if isinstance(part, dict) else enumerate(part) if isinstance(part, list) else ()
    for key, child in children:
        yield from places(child, (*path, key))


@settings(parent=quick, max_examples=250)
@given(st.data())
def test_a_view_with_a_part_replaced_gives_rows_or_a_view_error(
    connection: duckdb.DuckDBPyConnection, data: st.DataObject
) -> None:
    definition = json.loads(json.dumps(WHOLE))
    *way, last = data.draw(st.sampled_from(list(places(WHOLE))))
    parent = definition
    for key in way:
        parent = parent[key]
    if data.draw(st.integers(0, 9)) == 0 and isinstance(parent, dict):
        del parent[last]
    else:
        parent[last] = data.draw(st.one_of(expressions, expressions, documents, st.just([{}]), st.just([WHOLE])))
    resource = {"resourceType": "Patient", "id": "p", "active": True, "extension": [{"url": "u"}]}
    fault = None
    try:
        run_view(definition, [resource], connection)
    except ViewError as error:
        fault = error
    assert fault is None or fault.code not in {"CH309", "CH311"}, fault  # neither the source nor DuckDB is at fault
    assert str(fault).encode()


leaves = st.one_of(st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(allow_nan=False), attacks)
documents = st.recursive(
    leaves, lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(attacks, inner, max_size=3))
)


@quick
@given(
    st.fixed_dictionaries(
        {"resourceType": st.just("Patient")},
        optional=dict.fromkeys(("id", "name", "active", "birthDate", "multipleBirthInteger", "extension"), documents),
    )
)
def test_any_resource_gives_its_row(connection: duckdb.DuckDBPyConnection, resource: dict[str, Any]) -> None:
    definition = view(
        {"name": "a", "path": "id"},
        {"name": "b", "path": "name.given", "collection": True},
        {"name": "c", "path": "active"},
        {"name": "d", "path": "birthDate.lowBoundary()"},
        {"name": "e", "path": "multipleBirth.ofType(integer) + 1"},
        {"name": "f", "path": "birthDate > @2000"},
        {"name": "g", "path": "name.where(use = 'x').exists()"},
    )
    try:
        json.dumps(resource, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        with pytest.raises(ViewError, match="CH309"):
            run_view(definition, [resource], connection)
        return
    assert run_view(definition, [resource], connection).num_rows == 1
