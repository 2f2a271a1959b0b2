"""`repeat`: the items that a set of paths reaches from the focus, and from each of those, to any depth.

They are walked as JSON in a recursive query, because a typed struct has a fixed depth. Rows come out in the order of
the document: an item before what is below it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from transforms.sql_on_fhir.errors import ExpressionFault, ViewError
from transforms.sql_on_fhir.shape import Shape
from transforms.sql_on_fhir.syntax import Call, Member, parse
from transforms.sql_on_fhir.values import EMPTY, Type, Value

if TYPE_CHECKING:
    from transforms.sql_on_fhir.expressions import Scope, Workshop
    from transforms.sql_on_fhir.syntax import Expression


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
    starts, kind = _reach(shop, trees, paths, at, scope)
    if kind is None:
        return f"LATERAL (SELECT NULL AS item, 0 AS nth WHERE false) AS {name}", EMPTY
    here = Value(f"{name}w.item", kind, shape=shape)
    steps, below = _reach(shop, trees, paths, at, replace(scope, this=here))
    if below is not None and below != kind:
        raise ViewError("CH305", at, message="the paths of a repeat lead to items of one type")
    return _query(starts, steps, shape, name, indexed=indexed), Value(f"{name}.item", kind, shape=shape)


def _reach(
    shop: Workshop, trees: list[Expression], paths: tuple[str, ...], at: str, scope: Scope
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
    if any(kind != kinds[0] for kind in kinds):
        raise ViewError("CH305", at, message="the paths of a repeat lead to items of one type")
    if not kinds:
        return "CAST([] AS JSON[])", None
    return lists[0] if len(lists) == 1 else "list_concat(" + ", ".join(lists) + ")", kinds[0]


def _items(shop: Workshop, tree: Expression, scope: Scope) -> tuple[str, Type, Shape] | None:
    """What one path reaches, as a list of JSON. None where the focus has no such element, but another has."""
    match tree:
        case Member():
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


def _query(starts: str, steps: str, shape: Shape, name: str, *, indexed: bool) -> str:
    node = f"from_json(j, {shape.spec_text()}) AS item"
    nth = ", row_number() OVER (ORDER BY place) - 1 AS nth" if indexed else ""
    return (
        f"LATERAL (\n"
        f"  WITH RECURSIVE {name}w AS (\n"
        f"    SELECT [k] AS place, {node}\n"
        f"    FROM (SELECT unnest({starts}) AS j, unnest(range(len({starts}))) AS k)\n"
        f"    UNION ALL\n"
        f"    SELECT list_append(place, k), {node}\n"
        f"    FROM (SELECT place, unnest({steps}) AS j, unnest(range(len({steps}))) AS k FROM {name}w)\n"
        f"  )\n"
        f"  SELECT item{nth} FROM {name}w\n"
        f") AS {name}"
    )
