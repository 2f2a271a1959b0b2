"""Types as arguments: ofType(), as(), is()."""

from __future__ import annotations

from typing import TYPE_CHECKING

from transforms.sql_on_fhir.errors import ExpressionFault
from transforms.sql_on_fhir.functions.table import function
from transforms.sql_on_fhir.syntax import Member

if TYPE_CHECKING:
    from transforms.sql_on_fhir.syntax import Call, Expression
    from transforms.sql_on_fhir.values import Value
    from transforms.sql_on_fhir.workshop import Scope, Workshop


@function("ofType", 1)
@function("as", 1)
def of_type(shop: Workshop, target: Value, call: Call, scope: Scope) -> Value:
    """Items of that type."""
    return shop.of_type(target, type_argument(call.arguments[0]), call.arguments[0].position)


@function("is", 1)
def is_type(shop: Workshop, target: Value, call: Call, scope: Scope) -> Value:
    """Whether the item is of that type."""
    return shop.is_type(target, type_argument(call.arguments[0]), call.arguments[0].position)


def type_argument(tree: Expression) -> str:
    """The name of a type that stands where FHIRPath takes one."""
    if isinstance(tree, Member) and tree.target is None:
        return tree.name
    if isinstance(tree, Member) and isinstance(tree.target, Member) and tree.target.target is None:
        return f"{tree.target.name}.{tree.name}"
    raise ExpressionFault("CH304", tree.position, "the name of a type is due here")
