"""Which rows a view gives: forEachOrNull over nothing, and what a repeat may ask of its surroundings."""

from __future__ import annotations

from typing import Any

import pytest

from transforms.sql_on_fhir import ViewError, run_view


def col(name: str, path: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "path": path, **more}


def rows(select: dict[str, Any], resource: dict[str, Any]) -> list[tuple[Any, ...]]:
    """The rows of a view of the resource's id and one more selection."""
    view = {"resource": resource["resourceType"], "select": [{"column": [col("id", "id")]}, select]}
    return [tuple(row.values()) for row in run_view(view, [resource]).to_pylist()]


NOBODY = {"resourceType": "Patient", "id": "p"}
SOMEBODY = NOBODY | {
    "contact": [{"gender": "male", "telecom": [{"value": "t"}]}, {}],
    "name": [{"given": ["a"]}, {"given": ["b"]}],
}
TELECOM = {"forEach": "telecom", "column": [col("value", "value"), col("nth", "%rowIndex")]}


@pytest.mark.parametrize(
    ("select", "nobody", "somebody"),
    [
        pytest.param(
            {
                "forEachOrNull": "contact",
                "column": [
                    *(col("a", "'x'"), col("b", "gender.exists()"), col("c", "%rowIndex"), col("d", "%resource.id")),
                    col("e", "telecom.value", collection=True),
                ],
            },
            [("p", None, None, 0, None, None)],
            [("p", "x", True, 0, "p", ["t"]), ("p", "x", False, 1, "p", [])],
            id="columns that need no item",
        ),
        pytest.param(
            {"forEachOrNull": "contact", "column": [col("a", "gender")], "select": [TELECOM]},
            [("p", None, None, 0)],
            [("p", "male", "t", 0)],
            id="forEach within",
        ),
        pytest.param(
            {"forEachOrNull": "contact", "select": [{"forEach": "%resource.name", "column": [col("a", "given")]}]},
            [("p", None)],
            [("p", "a"), ("p", "b")] * 2,
            id="forEach within, of something else",
        ),
        pytest.param(
            {
                "forEachOrNull": "contact",
                "unionAll": [{"column": [col("a", "'x'")]}, {"forEach": "telecom", "column": [col("a", "value")]}],
            },
            [("p", None)],
            [("p", "x"), ("p", "t"), ("p", "x")],
            id="unionAll within",
        ),
        pytest.param(
            {"unionAll": [{"forEachOrNull": "contact", "column": [col("a", "'x'")], "select": [TELECOM]}]},
            [("p", None, None, 0)],
            [("p", "x", "t", 0)],
            id="within unionAll",
        ),
        pytest.param(
            {"forEachOrNull": "contact.first()", "column": [col("a", "'x'")], "select": [TELECOM]},
            [("p", None, None, 0)],
            [("p", "x", "t", 0)],
            id="one item at most",
        ),
        pytest.param(
            {
                "forEachOrNull": "{}",
                "column": [col("a", "'x'")],
                "select": [{"forEach": "{}", "column": [col("b", "1")]}],
            },
            [("p", None, None)],
            [("p", None, None)],
            id="never an item",
        ),
    ],
)  # fmt: skip
def test_for_each_or_null_gives_one_row_of_nulls_for_nothing(
    select: dict[str, Any], nobody: list[Any], somebody: list[Any]
) -> None:
    """Whatever is nested in it; the standard's tests want 0 for %rowIndex there."""
    assert rows(select, NOBODY) == nobody
    assert sorted(rows(select, SOMEBODY), key=str) == sorted(somebody, key=str)


ANSWERS = {
    "resourceType": "QuestionnaireResponse",
    "id": "1",
    "item": [{"linkId": "0", "item": [{"linkId": "1", "item": [{"linkId": "2"}]}]}, {"linkId": "3"}],
}
LINK = [col("link", "linkId")]


@pytest.mark.parametrize(
    ("select", "links"),
    [
        ({"repeat": ["item.where(linkId != %resource.id)"], "column": LINK}, ["0", "3"]),
        (
            {"forEach": "item", "select": [{"repeat": ["item.where(%rowIndex = 0)"], "column": LINK}]},
            ["1", "2"],
        ),
        ({"repeat": ["item"], "select": [{"repeat": ["item.where(linkId != %resource.id)"], "column": LINK}]}, ["2"]),
        ({"forEachOrNull": "item", "select": [{"repeat": ["item"], "column": LINK}]}, ["1", "2"]),
        ({"forEachOrNull": "item.item.item.item", "select": [{"repeat": ["item"], "column": LINK}]}, [None]),
        (
            {
                "forEachOrNull": "item.item.item.item",
                "unionAll": [{"repeat": ["item"], "column": LINK}, {"column": [col("link", "'x'")]}],
            },
            [None],
        ),
    ],
)
def test_a_repeat_sees_what_is_around_it(select: dict[str, Any], links: list[Any]) -> None:
    assert sorted((row[1] for row in rows(select, ANSWERS)), key=str) == links


def test_a_repeat_that_would_never_end_is_refused() -> None:
    for path in ("%resource.item", "%resource.item.first().item", "%rootResource.item.where(linkId = '1')"):
        with pytest.raises(ViewError) as caught:
            rows({"repeat": ["item", path], "column": LINK}, ANSWERS)
        assert (caught.value.code, caught.value.path) == ("CH305", "$.select[1].repeat[1]")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("gender in ('male' | 'female')", "true"),
        ("('male' | 'x').where($this = %resource.contact.gender.first())", "male"),
        ("'male'.startsWith(gender)", "true"),
    ],
)
def test_a_list_of_literals_may_be_compared_with_what_is_around_a_row(path: str, expected: str) -> None:
    """DuckDB loses sight of a lateral's outer columns there, if no more than the body of a lambda names them."""
    branch = {"column": [col("a", path, type="string")]}
    select = {"forEachOrNull": "contact[0]", "column": [col("nth", "%rowIndex")], "unionAll": [branch, branch]}
    assert rows(select, SOMEBODY) == [("p", 0, expected)] * 2


def test_a_union_of_constants_goes_with_what_is_around_it() -> None:
    inner = {"column": [col("b", "name.given", collection=True)], "unionAll": [{"column": [col("c", "1")]}]}
    assert rows({"unionAll": [inner]}, SOMEBODY) == [("p", ["a", "b"], 1)]


def test_a_repeat_may_compare_with_literals() -> None:
    within = [{"linkId": "b"}, {"linkId": "c"}]
    answers = {"resourceType": "QuestionnaireResponse", "item": [{"linkId": "a", "item": within}]}
    repeated = {"repeat": ["item.where(linkId in ('a' | 'b'))"], "column": [col("link", "linkId")]}
    assert sorted(rows(repeated, answers)) == [(None, "a"), (None, "b")]
