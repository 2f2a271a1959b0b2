"""Random views over random resources, against an independent evaluator of FHIRPath (fhirpathpy)."""

from __future__ import annotations

from decimal import Decimal
from functools import cache
from random import Random
from typing import TYPE_CHECKING, Any

import duckdb
import fhirpathpy
import pytest
from fhirpathpy.models import models
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.sql_on_fhir import walks
from transforms.sql_on_fhir import run_view

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

R4 = models["r4"]

words = st.sampled_from(["a", "b", "B b", "O'Neil", "ä😀", '{"x": 1}', "[1]", "{score}", 'say "hi"', "\\", ""]).filter(
    bool
)
numbers = st.decimals(min_value=-999, max_value=999, places=2).map(lambda number: Decimal(str(number)))
uses = st.sampled_from(["official", "usual", "old"])
days = st.sampled_from(["1980", "1980-02", "1980-02-29", "2001-12-31"])


def maybe(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """An object that has any of these fields."""
    return st.fixed_dictionaries({}, optional=fields)


def some(item: st.SearchStrategy[Any], most: int = 3) -> st.SearchStrategy[list[Any]]:
    """A list that is not empty, as FHIR asks for."""
    return st.lists(item, min_size=1, max_size=most)


coding = maybe(system=words, code=words, display=words).filter(bool)
concept = maybe(coding=some(coding), text=words).filter(bool)
name = maybe(use=uses, family=words, given=some(words)).filter(bool)
telecom = maybe(system=words, value=words, rank=st.integers(1, 9)).filter(bool)
extension = st.fixed_dictionaries({"url": st.sampled_from(["urn:a", "urn:b"])}, optional={"valueString": words})
patients = maybe(
    id=st.sampled_from(["p1", "p2"]),
    active=st.booleans(),
    gender=st.sampled_from(["male", "female"]),
    birthDate=days,
    name=some(name),
    telecom=some(telecom),
    contact=some(maybe(name=name, telecom=some(telecom)).filter(bool)),
    maritalStatus=concept,
    extension=some(extension),
    multipleBirthInteger=st.integers(1, 4),
    generalPractitioner=some(maybe(reference=st.sampled_from(["Practitioner/1", "Organization/2"])).filter(bool)),
).map(lambda fields: {"resourceType": "Patient", **fields})

quantity = maybe(value=numbers, unit=words, code=words).filter(bool)
observations = maybe(
    id=st.sampled_from(["o1"]),
    status=st.sampled_from(["final", "amended"]),
    code=concept,
    valueQuantity=quantity,
    component=some(
        st.one_of(
            maybe(code=concept, valueQuantity=quantity), maybe(code=concept, valueInteger=st.integers(-5, 5))
        ).filter(bool)
    ),
).map(lambda fields: {"resourceType": "Observation", **fields})

NAME_CRITERIA = [
    "use = 'official'",
    "given.exists()",
    "family = 'a' or use = 'old'",
    "given.count() > 1",
    "$this.use.empty()",
]
TELECOM_CRITERIA = [
    "rank > 3",
    "system = value",
    "value.exists() and rank.empty()",
    "(rank < 5).not()",
    "rank + 1 >= 4",
]


def paths(roots: dict[str, list[str]], leaves: dict[str, list[str]]) -> st.SearchStrategy[tuple[str, str]]:
    """A path with filters and positions, and the kind of what it gives."""

    @st.composite
    def build(draw: st.DrawFn) -> tuple[str, str]:
        root = draw(st.sampled_from(sorted(roots)))
        path = root
        if draw(st.booleans()):
            path += f".where({draw(st.sampled_from(roots[root]))})"
        path += draw(st.sampled_from(["", ".first()", "[0]", "[1]", ".last()"]))
        leaf, kind = draw(st.sampled_from(leaves[root])).split(":")
        path += f".{leaf}"
        return path + draw(st.sampled_from(["", "", ".first()", "[1]"])), kind

    return build()


patient_paths = paths(
    {
        "name": NAME_CRITERIA,
        "contact.name": NAME_CRITERIA,
        "telecom": TELECOM_CRITERIA,
        "contact.telecom": TELECOM_CRITERIA,
    },
    {
        "name": ["family:string", "given:string", "use:code"],
        "contact.name": ["family:string", "given:string"],
        "telecom": ["value:string", "system:code", "rank:integer"],
        "contact.telecom": ["value:string", "rank:integer"],
    },
)
observation_paths = paths(
    {
        "component": [
            "code.exists()",
            "value.ofType(Quantity).value > 1.5",
            "code.coding.code contains 'a'",
            "value.exists()",
        ]
    },
    {"component": ["value.ofType(Quantity).value:decimal", "code.coding.code:code", "value.ofType(integer):integer"]},
)


@st.composite
def expressions(draw: st.DrawFn, source: st.SearchStrategy[tuple[str, str]]) -> tuple[str, str]:
    """An expression over a path, and the type of the column that holds it."""
    path, kind = draw(source)
    other, other_kind = draw(source)
    text = draw(st.sampled_from(["'a'", "'O\\'Neil'", "'{score}'", "'ä😀'"]))
    forms = [
        (path, kind),
        (f"{path}.exists()", "boolean"),
        (f"{path}.empty()", "boolean"),
        (f"{path}.count()", "integer"),
    ]
    if kind in {"string", "code"}:
        forms += [
            (f"{path}.join('|')", "string"),
            (f"{path} = {text}", "boolean"),
            (f"{path}.first() & {text}", "string"),
            (f"{path}.first() + '-' + {path}.first()", "string"),
            (f"{path}.where($this != {text})", kind),
            (f"{path}.where(startsWith('a') or length() > 3)", kind),
            (f"{text} in {path}", "boolean"),
            (f"{path}.all(length() < 3)", "boolean"),
            (f"{path}.select($this & 'x')", "string"),
            (f"iif({path}.exists(), {path}.first(), 'none')", "string"),
        ]
    else:
        number = draw(st.sampled_from(["2", "-1.5", "0"]))
        forms += [
            (f"{path}.first() > {number}", "boolean"),
            (f"{path}.first() + {number}", "decimal"),
            (f"{path}.first() * {number} - 1", "decimal"),
            (f"{path}.where($this <= {number})", kind),
        ]
    if (kind in {"string", "code"}) == (other_kind in {"string", "code"}):
        forms += [(f"{path} = {other}", "boolean"), (f"{path}.first() != {other}.first()", "boolean")]
    chosen, result = draw(st.sampled_from(forms))
    if result == "boolean" and draw(st.booleans()):
        operator = draw(st.sampled_from(["and", "or", "xor", "implies"]))
        return f"({chosen}) {operator} ({other}.exists())", "boolean"
    return chosen, result


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as opened:
        yield opened


def oracle(resource: dict[str, Any], expression: str) -> list[Any]:
    """What fhirpathpy says, with numbers as Decimals."""
    return [plain(item) for item in compiled(expression)(resource, {})]


@cache
def compiled(expression: str) -> Any:
    """The oracle's own parser takes most of its time, so each expression is parsed once."""
    return fhirpathpy.compile(expression, R4)


def plain(value: Any) -> Any:
    """Numbers that compare, whatever library they come from."""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return value
    return Decimal(str(value)).normalize()


def agree(
    connection: duckdb.DuckDBPyConnection, resources: list[dict[str, Any]], columns: Sequence[tuple[str, str | None]]
) -> None:
    """Every column of a view over the resources is what the oracle says of each."""
    kind = resources[0]["resourceType"]
    view = {
        "resource": kind,
        "select": [
            {
                "column": [
                    {"name": f"c{i}", "path": path, "collection": True} | ({"type": type_name} if type_name else {})
                    for i, (path, type_name) in enumerate(columns)
                ]
            }
        ],
    }
    rows = run_view(view, resources, connection, remarks=False).to_pylist()
    assert len(rows) == len(resources)
    for resource, row in zip(resources, rows, strict=True):
        for i, (path, _) in enumerate(columns):
            assert [plain(item) for item in row[f"c{i}"]] == oracle(resource, path), path


quick = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)


@quick
@given(st.lists(patients, min_size=1, max_size=4), st.lists(expressions(patient_paths), min_size=1, max_size=4))
def test_patients(
    connection: duckdb.DuckDBPyConnection, resources: list[dict[str, Any]], columns: list[tuple[str, str]]
) -> None:
    agree(connection, resources, columns)


@quick
@given(st.lists(observations, min_size=1, max_size=4), st.lists(expressions(observation_paths), min_size=1, max_size=4))
def test_observations(
    connection: duckdb.DuckDBPyConnection, resources: list[dict[str, Any]], columns: list[tuple[str, str]]
) -> None:
    agree(connection, resources, columns)


FIXED = [
    ("birthDate < @1980-02-15", "boolean"),
    ("birthDate >= @1980", "boolean"),
    ("birthDate = @1980-02-29", "boolean"),
    ("maritalStatus.coding.where(system = 'a' or display.exists()).code", "code"),
    ("maritalStatus.text | maritalStatus.coding.display", "string"),
    ("extension.where(url = 'urn:b').value.ofType(string)", "string"),
    ("extension.value.exists()", "boolean"),
    ("(multipleBirth as integer) mod 2", "integer"),
    ("multipleBirth.ofType(integer) / 3 > 0.5", "boolean"),
    ("multipleBirth is integer", "boolean"),
    ("generalPractitioner.reference.distinct()", "string"),
    ("name.given.distinct().count()", "integer"),
    ("name.select(given.first())", "string"),
    ("name.exists(use = 'official')", "boolean"),
    ("name.all(given.exists())", "boolean"),
    ("active and name.exists()", "boolean"),
    ("active.not() or gender = 'male'", "boolean"),
    ("{} | name.family", "string"),
    ("name.family.first().upper() + 'x'", "string"),
    ("name.given.first().substring(1)", "string"),
    ("name.given.first().replace('b', 'c')", "string"),
    ("name.given.first().replace('', 'c')", "string"),
    ("telecom.select($index)", "integer"),
    ("name.given.select($index + 1)", "integer"),
    ("name.where(family = 'a').given.join(', ')", "string"),
]


@settings(parent=quick, max_examples=15)
@given(st.lists(patients, min_size=1, max_size=6))
def test_fixed_expressions(connection: duckdb.DuckDBPyConnection, resources: list[dict[str, Any]]) -> None:
    agree(connection, resources, FIXED)


@settings(parent=quick, max_examples=15)
@given(
    st.lists(patients, min_size=1, max_size=4),
    st.sampled_from(["name", "contact", "contact.telecom", "name.given", "telecom.where(rank > 2)"]),
    st.sampled_from(["forEach", "forEachOrNull"]),
    st.booleans(),
)
def test_rows(
    connection: duckdb.DuckDBPyConnection, resources: list[dict[str, Any]], each: str, iterator: str, union: bool
) -> None:
    """forEach, alone and in a union: a row for each item that the oracle finds."""
    inner = "$this.exists()"
    part = {iterator: each, "column": [{"name": "there", "path": inner, "type": "boolean"}]}
    part["column"].append({"name": "row", "path": "%rowIndex", "type": "integer"})
    select = [{"column": [{"name": "id", "path": "id", "type": "id"}]}, {"unionAll": [part, part]} if union else part]
    rows = run_view({"resource": "Patient", "select": select}, resources, connection, remarks=False).to_pylist()
    expected = []
    for resource in resources:
        count = len(compiled(each)(resource, {}))
        items = [(resource.get("id"), True, i) for i in range(count)]
        if not items and iterator == "forEachOrNull":
            items = [(resource.get("id"), None, 0)]
        expected += items * (2 if union else 1)
    got = [(row["id"], row["there"], row["row"]) for row in rows]
    assert sorted(got, key=str) == sorted(expected, key=str)


@pytest.mark.parametrize("seed", range(4))
def test_walks_along_any_resource(connection: duckdb.DuckDBPyConnection, seed: int) -> None:
    random = Random(seed)  # noqa: S311
    for _ in range(40):
        kind = random.choice(walks.KINDS)
        resources = [walks.resource(random, kind) for _ in range(4)]
        paths = [walks.expression(random, kind, resources) for _ in range(4)]
        agree(connection, resources, [(path, None) for path in paths])
