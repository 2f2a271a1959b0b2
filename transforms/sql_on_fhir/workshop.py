"""What operators and functions work with: the elements of R4, their types, and whether they are there."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from transforms.fhir_r4 import r4
from transforms.sql_on_fhir import sources, sql
from transforms.sql_on_fhir.compilation import Compilation
from transforms.sql_on_fhir.errors import ExpressionFault
from transforms.sql_on_fhir.hints import hint, is_known_somewhere, near, spellings
from transforms.sql_on_fhir.shape import Shape
from transforms.sql_on_fhir.values import EMPTY, Type, Value, made

if TYPE_CHECKING:
    from transforms.fhir_r4 import Element
    from transforms.sql_on_fhir.syntax import Expression

_SIDE_NAMES = ("extension", "id")


@dataclass(frozen=True, slots=True)
class Scope:
    """What an expression is evaluated on: the focus, the resource, and where in the rows it stands."""

    this: Value
    root: Value
    row_index: str = "0"
    index: str | None = None
    lenient: bool = False
    """Whether an element that this type does not have, but another does, is just empty (within `repeat`)."""
    void: str | None = None
    """Within forEachOrNull: the condition that there was no item, so that the row has only NULLs."""


class Workshop(Compilation):
    """A compilation that finds its way in R4, and takes the arguments of a function to values."""

    @abstractmethod
    def evaluate(self, tree: Expression, scope: Scope) -> Value:
        """The value of an expression.

        Raises:
            ExpressionFault: CH303 to CH306, with the offset of the part at fault.
        """

    def lambda_scope(self, value: Value, item: str, scope: Scope, *, index: str | None = None) -> Scope:
        """The scope inside where(), select(), all(): `$this` is the item."""
        this = self.element_of(value, item) if value.many else replace(value.plain(), literal=None)
        return replace(scope, this=this, index=index)

    # -- elements -----------------------------------------------------------------------------------------------------

    def member(self, value: Value, name: str, position: int, *, lenient: bool = False) -> Value:
        """`value.name`."""
        if value.side is not None and name in _SIDE_NAMES:
            below = r4().children("Element")[name]
            return self.access(self.beside(value), below, name, Type.at(below))
        element = self.element(value, name, position, lenient=lenient)
        if element is None:
            return EMPTY
        if element.is_choice:
            return Value("NULL", Type("choice", "choice"), many=value.many, choices=(value, element))
        return self.access(value, element, element.name, Type.at(element))

    def element(self, value: Value, name: str, position: int, *, lenient: bool = False) -> Element | None:
        """The element of that name that R4 gives the value's type; None if there can be none."""
        if value.type is None:
            return None
        if value.choices is not None:
            raise self.unread(value, position, name)
        if value.family is not None:
            raise ExpressionFault("CH303", position, f"{value.label} is a primitive: it has no element {name!r}")
        children = r4().children(value.type.owner, value.type.path)
        found = children.get(name)
        if found is None:
            if lenient and is_known_somewhere(name):
                return None
            raise ExpressionFault("CH303", position, f"{value.label} has no element {name!r}{hint(name, children)}")
        if value.shape is None:
            raise ExpressionFault("CH305", position, "a quantity written in the view is there to compare with only")
        if value.type.name == "Resource":
            raise ExpressionFault("CH303", position, "any resource may stand here: name its type with ofType() first")
        return found

    def access(self, value: Value, element: Element, json_name: str, kind: Type) -> Value:
        """The JSON property of an element, declared in the shape."""
        family = kind.family
        scalar = family if family in {"boolean", "integer", "decimal"} else None
        leaf = None if family is None else ("JSON" if scalar else "VARCHAR")
        parent = self.shape_of(value)
        raw = kind.name == "Resource" or f"{parent.place}.{json_name}" in self.raw
        shape = parent.child(json_name, many=element.is_list, leaf=leaf, raw=raw)
        shape.raw = raw
        if (
            scalar and not shape.sent
        ):  # a struct may have declared it as text; what asks for a number must tell a string from one
            shape.leaf = leaf
        shape.scalar = scalar
        got = self.descend(value, json_name, many=element.is_list)
        if scalar is not None:
            got = self.scalar(got, scalar)
        got = replace(
            got,
            type=kind,
            shape=shape,
            sparse=got.many and (family is not None or not element.is_list),
            encoded=family in {"integer", "decimal"},
            leaf=leaf == "VARCHAR",
            side=(value, json_name, element.is_list) if family is not None else None,
            targets=element.targets,
        )
        if raw and kind.name != "Resource":
            got = replace(got, sql=self.parse_each(got.sql, shape, many=got.many), sparse=False)
        return got

    def scalar(self, value: Value, family: str) -> Value:
        """A number's text, or a boolean, out of its JSON. A string in its place is neither, whatever it says."""

        def read(item: str) -> str:
            text = f"CAST({item} AS VARCHAR)"
            if family == "boolean":
                other = f" WHEN {item} IS NOT NULL THEN error('CH320')" if self.strict else ""
                return f"CASE WHEN {text} = 'true' THEN true WHEN {text} = 'false' THEN false{other} END"
            return text if self.strict else sources.number_text(text)

        if not value.many:
            return replace(value, sql=read(value.sql))
        item = self.fresh()
        return replace(value, sql=f"list_transform({value.sql}, lambda {item}: {read(item)})")

    def descend(self, value: Value, json_name: str, *, many: bool) -> Value:
        """SQL of `value.json_name`, over all items if there are several."""
        if not value.many:
            got = Value(sql.field(value.sql, json_name), None, guard=value.guard)
            return replace(got.plain(), many=True) if many else got
        item = self.fresh()
        each = f"list_transform({value.sql}, lambda {item}: {sql.field(item, json_name)})"
        return Value(f"flatten({each})" if many else each, None, many=True)

    def parse_each(self, source: str, shape: Shape, *, many: bool) -> str:
        """JSON text (or a list of it) as the struct of a shape."""
        if not many:
            return f"from_json({source}, {shape.spec_text()})"
        item = self.fresh("j")
        return f"list_transform({source}, lambda {item}: from_json({item}, {shape.spec_text()}))"

    def beside(self, value: Value) -> Value:
        """What holds the `extension` and `id` of a primitive: in JSON beside it, under its name with an underscore."""
        if value.side is None:
            return EMPTY
        parent, json_name, many = value.side
        shape = self.shape_of(parent).child(f"_{json_name}", many=many, leaf=None, raw=False)
        found = self.descend(parent, f"_{json_name}", many=many)
        return replace(found, type=Type.of("Element"), shape=shape, guard=value.guard, sparse=found.many)

    def shape_of(self, value: Value) -> Shape:
        """Where the fields of a complex value are declared."""
        if value.shape is None:
            msg = f"{value.label} has no shape"
            raise AssertionError(msg)
        return value.shape

    # -- types --------------------------------------------------------------------------------------------------------

    def of_type(self, value: Value, name: str, position: int) -> Value:
        """The value if it is of that type."""
        if value.type is None:
            return EMPTY
        name = name.removeprefix("FHIR.")
        system = name.removeprefix("System.")
        if value.choices is not None:
            return self.chosen(value.choices, name, position)
        if value.type.name == "Resource":
            return self.resource_of(value, name, position)
        if name in r4().types and r4().is_a(value.type.name, name):
            return value
        if system != name and value.family is not None and value.family == system[0].lower() + system[1:]:
            return value
        raise ExpressionFault("CH304", position, f"{value.label} is never {name}")

    def is_type(self, value: Value, name: str, position: int) -> Value:
        """Whether the value is of that type; nothing where there is no value."""
        chosen = self.exists(self.of_type(value, name, position)).sql
        return made(f"CASE WHEN {self.exists(value).sql} THEN {chosen} END", "boolean")

    def chosen(self, choices: tuple[Value, Element], name: str, position: int) -> Value:
        """One alternative of `value[x]`."""
        parent, element = choices
        if name not in element.types:
            permitted = ", ".join(element.types[:12]) + (" …" if len(element.types) > 12 else "")
            raise ExpressionFault("CH304", position, f"{parent.label}.{element.path} is never {name}, but {permitted}")
        json_name = next(key for key, kind in element.json_names.items() if kind == name)
        return self.access(parent, element, json_name, Type.at(element, name))

    def unread(self, value: Value, position: int, name: str = "") -> ExpressionFault:
        """The fault of a choice of which more is asked than whether it is there; `name` is the element asked of it."""
        if value.choices is None:
            return ExpressionFault("CH303", position, f"{value.label} is read with ofType()")
        parent, element = value.choices
        what = f"{parent.label}.{element.path} is a choice of types: {spellings(element, name)}"
        return ExpressionFault("CH303", position, what)

    def truth(self, value: Value) -> str:
        """A bare choice as a boolean: its own if that is its type, true for any other value, NULL where there is none.

        So FHIRPath evaluates a single item where a boolean is due.
        """
        found = "".join(f" WHEN {self.present(one).sql} THEN true" for one in self.alternatives(value))
        _, element = value.choices or (None, None)
        if element is None or "boolean" not in element.types:
            return f"CASE{found} END"
        own = self.one(next(one for one in self.alternatives(value) if one.family == "boolean")).single()
        return f"CASE WHEN {own} IS NOT NULL THEN {own}{found} END"

    def alternatives(self, value: Value) -> list[Value]:
        """The value, or for `value[x]` each of its types."""
        if value.choices is None:
            return [value]
        _, element = value.choices
        return [self.chosen(value.choices, name, 0) for name in element.types]

    def resource_of(self, value: Value, name: str, position: int) -> Value:
        """The resources of one type among those contained; they are JSON text up to here."""
        if name not in r4().resources:
            raise ExpressionFault("CH304", position, f"there is no resource type {name!r}{near(name, r4().resources)}")
        outer = self.shape_of(value)
        shape = self.parsed.setdefault(f"{outer.place}#{name}", Shape(f"{outer.place}#{name}"))
        shape.resource = name
        outer.read_by(shape)
        item = self.fresh("j")
        is_it = f"({item} ->> '$.resourceType') = {sql.text(name)}"
        many = value.sql if value.many else f"[{value.single()}]"
        found = f"list_filter({many}, lambda {item}: {is_it})"
        if not value.many:
            return Value(f"from_json({found}[1], {shape.spec_text()})", Type.of(name), shape=shape)
        return Value(self.parse_each(found, shape, many=True), Type.of(name), many=True, shape=shape)

    # -- being there --------------------------------------------------------------------------------------------------

    def exists(self, value: Value) -> Value:
        """Whether there is any item."""
        if value.choices is not None:
            found = [self.exists(one).sql for one in self.alternatives(value)]
            return made("(" + " OR ".join(found) + ")", "boolean")
        if value.type is None:
            return made("false", "boolean")
        if value.many:
            return made(f"coalesce(len({self.dense(value, asked=True)}) > 0, false)", "boolean")
        if value.root:
            return made(f"coalesce({value.guard}, false)" if value.guard else "true", "boolean")
        there = f"{self.checked(value.sql, value)} IS NOT NULL"
        return made(f"coalesce({value.guard} AND {there}, false)" if value.guard else f"({there})", "boolean")

    def present(self, value: Value) -> Value:
        """Whether there is any element: a primitive may have no value, but extensions (FHIR R4, section 2.24.0.1)."""
        if value.choices is not None:
            found = [self.present(one).sql for one in self.alternatives(value)]
            return made("(" + " OR ".join(found) + ")", "boolean")
        there = self.exists(value).sql
        if value.side is None or value.guard != value.side[0].guard:
            return made(there, "boolean")
        return made(f"({there} OR {self.exists(self.beside(value)).sql})", "boolean")

    def where_there(self, given: Value, made_of_it: Value) -> Value:
        """What was made of a single value; nothing where the value is not there."""
        if given.root and not given.guard:
            return made_of_it
        there = self.exists(given).sql
        if made_of_it.many:
            return replace(made_of_it, sql=f"CASE WHEN {there} THEN {made_of_it.sql} END", literal=None)
        return replace(made_of_it.plain(), guard=there, literal=None)
