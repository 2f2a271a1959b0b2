"""What the tables read of a resource that does not have the shape of R4: the same content, each part where R4 has it.

The vault keeps the text as it was received. Mended is only what has one meaning: a list where one value belongs and the
reverse, a number or a boolean sent as text and the reverse, a text or a coding where a concept belongs, a required code
in other letters (`FINAL`, `Entered in error`), a date as HL7 v2 or ISO 8601 write it, and what other versions of FHIR
write otherwise. What has several meanings stays as it is. Texts of numbers are never written anew.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import orjson

from transforms.checking.dates import as_fhir
from transforms.checking.other_versions import in_r4
from transforms.checking.verdict import Finding
from transforms.fhir_r4 import QUANTITIES, Element, r4

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

Node = dict[str, Any]

FLAWS: Final = frozenset({"CH220", "CH221", "CH222", "CH223", "CH225", "CH226", "CH239"})
"""The rules whose breach says that mending may change something."""

_NUMBER: Final = re.compile(r"\s*\+?(-?)0*((?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?)\s*")
_INTEGER: Final = re.compile(r"-?\d+")
_LITERAL: Final = re.compile(r"(?:#|urn:|https?://|[A-Z][A-Za-z]+[/?])\S+")
_NUMBERS: Final = frozenset({"decimal", "integer", "positiveInt", "unsignedInt"})
_TEXTS: Final = frozenset({"string", "markdown"})
_DATES: Final = frozenset({"date", "dateTime", "instant"})

_TEXT_OF: Final = {
    "Address": "text",
    "Annotation": "text",
    "CodeableConcept": "text",
    "Dosage": "text",
    "HumanName": "text",
    "Identifier": "value",
}
"""Where the words go that stand in place of an object."""

_TERMINOLOGY: Final = "http://terminology.hl7.org/CodeSystem/"
_CODED: Final = {
    ("Condition", "clinicalStatus"): (
        "condition-clinical",
        {"active", "recurrence", "relapse", "inactive", "remission", "resolved"},
    ),
    ("Condition", "verificationStatus"): (
        "condition-ver-status",
        {"unconfirmed", "provisional", "differential", "confirmed", "refuted", "entered-in-error"},
    ),
    ("AllergyIntolerance", "clinicalStatus"): ("allergyintolerance-clinical", {"active", "inactive", "resolved"}),
    ("AllergyIntolerance", "verificationStatus"): (
        "allergyintolerance-verification",
        {"unconfirmed", "confirmed", "refuted", "entered-in-error"},
    ),
}
"""Codes of STU3 that are concepts in R4: the system, and what it holds."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A number as its sender wrote it: `5.40` stays `5.40`."""

    text: str


def needs_mending(remarks: Iterable[str]) -> bool:
    """Whether the remarks of a resource (`CH222 Observation.code`) say that the tables should read it mended."""
    return any(remark[:5] in FLAWS for remark in remarks)


def mended(text: str) -> str:
    """The text of a resource as the tables read it; the same text where nothing is to be mended. Never raises."""
    try:
        resource = json.loads(text, parse_float=Sent, parse_int=Sent)
        if not isinstance(resource, dict):
            return text
        result = mend(resource).resource
        return (
            text
            if result == resource
            else orjson.dumps(result, default=_written, option=orjson.OPT_PASSTHROUGH_DATACLASS).decode()
        )
    except (ValueError, TypeError, RecursionError):
        return text


class Mended(NamedTuple):
    """A resource in the shape of R4.

    `findings` has a CH239 for each element that was as another version of FHIR has it, and `covered` the paths of
    unknown elements that these explain.
    """

    resource: Node
    findings: list[Finding]
    covered: set[str]


def mend(resource: Node) -> Mended:
    """The resource mended. Raises RecursionError for what is nested too deeply."""
    kind = resource.get("resourceType")
    if not isinstance(kind, str) or kind not in r4().resources:
        return Mended(resource, [], set())
    mender = _Mender()
    return Mended(mender.members(resource, kind, "", kind), mender.findings, mender.covered)


class _Mender:
    def __init__(self) -> None:
        self.findings: list[Finding] = []
        self.covered: set[str] = set()

    def members(self, node: Node, owner: str, path: str, where: str) -> Node:
        """An object of a type, or of an element at `path` in it; `where` is what findings call it."""
        from transforms.checking.structure import known

        names = _names(owner, path)
        node, turned = in_r4(node, owner, path, {name: element.path for name, (element, _) in names.items()})
        # These names are of our own table, so they may be told.
        self.findings += (Finding("CH239", f"{where}.{name}") for name in turned)
        rest = {known(name) for name in node if name not in names}
        self.covered |= {f"{where}.{known(name)}" for name in turned} - {f"{where}.{name}" for name in rest}
        result: Node = {}
        for name, value in node.items():
            if name in names:
                if name in result:
                    continue  # its twin came first, and was taken in
                element, kind = names[name]
                result[name] = self._element(value, element, kind, f"{where}.{name}")
            elif name[:1] == "_" and name[1:] in names:
                element, kind = names[name[1:]]
                if kind in r4().primitives:
                    result[name] = _counted(value, is_list=element.is_list)
                elif isinstance(value, dict) and not element.is_list:
                    # Only primitives have such a twin; of an object, what is said beside it belongs into it.
                    own = node.get(name[1:])
                    whole = {**value, **own} if isinstance(own, dict) else value
                    result[name[1:]] = self._element(whole, element, kind, f"{where}.{name[1:]}")
                else:
                    result[name] = value
            else:
                result[name] = value
        return result

    def _element(self, value: Any, element: Element, kind: str, where: str) -> Any:
        value = _counted(value, is_list=element.is_list)
        if not isinstance(value, list):
            return self._one(value, element, kind, where)
        if not element.is_list:
            return value  # several, where one belongs: nobody can say which
        return [self._one(each, element, kind, f"{where}[{index}]") for index, each in enumerate(value)]

    def _one(self, value: Any, element: Element, kind: str, where: str) -> Any:
        if value is None or isinstance(value, list):
            return value
        if kind == "code" and isinstance(value, str):
            return _code(value, r4().required_codes(element))
        if kind in r4().primitives:
            return _primitive(value, kind)
        value = _shaped(value, element, kind)
        if not isinstance(value, dict):
            return value
        if element.same_as:
            return self.members(value, element.owner, element.same_as, where)
        if kind == "Resource":
            inner = value.get("resourceType")
            is_known = isinstance(inner, str) and inner in r4().resources
            return self.members(value, str(inner), "", where) if is_known else value
        if r4().children(element.owner, element.path) and kind in ("BackboneElement", "Element"):
            return self.members(value, element.owner, element.path, where)
        return self.members(value, kind, "", where)


@cache
def _names(owner: str, path: str) -> dict[str, tuple[Element, str]]:
    """JSON name → element and type, of the members of a type or of an element in it."""
    return {
        name: (element, kind)
        for element in r4().children(owner, path).values()
        for name, kind in element.json_names.items()
    }


def _counted(value: Any, *, is_list: bool) -> Any:
    """One value in a list, or the one value of a list. Lists within lists are one list."""
    if is_list:
        if value is None:
            return None
        items = value if isinstance(value, list) else [value]
        return [each for item in items for each in (item if isinstance(item, list) else [item])]
    if isinstance(value, list):
        there = [each for each in value if each is not None]
        return there[0] if len(there) == 1 else value
    return value


def _code(value: str, codes: Collection[str] | None) -> str:
    """A required code, also where it is written in words or in other letters; any other text as it is."""
    if not codes or value in codes:
        return value
    meant = [code for code in codes if _letters(code) == _letters(value)]
    return meant[0] if len(meant) == 1 else value


def _letters(code: str) -> str:
    return re.sub(r"[\s_-]+", "-", code.strip().lower())


def _primitive(value: Any, kind: str) -> Any:
    if isinstance(value, str):
        if kind in _DATES:
            return as_fhir(value)
        if kind == "boolean":
            return {"true": True, "false": False}.get(value.strip().lower(), value)
        number = _NUMBER.fullmatch(value) if kind in _NUMBERS else None
        if number is None or (kind != "decimal" and not _INTEGER.fullmatch(number[1] + number[2])):
            return value
        return Sent(number[1] + number[2])
    if isinstance(value, dict):
        return _only_code(value) if kind == "code" else value
    if kind in _TEXTS or (kind in ("date", "dateTime") and not isinstance(value, bool)):
        return _text(value)
    return value


def _shaped(value: Any, element: Element, kind: str) -> Any:
    """What stands in place of an object of another type, as that type; everything else as it is."""
    if isinstance(value, str):
        return _from_text(value, element, kind)
    if not isinstance(value, dict):
        return {"value": value} if kind in QUANTITIES and not isinstance(value, bool) else value
    if kind == "CodeableConcept":
        if isinstance(value.get("concept"), dict):
            return value["concept"]
        is_coding = ("code" in value or "display" in value) and not ("coding" in value or "text" in value)
        return {"coding": [value]} if is_coding else value
    if kind == "Coding" and "coding" in value and "code" not in value:
        coding = value["coding"]
        first = coding[0] if isinstance(coding, list) and coding else coding
        return first if isinstance(first, dict) else value
    if kind == "Reference" and not isinstance(value.get("reference"), str):
        # A CodeableReference of R5, or STU3's pair of who and on whose behalf, or in which role.
        for name in ("reference", "agent", "actor"):
            inner = value.get(name)
            if isinstance(inner, dict) and {"reference", "identifier", "display"} & inner.keys():
                return inner
    return value


def _from_text(value: str, element: Element, kind: str) -> Any:
    if kind == "Reference":
        return {"reference" if _LITERAL.fullmatch(value) else "display": value}
    system, codes = _CODED.get((element.owner, element.path), ("", set[str]()))
    if value in codes:
        return {"coding": [{"system": _TERMINOLOGY + system, "code": value}]}
    if kind in QUANTITIES and _NUMBER.fullmatch(value):
        return {"value": value}
    if kind == "Coding" and value.strip():
        return {"display" if re.search(r"\s", value.strip()) else "code": value}
    name = _TEXT_OF.get(kind)
    return {name: value} if name and value.strip() else value


def _only_code(value: Node) -> Any:
    """The code of a concept that has one coding, where R4 has a plain code (R5's AllergyIntolerance.type)."""
    codings = value.get("coding")
    coding = codings[0] if isinstance(codings, list) and len(codings) == 1 else None
    code = coding.get("code") if isinstance(coding, dict) else None
    return code if isinstance(code, str) else value


def _text(value: Any) -> Any:
    """A number or a boolean as text, as it was sent."""
    return value.text if isinstance(value, Sent) else orjson.dumps(value).decode()


def _written(value: Any) -> orjson.Fragment:
    return orjson.Fragment(value.text.encode())
