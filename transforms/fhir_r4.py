"""FHIR R4 (4.0.1) as a table: types, elements, cardinalities, reference targets, required codes, search parameters.

Read once from `schemas/fhir_r4.json.gz` (see its generator) and cached. Everything here is immutable.

    >>> r4().element("Patient", "contact.name").types
    ('HumanName',)
"""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.resources import files
from threading import Lock
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Kind = Literal["primitive-type", "complex-type", "resource"]

QUANTITIES = frozenset({"Quantity", "SimpleQuantity", "MoneyQuantity", "Age", "Count", "Distance", "Duration"})
"""Quantity and its profiles: they have the same elements."""


@dataclass(frozen=True, slots=True)
class Element:
    """One element of a type.

    `path` is relative to the owner (`contact.name`, `value[x]`); `max` is None for no limit. `targets` are the types a
    Reference may point at (none: any), `value_set` the URL of the required codes, `same_as` the path (in the same
    owner) whose content this element repeats: it has no types of its own.
    """

    owner: str
    path: str
    min: int
    max: int | None
    types: tuple[str, ...]
    targets: tuple[str, ...] = ()
    value_set: str | None = None
    same_as: str | None = None

    @property
    def name(self) -> str:
        """The last step of the path, without the mark of a choice: `value` for `component.value[x]`."""
        return self.path.rpartition(".")[2].removesuffix("[x]")

    @property
    def is_choice(self) -> bool:
        """Whether the type is in the name (`value[x]` → `valueQuantity`)."""
        return self.path.endswith("[x]")

    @property
    def is_list(self) -> bool:
        """Whether JSON holds an array."""
        return self.max is None or self.max > 1

    @property
    def json_names(self) -> Mapping[str, str]:
        """JSON property → FHIR type; one entry, or one for each type of a choice."""
        if not self.is_choice:
            return {self.name: self.types[0] if self.types else ""}
        return {self.name + kind[0].upper() + kind[1:]: kind for kind in self.types}


@dataclass(frozen=True, slots=True)
class TypeDefinition:
    """A primitive type, a complex type or a resource, with all of its elements at every depth, inherited ones too."""

    name: str
    kind: Kind
    base: str | None
    abstract: bool
    elements: Mapping[str, Element]


_READING: Final = Lock()


class Definitions:
    """The R4 definitions. Use `r4()`."""

    def __init__(self, content: Mapping[str, Any]) -> None:
        self.version: str = content["version"]
        self.types: Mapping[str, TypeDefinition] = MappingProxyType(
            {name: _definition(name, entry) for name, entry in content["types"].items()}
        )
        self.codes: Mapping[str, frozenset[str]] = MappingProxyType(
            {url: frozenset(codes) for url, codes in content["codes"].items()}
        )
        self.patient_search: Mapping[str, tuple[str, ...]] = MappingProxyType(
            {name: tuple(parameters) for name, parameters in content["patient_search"].items()}
        )
        self._children: dict[tuple[str, str], dict[str, Element]] = {}
        for definition in self.types.values():
            self._children[(definition.name, "")] = {}
            for element in definition.elements.values():
                parent = element.path.rpartition(".")[0]
                self._children.setdefault((definition.name, parent), {})[element.name] = element

    @cached_property
    def resources(self) -> frozenset[str]:
        """The names of all concrete resource types."""
        return frozenset(name for name, entry in self.types.items() if entry.kind == "resource" and not entry.abstract)

    @cached_property
    def primitives(self) -> frozenset[str]:
        """The names of all primitive types (`xhtml` included)."""
        return frozenset(name for name, entry in self.types.items() if entry.kind == "primitive-type")

    def element(self, type_name: str, path: str) -> Element | None:
        """The element at `path` of a type (`value[x]` for a choice), or None."""
        definition = self.types.get(type_name)
        return definition.elements.get(path) if definition else None

    def children(self, type_name: str, path: str = "") -> Mapping[str, Element]:
        """Direct elements of a type, or of the element at `path` in it, by name (`value` for `value[x]`).

        Follows `same_as` and steps into the type of an element that has one, so that
        `children("Patient", "contact.name")` are those of HumanName. Empty for a primitive, and for an element whose
        type is open (a choice, `contained`).
        """
        own = self._children.get((type_name, path))
        if own is not None:
            return own
        element = self.element(type_name, path)
        if element is None:
            return {}
        if element.same_as:
            return self.children(type_name, element.same_as)
        if element.is_choice or len(element.types) != 1:
            return {}
        return self.children(element.types[0])

    def is_a(self, type_name: str, ancestor: str) -> bool:
        """Whether a type is `ancestor` or derives from it (`Age` is a `Quantity`, `code` a `string`)."""
        return ancestor in self.ancestry(type_name)

    def ancestry(self, type_name: str) -> Iterator[str]:
        """The type itself, then its bases."""
        current: str | None = type_name
        while current is not None and current in self.types:
            yield current
            current = self.types[current].base

    def required_codes(self, element: Element) -> frozenset[str] | None:
        """The codes that a required binding permits; None where nothing is required or the set is not enumerated."""
        return self.codes.get(element.value_set) if element.value_set else None


def _definition(name: str, entry: Mapping[str, Any]) -> TypeDefinition:
    elements = {}
    for path, row in entry["elements"].items():
        more = row[3] if len(row) > 3 else {}
        elements[path] = Element(
            owner=name,
            path=path,
            min=row[0],
            max=None if row[1] == -1 else row[1],
            types=tuple(row[2]),
            targets=tuple(more.get("targets", ())),
            value_set=more.get("codes"),
            same_as=more.get("same_as"),
        )
    return TypeDefinition(name, entry["kind"], entry["base"], entry["abstract"], MappingProxyType(elements))


def r4() -> Definitions:
    """The definitions of FHIR R4, read on the first call, and once however many threads call."""
    with _READING:  # `cache` lets every thread read that comes before the first is done, a tenth of a second each
        return _read()


@cache
def _read() -> Definitions:
    packed = files("schemas").joinpath("fhir_r4.json.gz").read_bytes()
    return Definitions(json.loads(gzip.decompress(packed)))
