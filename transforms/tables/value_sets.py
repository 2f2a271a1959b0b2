"""Value sets for analysts, declared in `schemas/value_sets/<name>.json`: which codes mean HbA1c, which a statin.

A file has a `title`, a `description` and its `sources`, and lists `codes` with their systems as the tables write them.
What is measured has its codes in `schemas/units/analytes.json` already: `analytes` names those. All of them are rows of
the view `value_sets`, which is made from them.
"""

from __future__ import annotations

import json
from dataclasses import astuple, dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from transforms.tables.relation import Column
from transforms.tables.text import literal

if TYPE_CHECKING:
    from collections.abc import Iterator

LOINC = "http://loinc.org"
COLUMNS = (
    Column("value_set", "VARCHAR", "The value set: `a1c`, `flu_vaccines`, `statins` …"),
    Column("title", "VARCHAR", "What the value set is called."),
    Column("system", "VARCHAR", "The system of the code, as `code_system` has it in the tables."),
    Column("code", "VARCHAR", "A code that belongs to it."),
    Column("display", "VARCHAR", "What the code means; NULL where only the value set says so."),
    Column("kind", "VARCHAR", "What sort it is, where the value set tells some apart (sitting, high intensity)."),
    Column("words", "VARCHAR", "What to look for in names, in lower case, where a code of one's own was sent."),
    Column("first_season", "INTEGER", "The year in which the season began that first had it; NULL: not known."),
    Column("last_season", "INTEGER", "The year in which the last such season began; NULL: it is still there."),
)


@dataclass(frozen=True, slots=True)
class Member:
    """A row of `value_sets`; its fields are the columns, in order."""

    value_set: str
    title: str
    system: str
    code: str
    display: str | None
    kind: str | None
    words: str | None
    first_season: int | None
    last_season: int | None


@cache
def value_sets() -> tuple[Member, ...]:
    """All value sets, by name, each code once."""
    found = sorted(files("schemas").joinpath("value_sets").iterdir(), key=lambda entry: entry.name)
    return tuple(
        member
        for entry in found
        for member in _members(entry.name.removesuffix(".json"), json.loads(entry.read_text(encoding="utf-8")))
    )


def value_sets_sql() -> str:
    """The SELECT that gives them as rows, which names no table."""
    kinds = [column.sql_type for column in COLUMNS]
    rows = (", ".join(_value(value) for value in astuple(member)) for member in value_sets())
    listed = ",\n".join(f"({row})" for row in rows)
    names = [column.name for column in COLUMNS]
    typed = ", ".join(f"CAST({name} AS {kind}) AS {name}" for name, kind in zip(names, kinds, strict=True))
    return f"SELECT {typed} FROM (VALUES\n{listed}) AS members({', '.join(names)})"


def _members(name: str, declared: dict[str, Any]) -> Iterator[Member]:
    analytes = set(declared.get("analytes", ()))
    for analyte in _analytes():
        if analyte["id"] in analytes:
            for code in analyte["loinc"]:
                yield Member(name, declared["title"], LOINC, code, None, None, None, None, None)
    for entry in declared.get("codes", ()):
        yield Member(
            name,
            declared["title"],
            entry["system"],
            entry["code"],
            *(entry.get(key) for key in ("display", "kind", "words", "first_season", "last_season")),
        )


@cache
def _analytes() -> list[dict[str, Any]]:
    text = files("schemas").joinpath("units", "analytes.json").read_text(encoding="utf-8")
    found: list[dict[str, Any]] = json.loads(text)["analytes"]
    return found


def _value(value: str | int | None) -> str:
    return "NULL" if value is None else literal(value) if isinstance(value, str) else str(value)
