"""A ViewDefinition as DuckDB SQL: one SELECT that parses each resource once, and unnests laterally.

The view is compiled twice: the first pass finds the fields that it reads (and which of them are walked through as
JSON), the second one writes the SQL over exactly those.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from transforms.sql_on_fhir import definition, sql
from transforms.sql_on_fhir.columns import Columns, OutputColumn
from transforms.sql_on_fhir.definition import Column, Select, View
from transforms.sql_on_fhir.errors import ExpressionFault, ViewError
from transforms.sql_on_fhir.expressions import Evaluator
from transforms.sql_on_fhir.layers import Layers, is_outer
from transforms.sql_on_fhir.repetition import walk
from transforms.sql_on_fhir.shape import Shape
from transforms.sql_on_fhir.sources import Digits, NdjsonFiles, Source, rows
from transforms.sql_on_fhir.syntax import parse
from transforms.sql_on_fhir.values import Type, Value
from transforms.sql_on_fhir.workshop import Scope

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from transforms.sql_on_fhir.compartment import Compartment

NOT_STRICT = "the strict reader keeps neither the digits of decimals nor what stands in place of a nested document"


@dataclass(frozen=True, slots=True)
class Compiled:
    """The SQL of a view, its columns in their order, and the shape of the JSON that it reads."""

    sql: str
    resource: str
    columns: tuple[OutputColumn, ...]
    shape: Shape
    exact: bool
    """Whether the view needs the digits of a decimal."""


@dataclass
class _Body:
    """What becomes the SELECT: the laterals of FROM in their order, and an expression a column.

    `layers` is None where the SELECT stands within another.
    """

    laterals: list[str] = field(default_factory=list)
    columns: dict[str, str] = field(default_factory=dict)
    layers: Layers | None = None

    def put(self, name: str, expression: str) -> None:
        """A column that is one expression over the rows."""
        named = self.layers is not None and not is_outer(expression)
        self.columns[name] = self.layers.named(expression, name) if self.layers and named else expression


def compile_definition(
    view: Mapping[str, Any] | View, source: Source, carry: Sequence[str] = (), lacking: frozenset[str] = frozenset()
) -> Compiled:
    """The SQL of a view over a source, with columns of the source carried in front.

    Columns of complex types are made without the JSON properties that are `lacking`.

    Raises:
        ViewError: the fault, with its place in the view.
    """
    typed = view if isinstance(view, View) else definition.read(view)
    _check_carry(typed, carry, source)
    first = _Compiler(typed, source, carry, Shape())
    first.shop.lacking = lacking
    first.run()
    second = _Compiler(typed, source, carry, first.shape, raw=first.shop.raw, parsed=first.shop.parsed)
    second.shop.lacking = lacking
    second.shop.numbers = frozenset(first.shop.decimals)
    return second.run()


def _check_carry(view: View, carry: Sequence[str], source: Source) -> None:
    if carry and isinstance(source, NdjsonFiles):
        raise ViewError("CH309", message="files have no columns to carry")
    taken = {name.lower() for name, _ in definition.column_names(view.selects)}
    for name in carry:
        if not name or "\0" in name:
            raise ViewError("CH308", message="a carried column needs a name")
        if name.lower() in {"r", "s", "json"} or name.lower() in taken:
            raise ViewError("CH308", message=f"the carried column {name!r} has the name of another column")
        taken.add(name.lower())


class _Compiler:
    def __init__(
        self,
        view: View,
        source: Source,
        carry: Sequence[str],
        shape: Shape,
        *,
        raw: set[str] | None = None,
        parsed: dict[str, Shape] | None = None,
    ) -> None:
        self.view = view
        self.source = source
        self.carry = tuple(carry)
        self.shape = shape
        self.strict = isinstance(source, NdjsonFiles) and source.strict
        self.shop = Evaluator(view.constants, self.strict, raw or set(), parsed if parsed is not None else {})
        self.columns = Columns(self.shop)
        self.root = Value("r", Type.of(view.resource), shape=shape, root=True)

    def run(self) -> Compiled:
        scope = Scope(self.root, self.root)
        conditions = [self.condition(path, at, scope) for path, at in self.view.where]
        if self.view.compartment is not None:
            conditions.append(self.within(self.view.compartment, scope))
        layers = Layers()
        body = _Body(layers=layers)
        for name in self.carry:
            body.put(name, f"s.{sql.name(name)}")
        for part in self.view.selects:
            self.add(part, scope, body)
        if self.strict and (self.shop.exact or self.shape.holds_text()):
            raise ViewError("CH309", message=NOT_STRICT)
        digits = Digits(frozenset(self.shop.decimals), self.shop.exact, frozenset(self.shop.texts - self.shop.decimals))
        origin = rows(
            self.source, self.shape, self.view.resource, carry=self.carry, digits=digits, conditions=conditions
        )
        text = layers.select(body.columns, origin.sql(body.laterals))
        ordered = tuple(self.columns.outputs[name] for name in body.columns if name not in self.carry)
        return Compiled(text, self.view.resource, ordered, self.shape, self.shop.exact)

    def place(self, column: Column, scope: Scope, body: _Body) -> None:
        """A column of the body: in two layers if all of it can be, otherwise as one expression."""
        if (layers := body.layers) is not None:
            before = dict(layers.inner), layers.used
            layers.column = column.name
            self.shop.layers = layers
            expression = self.column(column, scope)
            self.shop.layers = None
            if is_outer(expression):
                body.columns[column.name] = expression
                return
            layers.inner, layers.used = before
        body.put(column.name, self.column(column, scope))

    # -- expressions ----------------------------------------------------------------------------------------------

    def value(self, expression: str, at: str, scope: Scope) -> Value:
        """An expression of the view, its faults put in their place."""
        self.shop.place = at
        self.shop.asked.clear()
        try:
            return self.shop.evaluate(parse(expression), scope)
        except ExpressionFault as fault:
            raise fault.at(at, expression) from None

    def condition(self, expression: str, at: str, scope: Scope) -> str:
        """A `where` of the view."""
        value = self.value(expression, at, scope)
        try:
            return self.shop.boolean(value, 0)
        except ExpressionFault as fault:
            raise fault.at(at, expression) from None

    def within(self, compartment: Compartment, scope: Scope) -> str:
        """Whether the resource is in the compartment of one of those patients."""
        keys = self.shop.as_list(self.value(compartment.expression, "$.resource", scope))
        return f"coalesce(list_has_any({keys}, [{', '.join(map(sql.text, compartment.keys))}]::VARCHAR[]), false)"

    # -- rows as laterals of FROM -------------------------------------------------------------------------------------

    def add(self, part: Select, scope: Scope, body: _Body) -> None:
        """A selection structure: its row source, its columns, and what is nested in it."""
        if part.repeat:
            name = self.shop.fresh("w")
            lateral, item = walk(self.shop, part.repeat, f"{part.at}.repeat", scope, name, indexed=counts(part))
            body.laterals.append(lateral)
            scope = replace(scope, this=item, row_index=f"{name}.nth", lenient=item.type is None)
        elif part.for_each is not None:
            scope = self.each_row(part, scope, body)
        for column in part.columns:
            self.place(column, scope, body)
        for nested in part.selects:
            self.add(nested, scope, body)
        if part.unions:
            self.add_union(part.unions, scope, body)

    def each_row(self, part: Select, scope: Scope, body: _Body) -> Scope:
        """forEach or forEachOrNull as a lateral."""
        items = self.items(part, scope)
        if items.type is None and not part.or_null:
            body.laterals.append(f"LATERAL (SELECT 1 WHERE {scope.void or 'false'}) AS " + self.shop.fresh("e"))
            return replace(scope, this=items, row_index="0")
        if part.or_null and not items.many:
            nothing = f"(NOT {self.shop.exists(items).sql})"
            return replace(scope, this=items if items.root else items.plain(), row_index="0", void=nothing)
        name = self.shop.fresh("e")
        listed = self.or_one_null(part, self.shop.as_list(items), scope)
        index = f", unnest(range(len({listed}))) AS nth" if counts(part) else ""
        body.laterals.append(f"LATERAL (SELECT unnest({listed}) AS item{index}) AS {name}")
        void = f"{name}.item IS NULL" if part.or_null else scope.void
        return replace(scope, this=self.shop.element_of(items, f"{name}.item"), row_index=f"{name}.nth", void=void)

    def or_one_null(self, part: Select, listed: str, scope: Scope) -> str:
        """The items of a row source; one NULL where there is none, but a row is due."""
        if part.or_null:
            listed = self.shop.once(listed, "CASE WHEN len({0}) > 0 THEN {0} ELSE [NULL] END".format)
        return _unless(scope.void, listed)

    def items(self, part: Select, scope: Scope) -> Value:
        """What forEach goes through."""
        key = "forEachOrNull" if part.or_null else "forEach"
        at = f"{part.at}.{key}"
        value = self.value(part.for_each or "", at, scope)
        if value.choices is not None:
            raise self.shop.unread(value, 0).at(at, part.for_each or "")
        return value

    def add_union(self, unions: tuple[Select, ...], scope: Scope, body: _Body) -> None:
        """unionAll: a list of rows, unnested; or, where a branch walks, a union of queries."""
        name = self.shop.fresh("u")
        if any(branch.walks for branch in unions):
            branches = "\n  UNION ALL\n  ".join(self.query(branch, scope) for branch in unions)
            if scope.void:
                nulls = ", ".join(["NULL"] * len(definition.column_names(unions[:1])))
                branches = (
                    f"SELECT * FROM (\n  {branches}\n  ) WHERE NOT ({scope.void})\n"
                    f"  UNION ALL\n  SELECT {nulls} WHERE {scope.void}"
                )
            body.laterals.append(f"LATERAL (\n  {branches}\n) AS {name}")
            base = name
        else:
            body.laterals.append(f"LATERAL (SELECT unnest({self.joined(unions, scope)}) AS item) AS {name}")
            base = f"{name}.item"
        for column, _ in definition.column_names(unions[:1]):
            body.put(column, f"{base}.{sql.name(column)}")

    def joined(self, unions: tuple[Select, ...], scope: Scope) -> str:
        """The branches of a union as one list of rows."""
        lists = [self.listed(branch, replace(scope, void=None)) for branch in unions]
        return _unless(scope.void, lists[0] if len(lists) == 1 else "list_concat(" + ", ".join(lists) + ")")

    def query(self, branch: Select, scope: Scope) -> str:
        """A branch of a union as a query of its own."""
        inner = _Body()
        self.add(branch, scope, inner)
        columns = ", ".join(f"{expression} AS {sql.name(name)}" for name, expression in inner.columns.items())
        origin = ", ".join(["(SELECT 1) AS " + self.shop.fresh("o"), *inner.laterals])
        return f"SELECT {columns} FROM {origin}"

    # -- rows as a list of structs ------------------------------------------------------------------------------------

    def listed(self, part: Select, scope: Scope) -> str:
        """A selection structure as one expression: the list of its rows, each a struct of its columns."""
        if part.for_each is None:
            return self.product(part, scope)[0]
        items = self.items(part, scope)
        if items.type is None:
            inner = replace(scope, this=items, row_index="0", void="true" if part.or_null else scope.void)
            rows_of_none = self.product(part, inner)[0]
            return rows_of_none if part.or_null else _unless(scope.void, f"{rows_of_none}[1:0]")
        item, index = self.shop.fresh(), self.shop.fresh("i")
        listed = self.or_one_null(part, self.shop.as_list(items), scope)
        inner = replace(
            scope,
            this=self.shop.element_of(items, item),
            row_index=f"({index} - 1)",
            void=f"{item} IS NULL" if part.or_null else scope.void,
        )
        body, single = self.product(part, inner)
        parameters = f"{item}, {index}" if counts(part) else item
        if single is not None:
            return f"list_transform({listed}, lambda {parameters}: {single})"
        return f"flatten(list_transform({listed}, lambda {parameters}: {body}))"

    def product(self, part: Select, scope: Scope) -> tuple[str, str | None]:
        """The rows for one focus: every combination of what is nested. Also the struct, if it is always one row."""
        fields: dict[str, str] = {column.name: self.column(column, scope) for column in part.columns}
        lists: list[tuple[list[str], str]] = []
        for nested in part.selects:
            names = [name for name, _ in definition.column_names([nested])]
            if nested.for_each is None and not nested.unions and not nested.selects:
                fields.update({column.name: self.column(column, scope) for column in nested.columns})
            else:
                lists.append((names, self.listed(nested, scope)))
                fields.update(dict.fromkeys(names, ""))
        if part.unions:
            names = [name for name, _ in definition.column_names(part.unions[:1])]
            lists.append((names, self.joined(part.unions, scope)))
            fields.update(dict.fromkeys(names, ""))
        if not lists:
            single = _struct(fields)
            return f"[{single}]", single
        return self.combine(fields, lists), None

    def combine(self, fields: dict[str, str], lists: list[tuple[list[str], str]]) -> str:
        """Nested list_transform calls, one a list."""
        (names, listed), *rest = lists
        listed, row = self.shop.anchored(listed), self.shop.fresh("y")
        fields = {**fields, **{name: f"{row}.{sql.name(name)}" for name in names}}
        if not rest:
            return f"list_transform({listed}, lambda {row}: {_struct(fields)})"
        return f"flatten(list_transform({listed}, lambda {row}: {self.combine(fields, rest)}))"

    # -- columns ------------------------------------------------------------------------------------------------------

    def column(self, column: Column, scope: Scope) -> str:
        """A column's expression, of exactly the type declared."""
        value = self.value(column.path, f"{column.at}.path", scope)
        try:
            made = self.columns.output(column, value)
        except ExpressionFault as fault:
            raise fault.at(f"{column.at}.path", column.path) from None
        if scope.void is None or value.sql == scope.row_index:
            return made
        return f"CASE WHEN NOT ({scope.void}) THEN {made} END"


def counts(part: Select) -> bool:
    """Whether %rowIndex may be asked for anywhere below, so that rows must be numbered."""
    paths = [column.path for column in part.columns]
    for nested in (*part.selects, *part.unions):
        if counts(nested):
            return True
        paths += [nested.for_each or "", *nested.repeat]
    return any("rowIndex" in path for path in paths)


def _unless(void: str | None, listed: str) -> str:
    """A list of rows, or a single NULL in the row that forEachOrNull gives for nothing: there all columns are NULL."""
    return listed if void is None else f"CASE WHEN {void} THEN [NULL] ELSE {listed} END"


def _struct(fields: dict[str, str]) -> str:
    return "{" + ", ".join(f"{sql.text(name)}: {expression}" for name, expression in fields.items()) + "}"
