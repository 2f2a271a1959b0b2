"""What the precision of a value permits: lowBoundary(), highBoundary(), precision()."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from transforms.sql_on_fhir import sql, temporal
from transforms.sql_on_fhir.errors import ExpressionFault
from transforms.sql_on_fhir.functions.table import function
from transforms.sql_on_fhir.values import DECIMAL, EMPTY, Value

if TYPE_CHECKING:
    from transforms.sql_on_fhir.syntax import Call
    from transforms.sql_on_fhir.workshop import Scope, Workshop


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
