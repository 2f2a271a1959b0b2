"""Whether there is something, and how much of it: exists(), empty(), hasValue(), all(), count(), not()."""

from __future__ import annotations

from typing import TYPE_CHECKING

from transforms.sql_on_fhir.functions.filtering import where
from transforms.sql_on_fhir.functions.table import function
from transforms.sql_on_fhir.values import Value, made

if TYPE_CHECKING:
    from transforms.sql_on_fhir.syntax import Call
    from transforms.sql_on_fhir.workshop import Scope, Workshop


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
