"""SQL of FHIRPath's operators: arithmetic, comparison, logic, concatenation."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from transforms.sql_on_fhir import sql, temporal
from transforms.sql_on_fhir.errors import ExpressionFault
from transforms.sql_on_fhir.values import DECIMAL, EMPTY, Value, made

if TYPE_CHECKING:
    from collections.abc import Callable

    from transforms.sql_on_fhir.syntax import Binary, Unary
    from transforms.sql_on_fhir.workshop import Workshop

_NUMBERS = {"integer", "decimal"}
_TEMPORAL = {"date", "dateTime"}


def binary(shop: Workshop, tree: Binary, left: Value, right: Value) -> Value:
    """`left operator right`."""
    match tree.operator:
        case "and" | "or" | "xor" | "implies":
            return logic(shop, tree, left, right)
        case "=" | "!=" | "~" | "!~":
            return equality(shop, tree, left, right)
        case "<" | ">" | "<=" | ">=":
            return order(shop, tree, left, right)
        case "in":
            return membership(shop, tree, left, right)
        case "contains":
            return membership(shop, tree, right, left)
        case "&":
            both = [f"coalesce({shop.text_of(shop.one(value), tree.position)}, '')" for value in (left, right)]
            return made(f"({both[0]} || {both[1]})", "string")
        case "|":
            return union(shop, tree, left, right)
        case _:
            return arithmetic(shop, tree, left, right)


def sign(shop: Workshop, tree: Unary, value: Value) -> Value:
    """`-value` or `+value`."""
    if value.type is None:
        return EMPTY
    if value.choices is not None:
        raise shop.unread(value, tree.position)
    if value.family not in _NUMBERS:
        raise ExpressionFault("CH304", tree.position, f"{shop.label(value)} is no number")
    if tree.operator == "+":
        return value
    negated = made(shop.apart(shop.number(shop.one(value)), lambda number: f"TRY(-{number})"), value.family or "")
    if value.literal is not None and not isinstance(value.literal.value, str | bool | None):
        return replace(negated, literal=replace(value.literal, value=-value.literal.value))
    return negated


def logic(shop: Workshop, tree: Binary, left: Value, right: Value) -> Value:
    """Three-valued logic: SQL has FHIRPath's own."""
    a, b = shop.boolean(left, tree.position), shop.boolean(right, tree.position)
    match tree.operator:
        case "xor":
            return made(f"({a} <> {b})", "boolean")
        case "implies":
            return made(f"((NOT {a}) OR {b})", "boolean")
        case operator:
            return made(f"({a} {operator.upper()} {b})", "boolean")


def equality(shop: Workshop, tree: Binary, left: Value, right: Value) -> Value:
    """`=` and `!=`, of single items and of collections; `~` is the same without case and without NULL."""
    if left.type is None or right.type is None:
        if tree.operator in {"~", "!~"}:
            there = shop.exists(right if left.type is None else left).sql
            return made(there if tree.operator == "!~" else f"(NOT {there})", "boolean")
        return made("NULL::BOOLEAN", "boolean")
    comparable(shop, tree, left, right)
    operator = {"~": "=", "!~": "!="}.get(tree.operator, tree.operator)
    loose = tree.operator in {"~", "!~"}
    if not left.many and not right.many:
        result = pair(shop, tree, operator, left.plain(), right.plain(), loose=loose)
    elif left.many and right.many:
        result = lists(shop, tree, operator, left, right)
    else:
        result = list_and_one(shop, tree, operator, left, right, loose=loose)
    if loose:
        both = f"({shop.exists(left).sql} AND {shop.exists(right).sql})"
        either = f"({shop.exists(left).sql} OR {shop.exists(right).sql})"
        result = f"CASE WHEN {both} THEN coalesce({result}, false) ELSE NOT {either} END"
        if tree.operator == "!~":
            result = f"NOT ({result})"
    return made(f"({result})", "boolean")


def comparable(shop: Workshop, tree: Binary, left: Value, right: Value) -> None:
    """Refuse to compare what R4 says is of different types."""
    for value in (left, right):
        if value.choices is not None:
            raise shop.unread(value, tree.position)
    a, b = family(left), family(right)
    same = a is not None and (a == b or {a, b} <= _NUMBERS or {a, b} <= _TEMPORAL)
    if not same:
        hint = ""
        if {a, b} in ({"date", "string"}, {"dateTime", "string"}, {"time", "string"}):
            hint = ": a date is written @2024-01-31, a time @T12:30"
        raise ExpressionFault(
            "CH304", tree.position, f"{shop.label(left)} {tree.operator} {shop.label(right)} does not compare{hint}"
        )


def family(value: Value) -> str | None:
    """The FHIRPath type, with Quantity as one."""
    if value.type is not None and value.type.name in {"Quantity", "Age", "Count", "Distance", "Duration"}:
        return "quantity"
    return value.family


def list_and_one(shop: Workshop, tree: Binary, operator: str, left: Value, right: Value, *, loose: bool) -> str:
    """A collection against one item: of two collections of different size, `=` is false."""
    several, other = (left, right) if left.many else (right, left)
    items = shop.dense(several)
    first = shop.item(several, "1")
    ordered = (first, other.plain()) if left.many else (other.plain(), first)
    verdict = pair(shop, tree, operator, *ordered, loose=loose)
    unequal = "false" if operator == "=" else "true"
    there = shop.exists(other).sql
    return f"CASE WHEN len({items}) = 1 THEN {verdict} WHEN len({items}) > 1 AND {there} THEN {unequal} END"


def lists(shop: Workshop, tree: Binary, operator: str, left: Value, right: Value) -> str:
    """Two collections, item by item in their order."""
    a, b = shop.dense(left), shop.dense(right)
    kinds = {family(left), family(right)}
    if "quantity" in kinds or kinds & {"date", "dateTime", "time"}:
        item, at = shop.fresh(), shop.fresh("i")
        other = f"({b})[{at}]"
        verdict = pair(shop, tree, "=", shop.element_of(left, item), shop.element_of(right, other), loose=False)
        same = f"list_bool_and(list_transform({a}, lambda {item}, {at}: {verdict}))"
    else:
        same = f"{converted(shop, left, a)} = {converted(shop, right, b)}"
    sides = f"len({a}) > 0 AND len({b}) > 0"
    if operator == "!=":
        return f"CASE WHEN {sides} THEN len({a}) <> len({b}) OR NOT ({same}) END"
    return f"CASE WHEN {sides} THEN len({a}) = len({b}) AND {same} END"


def converted(shop: Workshop, value: Value, items: str) -> str:
    """A list with its numbers decoded, so that lists compare."""
    item = shop.fresh()
    if value.family not in _NUMBERS:
        met = shop.met(shop.element_of(value, item))
        return items if met == item else f"list_transform({items}, lambda {item}: {met})"
    number = shop.decoded(item, value)
    return f"list_transform({items}, lambda {item}: CAST({number} AS {DECIMAL}))"


def order(shop: Workshop, tree: Binary, left: Value, right: Value) -> Value:
    """`<`, `>`, `<=` and `>=` of single items."""
    if left.type is None or right.type is None:
        return made("NULL::BOOLEAN", "boolean")
    comparable(shop, tree, left, right)
    if left.family == "boolean":
        raise ExpressionFault("CH304", tree.position, "booleans have no order")
    return made(f"({pair(shop, tree, tree.operator, shop.one(left), shop.one(right), loose=False)})", "boolean")


def pair(shop: Workshop, tree: Binary, operator: str, left: Value, right: Value, *, loose: bool) -> str:
    """Two single items."""
    kind = family(left)
    if kind == "quantity":
        return quantities(shop, tree, operator, left, right)
    if kind in {"date", "dateTime", "time"}:
        return spanned(shop, left, lambda a: spanned(shop, right, lambda b: temporal.compare(operator, a, b)))
    if kind in _NUMBERS:
        return f"{shop.number(left)} {operator} {shop.number(right)}"
    a, b = shop.met(left), shop.met(right)
    return f"lower({a}) {operator} lower({b})" if loose and kind == "string" else f"{a} {operator} {b}"


def spanned(shop: Workshop, value: Value, make: Callable[[temporal.Span], str]) -> str:
    """SQL that uses what a single date or time can mean."""
    kind = value.family or ""
    if value.literal is not None:
        return make(temporal.known_span(str(value.literal.value), kind))

    def known(text: str) -> str:
        first = temporal.earliest(text, kind)
        if shop.strict and value.leaf:
            first = f"CASE WHEN {sql.may_be_container(text)} THEN error('CH320') ELSE {first} END"
        return shop.once(first, lambda low: make(temporal.Span(low, temporal.latest(low, text, kind))))

    return shop.once(value.single(), known)


def quantities(shop: Workshop, tree: Binary, operator: str, left: Value, right: Value) -> str:
    """Two quantities: compared where their units are the same text, else NULL."""
    sides = [quantity(shop, tree, value) for value in (left, right)]
    return f"CASE WHEN {sides[0][1]} = {sides[1][1]} THEN {sides[0][0]} {operator} {sides[1][0]} END"


def quantity(shop: Workshop, tree: Binary, value: Value) -> tuple[str, str]:
    """SQL of a quantity's number, and of its unit: the code, or the text where there is no code."""
    if value.literal is not None:
        return value.sql, sql.text(value.literal.unit or "1")
    parts = {name: shop.member(value, name, tree.position) for name in ("value", "code", "unit")}
    unit = f"coalesce({shop.met(parts['code'])}, {shop.met(parts['unit'])}, '1')"
    return shop.number(parts["value"].plain()), unit


def membership(shop: Workshop, tree: Binary, item: Value, items: Value) -> Value:
    """`item in items`."""
    if item.type is None:
        return made("NULL::BOOLEAN", "boolean")
    if items.type is None:
        return made("false", "boolean")
    comparable(shop, tree, item, items)
    if not items.many:
        found = pair(shop, tree, "=", shop.one(item), items.plain(), loose=False)
    elif item.family == "string" and not items.leaf:
        found = f"list_contains({items.sql}, {shop.met(shop.one(item))})"
    else:
        name = shop.fresh()
        verdict = pair(shop, tree, "=", shop.one(item), shop.element_of(items, name), loose=False)
        found = f"len(list_filter({items.sql}, lambda {name}: {verdict})) > 0"
    return made(f"CASE WHEN {shop.exists(item).sql} THEN coalesce({found}, false) END", "boolean")


def union(shop: Workshop, tree: Binary, left: Value, right: Value) -> Value:
    """`left | right`: the items of both, each once."""
    if left.type is None:
        return right
    if right.type is None:
        return left
    if left.family in _NUMBERS and right.family in _NUMBERS:
        left, right = as_numbers(shop, left, right), as_numbers(shop, right, left)
    if left.family is None or left.family != right.family:
        raise ExpressionFault("CH304", tree.position, f"{shop.label(left)} | {shop.label(right)} has no common type")
    both = f"list_concat(coalesce({shop.as_list(left)}, []), coalesce({shop.as_list(right)}, []))"
    return shop.each_once(replace(left, leaf=left.leaf or right.leaf), shop.anchored(both))


def as_numbers(shop: Workshop, value: Value, other: Value) -> Value:
    """A list of numbers, decoded; decimals if the other ones are."""
    kind = "decimal" if "decimal" in {value.family, other.family} else "integer"
    item = shop.fresh()
    number = f"CAST({shop.decoded(item, value)} AS {DECIMAL if kind == 'decimal' else 'BIGINT'})"
    return made(f"list_transform({shop.as_list(value)}, lambda {item}: {number})", kind, many=True, sparse=True)


def arithmetic(shop: Workshop, tree: Binary, left: Value, right: Value) -> Value:
    """`+ - * / div mod`. What overflows, or divides by zero, is empty."""
    if left.type is None or right.type is None:
        return EMPTY
    if tree.operator == "+" and left.family == right.family == "string":
        return made(f"({shop.string(shop.one(left))} || {shop.string(shop.one(right))})", "string")
    if left.family not in _NUMBERS or right.family not in _NUMBERS:
        raise ExpressionFault(
            "CH304", tree.position, f"{shop.label(left)} {tree.operator} {shop.label(right)} cannot be computed"
        )
    a, b = shop.number(shop.one(left)), shop.number(shop.one(right))
    whole = left.family == right.family == "integer"
    kind = "integer" if tree.operator == "div" or (whole and tree.operator != "/") else "decimal"
    result = shop.apart(a, lambda one: shop.apart(b, lambda other: _computed(tree.operator, one, other, whole=whole)))
    return made(result, kind)


def _computed(operator: str, a: str, b: str, *, whole: bool) -> str:
    match operator:
        case "/":
            quotient = f"CAST({a} AS DOUBLE) / nullif(CAST({b} AS DOUBLE), 0)"
            return f"TRY_CAST(printf('%.15g', {quotient}) AS {DECIMAL})"
        case "div":
            return f"TRY(CAST(trunc(CAST({a} AS DOUBLE) / nullif(CAST({b} AS DOUBLE), 0)) AS BIGINT))"
        case "mod" if whole:
            return f"TRY({a} % nullif({b}, 0))"
        case "mod":
            wide = f"CAST({a} AS {DECIMAL}) % nullif(CAST({b} AS {DECIMAL}), 0)"
            return f"TRY(CAST({wide} AS {DECIMAL}))"
        case _ if whole:
            return f"TRY(CAST({a} AS BIGINT) {operator} CAST({b} AS BIGINT))"
        case "*":
            # 38 digits in all: 10 after the point of one factor and 8 of the other, as FHIRPath asks for at least
            return f"TRY(CAST({a} AS DECIMAL(38, 10)) * CAST({b} AS DECIMAL(38, 8)))"
        case _:
            return f"TRY(CAST({a} AS {DECIMAL}) {operator} CAST({b} AS {DECIMAL}))"
