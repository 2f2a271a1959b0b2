"""Literals and constants as values."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING

from transforms.sql_on_fhir import sql
from transforms.sql_on_fhir.errors import ExpressionFault
from transforms.sql_on_fhir.values import EMPTY, Type, Value, made

if TYPE_CHECKING:
    from transforms.sql_on_fhir.syntax import Literal


def literal(tree: Literal) -> Value:
    """A literal as a value."""
    match tree.kind:
        case "empty":
            return EMPTY
        case "boolean":
            return replace(made("true" if tree.value else "false", "boolean"), literal=tree)
        case "integer":
            if abs(int(str(tree.value))) >= 2**63:
                raise ExpressionFault("CH304", tree.position, "an integer of more than 64 bits")
            return replace(made(str(tree.value), "integer"), literal=tree)
        case "decimal":
            return replace(made(decimal_text(tree.value, tree.position), "decimal"), literal=tree)
        case "quantity":
            return Value(decimal_text(tree.value, tree.position), Type.of("Quantity"), literal=tree)
        case _:
            try:
                quoted = sql.text(str(tree.value))
            except UnicodeEncodeError:
                raise ExpressionFault("CH302", tree.position, "half of a surrogate pair") from None
            return replace(made(quoted, tree.kind), literal=tree)


def decimal_text(value: object, position: int) -> str:
    """A decimal as a SQL literal."""
    number = Decimal(str(value))
    if not number.is_finite() or abs(number.adjusted()) > 19 or -int(number.as_tuple().exponent) > 18:
        raise ExpressionFault("CH304", position, "a decimal of more than 20 digits before or 18 after the point")
    return f"{number:f}"
