"""The gate of Health Connect: what it asks of a record, in its order; what it refuses cannot have come from it.

Source: `MedicalResourceValidator.validateAndCreateInternalRequest` of Android's Health Connect module. The codes are
the house's own (CH170 to CH174, `charthouse/errors/phone.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

import orjson

from transforms.health_connect.structure import fits, too_deep
from transforms.health_connect.types import FHIR_VERSIONS, is_supported, medical_type
from transforms.health_connect.xhtml import is_plain, narratives

Why = Literal[
    "not_json",
    "id_missing",
    "id_not_text",
    "type_missing",
    "id_empty",
    "version",
    "contained",
    "type_unknown",
    "structure",
    "no_category",
]
_CODES: Final[dict[Why, str]] = {
    "not_json": "CH170",
    "id_missing": "CH170",
    "id_not_text": "CH170",
    "type_missing": "CH170",
    "id_empty": "CH170",
    "version": "CH170",
    "contained": "CH171",
    "type_unknown": "CH172",
    "structure": "CH173",
    "no_category": "CH172",
}


@dataclass(frozen=True, slots=True)
class Passed:
    """A record that the phone would have taken: its resource, and the medical type that it is of."""

    resource: dict[str, Any]
    medical_type: str


@dataclass(frozen=True, slots=True)
class Refused:
    """One that it would not have taken, and why."""

    why: Why

    @property
    def code(self) -> str:
        """The number in the catalogue of errors."""
        return _CODES[self.why]


Verdict: TypeAlias = Passed | Refused


class Gate:
    """Judges records of one FHIR version. Never raises for anything in a record."""

    def __init__(self, fhir_version: str) -> None:
        self._version = fhir_version

    def judge(self, text: str | bytes) -> Verdict:
        """The verdict on one record, from its text."""
        try:
            resource = orjson.loads(text)
        except orjson.JSONDecodeError:
            return Refused("not_json")
        if not isinstance(resource, dict):
            return Refused("not_json")
        why = self._why(resource)
        if why is not None:
            return Refused(why)
        kind = medical_type(resource)
        return Passed(resource, kind) if kind is not None else Refused("no_category")

    def _why(self, resource: dict[str, Any]) -> Why | None:
        if "id" not in resource:
            return "id_missing"
        if not isinstance(resource["id"], str):
            return "id_not_text"
        kind = resource.get("resourceType")
        if kind is None:
            return "type_missing"
        if not resource["id"]:
            return "id_empty"
        if self._version not in FHIR_VERSIONS:
            return "version"
        if "contained" in resource and resource["contained"] != []:
            return "contained"
        if not isinstance(kind, str) or not is_supported(kind):
            return "type_unknown"
        if not fits(kind, self._version)(resource) or too_deep(resource):
            return "structure"
        return None if all(map(is_plain, narratives(resource.get("text")))) else "structure"
