"""Some of the items, or something of each: where(), select(), extension(), first(), last(), single(), distinct()."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from transforms.sql_on_fhir.errors import ExpressionFault
from transforms.sql_on_fhir.functions.table import function
from transforms.sql_on_fhir.values import EMPTY, Value

if TYPE_CHECKING:
    from transforms.sql_on_fhir.syntax import Call
    from transforms.sql_on_fhir.workshop import Scope, Workshop


@function("where", 1)
def where(shop: Workshop, target: Value, call: Call, scope: Scope) -> Value:
    """Items for which the criterion is true."""
    if target.type is None:
        return EMPTY
    if target.choices is not None:
        raise shop.unread(target, call.position)
    item, index = shop.fresh(), shop.fresh("i")
    inner = shop.lambda_scope(target, item, scope, index=f"({index} - 1)" if target.many else "0")
    criterion = shop.boolean(shop.evaluate(call.arguments[0], inner), call.position)
    if target.many:
        names = f"{item}, {index}" if _mentions(criterion, index) else item
        kept = f"list_filter({shop.dense(target)}, lambda {names}: {criterion})"
        return replace(target, sql=kept, sparse=False, side=None)
    guard = f"({target.guard}) AND ({criterion})" if target.guard else f"({criterion})"
    return replace(target, guard=guard, literal=None)


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
        raise shop.unread(got, call.position)
    made_of_it = got.sql if got.many else got.single()
    names = f"{item}, {index}" if _mentions(made_of_it, index) else item
    each = f"list_transform({shop.dense(target)}, lambda {names}: {made_of_it})"
    listed = f"flatten({each})" if got.many else each
    return replace(got, sql=listed, many=True, sparse=True, guard=None, literal=None, side=None)


def _mentions(text: str, word: str) -> bool:
    return f"({word} - 1)" in text


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
