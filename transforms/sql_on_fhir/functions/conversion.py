"""One value made of others: iif(), toString()."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from transforms.sql_on_fhir.errors import ExpressionFault
from transforms.sql_on_fhir.functions.table import function
from transforms.sql_on_fhir.values import EMPTY, Type, Value, made

if TYPE_CHECKING:
    from transforms.sql_on_fhir.syntax import Call
    from transforms.sql_on_fhir.workshop import Scope, Workshop


@function("iif", 2, 3)
def iif(shop: Workshop, target: Value, call: Call, scope: Scope) -> Value:
    """One of two, by a condition."""
    condition = shop.boolean(shop.evaluate(call.arguments[0], scope), call.position)
    branches = [shop.evaluate(tree, scope) for tree in call.arguments[1:]]
    kinds = [branch for branch in branches if branch.type is not None]
    if not kinds:
        return EMPTY
    for branch in kinds:
        if branch.choices is not None:
            raise shop.unread(branch, call.position)
    families = {branch.family for branch in kinds}
    if None in families or len(families) > 1:
        raise ExpressionFault("CH304", call.position, "both results of iif() are primitives of one type")
    family = kinds[0].family or ""
    chosen = [replace(one, sql=shop.number(one), guard=None) for one in map(shop.one, [*branches, EMPTY][:2])]
    whole = ["NULL" if one.type is None else shop.string(one) for one in chosen]
    kind = kinds[0].type or Type.of(family)
    return made(f"CASE WHEN {condition} THEN {whole[0]} ELSE {whole[1]} END", kind.name)


@function("toString")
def to_string(shop: Workshop, target: Value, call: Call, scope: Scope) -> Value:
    """The item as text; a decimal with the digits that were sent."""
    return made(shop.text_of(shop.one(target), call.position), "string") if target.type else EMPTY
