"""The part of the JSON that a view reads: a tree of fields, written as the spec of from_json or read_ndjson."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from transforms.sql_on_fhir import sql

if TYPE_CHECKING:
    from collections.abc import Callable


class Shape:
    """One JSON value: a leaf, or an object with the fields that are read of it; `many` if an array of those.

    A `raw` shape is kept as JSON text and parsed where it is used: what `repeat` walks through, and resources within
    resources. Its fields then describe what is parsed out of it.
    """

    def __init__(self, place: str = "", *, many: bool = False, leaf: str | None = None, raw: bool = False) -> None:
        self.place = place
        self.many = many
        self.leaf = leaf
        self.raw = raw
        self.scalar: str | None = None
        self.sent = False
        """Whether the text as sent is wanted here, and not what R4 makes of it."""
        self.makes: dict[str, Callable[[str], str]] = {}
        """What is made of the text here: DuckDB type → SQL of it for SQL of a text, NULL where it cannot be made."""
        self.fields: dict[str, Shape] = {}
        self.readers: list[Shape] = []
        self.resource: str | None = None

    def child(self, name: str, *, many: bool, leaf: str | None, raw: bool) -> Shape:
        """The field of that name, made on the first call."""
        if name not in self.fields:
            self.fields[name] = Shape(f"{self.place}.{name}", many=many, leaf=leaf, raw=raw)
        return self.fields[name]

    def holds_text(self) -> bool:
        """Whether anything below is kept as JSON text."""
        return any(child.raw or child.holds_text() for child in self.fields.values())

    def read_by(self, reader: Shape) -> None:
        """Note a shape that the JSON text here is parsed into."""
        if reader not in self.readers:
            self.readers.append(reader)

    def spec(self) -> Any:
        """The content, as from_json describes it: of one item, even where there are many."""
        if self.leaf is not None:
            return self.leaf
        return {name: shape.slot() for name, shape in self.fields.items()} or {"id": "VARCHAR"}

    def slot(self) -> Any:
        """What stands at this place of the parent's spec."""
        item = "JSON" if self.raw else self.spec()
        return [item] if self.many else item

    def spec_text(self) -> str:
        """The spec as a SQL literal."""
        return sql.text(json.dumps(self.spec(), separators=(",", ":")))

    def columns(self) -> str:
        """The fields as the `columns` of read_ndjson."""
        parts = (f"{sql.name(name)}: {sql.text(_sql_type(shape.slot()))}" for name, shape in self.fields.items())
        return "{\n  " + ",\n  ".join(parts) + "\n}"

    def names(self) -> list[str]:
        """The JSON names of all leaves and objects below, each once."""
        found: dict[str, None] = {}
        for name, shape in self.fields.items():
            found[name] = None
            found.update(dict.fromkeys(shape.names()))
        return list(found)


def _sql_type(slot: Any) -> str:
    if isinstance(slot, list):
        return _sql_type(slot[0]) + "[]"
    if isinstance(slot, dict):
        return "STRUCT(" + ", ".join(f"{sql.name(name)} {_sql_type(inner)}" for name, inner in slot.items()) + ")"
    return str(slot)
