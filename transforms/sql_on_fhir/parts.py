"""Complex types as columns: which parts of a datatype a column holds, and the struct that is made of them.

A column may be declared with a complex type (`CodeableConcept`, `Quantity`, `BackboneElement` …). It becomes a STRUCT
of the parts below, named as in JSON, every leaf VARCHAR as sent: numbers with their digits.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING

from transforms.fhir_r4 import r4
from transforms.sql_on_fhir import sources, sql
from transforms.sql_on_fhir.values import FAMILY, Type

if TYPE_CHECKING:
    from collections.abc import Collection

    from transforms.sql_on_fhir.compilation import Compilation
    from transforms.sql_on_fhir.shape import Shape

_QUANTITY = ("value", "_value", "comparator", "unit", "system", "code", "extension")
PARTS: dict[str, tuple[str, ...]] = {
    "Coding": ("system", "version", "code", "display", "userSelected"),
    "CodeableConcept": ("coding", "text", "extension"),
    "Quantity": _QUANTITY,
    "Age": _QUANTITY,
    "Count": _QUANTITY,
    "Distance": _QUANTITY,
    "Duration": _QUANTITY,
    "Range": ("low", "high", "extension"),
    "Ratio": ("numerator", "denominator", "extension"),
    "Period": ("start", "end", "extension"),
    "Reference": ("reference", "type", "display"),
    "Annotation": ("time", "text"),
    "Extension": ("url", "valueCode", "valueString"),
    "Element": ("extension",),
}
"""Datatype → its parts in a column. `_value` is what stands beside a number: the extension that says why it is missing.
Extensions are held of the element itself, not of what is within it: a struct of many parts costs DuckDB a vector each.
A reference is held without its identifier, which may name a person."""

_NEVER = frozenset({"id", "extension", "modifierExtension", "contained"})


@dataclass(frozen=True, slots=True)
class Part:
    """One property of a struct: its name in JSON, its type, whether it is an array, and its own parts (none: text)."""

    name: str
    type: Type
    many: bool
    parts: tuple[Part, ...] = ()

    @property
    def sql_type(self) -> str:
        """The DuckDB type."""
        return struct_type(self.parts) + ("[]" if self.many else "") if self.parts else _leaf_type(self.many)


@cache
def parts_of(kind: Type, within: tuple[Type, ...] = ()) -> tuple[Part, ...]:
    """The parts of a complex type. A type within itself is left out, so that recursion ends."""
    chosen = None if kind.path else PARTS.get(kind.name)
    named = {
        json_name: (element, type_name or None)
        for name, element in r4().children(kind.owner, kind.path).items()
        if name not in _NEVER or chosen
        for json_name, type_name in element.json_names.items()
    }
    found = []
    for json_name in chosen or tuple(named):
        if within and (json_name == "extension" or json_name.startswith("_")):
            continue
        if json_name.startswith("_"):
            found.append(Part(json_name, Type.of("Element"), False, parts_of(Type.of("Element"))))
            continue
        element, type_name = named[json_name]
        inner = Type.at(element, type_name)
        if inner.name in {"Resource", "xhtml"} or inner in (*within, kind):
            continue
        below = () if inner.name in FAMILY else parts_of(inner, (*within, kind))
        if below or inner.name in FAMILY:
            found.append(Part(json_name, inner, element.is_list, below))
    return tuple(found)


def without(parts: tuple[Part, ...], lacking: Collection[str]) -> tuple[Part, ...]:
    """The parts without those of some names, at any depth, and without what is nothing but those."""
    if not lacking:
        return parts
    kept = []
    for part in parts:
        below = without(part.parts, lacking)
        if part.name not in lacking and (below or not part.parts):
            kept.append(replace(part, parts=below))
    return tuple(kept)


def struct_type(parts: tuple[Part, ...]) -> str:
    """The DuckDB type of a struct of those parts."""
    return "STRUCT(" + ", ".join(f"{sql.name(part.name)} {part.sql_type}" for part in parts) + ")"


def _leaf_type(many: bool) -> str:
    return "VARCHAR[]" if many else "VARCHAR"


def declare(shop: Compilation, shape: Shape, parts: tuple[Part, ...]) -> None:
    """Note in a shape that those parts are read of it."""
    for part in parts:
        leaf = None if part.parts else "VARCHAR"
        child = shape.child(part.name, many=part.many, leaf=leaf, raw=f"{shape.place}.{part.name}" in shop.raw)
        if part.type.family == "decimal":
            shop.exact = True
            (shop.decimals if child.leaf == "JSON" else shop.texts).add(part.name)
        declare(shop, child, part.parts)


def struct(shop: Compilation, item: str, shape: Shape, parts: tuple[Part, ...]) -> str:
    """SQL of one item as the struct. Where exactly its parts are read of the JSON it is there already."""
    if _fits(shop, shape, parts):
        return item
    fields = ", ".join(f"{sql.text(part.name)}: {_field(shop, item, shape, part)}" for part in parts)
    return shop.once(item, lambda given: f"CASE WHEN {given} IS NOT NULL THEN {{{fields.replace(item, given)}}} END")


def _field(shop: Compilation, item: str, shape: Shape, part: Part) -> str:
    child = shape.fields[part.name]
    found = sql.field(item, part.name)
    if child.raw:
        spec = child.spec_text()
        each = shop.fresh()
        parse = f"TRY(from_json({{}}, {spec}))".format
        found = f"list_transform({found}, lambda {each}: {parse(each)})" if part.many else parse(found)
    each = shop.fresh()
    if part.parts:
        if _fits(shop, child, part.parts):
            return found
        made = struct(shop, each if part.many else found, child, part.parts)
    else:
        made = _text(shop, each if part.many else found, child, part)
        if made in {each, found}:
            return found
    return f"list_transform({found}, lambda {each}: {made})" if part.many else made


def _text(shop: Compilation, found: str, child: Shape, part: Part) -> str:
    """The text of a leaf, without what the reader put around the digits of a number."""
    if child.leaf == "JSON":
        found = f"CAST({found} AS VARCHAR)"
        said = f"CASE WHEN starts_with({found}, '\"') THEN from_json({found}, '\"VARCHAR\"') ELSE {found} END"
        return f"coalesce({sources.number_text(found)}, {said})"
    if part.type.family == "decimal" and part.name in shop.numbers:
        return f"coalesce({sources.number_text(found)}, {found})"
    return found


def _fits(shop: Compilation, shape: Shape, parts: tuple[Part, ...]) -> bool:
    if list(shape.fields) != [part.name for part in parts]:
        return False
    return all(
        not shape.fields[part.name].raw
        and (
            _fits(shop, shape.fields[part.name], part.parts)
            if part.parts
            else shape.fields[part.name].leaf == "VARCHAR" and part.name not in shop.numbers
        )
        for part in parts
    )
