"""The structure that Health Connect asks of a resource, as JSON Schemas made from the element table.

It differs from the house's own gate: no codes of bindings and no targets of references, but regular expressions as R4
prints them (base64 without `/`, a dateTime with a time only with its zone), and `_name` beside every primitive. An
unknown element, an empty object or list, and two types of one choice are refused.
Source: `FhirObjectTypeValidator` and `FhirPrimitiveTypeValidator` of Android's Health Connect module.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final

from jsonschema_rs import validator_for

from transforms.checking.schema import Builder, Schema
from transforms.health_connect.types import LIMITS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from transforms.fhir_r4 import Element

_YEAR: Final = "([0-9]([0-9]([0-9][1-9]|[1-9]0)|[1-9]00)|[1-9]000)"
_MONTH, _DAY = "(0[1-9]|1[0-2])", "(0[1-9]|[1-2][0-9]|3[0-1])"
_CLOCK: Final = r"([01][0-9]|2[0-3]):[0-5][0-9]:([0-5][0-9]|60)(\.[0-9]+)?"
_ZONE: Final = r"(Z|(\+|-)((0[0-9]|1[0-3]):[0-5][0-9]|14:00))"
# Java's \s is ASCII's alone: a no-break space is a sign like any other.
_SPACE, _SIGN = r"[ \t\n\x0b\f\r]", r"[^ \t\n\x0b\f\r]"


def _text(pattern: str) -> Schema:
    return {"type": "string", "pattern": f"^({pattern})$"}


def _whole(least: int = -(2**31)) -> Schema:
    return {"type": "integer", "minimum": least, "maximum": 2**31 - 1}


PRIMITIVES: Final[Mapping[str, Schema]] = {
    "base64Binary": _text(rf"({_SPACE}*([0-9a-zA-Z+=]){{4}}{_SPACE}*)+"),
    "boolean": {"type": "boolean"},
    "canonical": _text(f"{_SIGN}*"),
    "code": _text(f"{_SIGN}+({_SPACE}{_SIGN}+)*"),
    "date": _text(f"{_YEAR}(-{_MONTH}(-{_DAY})?)?"),
    "dateTime": _text(f"{_YEAR}(-{_MONTH}(-{_DAY}(T{_CLOCK}{_ZONE})?)?)?"),
    "decimal": {"type": "number"},
    "id": _text(r"[A-Za-z0-9\-.]{1,64}"),
    "instant": _text(f"{_YEAR}-{_MONTH}-{_DAY}T{_CLOCK}{_ZONE}"),
    "integer": _whole(),
    "markdown": {"type": "string"},
    "oid": _text(r"urn:oid:[0-2](\.(0|[1-9][0-9]*))+"),
    "positiveInt": _whole(1),
    "string": _text(r"[^\x0b\f]+"),
    "time": _text(_CLOCK),
    "unsignedInt": _whole(0),
    "uri": _text(f"{_SIGN}*"),
    "url": _text(f"{_SIGN}*"),
    "uuid": _text("urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"),
    "xhtml": {"type": "string"},
}
_OBJECT: Final[Schema] = {"type": "object", "minProperties": 1}
R4B_VALUES: Final = ("valueCodeableReference", "valueRatioRange")
"""What an Extension of 4.3.0 may hold beside."""


@cache
def fits(resource_type: str, fhir_version: str) -> Callable[[Any], bool]:
    """Whether a resource of a type has the structure, as a function. Raises KeyError for a type that R4 lacks."""
    builder = _Builder(fhir_version)
    root = builder.type_schema(resource_type)
    root["properties"]["resourceType"] = {"const": resource_type}
    root["properties"]["id"] = PRIMITIVES["id"]
    root["properties"]["contained"] = {"type": "array", "maxItems": 0}
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **root, "$defs": builder.definitions}
    is_valid: Callable[[Any], bool] = validator_for(schema).is_valid
    return is_valid


def too_deep(resource: Any) -> bool:
    """Whether objects stand in objects more often than the phone follows."""
    level, waiting = 0, [resource]
    while waiting:
        if level > LIMITS.nesting:
            return True
        below: list[Any] = []
        for node in waiting:
            values = list(node.values())
            while values:
                value = values.pop()
                if isinstance(value, dict):
                    below.append(value)
                elif isinstance(value, list):
                    values.extend(value)
        level, waiting = level + 1, below
    return False


class _Builder(Builder):
    """The element table as the phone reads it."""

    primitives = PRIMITIVES

    def __init__(self, fhir_version: str) -> None:
        super().__init__()
        self._more = R4B_VALUES if fhir_version == "4.3.0" else ()

    def type_schema(self, type_name: str) -> Schema:
        schema = super().type_schema(type_name)
        if type_name == "Extension" and self._more:
            schema["properties"].update({name: dict(_OBJECT) for name in self._more})
        return schema

    def has_sibling(self, name: str, kind: str) -> bool:  # noqa: ARG002
        return True

    def primitive(self, element: Element, kind: str) -> Schema:  # noqa: ARG002
        return self.primitives[kind]

    def targeted(self, element: Element) -> Schema:  # noqa: ARG002
        return self.reference("Reference", lambda: self.type_schema("Reference"))

    def one_of(self, element: Element, rules: list[Schema]) -> dict[str, Schema]:  # noqa: ARG002
        names = {name: [name, f"_{name}"] if kind in self.primitives else [name]
                 for name, kind in element.json_names.items()}  # fmt: skip
        names |= {more: [more] for more in (self._more if element.owner == "Extension" else ())}
        return {
            written: {"properties": {other: False for rest, each in names.items() if rest != name for other in each}}
            for name, spellings in names.items()
            for written in spellings
        }
