"""Sentences for people about a resource that the gate has refused, asked of `fhir.resources` (R4B models).

Slow (thousands a second, and 0.3 s to import a model) and of another opinion in places, so it explains and never
decides: R4B knows a few elements that R4 does not, and these models leave most code lists open.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from transforms.checking.reading import read
from transforms.checking.rules import RULES
from transforms.checking.structure import known
from transforms.fhir_r4 import r4

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic import BaseModel

    from transforms.checking.verdict import Finding

MOST_SENTENCES: Final = 40
_UNSAID: Final = "does not fit its type"


def explain(raw: bytes) -> list[str]:
    """What the models of `fhir.resources` say about a resource, one sentence a fault, without any of its values.

    The models stop early: mend what they name, and they may name more. Empty where they find nothing.
    """
    try:
        resource, _ = read(raw)
    except ValueError:
        return [RULES["CH201"].title]
    if not isinstance(resource, dict):
        return [RULES["CH202"].title]
    kind = resource.get("resourceType")
    if not isinstance(kind, str) or kind not in r4().resources:
        return [RULES["CH204" if isinstance(kind, str) else "CH203"].title]
    values = _Values(resource)
    return list(dict.fromkeys(values.sentence(kind, fault) for fault in _faults(kind, resource)))


def describe(finding: Finding) -> str:
    """A finding as a sentence: `Observation.issued: A value does not have the format of its type`."""
    title = RULES[finding.rule].title
    return f"{finding.path}: {title}" if finding.path else title


def _faults(kind: str, resource: dict[str, Any]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """(path, message) of each fault. The messages are not yet fit to be shown."""
    from pydantic import ValidationError

    model = _model(kind)
    if model is None:
        return
    try:
        model.model_validate(resource)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_context=False, include_input=False)
        yield from ((tuple(fault["loc"]), fault["msg"]) for fault in islice(faults, MOST_SENTENCES))
    except (ValueError, TypeError, AttributeError, KeyError, LookupError, RecursionError):
        # The models trip over some inputs instead of refusing them.
        yield (), _UNSAID


def _model(kind: str) -> type[BaseModel] | None:
    """The R4B model of a type; R4B dropped some thirty types of R4, mostly of medicinal products."""
    from fhir.resources.R4B import get_fhir_model_class

    try:
        model: type[BaseModel] = get_fhir_model_class(kind)
    except (ValueError, LookupError, ImportError):
        return None
    return model


class _Values:
    """The values of one resource, so that no sentence repeats one."""

    def __init__(self, resource: dict[str, Any]) -> None:
        self._said = {text for text in _texts(resource) if len(text) > 1}

    def sentence(self, kind: str, fault: tuple[tuple[str | int, ...], str]) -> str:
        """`Observation.component[0].code: Field required`, the message dropped if a value is in it."""
        steps, message = fault
        path = kind + "".join(
            f"[{step}]" if isinstance(step, int) else f".{known(step)}" for step in steps if not _is_model(step)
        )
        message = message.removeprefix("Value error, ").removeprefix("Assertion failed, ")
        # Where an object belongs, the models speak of Python classes, and try a text as JSON.
        hidden = (
            message.startswith("Invalid JSON") or "<class" in message or any(text in message for text in self._said)
        )
        return f"{path}: {_UNSAID if hidden else message}"


def _texts(resource: dict[str, Any]) -> Iterator[str]:
    """Every value, and every element name that R4 does not know."""
    rest: list[Any] = [resource]
    while rest:
        node = rest.pop()
        if isinstance(node, dict):
            yield from (name for name in node if known(name) == "*")
            rest.extend(node.values())
        elif isinstance(node, list):
            rest.extend(node)
        elif node is not None and not isinstance(node, bool):
            yield str(node)


def _is_model(step: str | int) -> bool:
    """Whether a step of a path was put in by the models (`root`, the name of a type) and is no element."""
    return step == "root" or (isinstance(step, str) and step[:1].isupper() and step in r4().types)
