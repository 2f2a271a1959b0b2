"""Random views, nested and joined at will, against the standard's algorithm, written down in a few lines."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from itertools import product
from random import Random
from typing import TYPE_CHECKING, Any

import fhirpathpy
import pytest
from fhirpathpy.models import models

from tests.sql_on_fhir import walks
from transforms.sql_on_fhir import run_view
from transforms.sql_on_fhir.values import Type

if TYPE_CHECKING:
    from collections.abc import Iterator

R4 = models["r4"]
DEEPEST = 2

Select = dict[str, Any]
Row = dict[str, Any]


class Views:
    """Makes selection structures over what the resources hold."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.columns = 0

    def select(self, kind: Type, found: list[Any], depth: int) -> Select:
        """One selection structure, with others in it."""
        made: Select = {}
        if self.random.random() < (0.7 if depth else 0.4):
            there = walks.walk(self.random, kind, found, most=2, filters=0)
            if there.type.family is None and not set("([") & set(there.path):
                made[self.random.choice(("forEach", "forEachOrNull"))] = there.path
                kind, found = there.type, there.found
        made["column"] = [self.column(kind, found) for _ in range(self.random.randint(1, 2))]
        if depth < DEEPEST and self.random.random() < 0.6:
            made["select"] = [self.select(kind, found, depth + 1) for _ in range(self.random.randint(1, 2))]
        if depth < DEEPEST and self.random.random() < 0.3:
            branch = self.select(kind, found, depth + 1)
            for column in columns_of(branch):
                column["type"] = "string"
            nothing = [{**column, "path": "{}"} for column in columns_of(branch)]
            made["unionAll"] = [branch, {"column": nothing}]
        return made

    def column(self, kind: Type, found: list[Any]) -> Row:
        """A column of what a path gives, or of the number of the row."""
        self.columns += 1
        if self.random.random() < 0.15:
            return {"name": f"c{self.columns}", "path": "%rowIndex"}
        there = walks.walk(self.random, kind, found, most=3, filters=1)
        path = there.path if there.type.family else f"{there.path}.exists()"
        return {"name": f"c{self.columns}", "path": path, "collection": True}


def columns_of(select: Select) -> list[Row]:
    """All columns that a selection structure gives, in their order."""
    parts = [*select.get("select", []), *select.get("unionAll", [])[:1]]
    return [*select["column"], *(column for part in parts for column in columns_of(part))]


def rows(select: Select, resource: Row, focus: str, index: int) -> Iterator[Row]:
    """The rows of a selection structure, its focus given as a path from the resource."""
    each = select.get("forEach") or select.get("forEachOrNull")
    foci = [(focus, index)]
    if each:
        items = f"{focus}.{each}" if focus else each
        foci = [(f"({items})[{i}]", i) for i in range(len(evaluated(resource, items)))]
        if not foci and "forEachOrNull" in select:
            yield dict.fromkeys((column["name"] for column in columns_of(select)), None)
    for here, nth in foci:
        own = {column["name"]: cell(column, resource, here, nth) for column in select["column"]}
        parts = [list(rows(part, resource, here, nth)) for part in select.get("select", [])]
        if "unionAll" in select:
            parts.append([row for branch in select["unionAll"] for row in rows(branch, resource, here, nth)])
        for combined in product([own], *parts):
            yield {name: value for row in combined for name, value in row.items()}


def cell(column: Row, resource: Row, focus: str, index: int) -> Any:
    """The value of a column."""
    if column["path"] == "%rowIndex":
        return index
    return evaluated(resource, f"{focus}.select({column['path']})" if focus else column["path"])


def evaluated(resource: Row, path: str) -> list[Any]:
    """What the independent evaluator finds."""
    return [] if path.endswith(("{}", "({})")) else fhirpathpy.evaluate(resource, path, {}, R4)


def plain(name: str, value: Any, numbers: set[str]) -> Any:
    """A value to be compared as text; a row of forEachOrNull for nothing counts as its first."""
    if name in numbers:
        return str(value or 0)
    if isinstance(value, list):
        return tuple(plain("", item, numbers) for item in value)
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        return str(Decimal(str(value)).normalize())
    return value if value is None else str(value).lower()


@pytest.mark.parametrize("seed", range(3))
def test_rows_are_those_of_the_standards_algorithm(seed: int) -> None:
    random = Random(seed)  # noqa: S311
    for _ in range(50):
        kind = random.choice(walks.KINDS)
        resources = [walks.resource(random, kind, extensions=False) for _ in range(3)]
        select = Views(random).select(Type.of(kind), resources, 0)
        numbers = {column["name"] for column in columns_of(select) if column["path"] == "%rowIndex"}
        expected = [row for resource in resources for row in rows(select, resource, "", 0)]
        got = run_view({"resource": kind, "select": [select]}, resources).to_pylist()
        one, other = (
            Counter(tuple((name, plain(name, row[name], numbers)) for name in sorted(row)) for row in found)
            for found in (got, expected)
        )
        assert one == other, select
