"""The FHIRPath functions that a view may call: one entry each in FUNCTIONS."""

# ruff: noqa: ARG001 - all entries of the table have one signature

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from transforms.fhir_r4 import r4
from transforms.sql_on_fhir import operators, sql, temporal
from transforms.sql_on_fhir.errors import ExpressionFault
from transforms.sql_on_fhir.hints import near
from transforms.sql_on_fhir.syntax import Literal, Member
from transforms.sql_on_fhir.values import DECIMAL, EMPTY, Type, Value, made

if TYPE_CHECKING:
    from collections.abc import Callable

    from transforms.sql_on_fhir.expressions import Scope, Workshop
    from transforms.sql_on_fhir.syntax import Call, Expression

    Run = Callable[[Workshop, Value, Call, Scope], Value]


@dataclass(frozen=True, slots=True)
class Function:
    """How a function is compiled, and how many arguments it takes."""

    run: Run
    least: int = 0
    most: int = 0


FUNCTIONS: dict[str, Function] = {}

_ID = r"[^/?#|\s]+"
"""What stands for an id in a reference: more than R4 permits, so that keys of such resources join all the same."""


def function(name: str, least: int = 0, most: int | None = None) -> Callable[[Run], Run]:
    """Enter a function into the table."""

    def enter(run: Run) -> Run:
        FUNCTIONS[name] = Function(run, least, least if most is None else most)
        return run

    return enter


# -- existence and filtering ------------------------------------------------------------------------------------------


@function("where", 1)
def where(shop: Workshop, target: Value, call: Call, scope: Scope) -> Value:
    """Items for which the criterion is true."""
    if target.type is None:
        return EMPTY
    if target.choices is not None:
        raise ExpressionFault("CH303", call.position, f"{shop.label(target)} is a choice: name its type first")
    item, index = shop.fresh(), shop.fresh("i")
    inner = shop.lambda_scope(target, item, scope, index=f"({index} - 1)" if target.many else "0")
    criterion = shop.boolean(shop.evaluate(call.arguments[0], inner), call.position)
    if target.many:
        names = f"{item}, {index}" if _mentions(criterion, index) else item
        kept = f"list_filter({shop.dense(target)}, lambda {names}: {criterion})"
        return replace(target, sql=kept, sparse=False, side=None)
    guard = f"({target.guard}) AND ({criterion})" if target.guard else f"({criterion})"
    return replace(target, guard=guard, literal=None)


def _mentions(text: str, word: str) -> bool:
    return f"({word} - 1)" in text


@function("exists", 0, 1)
def exists(shop: Workshop, target: Value, call: Call, scope: Scope) -> Value:
    """Whether there is any item (for which the criterion is true)."""
    return shop.present(where(shop, target, call, scope) if call.arguments else target)


@function("empty")
def empty(shop: Workshop, target: Value, call: Call, scope: Scope) -> Value:
    """Whether there is no item."""
    return made(f"(NOT {shop.present(target).sql})", "boolean")


@function("hasValue")
def has_value(shop: Workshop, target: Value, call: Call, scope: Scope) -> Value:
    """Whether there is a primitive with a value."""
    return shop.exists(target)


@function("not")
def negation(shop: Workshop, target: Value, call: Call, scope: Scope) -> Value:
    """The opposite."""
    return made(f"(NOT {shop.boolean(target, call.position)})", "boolean")


@function("all", 1)
def every(shop: Workshop, target: Value, call: Call, scope: Scope) -> Value:
    """Whether the criterion is true for every item."""
    if target.type is None:
        return made("true", "boolean")
    item = shop.fresh()
    criterion = shop.boolean(shop.evaluate(call.arguments[0], shop.lambda_scope(target, item, scope)), call.position)
    if not target.many:
        return made(f"(NOT {shop.exists(target).sql} OR coalesce({criterion}, false))", "boolean")
    misses = f"list_filter({shop.dense(target)}, lambda {item}: NOT coalesce({criterion}, false))"
    return made(f"(coalesce(len({misses}), 0) = 0)", "boolean")


@function("count")
def count(shop: Workshop, target: Value, call: Call, scope: Scope) -> Value:
    """How many items there are."""
    if target.type is None:
        return made("0", "integer")
    if target.many:
        return made(f"coalesce(len({shop.dense(target, asked=True)}), 0)", "integer")
    return made(f"CASE WHEN {shop.exists(target).sql} THEN 1 ELSE 0 END", "integer")


@function("select", 1)
def select(shop: Workshop, target: Value, call: Call, scope: Scope) -> Value:
    """What the projection gives for each item."""
    if target.type is None:
        return EMPTY
    if not target.many:
        got = shop.evaluate(call.arguments[0], shop.lambda_scope(target, "", scope, index="0"))
        return shop.where_there(target, got)
    item, index = shop.fresh(), shop.fresh("i")
    inner = shop.lambda_scope(target, item, scope, index=f"({index} - 1)")
    got = shop.evaluate(call.arguments[0], inner)
    if got.type is None:
        return EMPTY
    if got.choices is not None:
        raise ExpressionFault("CH303", call.position, f"{shop.label(got)} is a choice: name its type first")
    made_of_it = got.sql if got.many else got.single()
    names = f"{item}, {index}" if _mentions(made_of_it, index) else item
    each = f"list_transform({shop.dense(target)}, lambda {names}: {made_of_it})"
    listed = f"flatten({each})" if got.many else each
    return replace(got, sql=listed, many=True, sparse=True, guard=None, literal=None, side=None)


# -- which of several --------------------------------------------------------------------------------------------------


@function("first")
def first(shop: Workshop, target: Value, call: Call, scope: Scope) -> Value:
    """The first item."""
    return shop.item(target, "1") if target.many else target


@function("last")
def last(shop: Workshop, target: Value, call: Call, scope: Scope) -> Value:
    """The last item."""
    return shop.item(target, "-1") if target.many else target


@function("single")
def single(shop: Workshop, target: Value, call: Call, scope: Scope) -> Value:
    """The only item; several are an error."""
    return shop.one(target)


@function("distinct")
def distinct(shop: Workshop, target: Value, call: Call, scope: Scope) -> Value:
    """Every item once."""
    return shop.each_once(target, shop.dense(target, asked=True)) if target.many else target


# -- types -------------------------------------------------------------------------------------------------------------


def type_argument(tree: Expression) -> str:
    """The name of a type that stands where FHIRPath takes one."""
    if isinstance(tree, Member) and tree.target is None:
        return tree.name
    if isinstance(tree, Member) and isinstance(tree.target, Member) and tree.target.target is None:
        return f"{tree.target.name}.{tree.name}"
    raise ExpressionFault("CH304", tree.position, "the name of a type is due here")


@function("ofType", 1)
@function("as", 1)
def of_type(shop: Workshop, target: Value, call: Call, scope: Scope) -> Value:
    """Items of that type."""
    return shop.of_type(target, type_argument(call.arguments[0]), call.arguments[0].position)


@function("is", 1)
def is_type(shop: Workshop, target: Value, call: Call, scope: Scope) -> Value:
    """Whether the item is of that type."""
    return shop.is_type(target, type_argument(call.arguments[0]), call.arguments[0].position)


@function("extension", 1)
def extension(shop: Workshop, target: Value, call: Call, scope: Scope) -> Value:
    """The extensions with that URL."""
    if target.type is None:
        return EMPTY
    url = shop.evaluate(call.arguments[0], scope)
    if url.family != "string":
        raise ExpressionFault("CH304", call.arguments[0].position, "extension() takes a URL")
    wanted = shop.one(url).sql
    every_one = shop.member(target, "extension", call.position)
    item = shop.fresh()
    found = shop.met(shop.member(shop.element_of(every_one, item), "url", call.position))
    return replace(every_one, sql=f"list_filter({shop.as_list(every_one)}, lambda {item}: {found} = {wanted})")


# -- keys --------------------------------------------------------------------------------------------------------------


@function("getResourceKey")
def get_resource_key(shop: Workshop, target: Value, call: Call, scope: Scope) -> Value:
    """`Type/id` of the resource."""
    if target.type is None or target.type.name not in r4().resources:
        raise ExpressionFault("CH304", call.position, f"getResourceKey() is of a resource, not of {target.label}")
    key = shop.member(target, "id", call.position)
    start = sql.text(f"{target.type.name}/")
    return shop.each(key, lambda own: f"{start} || {shop.string(shop.element_of(key, own))}", "string")


@function("getReferenceKey", 0, 1)
def get_reference_key(shop: Workshop, target: Value, call: Call, scope: Scope) -> Value:
    """`Type/id` of what a Reference points at; nothing for `#…`, `urn:…`, a search, or another type."""
    if target.type is None:
        return EMPTY
    if target.type.name != "Reference":
        raise ExpressionFault("CH304", call.position, f"getReferenceKey() is of a Reference, not of {target.label}")
    kind = _resource_argument(call.arguments[0]) if call.arguments else None
    pattern = f"{kind or '[A-Z][A-Za-z]*'}/{_ID}"
    further = sql.text(f"^(?:https?://.*/)?({pattern})(?:/_history/.*)?$")

    def key(reference: str) -> str:
        if kind is None:
            relative = f"regexp_full_match({reference}, {sql.text(pattern)})"
            maybe, whole = f"contains({reference}, '/')", reference
        else:
            start = sql.text(f"{kind}/")
            begins = f"starts_with({reference}, {start})"
            relative = f"{begins} AND {reference} NOT LIKE {sql.text(f'{kind}/%/%')}"
            whole = f"nullif({reference}, {start})"
            maybe = f"{begins} OR contains({reference}, {sql.text(f'/{kind}/')})"
        # where the strict reader has an object or array in place of the reference, the other one is to say so
        stop = f"WHEN ascii({reference}) IN (91, 123) THEN error('CH320') " if shop.strict else ""
        return (
            f"CASE WHEN {relative} THEN {whole} {stop}"
            f"WHEN {maybe} THEN nullif(regexp_extract({reference}, {further}, 1), '') END"
        )

    return shop.each(
        shop.member(target, "reference", call.position), lambda reference: shop.once(reference, key), "string"
    )


def _resource_argument(tree: Expression) -> str:
    """The type of resource that is asked for, which the standard's text also writes as a string."""
    named = isinstance(tree, Literal) and tree.kind == "string"
    kind = str(tree.value) if isinstance(tree, Literal) and named else type_argument(tree).removeprefix("FHIR.")
    if kind not in r4().resources:
        raise ExpressionFault("CH310", tree.position, f"there is no resource type {kind!r}{near(kind, r4().resources)}")
    return kind


# -- boundaries --------------------------------------------------------------------------------------------------------


@function("lowBoundary")
def low_boundary(shop: Workshop, target: Value, call: Call, scope: Scope) -> Value:
    """The least value that the precision of the item permits."""
    return _boundary(shop, target, call, high=False)


@function("highBoundary")
def high_boundary(shop: Workshop, target: Value, call: Call, scope: Scope) -> Value:
    """The greatest value that the precision of the item permits."""
    return _boundary(shop, target, call, high=True)


def _boundary(shop: Workshop, target: Value, call: Call, *, high: bool) -> Value:
    if target.type is None:
        return EMPTY
    if target.type.name == "Period":
        target = shop.member(target, "end" if high else "start", call.position)
    family = target.family
    if target.type is not None and family in {"date", "dateTime", "time"}:

        def boundary(text: str) -> str:
            return temporal.boundary(text, family or "", high=high)

        met = partial(_met, shop, target)
        return shop.each(target, lambda text: shop.once(met(text), boundary), target.type.name)
    if family in {"decimal", "integer"} and (target.encoded or target.literal is not None):
        shop.keep_digits(target, text=True)
        given = target if target.encoded else replace(target, sql=sql.text(target.sql))
        return shop.each(
            given, lambda text: shop.once(text, lambda once: _decimal_boundary(once, high=high)), "decimal"
        )
    raise ExpressionFault("CH304", call.position, f"{shop.label(target)} has no boundaries")


def _decimal_boundary(text: str, *, high: bool) -> str:
    digits = f"length(regexp_extract({text}, '[.]([0-9]+)', 1))::INTEGER"
    power = f"coalesce(TRY_CAST(regexp_extract({text}, '[eE](.*)$', 1) AS INTEGER), 0)"
    half = f"TRY_CAST('5e' || ({power} - {digits} - 1) AS {DECIMAL})"
    return f"TRY(CAST(TRY_CAST({text} AS {DECIMAL}) {'+' if high else '-'} {half} AS {DECIMAL}))"


@function("precision")
def precision(shop: Workshop, target: Value, call: Call, scope: Scope) -> Value:
    """How many digits of a date or time are given: 4 a year, 6 a month, 8 a day, 14 a second, 17 a millisecond."""
    if target.type is None:
        return EMPTY
    if target.family not in {"date", "dateTime", "time"}:
        raise ExpressionFault("CH304", call.position, f"precision() is of a date or time, not of {shop.label(target)}")
    clock = "regexp_replace({}, '(Z|[+-][0-9]{{2}}:[0-9]{{2}})$', '')" if target.family == "dateTime" else "{}"

    def digits(text: str) -> str:
        local = f"CASE WHEN length({text}) > 10 THEN {clock.format(text)} ELSE {text} END"
        count = f"length(regexp_replace({local}, '[^0-9]', '', 'g'))"
        return f"CASE WHEN {temporal.well_formed(text, target.family or '')} THEN {count} END"

    return shop.each(target, lambda text: shop.once(_met(shop, target, text), digits), "integer")


def _met(shop: Workshop, target: Value, text: str) -> str:
    return shop.met(shop.element_of(target, text))


# -- strings -----------------------------------------------------------------------------------------------------------


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
        return made(f"coalesce({operators.text_of(shop, target, call.position)}, '')", "string")
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
    text = operators.text_of(shop, shop.element_of(target, item), position)
    return target.sql if text == item else f"list_transform({target.sql}, lambda {item}: {text})"


@function("toString")
def to_string(shop: Workshop, target: Value, call: Call, scope: Scope) -> Value:
    """The item as text; a decimal with the digits that were sent."""
    return made(operators.text_of(shop, shop.one(target), call.position), "string") if target.type else EMPTY


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


# -- choosing ----------------------------------------------------------------------------------------------------------


@function("iif", 2, 3)
def iif(shop: Workshop, target: Value, call: Call, scope: Scope) -> Value:
    """One of two, by a condition."""
    condition = shop.boolean(shop.evaluate(call.arguments[0], scope), call.position)
    branches = [shop.evaluate(tree, scope) for tree in call.arguments[1:]]
    kinds = [branch for branch in branches if branch.type is not None]
    if not kinds:
        return EMPTY
    families = {branch.family for branch in kinds}
    if None in families or len(families) > 1:
        raise ExpressionFault("CH304", call.position, "both results of iif() are primitives of one type")
    family = kinds[0].family or ""
    chosen = [replace(one, sql=shop.number(one), guard=None) for one in map(shop.one, [*branches, EMPTY][:2])]
    whole = ["NULL" if one.type is None else shop.string(one) for one in chosen]
    kind = kinds[0].type or Type.of(family)
    return made(f"CASE WHEN {condition} THEN {whole[0]} ELSE {whole[1]} END", kind.name)
