"""`charthouse sql --chart`: what is drawn, and what is said where nothing can be."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from charthouse.operating.cli import app
from charthouse.settings import get_settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RISING = "SELECT DATE '2024-01-01' + 100 * i::INTEGER AS day, 10.0 * i AS weight FROM range(4) AS t(i)"


@pytest.fixture
def home(prepared_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home of empty tables."""
    shutil.copytree(prepared_home, tmp_path / "home")
    monkeypatch.setenv("CHARTHOUSE_HOME", str(tmp_path / "home"))
    get_settings.cache_clear()
    yield tmp_path / "home"
    get_settings.cache_clear()


def asked(query: str, *more: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["sql", "--chart", query, *more], env={"COLUMNS": "80"})
    return done.exit_code, done.output or str(done.exception)


def places(picture: str, marker: str) -> list[tuple[int, int]]:
    """Where a marker stands in the picture: column, and row from above."""
    lines = picture.partition("Legend")[0].splitlines()
    return sorted(
        (column, number)
        for number, line in enumerate(lines)
        for column, sign in enumerate(line)
        if sign == marker and "|" in line[:column]
    )


def test_a_date_and_a_number_are_drawn(home: Path) -> None:
    code, picture = asked(f"SELECT day, weight, weight / 2 AS half FROM ({RISING}) ORDER BY weight DESC")
    assert code == 0
    whole, half = places(picture, "o"), places(picture, "x")
    assert len(whole) + len(half) >= 7  # both begin in the same place
    assert [row for _, row in half] == sorted((row for _, row in half), reverse=True)
    assert whole[-1][0] == half[-1][0]
    assert whole[-1][1] < half[-1][1]
    assert ("(day)" in picture, "weight" in picture, "half" in picture) == (True, True, True)
    assert max(len(line) for line in picture.splitlines()) <= 80

    code, picture = asked(
        f"SELECT day, 'a' AS who, weight FROM ({RISING}) UNION ALL SELECT day, 'b', 7 FROM ({RISING})"
    )
    assert len({row for _, row in places(picture, "x")}) == 1
    assert picture.rstrip().endswith(" b")

    code, picture = asked("SELECT now() AS at_, 3 AS n UNION ALL SELECT NULL, 4 UNION ALL SELECT now(), NULL")
    assert len(places(picture, "o")) == 1


@pytest.mark.parametrize(
    ("query", "more", "code", "said"),
    [
        ("SELECT 1 AS n", (), 1, "CH415 The answer cannot be drawn: there is no date among its columns"),
        ("SELECT today() AS day, 'x' AS word", (), 1, "there is no number among its columns"),
        (RISING, ("--format", "csv"), 1, "CH415 The answer cannot be drawn: a chart is for reading"),
        (f"{RISING}; {RISING}", (), 1, "CH010"),
        ("SELECT effective_start, value FROM lab_results", (), 0, "There is nothing to draw"),
        ("SELECT today() AS day, 'NaN'::DOUBLE AS n", (), 0, "There is nothing to draw"),
        ("SELECT today() AS day, 1e300 AS n UNION ALL SELECT today(), -1e300", (), 0, "(day)"),
        ("SELECT DATE '0001-01-01' AS day, 1 AS n UNION ALL SELECT DATE '9999-12-31', 2", (), 0, "There is nothing to"),
        ("SELECT 'infinity'::TIMESTAMP AS day, 1 AS n", (), 0, "There is nothing to draw"),
    ],
)
def test_what_cannot_be_drawn_is_said(home: Path, query: str, more: tuple[str, ...], code: int, said: str) -> None:
    found = asked(query, *more)
    assert (found[0], said in " ".join(found[1].split())) == (code, True), found[1]
