"""Documents that the code writes are the ones that stand in docs/."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from charthouse.errors import CATALOGUE, catalogue, catalogue_markdown
from charthouse.operating.diagram import drawn, render

ROOT = Path(__file__).resolve().parents[2]


def test_the_error_catalogue_is_written_down() -> None:
    assert (ROOT / "docs" / "errors.md").read_text() == catalogue_markdown()


@pytest.mark.parametrize("page", ["state.md", "privacy.md"])
def test_what_is_drawn_is_drawn_from_the_code(page: str) -> None:
    written = (ROOT / "docs" / page).read_text()
    assert written == render(written, drawn()[page]), "run: python -m charthouse.operating.diagram"


def test_no_number_is_used_twice() -> None:
    declared = re.findall(r'(?:ErrorCode|Rule)\(\s*"(CH\d{3})"', _sources())
    assert len(declared) == len(set(declared))
    assert set(declared) <= catalogue().keys()


def test_every_number_in_the_code_is_declared() -> None:
    assert set(re.findall(r'"(CH\d{3})"', _sources())) <= catalogue().keys()


def test_every_declared_error_of_ours_is_used() -> None:
    elsewhere = "".join(file.read_text() for file in _files() if file.parent != ROOT / "charthouse" / "errors")
    assert {code for code in CATALOGUE if f'"{code}"' not in elsewhere} == set()


@pytest.mark.parametrize(
    "page", sorted(ROOT.glob("*.md")) + sorted((ROOT / "docs").glob("*.md")), ids=lambda page: page.name
)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target


def _files() -> list[Path]:
    return [*(ROOT / "charthouse").rglob("*.py"), *(ROOT / "transforms").rglob("*.py")]


def _sources() -> str:
    return "\n".join(file.read_text() for file in _files())
