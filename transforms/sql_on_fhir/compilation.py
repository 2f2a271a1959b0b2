"""What one compilation shares, and the building blocks of its SQL: lists, single values, and names for them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from transforms.sql_on_fhir import numerals, sql
from transforms.sql_on_fhir.errors import ExpressionFault
from transforms.sql_on_fhir.hints import spellings
from transforms.sql_on_fhir.layers import is_constant, is_outer
from transforms.sql_on_fhir.values import Value, made

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from transforms.sql_on_fhir.layers import Layers
    from transforms.sql_on_fhir.shape import Shape
    from transforms.sql_on_fhir.syntax import Literal


@dataclass
class Compilation(ABC):
    """The names that it gave, the shapes that it reads, the constants of the view; and what SQL is built with."""

    constants: Mapping[str, Literal] = field(default_factory=dict)
    strict: bool = False
    """Whether the strict reader feeds the view."""
    raw: set[str] = field(default_factory=set)
    parsed: dict[str, Shape] = field(default_factory=dict)
    exact: bool = False
    """Whether the view depends on the digits of a decimal, not on its value alone."""
    decimals: set[str] = field(default_factory=set)
    texts: set[str] = field(default_factory=set)
    """The decimals whose text alone is read, as a part of a struct."""
    numbers: frozenset[str] = frozenset()
    """The decimals that are read as numbers somewhere in the view: known when it is compiled the second time."""
    lacking: frozenset[str] = frozenset()
    """Properties that no resource has within a complex column: its struct is made without them."""
    place: str = "$"
    count: int = 0
    walking: bool = False
    """Within the recursive part of a `repeat`, which sees nothing of the resource around it."""
    asked: set[str] = field(default_factory=set)
    """The strings that this expression has asked about."""
    layers: Layers | None = None
    """Where to name what is used several times, while a column of the whole view is compiled."""

    # -- names --------------------------------------------------------------------------------------------------------

    def fresh(self, prefix: str = "x") -> str:
        """A name for a lambda's parameter or a row source that nothing else has."""
        self.count += 1
        return f"{prefix}{self.count}"

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
        if self.walking or not is_constant(listed):
            return listed
        anchor = "r.resourceType" if self.strict else "s.json"
        return f"CASE WHEN {anchor} IS NULL THEN {listed} ELSE {listed} END"

    # -- lists --------------------------------------------------------------------------------------------------------

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

    def each_once(self, value: Value, listed: str) -> Value:
        """The items of a list, each once, in the order of their first appearance."""
        if value.encoded:
            number = self.fresh()
            listed = f"list_transform({listed}, lambda {number}: {self.decoded(number, value)})"
        items, item, at = self.fresh("d"), self.fresh(), self.fresh("i")
        kept = f"list_filter({items}, lambda {item}, {at}: list_position({items}, {item}) = {at})"
        once = f"list_transform([{listed}], lambda {items}: {kept})[1]"
        return replace(value, sql=once, many=True, sparse=False, encoded=False, guard=None, side=None, literal=None)

    # -- single values ------------------------------------------------------------------------------------------------

    def boolean(self, value: Value, position: int) -> str:
        """SQL of a single boolean.

        Raises:
            ExpressionFault: CH304 if it is of another type.
        """
        if value.type is None:
            return "NULL::BOOLEAN"
        if value.choices is not None:
            return self.truth(value)
        if value.family != "boolean":
            raise ExpressionFault("CH304", position, f"a boolean is due here, not {self.label(value)}")
        return self.one(value).sql

    @abstractmethod
    def unread(self, value: Value, position: int, name: str = "") -> ExpressionFault:
        """The fault of a bare choice where more is asked than whether it is there."""

    @abstractmethod
    def truth(self, value: Value) -> str:
        """SQL of a bare choice (`deceased`) where a boolean is due."""

    def number(self, value: Value) -> str:
        """SQL of a single number."""
        return self.decoded(value.single(), value)

    def decoded(self, item: str, value: Value) -> str:
        """SQL of one item of the value, as a number if it is one."""
        if not value.encoded:
            return item
        self.keep_digits(value)
        self.note(value, numerals.number_type(value))
        return self.once(item, lambda text: numerals.decode(text, value, strict=self.strict))

    def note(self, value: Value, sql_type: str, make: Callable[[str], str] | None = None) -> None:
        """Note what is made of a text that resources hold, for a text of which it cannot be made is a misfit."""
        if value.shape is not None:
            value.shape.makes[sql_type] = make or f"TRY_CAST({{}} AS {sql_type})".format

    def keep_digits(self, value: Value, *, text: bool = False) -> None:
        """Note that all digits of a decimal matter; with `text`, trailing zeros too."""
        if value.encoded and value.family == "decimal" and value.shape is not None:
            self.decimals.add(value.shape.place.rpartition(".")[2])
            self.exact = self.exact or text

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

    def no_container(self, text: str) -> str:
        """NULL where an object or array stands for a primitive: DuckDB gives its JSON as the text."""
        if self.walking:
            return text

        def guarded(item: str) -> str:
            found, result = f"json_valid({item})", "error('CH320')"
            if not self.strict:
                layers = self.layers
                json = layers.named("s.json", "json") if layers is not None and is_outer(item) else "s.json"
                found, result = f"{found} AND NOT contains({json}, CAST(to_json({item}) AS VARCHAR))", "NULL"
            # a CASE within takes DuckDB half the time that an AND would
            checked = f"CASE WHEN {found} THEN {result} ELSE {item} END"
            return f"CASE WHEN {sql.may_be_container(item)} THEN {checked} ELSE {item} END"

        return self.once(text, guarded)

    def text_of(self, value: Value, position: int) -> str:
        """A single primitive as text, decimals with the digits that were sent."""
        if value.type is None:
            return "NULL::VARCHAR"
        if value.family is None:
            raise ExpressionFault("CH304", position, f"{self.label(value)} has no text")
        if value.family == "decimal":
            if value.encoded:
                self.keep_digits(value, text=True)
                return value.single()
            if value.literal is not None:
                return sql.text(value.sql)
            return f"regexp_replace(CAST({value.single()} AS VARCHAR), '[.]?0+$', '')"
        if value.family not in {"integer", "boolean"}:
            return self.string(value)
        return f"CAST({self.number(value)} AS VARCHAR)"

    def label(self, value: Value) -> str:
        """The type of a value, for messages; of a choice also how it is read."""
        if value.choices is None:
            return value.label
        parent, element = value.choices
        return f"{parent.label}.{element.path} (a choice of types: {spellings(element)})"


def _bracketed(expression: str) -> str:
    return f"({expression})" if expression.startswith("CASE ") else expression
