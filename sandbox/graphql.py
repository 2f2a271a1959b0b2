"""As much of GraphQL as a partner's clients use: one operation, its root fields with arguments, and what they select.

Grammar of the GraphQL specification (October 2021, §2): selection sets, arguments of variables and strings. Fragments,
directives and aliases are refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_TOKEN: Final = re.compile(r'\s*(?:#[^\n]*\n\s*|,)*([A-Za-z_]\w*|\$[A-Za-z_]\w*|"[^"\\]*"|[{}()\[\]:!=]|-?\d+)')


class QueryError(Exception):
    """A document that cannot be answered; the text says why."""


@dataclass(slots=True)
class Field:
    """One field: its name, its arguments, and the fields selected of it."""

    name: str
    arguments: dict[str, Any] = field(default_factory=dict)
    selected: list[Field] = field(default_factory=list)


def parse(document: str, variables: Mapping[str, Any]) -> list[Field]:
    """The root fields of the one operation of a document.

    Raises:
        QueryError: it is none, or uses what is not known here.
    """
    tokens = _tokens(document)
    place = 0

    def peek() -> str:
        return tokens[place] if place < len(tokens) else ""

    def take(wanted: str = "") -> str:
        nonlocal place
        token = peek()
        if not token or (wanted and token != wanted):
            raise QueryError(f"Syntax Error: expected {wanted or 'more'}")
        place += 1
        return token

    def skip_definitions() -> None:
        depth = 0
        while True:
            depth += {"(": 1, ")": -1}.get(take(), 0)
            if not depth:
                return

    def value() -> Any:
        token = take()
        if token.startswith("$"):
            if token[1:] not in variables:
                raise QueryError(f"Variable {token} is not given")
            return variables[token[1:]]
        if token.startswith('"'):
            return token[1:-1]
        return token

    def selection() -> list[Field]:
        take("{")
        fields = []
        while peek() != "}":
            one = Field(take())
            if not one.name[:1].isalpha() and not one.name.startswith("_"):
                raise QueryError("Syntax Error: expected a name")
            if peek() == "(":
                take()
                while peek() != ")":
                    name = take()
                    take(":")
                    one.arguments[name] = value()
                take()
            if peek() == "{":
                one.selected = selection()
            fields.append(one)
        take("}")
        if not fields:
            raise QueryError("Syntax Error: nothing is selected")
        return fields

    if peek() in ("query", "mutation"):
        take()
        if peek() not in ("{", "("):
            take()
        if peek() == "(":
            skip_definitions()
    fields = selection()
    if place != len(tokens):
        raise QueryError("Must be one operation")
    return fields


def project(found: Any, selected: list[Field]) -> Any:
    """What was selected of a value: what it has not is null."""
    if isinstance(found, list):
        return [project(one, selected) for one in found]
    if not isinstance(found, dict):
        return found
    if not selected:
        raise QueryError("Field must have a selection of subfields")
    return {one.name: project(found.get(one.name), one.selected) for one in selected}


def _tokens(document: str) -> list[str]:
    found, place = [], 0
    text = document.rstrip()
    while place < len(text):
        match = _TOKEN.match(text, place)
        if match is None:
            raise QueryError("Syntax Error: unexpected character")
        found.append(match[1])
        place = match.end()
    return found
