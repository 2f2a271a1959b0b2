"""From the tree of an expression to SQL, with the type and cardinality that R4 gives each step."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from transforms.fhir_r4 import r4
from transforms.sql_on_fhir import operators, sources, sql
from transforms.sql_on_fhir.errors import ExpressionFault
from transforms.sql_on_fhir.functions import FUNCTIONS
from transforms.sql_on_fhir.hints import hint, is_known_somewhere, near
from transforms.sql_on_fhir.layers import is_constant
from transforms.sql_on_fhir.literals import literal
from transforms.sql_on_fhir.shape import Shape
from transforms.sql_on_fhir.syntax import (
    Binary,
    Call,
    Expression,
    Index,
    Literal,
    Member,
    TypeTest,
    Unary,
    Variable,
)
from transforms.sql_on_fhir.values import EMPTY, Type, Value, made

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from transforms.fhir_r4 import Element
    from transforms.sql_on_fhir.layers import Layers

MAX_SQL = 1_000_000
"""Characters of SQL that one expression may become."""

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


@dataclass
class Workshop:
    """What one compilation shares: the names it gave, the shapes it reads, the constants of the view."""

    constants: Mapping[str, Literal] = field(default_factory=dict)
    strict: bool = False
    """Whether the strict reader feeds the view."""
    raw: set[str] = field(default_factory=set)
    parsed: dict[str, Shape] = field(default_factory=dict)
    exact: bool = False
    """Whether the view depends on the digits of a decimal, not on its value alone."""
    decimals: set[str] = field(default_factory=set)
    place: str = "$"
    count: int = 0
    no_container: Callable[[str], str] = str
    """Puts NULL where the text of a string is that of an object or array in its place."""
    asked: set[str] = field(default_factory=set)
    """The strings that this expression has asked about."""
    layers: Layers | None = None
    """Where to name what is used several times, while a column of the whole view is compiled."""

    def fresh(self, prefix: str = "x") -> str:
        """A name for a lambda's parameter or a row source that nothing else has."""
        self.count += 1
        return f"{prefix}{self.count}"

    # -- evaluation -------------------------------------------------------------------------------------------------

    def evaluate(self, tree: Expression, scope: Scope) -> Value:
        """The value of an expression.

        Raises:
            ExpressionFault: CH303 to CH306, with the offset of the part at fault.
        """
        value = self.evaluated(tree, scope)
        if len(value.sql) + len(value.guard or "") > MAX_SQL:
            raise ExpressionFault("CH302", tree.position, "so much is nested here that its SQL grows too long")
        return value

    def evaluated(self, tree: Expression, scope: Scope) -> Value:
        """The value of an expression, however long its SQL."""
        match tree:
            case Literal():
                return literal(tree)
            case Variable():
                return self.variable(tree, scope)
            case Member():
                return self.step(tree, scope)
            case Call():
                return self.call(tree, scope)
            case Index():
                return self.index(tree, scope)
            case Unary():
                return operators.sign(self, tree, self.evaluate(tree.operand, scope))
            case Binary():
                left, right = self.evaluate(tree.left, scope), self.evaluate(tree.right, scope)
                return operators.binary(self, tree, left, right)
            case TypeTest():
                operand = self.evaluate(tree.operand, scope)
                if tree.operator == "is":
                    return self.is_type(operand, tree.type_name, tree.position)
                return self.of_type(operand, tree.type_name, tree.position)

    def step(self, tree: Member, scope: Scope) -> Value:
        """`target.name`; the first step may also name the type of the resource itself."""
        if tree.target is not None:
            target = self.evaluate(tree.target, scope)
        elif scope.this.root and scope.this.type and tree.name == scope.this.type.name:
            return scope.this
        else:
            target = scope.this
        return self.member(target, tree.name, tree.position, lenient=scope.lenient)

    def variable(self, tree: Variable, scope: Scope) -> Value:
        """`$this`, `$index`, `%rowIndex`, `%context`, `%resource` or a constant."""
        match tree.name:
            case "$this" | "%context":
                return scope.this
            case "$index" if scope.index:
                return made(scope.index, "integer")
            case "%rowIndex":
                return made(scope.row_index, "integer")
            case "%resource" | "%rootResource":
                return scope.root
            case "%ucum":
                return literal(Literal("string", "http://unitsofmeasure.org", tree.position))
        name = tree.name.removeprefix("%")
        if tree.name.startswith("$") or name not in self.constants:
            kind = "variable" if tree.name.startswith("$") else "constant"
            raise ExpressionFault("CH306", tree.position, f"there is no {kind} {tree.name}{near(name, self.constants)}")
        return literal(self.constants[name])

    def call(self, tree: Call, scope: Scope) -> Value:
        """A function of the table in `functions`."""
        function = FUNCTIONS.get(tree.name)
        if function is None:
            meant = near(tree.name, FUNCTIONS)
            raise ExpressionFault("CH305", tree.position, f"there is no function {tree.name}() here{meant}")
        if not function.least <= len(tree.arguments) <= function.most:
            raise ExpressionFault(
                "CH305", tree.position, f"{tree.name}() does not take {len(tree.arguments)} arguments"
            )
        target = self.evaluate(tree.target, scope) if tree.target is not None else scope.this
        return function.run(self, target, tree, scope)

    def index(self, tree: Index, scope: Scope) -> Value:
        """`target[index]`: one item, or nothing."""
        target = self.evaluate(tree.target, scope)
        at = self.evaluate(tree.index, scope)
        if target.type is None or at.type is None:
            return EMPTY
        if at.family != "integer":
            raise ExpressionFault("CH304", tree.position, f"an index is an integer, not {at.label}")
        known = at.literal.value if at.literal is not None else None
        if isinstance(known, int):
            if known < 0:
                return replace(self.item(target, "1") if target.many else target, guard="false")
            if not target.many:
                return target if known == 0 else replace(target, guard="false")
            return self.item(target, str(known + 1))
        number = self.number(self.one(at))
        if not target.many:
            return replace(target.plain(), guard=f"{number} = 0")
        at_sql = self.apart(number, lambda given: f"TRY({given} + 1)")
        return replace(self.item(target, at_sql), guard=f"{number} >= 0")

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
            raise ExpressionFault("CH303", position, f"{self.label(value)} is a choice: name its type with ofType()")
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

    # -- building blocks --------------------------------------------------------------------------------------------

    def alternatives(self, value: Value) -> list[Value]:
        """The value, or for `value[x]` each of its types."""
        if value.choices is None:
            return [value]
        parent, element = value.choices
        return [self.chosen(value.choices, name, 0) for name in element.types if parent is not None]

    def dense(self, value: Value, *, asked: bool = False) -> str:
        """SQL of the list without the NULLs that are no items; `asked` if their being there is all that matters."""
        if not value.sparse:
            return value.sql
        item = self.fresh()
        there = self.checked(item, value if asked else replace(value, leaf=False))
        return f"list_filter({value.sql}, lambda {item}: {there} IS NOT NULL)"

    def checked(self, item: str, value: Value) -> str:
        """An item of which only its being there is asked: even so the strict reader must stop at a misfit."""
        return self.met(self.element_of(value, self.decoded(item, value))) if self.strict else item

    def as_list(self, value: Value) -> str:
        """SQL of a list of all items: empty or NULL if there are none."""
        if value.many:
            return self.dense(value)
        if value.literal is not None:
            return f"[{value.sql}]"
        if value.root:
            return f"CASE WHEN {value.guard} THEN [{value.sql}] END" if value.guard else f"[{value.sql}]"
        only = value.single()
        return f"CASE WHEN {only} IS NOT NULL THEN [{only}] END"

    def item(self, value: Value, at: str) -> Value:
        """One item of a list, by its SQL index from 1."""
        return replace(value, sql=f"{_bracketed(self.dense(value))}[{at}]", many=False, sparse=False, side=None)

    def element_of(self, value: Value, item: str) -> Value:
        """What an item of the list is, as the parameter of a lambda or the column of a row source."""
        return replace(value, sql=item, many=False, sparse=False, guard=None, side=None, literal=None, root=False)

    def one(self, value: Value) -> Value:
        """The value as a single one. Where there are several at run time, the query ends with CH307."""
        if not value.many:
            return value.plain()
        items = self.dense(value)
        several = sql.text(f"CH307 at {self.place}")
        return replace(
            value,
            sql=f"CASE WHEN len({items}) > 1 THEN error({several}) ELSE {_bracketed(items)}[1] END",
            many=False,
            sparse=False,
            side=None,
        )

    def each(self, value: Value, make: Callable[[str], str], kind: str, *, sparse: bool = True) -> Value:
        """Every item put through a piece of SQL."""
        if not value.many:
            return made(make(value.single()), kind)
        item = self.fresh()
        return made(f"list_transform({value.sql}, lambda {item}: {make(item)})", kind, many=True, sparse=sparse)

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

    def each_once(self, value: Value, listed: str) -> Value:
        """The items of a list, each once, in the order of their first appearance."""
        if value.encoded:
            number = self.fresh()
            listed = f"list_transform({listed}, lambda {number}: {self.decoded(number, value)})"
        items, item, at = self.fresh("d"), self.fresh(), self.fresh("i")
        kept = f"list_filter({items}, lambda {item}, {at}: list_position({items}, {item}) = {at})"
        once = f"list_transform([{listed}], lambda {items}: {kept})[1]"
        return replace(value, sql=once, many=True, sparse=False, encoded=False, guard=None, side=None, literal=None)

    def number(self, value: Value) -> str:
        """SQL of a single number."""
        return self.decoded(value.single(), value)

    def decoded(self, item: str, value: Value) -> str:
        """SQL of one item of the value, as a number if it is one."""
        if not value.encoded:
            return item
        self.keep_digits(value)
        self.note(value, operators.number_type(value))
        return self.once(item, lambda text: operators.decode(text, value, strict=self.strict))

    def note(self, value: Value, sql_type: str, make: Callable[[str], str] | None = None) -> None:
        """Note what is made of a text that resources hold, for a text of which it cannot be made is a misfit."""
        if value.shape is not None:
            value.shape.makes[sql_type] = make or f"TRY_CAST({{}} AS {sql_type})".format

    def keep_digits(self, value: Value, *, text: bool = False) -> None:
        """Note that all digits of a decimal matter; with `text`, trailing zeros too."""
        if value.encoded and value.family == "decimal" and value.shape is not None:
            self.decimals.add(value.shape.place.rpartition(".")[2])
            self.exact = self.exact or text

    def once(self, expression: str, make: Callable[[str], str]) -> str:
        """SQL that uses an expression several times, and evaluates it once."""
        named = self.layers.value(expression) if self.layers is not None else None
        if named is not None or sql.is_simple(expression):
            return make(named or expression)
        return self.bound(expression, make)

    def apart(self, expression: str, make: Callable[[str], str]) -> str:
        """SQL with a TRY over an expression, which DuckDB refuses if that may itself end the query."""
        return self.bound(expression, make) if "error(" in expression else make(expression)

    def bound(self, expression: str, make: Callable[[str], str]) -> str:
        """SQL that has an expression as the parameter of a lambda, the nearest that DuckDB has to a local name."""
        item = self.fresh("t")
        return f"list_transform({self.anchored(f'[{expression}]')}, lambda {item}: {make(item)})[1]"

    def anchored(self, listed: str) -> str:
        """A list that a lambda goes through. DuckDB finds no outer column that only the body of a lambda names, where
        it stands in a lateral; so a constant list names one too."""
        if not is_constant(listed):
            return listed
        anchor = "r.resourceType" if self.strict else "s.json"
        return f"CASE WHEN {anchor} IS NULL THEN {listed} ELSE {listed} END"

    def boolean(self, value: Value, position: int) -> str:
        """SQL of a single boolean.

        Raises:
            ExpressionFault: CH304 if it is of another type.
        """
        if value.type is None:
            return "NULL::BOOLEAN"
        if value.family != "boolean":
            raise ExpressionFault("CH304", position, f"a boolean is due here, not {self.label(value)}")
        return self.one(value).sql

    def string(self, value: Value) -> str:
        """SQL of a single string that something is made of."""
        return self.no_container(value.single()) if value.leaf else value.single()

    def met(self, value: Value) -> str:
        """SQL of a single string that is only asked about: the strict reader must stop at what is none, once."""
        text = value.single()
        if not self.strict or text in self.asked:
            return text
        self.asked.add(text)
        return self.string(value)

    def label(self, value: Value) -> str:
        """The type of a value, for messages."""
        return f"{value.choices[0].label}.{value.choices[1].path}" if value.choices is not None else value.label

    def lambda_scope(self, value: Value, item: str, scope: Scope, *, index: str | None = None) -> Scope:
        """The scope inside where(), select(), all(): `$this` is the item."""
        this = self.element_of(value, item) if value.many else replace(value.plain(), literal=None)
        return replace(scope, this=this, index=index)


def _bracketed(expression: str) -> str:
    return f"({expression})" if expression.startswith("CASE ") else expression
