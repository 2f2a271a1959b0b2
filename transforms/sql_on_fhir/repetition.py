"""`repeat`: the items that a set of paths reaches from the focus, and from each of those, to any depth.

They are walked as JSON in a recursive query, because a typed struct has a fixed depth. Rows come out in the order of
the document: an item before what is below it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from transforms.sql_on_fhir.errors import ExpressionFault, ViewError
from transforms.sql_on_fhir.shape import Shape
from transforms.sql_on_fhir.syntax import Call, Index, Member, Variable, parse
from transforms.sql_on_fhir.values import EMPTY, Type, Value

if TYPE_CHECKING:
    from transforms.sql_on_fhir.syntax import Expression
    from transforms.sql_on_fhir.workshop import Scope, Workshop


def walk(
    shop: Workshop, paths: tuple[str, ...], at: str, scope: Scope, name: str, *, indexed: bool
) -> tuple[str, Value]:
    """The lateral of a `repeat`, and what its rows stand for (`name.item`, numbered `name.nth`)."""
    trees = []
    for i, path in enumerate(paths):
        try:
            trees.append(parse(path))
        except ExpressionFault as fault:
            raise fault.at(f"{at}[{i}]", path) from None
    key = f"#{at}"
    shape = shop.parsed.setdefault(key, Shape(key))
    starts, kind = _reach(shop, trees, paths, at, scope, shape)
    if kind is None:
        return f"LATERAL (SELECT NULL AS item, 0 AS nth WHERE {scope.void or 'false'}) AS {name}", EMPTY
    here = Value(f"{name}w.item", kind, shape=shape)
    # the recursive part of a query sees nothing of what is around it: what the paths ask of that is carried along
    around = {f"{name}w.root": scope.root.sql, f"{name}w.row": scope.row_index}
    root, row = around
    inner = replace(scope, this=here, root=replace(scope.root, sql=root), row_index=row)
    shop.walking = True
    steps, below = _reach(shop, trees, paths, at, inner, shape)
    shop.walking = False
    carried = {column.rpartition(".")[2]: source for column, source in around.items() if column in steps}
    if below is not None and below != kind:
        raise ViewError("CH305", at, message="the paths of a repeat lead to items of one type")
    if scope.void is not None:
        starts = f"CASE WHEN NOT ({scope.void}) THEN {starts} END"
    query = _query(starts, steps, shape, name, carried, scope.void, indexed=indexed)
    return query, Value(f"{name}.item", kind, shape=shape)


def _reach(
    shop: Workshop, trees: list[Expression], paths: tuple[str, ...], at: str, scope: Scope, reader: Shape
) -> tuple[str, Type | None]:
    """What all paths reach from the focus: SQL of a list of JSON, and the type of its items."""
    lists: list[str] = []
    kinds: list[Type] = []
    for i, tree in enumerate(trees):
        try:
            found = _items(shop, tree, replace(scope, lenient=True))
        except ExpressionFault as fault:
            raise fault.at(f"{at}[{i}]", paths[i]) from None
        if found is not None:
            lists.append(found[0])
            kinds.append(found[1])
            found[2].read_by(reader)
    if any(kind != kinds[0] for kind in kinds):
        raise ViewError("CH305", at, message="the paths of a repeat lead to items of one type")
    if not kinds:
        return "CAST([] AS JSON[])", None
    return lists[0] if len(lists) == 1 else "list_concat(" + ", ".join(lists) + ")", kinds[0]


def _items(shop: Workshop, tree: Expression, scope: Scope) -> tuple[str, Type, Shape] | None:
    """What one path reaches, as a list of JSON. None where the focus has no such element, but another has."""
    match tree:
        case Member():
            if _starts_anew(tree):
                raise ExpressionFault("CH305", tree.position, "from %resource it would start anew, and never end")
            return _member(shop, tree, scope)
        case Call(name="where", arguments=(criterion,), target=target) if target is not None:
            inner = _items(shop, target, scope)
            if inner is None:
                return None
            items, kind, shape = inner
            item = shop.fresh("j")
            this = Value(f"from_json({item}, {shape.spec_text()})", kind, shape=shape)
            condition = shop.boolean(shop.evaluate(criterion, replace(scope, this=this, lenient=False)), tree.position)
            return f"list_filter({items}, lambda {item}: {condition})", kind, shape
        case _:
            raise ExpressionFault("CH305", tree.position, "a repeat follows elements, with where() at most")


def _starts_anew(tree: Expression | None) -> bool:
    while isinstance(tree, Member | Call | Index):
        tree = tree.target
    return isinstance(tree, Variable) and tree.name in {"%resource", "%rootResource"}


def _member(shop: Workshop, tree: Member, scope: Scope) -> tuple[str, Type, Shape] | None:
    target = shop.evaluate(tree.target, scope) if tree.target is not None else scope.this
    element = shop.element(target, tree.name, tree.position, lenient=True)
    if element is None:
        return None
    kind = Type.at(element) if not element.is_choice else None
    if kind is None or kind.family is not None or kind.name == "Resource":
        raise ExpressionFault("CH304", tree.position, f"{tree.name} has no content to repeat")
    parent = shop.shape_of(target)
    shop.raw.add(f"{parent.place}.{element.name}")
    shape = parent.child(element.name, many=element.is_list, leaf=None, raw=True)
    shape.raw = True
    found = shop.descend(target, element.name, many=element.is_list)
    if found.many:
        return found.sql, kind, shape
    return f"CASE WHEN {found.single()} IS NOT NULL THEN [{found.single()}] END", kind, shape


def _query(
    starts: str, steps: str, shape: Shape, name: str, carried: dict[str, str], void: str | None, *, indexed: bool
) -> str:
    node = f"from_json(j, {shape.spec_text()}) AS item"
    nth = ", row_number() OVER (ORDER BY place) - 1 AS nth" if indexed else ""
    first = "".join(f", {source} AS {column}" for column, source in carried.items())
    again = "".join(f", {column}" for column in carried)
    or_null = f"  UNION ALL SELECT NULL{', 0' if indexed else ''} WHERE {void}\n" if void is not None else ""
    return (
        f"LATERAL (\n"
        f"  WITH RECURSIVE {name}w AS (\n"
        f"    SELECT [k] AS place, {node}{first}\n"
        f"    FROM (SELECT unnest({starts}) AS j, unnest(range(len({starts}))) AS k)\n"
        f"    UNION ALL\n"
        f"    SELECT list_append(place, k), {node}{again}\n"
        f"    FROM (SELECT place{again}, unnest({steps}) AS j, unnest(range(len({steps}))) AS k FROM {name}w)\n"
        f"  )\n"
        f"  SELECT item{nth} FROM {name}w\n{or_null}"
        f") AS {name}"
    )
