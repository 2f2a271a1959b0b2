"""docs/mission.md: each sentence of the product's page has its test, and each test named is there."""

from __future__ import annotations

import ast

import pytest

from tests.conftest import SHARED_DATA
from tests.docs.mission import PAGE, ROOT, mission, page

FACTS = SHARED_DATA.parent / "facts" / "fitbit-medical-records.txt"


def test_the_page_is_written_from_its_declaration() -> None:
    assert PAGE.read_text() == page(), "run: python -m tests.docs.mission"


def test_every_test_that_is_named_is_there() -> None:
    for ask in mission()["asks"]:
        assert ask["tests"] or ask.get("open"), ask["says"]
        for name in ask["tests"]:
            file, _, function = name.partition("::")
            tree = ast.parse((ROOT / "tests" / file).read_text())
            there = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
            assert not function or function in there, name


def test_every_line_of_the_page_has_its_place() -> None:
    said = mission()
    lines = [line for ask in said["asks"] for line in ask["lines"]] + said["screens"]["lines"]
    assert sorted(lines) == list(range(1, 138)), "each once"
    if not FACTS.exists():
        pytest.skip("the page is not beside this checkout")
    assert len(FACTS.read_text().splitlines()) == 137, "the page has changed: read it again"
