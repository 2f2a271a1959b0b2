"""The two layers of a view's SQL: the inner SELECT takes values out of the resources, the outer makes columns of them.

A value that a column uses several times (to check it, to cast it) gets a name in the inner SELECT. So it is written
once, which a person reads more easily, and DuckDB plans it in half the time.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from transforms.sql_on_fhir import sql

if TYPE_CHECKING:
    from collections.abc import Mapping

VALUES = "v"
"""The name of the inner SELECT."""

_NAMES = re.compile(r"(?<![\w.\"])([a-z]\d*)\b(?!\()")
_LAMBDAS = re.compile(r"\blambda ([a-z0-9, ]+):")
_MEMBERS = re.compile(rf"\b{VALUES}\.[A-Za-z_]\w*")
_ROWS = re.compile(r"[rs]|[ewu]\d+")


class Layers:
    """The inner SELECT as it grows: expression → name."""

    def __init__(self) -> None:
        self.inner: dict[str, str] = {}
        self.column = ""
        """What to call the next value: by the column that it is for."""
        self.used = False
        """Whether a column makes anything of a value, so that there are two layers at all."""

    def value(self, expression: str) -> str | None:
        """The name of a value to be used several times; None for one that cannot stand in the inner SELECT.

        That is one which a lambda around it feeds, or that may end the run (CH320 ends the strict reader's part only).
        """
        expression = self.spelled_out(expression)
        names, rows = _free(expression)
        if names or not rows or "error('CH307" in expression:
            return None
        self.used = True
        return self.named(expression, self.column)

    def spelled_out(self, expression: str) -> str:
        """An expression without the names of the inner SELECT, where all that they stand for are paths."""
        paths = {sql.member(VALUES, name): inner for inner, name in self.inner.items() if sql.is_simple(inner)}
        return sql.changed(expression, lambda part: _MEMBERS.sub(lambda at: paths.get(at.group(), at.group()), part))

    def named(self, expression: str, wanted: str) -> str:
        """The name of an expression of the inner SELECT: the one wanted, numbered if it is taken."""
        if expression not in self.inner:
            taken = {name.lower() for name in self.inner.values()}
            name, count = wanted, 1
            while name.lower() in taken:
                count += 1
                name = f"{wanted}_{count}"
            self.inner[expression] = name
        return sql.member(VALUES, self.inner[expression])

    def select(self, columns: Mapping[str, str], origin: str) -> str:
        """The SQL of columns, made of values of the inner SELECT, which reads from the origin."""
        if not self.used:
            plain = {sql.member(VALUES, name): expression for expression, name in self.inner.items()}
            return _select({name: plain.get(made, made) for name, made in columns.items()}, origin)
        inner = _select({name: expression for expression, name in self.inner.items()}, origin)
        return _select(columns, f"(\n  {sql.indented(inner)}\n) AS {VALUES}")


def is_outer(expression: str) -> bool:
    """Whether an expression is made of values of the inner SELECT alone, or of nothing."""
    return not _free(expression)[1]


def is_constant(expression: str) -> bool:
    """Whether an expression needs nothing from around it."""
    return not any(_free(expression))


def _select(columns: Mapping[str, str], origin: str) -> str:
    listed = ",\n  ".join(f"{expression} AS {sql.name(name)}" for name, expression in columns.items())
    return f"SELECT\n  {listed}\nFROM {origin}"


def _free(expression: str) -> tuple[set[str], set[str]]:
    """The names that an expression needs from around it: of lambdas and the inner SELECT, and of row sources."""
    bare = sql.QUOTED.sub("''", expression)
    names = set(_NAMES.findall(bare))
    for bound in _LAMBDAS.findall(bare):
        names -= set(bound.split(", "))
    rows = {name for name in names if _ROWS.fullmatch(name)}
    return names - rows, rows
