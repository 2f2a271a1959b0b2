"""What makes a column of a view out of a value: exactly the type that the view declares."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from transforms.fhir_r4 import r4
from transforms.sql_on_fhir import numerals, temporal
from transforms.sql_on_fhir.errors import ExpressionFault, ViewError
from transforms.sql_on_fhir.parts import declare, parts_of, struct, struct_type, without
from transforms.sql_on_fhir.values import SQL_TYPES, Type, Value

if TYPE_CHECKING:
    from transforms.sql_on_fhir.definition import Column
    from transforms.sql_on_fhir.workshop import Workshop

TEMPORAL = {"DATE", "TIMESTAMP", "TIMESTAMP WITH TIME ZONE"}


@dataclass(frozen=True, slots=True)
class OutputColumn:
    """A column of the result: its name, FHIR type (of the items, if `collection`) and DuckDB type."""

    name: str
    type: str
    sql_type: str
    collection: bool
    description: str
    warning: str | None = None


class Columns:
    """The columns of a view as they are made, by their names."""

    def __init__(self, shop: Workshop) -> None:
        self.shop = shop
        self.outputs: dict[str, OutputColumn] = {}

    def output(self, column: Column, value: Value) -> str:
        """The value as the column's type, as a list for a collection."""
        if value.choices is not None:
            raise self.shop.unread(value, 0)
        kind = column.type or (value.type.name if value.type else "string")
        if column.as_sent and value.side is not None and value.shape is not None:
            return self.sent(column, value)
        if kind not in SQL_TYPES and column.type is not None:
            return self.structured(column, kind, value)
        if kind not in SQL_TYPES:
            raise ExpressionFault("CH304", 0, f"the path gives {value.label}, which has parts: name one of them")
        if value.type is not None and not _converts(value, kind):
            raise ExpressionFault("CH304", 0, f"the path gives {value.label}, the column is declared {kind}")
        sql_type = column.sql_type or SQL_TYPES[kind]
        self.enter(column, kind, sql_type, several=value.many)
        if value.type is None:
            return f"CAST([] AS {sql_type}[])" if column.collection else f"CAST(NULL AS {sql_type})"
        if not column.collection:
            return self.cast(self.shop.one(value), kind, sql_type)
        if not value.many:
            only = self.cast(value.plain(), kind, sql_type)
            return f"CASE WHEN {only} IS NOT NULL THEN [{only}] ELSE [] END"
        item = self.shop.fresh()
        each = self.cast(self.shop.element_of(value, item), kind, sql_type)
        listed = self.shop.dense(value)
        if each != item:
            whole = self.shop.fresh()
            listed = f"list_transform({listed}, lambda {item}: {each})"
            listed = f"list_filter({listed}, lambda {whole}: {whole} IS NOT NULL)"
        return f"coalesce({listed}, [])"

    def sent(self, column: Column, value: Value) -> str:
        """A primitive as the text that was sent, numbers with their digits; as a list for a collection."""
        if value.side is None or value.shape is None:  # pragma: no cover - asked before
            raise AssertionError
        parent, json_name, many = value.side
        value.shape.sent, value.shape.leaf = True, "VARCHAR"
        if value.family == "decimal":
            self.shop.texts.add(json_name)
            self.shop.exact = True
        self.enter(column, "string", "VARCHAR", several=False)
        found = self.shop.descend(parent, json_name, many=many)
        if not column.collection:
            return self.shop.one(found).single()
        return f"coalesce({self.shop.as_list(found)}, [])" if found.many else f"[{found.single()}]"

    def structured(self, column: Column, kind: str, value: Value) -> str:
        """The value as a struct of the parts of its type, as a list for a collection."""
        if value.type is not None and not r4().is_a(value.type.name, kind):
            raise ExpressionFault("CH304", 0, f"the path gives {value.label}, the column is declared {kind}")
        parts = parts_of(value.type or Type.of(kind))
        parts = without(parts, self.shop.lacking) or parts
        if not parts or value.shape is None:
            raise ExpressionFault("CH304", 0, f"the path gives {value.label}, of which a column cannot be made")
        sql_type = struct_type(parts)
        self.enter(column, kind, sql_type, several=value.many)
        declare(self.shop, value.shape, parts)
        if not column.collection:
            return struct(self.shop, self.shop.one(value).single(), value.shape, parts)
        if not value.many:
            only = struct(self.shop, value.single(), value.shape, parts)
            return f"CASE WHEN {value.single()} IS NOT NULL THEN [{only}] ELSE [] END"
        item = self.shop.fresh()
        each = struct(self.shop, item, value.shape, parts)
        listed = self.shop.dense(value)
        if each != item:
            listed = f"list_transform({listed}, lambda {item}: {each})"
        kept = self.shop.fresh()
        return f"coalesce(list_filter({listed}, lambda {kept}: {kept} IS NOT NULL), [])"

    def enter(self, column: Column, kind: str, sql_type: str, *, several: bool) -> None:
        """Enter a column, or refuse branches of a union that give it different types."""
        warning = None
        if several and not column.collection:
            warning = "the path may give several values, at which the run ends: use first(), or collection: true"
        entered = OutputColumn(column.name, kind, sql_type, column.collection, column.description, warning)
        known = self.outputs.setdefault(column.name, entered)
        if known.sql_type != sql_type or known.collection != column.collection:
            raise ViewError("CH308", column.at, message=f"{column.name} is {known.sql_type} in another branch")

    def cast(self, value: Value, kind: str, sql_type: str) -> str:
        """A single value in the type of the column."""
        family = Type.of(kind).family
        source = value.single()
        if sql_type in TEMPORAL and value.family in {"date", "dateTime"}:
            make = (
                temporal.instant
                if sql_type == "TIMESTAMP WITH TIME ZONE"
                else partial(temporal.earliest, family="date")
            )
            if value.leaf:
                self.shop.note(value, sql_type, temporal.instant)
                make = partial(make, strict=self.shop.strict)
            return f"CAST({self.shop.once(self.shop.met(value), make)} AS {sql_type})"
        if family == "string" and value.family != "string":
            source, given = self.shop.text_of(value, 0), "VARCHAR"
        elif value.encoded and sql_type in {"DOUBLE", "REAL"}:
            self.shop.note(value, sql_type)
            return f"{'CAST' if self.shop.strict else 'TRY_CAST'}({source} AS {sql_type})"
        elif value.encoded:
            source, given = self.shop.number(value), numerals.number_type(value)
        else:
            given = {"boolean": "BOOLEAN"}.get(value.family or "", "VARCHAR")
            if value.family in {"integer", "decimal"}:
                given = ""
            elif value.leaf:
                source = self.shop.no_container(source)
        if sql_type == given:
            return source
        if not (value.encoded or value.leaf):
            return f"TRY_CAST({source} AS {sql_type})"
        self.shop.note(value, sql_type)
        return f"{'CAST' if self.shop.strict else 'TRY_CAST'}({source} AS {sql_type})"


def _converts(value: Value, kind: str) -> bool:
    given, wanted = value.family, Type.of(kind).family
    if given is None:
        return False
    return (
        given == wanted
        or wanted == "string"
        or (given == "integer" and wanted == "decimal")
        or {given, wanted} <= {"date", "dateTime"}
    )
