"""The table of functions, and how one is entered into it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from transforms.sql_on_fhir.syntax import Call
from transforms.sql_on_fhir.values import Value
from transforms.sql_on_fhir.workshop import Scope, Workshop

Run = Callable[[Workshop, Value, Call, Scope], Value]
"""From the focus, the call and the scope of its arguments to the result."""


@dataclass(frozen=True, slots=True)
class Function:
    """How a function is compiled, and how many arguments it takes."""

    run: Run
    least: int = 0
    most: int = 0


FUNCTIONS: dict[str, Function] = {}


def function(name: str, least: int = 0, most: int | None = None) -> Callable[[Run], Run]:
    """Enter a function into the table."""

    def enter(run: Run) -> Run:
        FUNCTIONS[name] = Function(run, least, least if most is None else most)
        return run

    return enter
