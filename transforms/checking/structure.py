"""The structure gate: does a resource fit the schema of its type, and if not, which rules does it break, and where?"""

from __future__ import annotations

from functools import cache
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import jsonschema_rs

from transforms.checking.schema import PRIMITIVES, REFERENCE_MARK, resource_schema
from transforms.checking.verdict import Finding
from transforms.fhir_r4 import r4

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MOST_ERRORS: Final = 400
"""Schema errors looked at for one resource."""

_NARRATIVE: Final = PRIMITIVES["xhtml"]["pattern"]


@cache
def validator(resource_type: str) -> jsonschema_rs.Draft202012Validator:
    """The compiled schema of a type; about 20 ms the first time, then kept for the life of the process."""
    return jsonschema_rs.Draft202012Validator(
        resource_schema(resource_type),
        pattern_options=jsonschema_rs.RegexOptions(),
        validate_formats=False,
        offline=True,
    )


def contained_fit(resource: dict[str, Any]) -> bool:
    """Whether all that a resource contains fits its schemas; the resource itself must."""
    types = r4().resources
    return all(
        isinstance(kind := part["resourceType"], str) and kind in types and validator(kind).is_valid(part)
        for part in resource["contained"]
    )


def structure_findings(resource: dict[str, Any], resource_type: str) -> Iterator[Finding]:
    """The rules CH22x and CH23x that a resource breaks. May repeat itself; the order is that of the schema."""
    yield from _of_one(resource, resource_type, resource_type)
    contained = resource.get("contained")
    for index, part in enumerate(contained if isinstance(contained, list) else ()):
        if not isinstance(part, dict):
            continue  # the schema of the container says so
        path = f"{resource_type}.contained[{index}]"
        kind = part.get("resourceType")
        if isinstance(kind, str) and kind in r4().resources:
            yield from _of_one(part, kind, path)
        else:
            yield Finding("CH234", path)


def _of_one(resource: dict[str, Any], resource_type: str, root: str) -> Iterator[Finding]:
    for error in islice(validator(resource_type).iter_errors(resource), MOST_ERRORS):
        yield from _translate(error, root)


def _translate(error: jsonschema_rs.ValidationError, root: str) -> Iterator[Finding]:
    path = root + _path(error.instance_path)
    kind = error.kind
    match kind:
        case jsonschema_rs.ValidationErrorKind.AdditionalProperties():
            yield from (
                Finding("CH220", f"{path}.{name}") for name in sorted({known(name) for name in kind.unexpected})
            )
        case jsonschema_rs.ValidationErrorKind.Required():
            yield Finding("CH224", f"{path}.{known(kind.property)}")
        case jsonschema_rs.ValidationErrorKind.Type():
            yield Finding(_wrong_type(error.instance, kind.types), path)
        case jsonschema_rs.ValidationErrorKind.Enum() | jsonschema_rs.ValidationErrorKind.Constant():
            yield Finding(_wrong_code(error.instance), path)
        case jsonschema_rs.ValidationErrorKind.Pattern():
            yield Finding(_wrong_text(error.instance, kind.pattern), path)
        case jsonschema_rs.ValidationErrorKind.Minimum() | jsonschema_rs.ValidationErrorKind.Maximum():
            yield Finding("CH227", path)
        case jsonschema_rs.ValidationErrorKind.MinItems():
            yield Finding("CH231", path)
        case jsonschema_rs.ValidationErrorKind.MinProperties() | jsonschema_rs.ValidationErrorKind.MinLength():
            yield Finding("CH231", path)
        case jsonschema_rs.ValidationErrorKind.FalseSchema():
            yield Finding("CH228", _choice(path))
        case jsonschema_rs.ValidationErrorKind.AnyOf():
            yield from _any_of(error, kind.context, root, path)
        case _:
            yield Finding("CH221", path)


def _any_of(
    error: jsonschema_rs.ValidationError,
    context: list[list[jsonschema_rs.ValidationError]],
    root: str,
    path: str,
) -> Iterator[Finding]:
    """Three places of the schema say `anyOf`: a required choice, Extension's single value, items of `_name` lists."""
    if "items" in error.schema_path[-2:]:
        yield from (finding for branch in context[1:] for part in branch for finding in _translate(part, root))
    elif all(isinstance(part.kind, jsonschema_rs.ValidationErrorKind.Required) for part in _flat(context)):
        names = [part.kind.property for part in _flat(context)]
        yield Finding("CH224", f"{path}.{_stem(names)}")
    else:
        yield Finding("CH228", f"{path}.value")


def _flat(context: list[list[jsonschema_rs.ValidationError]]) -> Iterator[Any]:
    return (part for branch in context for part in branch)


def _wrong_type(instance: object, expected: Iterable[str]) -> str:
    if instance is None:
        return "CH232"
    if isinstance(instance, list):
        return "CH222"
    return "CH223" if "array" in expected else "CH221"


def _wrong_code(instance: object) -> str:
    if instance is None:
        return "CH232"
    return "CH225" if isinstance(instance, str) else "CH221"


def _wrong_text(instance: object, pattern: str) -> str:
    if instance == "":
        return "CH231"
    if pattern == _NARRATIVE:
        return "CH233"
    if not pattern.startswith(REFERENCE_MARK):
        return "CH226"
    steps = str(instance).partition("?")[0].rstrip("/").split("/")
    return "CH229" if any(step in r4().resources for step in steps[-4:]) else "CH230"


def _path(steps: Iterable[str | int]) -> str:
    return "".join(f"[{step}]" if isinstance(step, int) else f".{known(step)}" for step in steps)


def _choice(path: str) -> str:
    """The element of a choice: `Observation.value` for `Observation.valueString`, so that a clash is told once."""
    owner, _, name = path.rpartition(".")
    stems = [stem for stem in _choices() if name.startswith(stem) and name[len(stem) : len(stem) + 1].isupper()]
    return f"{owner}.{max(stems, key=len)}" if stems else path


def _stem(names: list[str]) -> str:
    """What a group of required alternatives is called: `status` for (`status`, `_status`), else the choice's name."""
    plain = [name for name in names if not name.startswith("_")]
    return known(plain[0]) if len(plain) == 1 else _choice("." + known(plain[0])).removeprefix(".")


@cache
def _choices() -> frozenset[str]:
    return frozenset(
        element.name for entry in r4().types.values() for element in entry.elements.values() if element.is_choice
    )


@cache
def _names() -> frozenset[str]:
    names = {
        name for entry in r4().types.values() for element in entry.elements.values() for name in element.json_names
    }
    return frozenset(names | {"_" + name for name in names} | {"resourceType"})


def known(name: str) -> str:
    """An element name of R4 as it is, anything else as `*`: a name that somebody made up can say something."""
    return name if name in _names() else "*"
