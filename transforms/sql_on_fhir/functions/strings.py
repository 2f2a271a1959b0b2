"""Strings: join(), substring(), replace(), contains() and the like."""

from __future__ import annotations

from typing import TYPE_CHECKING

from transforms.sql_on_fhir.errors import ExpressionFault
from transforms.sql_on_fhir.functions.table import FUNCTIONS, Function, function
from transforms.sql_on_fhir.values import EMPTY, Value, made

if TYPE_CHECKING:
    from transforms.sql_on_fhir.syntax import Call
    from transforms.sql_on_fhir.workshop import Scope, Workshop


@function("join", 0, 1)
def join(shop: Workshop, target: Value, call: Call, scope: Scope) -> Value:
    """All items as one string, with a separator between them; `''` where there are none."""
    separator = "''"
    if call.arguments:
        given = shop.evaluate(call.arguments[0], scope)
        if given.type is not None and given.family != "string":
            raise ExpressionFault("CH304", call.arguments[0].position, "join() takes a string")
        separator = f"coalesce({shop.one(given).sql}, '')" if given.literal is None else given.sql
    if target.type is None:
        return made("''", "string")
    if not target.many:
        return made(f"coalesce({shop.text_of(target, call.position)}, '')", "string")
    texts = _texts(shop, target, call.position)
    if separator.startswith("'"):
        return made(f"coalesce(array_to_string({texts}, {separator}), '')", "string")
    # array_to_string takes a constant only
    one, other, item = shop.fresh(), shop.fresh(), shop.fresh()
    there = f"list_filter({texts}, lambda {item}: {item} IS NOT NULL)"

    def joined(items: str) -> str:
        whole = f"list_reduce({items}, lambda {one}, {other}: {one} || {separator} || {other})"
        return f"CASE WHEN len({items}) > 0 THEN {whole} ELSE '' END"

    return made(shop.once(there, joined), "string")


def _texts(shop: Workshop, target: Value, position: int) -> str:
    item = shop.fresh()
    text = shop.text_of(shop.element_of(target, item), position)
    return target.sql if text == item else f"list_transform({target.sql}, lambda {item}: {text})"


def _strings(shop: Workshop, target: Value, call: Call, scope: Scope) -> tuple[str, list[str]] | None:
    """The focus as a single string, and the arguments; None if one of them is empty for certain."""
    if target.type is None:
        return None
    if target.family != "string":
        raise ExpressionFault("CH304", call.position, f"{call.name}() is of a string, not of {shop.label(target)}")
    arguments = []
    for tree in call.arguments:
        given = shop.evaluate(tree, scope)
        if given.type is None:
            return None
        arguments.append(shop.number(shop.one(given)) if given.encoded else shop.string(shop.one(given)))
        expected = "integer" if call.name == "substring" else "string"
        if given.family != expected:
            raise ExpressionFault("CH304", tree.position, f"{call.name}() takes a {expected}, not {shop.label(given)}")
    return shop.string(shop.one(target)), arguments


def _string_function(name: str, template: str, result: str, arguments: int = 0) -> None:
    def run(shop: Workshop, target: Value, call: Call, scope: Scope) -> Value:
        parts = _strings(shop, target, call, scope)
        return EMPTY if parts is None else made(template.format(parts[0], *parts[1]), result)

    FUNCTIONS[name] = Function(run, arguments, arguments)


_string_function("upper", "upper({})", "string")
_string_function("lower", "lower({})", "string")
_string_function("trim", "trim({})", "string")
_string_function("length", "length({})", "integer")
_string_function("startsWith", "starts_with({}, {})", "boolean", 1)
_string_function("endsWith", "suffix({}, {})", "boolean", 1)
_string_function("contains", "contains({}, {})", "boolean", 1)
_string_function(
    "replace",
    "CASE WHEN {1} = '' THEN regexp_replace({0}, '', replace({2}, '\\', '\\\\'), 'g') ELSE replace({0}, {1}, {2}) END",
    "string",
    2,
)


@function("substring", 1, 2)
def substring(shop: Workshop, target: Value, call: Call, scope: Scope) -> Value:
    """The part that starts there (from 0), of that length; nothing where the start is outside."""
    parts = _strings(shop, target, call, scope)
    if parts is None:
        return EMPTY
    text, (start, *length) = parts
    most = f", least(greatest({length[0]}, 0), 1000000000)" if length else ""

    def part(given: str) -> str:
        return shop.once(
            start,
            lambda at: f"CASE WHEN {at} >= 0 AND {at} < length({given}) THEN substr({given}, {at} + 1{most}) END",
        )

    return made(shop.once(text, part), "string")
