"""What an expression stands for while it is compiled: its SQL, its FHIR type, whether it may be several."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transforms.fhir_r4 import Element
    from transforms.sql_on_fhir.shape import Shape
    from transforms.sql_on_fhir.syntax import Literal

DECIMAL = "DECIMAL(38, 18)"

_STRINGS = "string code id markdown uri url canonical oid uuid base64Binary xhtml"
FAMILY: dict[str, str] = {
    **dict.fromkeys(_STRINGS.split(), "string"),
    **dict.fromkeys(("integer", "positiveInt", "unsignedInt", "integer64"), "integer"),
    "decimal": "decimal",
    "boolean": "boolean",
    "date": "date",
    "dateTime": "dateTime",
    "instant": "dateTime",
    "time": "time",
}
"""FHIR primitive → the FHIRPath type that it converts to."""

SQL_TYPES: dict[str, str] = {
    **dict.fromkeys(FAMILY, "VARCHAR"),
    "boolean": "BOOLEAN",
    "integer": "INTEGER",
    "positiveInt": "INTEGER",
    "unsignedInt": "INTEGER",
    "integer64": "BIGINT",
    "decimal": DECIMAL,
}
"""FHIR primitive → DuckDB type of a column. Dates and times stay text: so they keep their precision."""


@dataclass(frozen=True, slots=True)
class Type:
    """A FHIR type; for an element with content of its own (BackboneElement) also where R4 lists that content."""

    name: str
    owner: str
    path: str = ""

    @staticmethod
    def of(name: str) -> Type:
        """A type by its name."""
        return Type(name, name)

    @staticmethod
    def at(element: Element, name: str | None = None) -> Type:
        """The type of an element; for a choice, the one named."""
        if element.same_as:
            return Type("BackboneElement", element.owner, element.same_as)
        name = name or element.types[0]
        if name in {"BackboneElement", "Element"}:
            return Type(name, element.owner, element.path)
        return Type.of(name)

    @property
    def family(self) -> str | None:
        """The FHIRPath type of a primitive: string, integer, decimal, boolean, date, dateTime, time; else None."""
        return FAMILY.get(self.name)


@dataclass(frozen=True, slots=True)
class Value:
    """The result of a (sub)expression.

    - `type` is None for the empty collection.
    - `many`: `sql` is a list. `sparse`: it may hold NULLs that are no items.
    - `encoded`: numbers are still the text of the JSON, so that a decimal has its digits.
    - `leaf`: the text comes straight from a JSON string, so it may be an object by mistake.
    - `guard`: a condition without which the (single) value is empty.
    - `choices`: for `value[x]` before a type was chosen: its parent and the element.
    - `targets`: of a Reference, the types that R4 says it may point at (none: any).
    - `shape`: where to declare the fields that are read of it. `side`: for a primitive, its parent, its name in JSON,
      and whether that is a list.
    """

    sql: str
    type: Type | None
    many: bool = False
    sparse: bool = False
    encoded: bool = False
    leaf: bool = False
    guard: str | None = None
    choices: tuple[Value, Element] | None = None
    shape: Shape | None = None
    side: tuple[Value, str, bool] | None = None
    literal: Literal | None = None
    root: bool = False
    targets: tuple[str, ...] = ()

    @property
    def family(self) -> str | None:
        """The FHIRPath type, None for a complex one and for the empty collection."""
        return self.type.family if self.type else None

    @property
    def label(self) -> str:
        """The type, for messages."""
        if self.type is None:
            return "nothing"
        return f"{self.type.owner}.{self.type.path}" if self.type.path else self.type.name

    def single(self) -> str:
        """SQL of a single value, its guard applied."""
        return f"CASE WHEN {self.guard} THEN {self.sql} END" if self.guard else self.sql

    def plain(self) -> Value:
        """The same with the guard applied, if there is one."""
        return replace(self, sql=self.single(), guard=None) if self.guard else self


def made(sql: str, type_name: str, *, many: bool = False, sparse: bool = False) -> Value:
    """A computed value."""
    return Value(sql, Type.of(type_name), many=many, sparse=sparse)


EMPTY = Value("NULL", None)
