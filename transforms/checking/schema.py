"""JSON Schemas (2020-12) of the R4 resource types, made from the element table.

A schema says what FHIR's JSON format (R4 §2.6.2) permits: names, single value or array, primitives with their `_name`
siblings and regular expressions (§2.24), one type per choice, required elements, codes of required bindings, and the
types that a literal reference may name. `contained` is left open: the checker checks each contained resource by itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from transforms.fhir_r4 import Element, r4
from transforms.ids import ID, PERMITTED

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Schema = dict[str, Any]

_YEAR: Final = r"(?:[1-9]\d{3}|0[1-9]\d{2}|00[1-9]\d|000[1-9])"
_MONTH: Final = r"(?:0[1-9]|1[0-2])"
_DAY: Final = r"(?:0[1-9]|[12]\d|3[01])"
_CLOCK: Final = r"(?:[01]\d|2[0-3]):[0-5]\d:(?:[0-5]\d|60)(?:\.\d+)?"
_ZONE: Final = r"(?:Z|[+-](?:(?:0\d|1[0-3]):[0-5]\d|14:00))"

REFERENCE_MARK: Final = r"^(?:(?:[^#?]*/)?"
"""How every pattern of a literal reference starts."""


def _text(pattern: str) -> Schema:
    return {"type": "string", "pattern": f"^(?:{pattern})$".replace(r"\d", "[0-9]")}


# Control characters are looked for in the bytes (CH235): a pattern for every text would cost a quarter of the speed.
_NONEMPTY: Final[Schema] = {"type": "string", "minLength": 1}
_SOLID: Final[Schema] = {"type": "string", "minLength": 1, "pattern": r"^\S*$"}

PRIMITIVES: Final[Mapping[str, Schema]] = {
    "base64Binary": _text(r"[0-9A-Za-z+/=\t\n\r ]+"),
    "boolean": {"type": "boolean"},
    "canonical": _SOLID,
    "code": _text(r"\S+(?: \S+)*"),
    "date": _text(f"{_YEAR}(?:-{_MONTH}(?:-{_DAY})?)?"),
    "dateTime": _text(f"{_YEAR}(?:-{_MONTH}(?:-{_DAY}(?:T{_CLOCK}{_ZONE})?)?)?"),
    "decimal": {"type": "number"},
    "id": _text(PERMITTED),
    "instant": _text(f"{_YEAR}-{_MONTH}-{_DAY}T{_CLOCK}{_ZONE}"),
    "integer": {"type": "integer", "minimum": -(2**31), "maximum": 2**31 - 1},
    "markdown": _NONEMPTY,
    "oid": _text(r"urn:oid:[0-2](?:\.(?:0|[1-9]\d*))+"),
    "positiveInt": {"type": "integer", "minimum": 1, "maximum": 2**31 - 1},
    "string": _NONEMPTY,
    "time": _text(_CLOCK),
    "unsignedInt": {"type": "integer", "minimum": 0, "maximum": 2**31 - 1},
    "uri": _SOLID,
    "url": _SOLID,
    "uuid": _text(r"urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"),
    "xhtml": {"type": "string", "pattern": r"^\s*<(?:\w+:)?div[\s/>]"},
}


def resource_schema(resource_type: str) -> Schema:
    """The self-contained schema of one resource type. Raises KeyError for what R4 does not know."""
    if resource_type not in r4().resources:
        raise KeyError(resource_type)
    builder = Builder()
    root = builder.type_schema(resource_type)
    root["properties"]["resourceType"] = {"const": resource_type}
    root["properties"]["id"] = PRIMITIVES["id"]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **root, "$defs": builder.definitions}


class Builder:
    """Collects the `$defs` that one resource type needs. What is public another reader of R4 may put in its place."""

    primitives: Mapping[str, Schema] = PRIMITIVES

    def __init__(self) -> None:
        self.definitions: dict[str, Schema] = {}

    def type_schema(self, type_name: str) -> Schema:
        """The object schema of a complex type or resource, its backbone elements as definitions beside it."""
        return self._object(type_name, "")

    def _object(self, owner: str, path: str) -> Schema:
        properties: dict[str, Any] = {}
        rules: list[Schema] = []
        required: list[str] = []
        exclusive: dict[str, Schema] = {}
        for element in r4().children(owner, path).values():
            names = self._names(element)
            properties.update(names)
            if element.min:
                if len(names) == 1:
                    required.extend(names)
                else:
                    rules.append({"anyOf": [{"required": [name]} for name in names]})
            if element.is_choice:
                exclusive.update(self.one_of(element, rules))
        schema: Schema = {"type": "object", "properties": properties, "additionalProperties": False}
        if required:
            schema["required"] = required
        if rules:
            schema["allOf"] = rules
        if exclusive:
            schema["dependentSchemas"] = exclusive
        if owner not in r4().resources or path:
            schema["minProperties"] = 1
        return schema

    def _names(self, element: Element) -> dict[str, Schema]:
        """JSON property → schema; a primitive's `_name` sibling comes along (R4 §2.6.2.3)."""
        properties: dict[str, Schema] = {}
        for name, kind in element.json_names.items():
            primitive = kind in self.primitives
            one = self.primitive(element, kind) if primitive else self._complex(element, kind)
            if not element.is_list:
                properties[name] = one
            elif primitive:
                properties[name] = {"type": "array", "minItems": 1, "items": _or_null(one)}
            else:
                properties[name] = {"type": "array", "minItems": 1, "items": one}
            if primitive and self.has_sibling(name, kind):
                sibling = self.reference("Element", lambda: self.type_schema("Element"))
                properties["_" + name] = (
                    {"type": "array", "minItems": 1, "items": {"anyOf": [{"type": "null"}, sibling]}}
                    if element.is_list
                    else sibling
                )
        return properties

    def has_sibling(self, name: str, kind: str) -> bool:
        """Whether a primitive may have a `_name` beside it."""
        return kind != "xhtml" and name != "id"

    def primitive(self, element: Element, kind: str) -> Schema:
        """The schema of one primitive value."""
        codes = r4().required_codes(element) if kind == "code" else None
        if codes:
            return {"type": "string", "enum": sorted(codes)}
        return self.primitives[kind]

    def _complex(self, element: Element, kind: str) -> Schema:
        if element.same_as:
            return self._backbone(element.owner, element.same_as)
        if kind == "Resource":
            return {"type": "object", "required": ["resourceType"]}
        if kind in ("BackboneElement", "Element") and r4().children(element.owner, element.path):
            return self._backbone(element.owner, element.path)
        if kind == "Reference" and element.targets:
            return self.targeted(element)
        return self.reference(kind, lambda: self.type_schema(kind))

    def _backbone(self, owner: str, path: str) -> Schema:
        return self.reference(f"{owner}.{path}", lambda: self._object(owner, path))

    def targeted(self, element: Element) -> Schema:
        """A Reference to the types that the element permits."""
        allowed = sorted(element.targets)

        def make() -> Schema:
            schema = self.type_schema("Reference")
            schema["properties"] = {
                **schema["properties"],
                "reference": {"type": "string", "pattern": literal(allowed)},
            }
            return schema

        return self.reference("Reference to " + " ".join(allowed), make)

    def reference(self, name: str, make: Any) -> Schema:
        """A definition by its name, made where there is none."""
        key = name.replace(" ", "-").replace("[x]", "")
        if key not in self.definitions:
            self.definitions[key] = {}
            self.definitions[key] = make()
        return {"$ref": f"#/$defs/{key}"}

    def one_of(self, element: Element, rules: list[Schema]) -> dict[str, Schema]:
        """At most one type per choice (R4 §2.6.2.2): `_name` belongs to its `name`."""
        names = list(element.json_names)
        if len(names) > 20:
            # Extension and its like: with two members there is no room for a second value, which is nearly always so.
            each = [{"required": [name]} for name in names]
            rules.append({"anyOf": [{"maxProperties": 2}, {"not": {"anyOf": each}}, {"oneOf": each}]})
            return {}
        return {name: {"properties": {other: False for other in names if other != name}} for name in names}


def literal(targets: Iterable[str]) -> str:
    """The pattern of a reference to one of these types: relative, absolute, conditional, contained or `urn:`."""
    names = "|".join(targets)
    return REFERENCE_MARK + rf"(?:{names})(?:/{ID}(?:/_history/{ID})?(?:#.*)?|\?.+)|#.*|urn:.+)$"


def _or_null(schema: Schema) -> Schema:
    widened = {**schema, "type": [schema["type"], "null"]}
    if "enum" in widened:
        widened["enum"] = [*widened["enum"], None]
    return widened
