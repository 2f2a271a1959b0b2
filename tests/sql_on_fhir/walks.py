"""Random resources of any type, and random expressions that walk along what R4 says of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from transforms.fhir_r4 import r4
from transforms.sql_on_fhir.values import FAMILY, Type

if TYPE_CHECKING:
    from random import Random

    from transforms.fhir_r4 import Element

KINDS = sorted(r4().resources - {"Parameters", "Bundle"})
WORDS = ("a", "b", "ab", "B b", "ä", "x1")
VALUES: dict[str, tuple[Any, ...]] = {
    "string": WORDS,
    "integer": (0, 1, 2, 5),
    "decimal": (0.5, 1.5, 2, 3.25, -1),
    "boolean": (True, False),
    "date": ("2020", "2020-02", "2020-02-03", "2021-05-06"),
    "dateTime": ("2020-02-03T04:05:06Z", "2021-05-06T07:08:09.123+02:00", "2020-02-03T04:05:06-05:00"),
    "time": ("10:20:30", "11:00:00"),
}
LITERALS: dict[str, tuple[str, ...]] = {
    "string": tuple(f"'{word}'" for word in WORDS),
    "integer": ("0", "1", "2", "5"),
    "decimal": ("0.5", "1.5", "2.0", "3"),
    "boolean": ("true", "false"),
    "date": ("@2020", "@2020-02-03", "@2021-05-06"),
    "dateTime": ("@2020-02-03T04:05:06Z", "@2021-05-06T07:08:09.123+02:00"),
    "time": ("@T10:20:30",),
}
APART = {"contained", "text", "meta", "implicitRules", "language", "modifierExtension"}


def resource(random: Random, kind: str, *, extensions: bool = True) -> dict[str, Any]:
    """A resource with some of its elements, three levels deep."""
    apart = {"id"} if extensions else {"id", "extension"}
    return {"resourceType": kind, **_content(random, Type.of(kind), 0, apart), "id": "one"}


def _content(random: Random, kind: Type, depth: int, apart: set[str]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for name, element in r4().children(kind.owner, kind.path).items():
        if name in APART | apart or random.random() > (0.15 if name == "extension" else 0.45):
            continue
        json_name, type_name = random.choice(list(element.json_names.items()))
        items = [_value(random, element, type_name, depth, apart) for _ in range(random.choice((1, 1, 2, 3)))]
        items = [item for item in items if item is not None]
        if items:
            made[json_name] = items if element.is_list else items[0]
    return made


def _value(random: Random, element: Element, kind: str, depth: int, apart: set[str]) -> Any:
    if element.same_as or kind in {"xhtml", "Resource"}:
        return None
    if kind in FAMILY:
        return random.choice(VALUES[FAMILY[kind]])
    if kind == "Extension":
        return {"url": random.choice(("urn:a", "urn:b")), "valueString": random.choice(WORDS)}
    return (_content(random, Type.at(element, kind), depth + 1, apart) or None) if depth < 3 else None


@dataclass(frozen=True)
class Walk:
    """A path, the type that it leads to, and what it finds in the resources at hand, filters left aside."""

    path: str
    type: Type
    found: list[Any]


def walk(random: Random, start: Type, resources: list[Any], *, most: int, filters: int = 2) -> Walk:
    """A path of at most so many steps, mostly along what is there, with filters and positions in between."""
    here = Walk("", start, resources)
    for _ in range(most):
        if here.type.family is not None:
            break
        children = r4().children(here.type.owner, here.type.path)
        ways = [(e, j, k) for n, e in children.items() if n not in APART for j, k in e.json_names.items()]
        ways = [way for way in ways if not way[0].same_as and way[2] not in {"xhtml", "Resource"}]
        live = [way for way in ways if _below(here.found, way[1])]
        element, json_name, kind = random.choice(live if live and random.random() < 0.9 else ways)
        step = f"{element.name}.ofType({kind})" if element.is_choice else element.name
        here = Walk(f"{here.path}.{step}".strip("."), Type.at(element, kind), _below(here.found, json_name))
        chance = random.random()
        if chance < 0.2 and filters:
            criterion = condition(random, here.type, here.found, filters=filters - 1)
            here = Walk(f"{here.path}.where({criterion})", here.type, here.found)
        elif chance < 0.35:
            here = Walk(here.path + random.choice((".first()", "[0]", "[1]", ".last()")), here.type, here.found)
    return here


def _below(found: list[Any], json_name: str) -> list[Any]:
    below: list[Any] = []
    for item in found:
        value = item.get(json_name) if isinstance(item, dict) else None
        below += value if isinstance(value, list) else [] if value is None else [value]
    return below


def condition(random: Random, kind: Type, found: list[Any], *, filters: int) -> str:
    """A boolean expression about items of that type."""
    if kind.family is not None:
        literal = random.choice(LITERALS[kind.family])
        forms = [f"$this = {literal}", f"$this != {literal}"]
        if kind.family != "boolean":
            forms += [f"$this > {literal}", f"$this <= {literal}"]
        if kind.family == "string":
            forms += ["startsWith('a')", "length() > 1", f"$this in ('a' | {literal})"]
        return random.choice(forms)
    there = walk(random, kind, found, most=3, filters=filters)
    forms = [f"{there.path}.exists()", f"{there.path}.empty()", f"{there.path}.exists().not()"]
    forms.append(f"{there.path}.count() {random.choice(('>', '=', '<='))} {random.randint(0, 2)}")
    if there.type.family is not None:
        operator = random.choice(("=", "!=") if there.type.family == "boolean" else ("=", "!=", "<", ">="))
        forms += [f"{there.path}.first() {operator} {random.choice(LITERALS[there.type.family])}"] * 2
    inner = condition(random, there.type, there.found, filters=0) if filters else "true"
    return random.choice([*forms, f"{there.path}.all({inner})", f"{there.path}.exists({inner})"])


def expression(random: Random, kind: str, resources: list[dict[str, Any]]) -> str:
    """An expression about a resource, for a column that is a collection."""
    start = Type.of(kind)
    if random.random() < 0.35:
        one, other = (condition(random, start, resources, filters=2) for _ in range(2))
        return random.choice((one, f"({one}) {random.choice(('and', 'or', 'xor', 'implies'))} ({other})"))
    there = walk(random, start, resources, most=5)
    path, family = there.path, there.type.family
    if family is None:
        return f"{path}.count()"
    forms = [path, path, path, f"{path}.distinct()", f"{path} | {path}", f"{path}.first()"]
    if family == "string":
        forms += [f"{path}.join('|')", f"{path}.first() & '-' & {path}.last()", f"{path}.select($this & 'x')"]
        forms += [f"{path}.first().upper()", f"iif({path}.exists(), {path}.first(), 'none')"]
    if family in {"integer", "decimal"}:
        forms += [f"{path}.first() + 1", f"{path}.first() * 2 - 1.5", f"{path}.select($this + 1)"]
    return random.choice(forms)
