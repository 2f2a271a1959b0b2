"""The catalogue of checking rules, CH2xx. An id is never reused; a gap is a rule that retired.

CH20x and CH21x put a resource into quarantine, because nobody could use it; CH22x and above are remarks on a resource
that is accepted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Severity = Literal["remark", "quarantine"]

MOST_FINDINGS: Final = 40
"""Findings kept for one resource; what stops it is kept before what is remarked."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: what it says, what follows from breaking it, and what the reader can do."""

    id: str
    title: str
    severity: Severity
    mend: str


_TELL: Final = "Tell the provider; replay the quarantine once the provider has mended it."
_KEPT: Final = "Nothing to do: the resource is kept as received."
_READ: Final = " The tables read what it can only mean."

RULES: Final[dict[str, Rule]] = {
    rule.id: rule
    for rule in (
        # -- CH20x, CH21x: cannot be used --------------------------------------------------------------------------
        Rule("CH201", "It is no readable JSON", "quarantine", _TELL),
        Rule("CH202", "It is no JSON object", "quarantine", _TELL),
        Rule("CH203", "It has no resourceType", "quarantine", _TELL),
        Rule(
            "CH204", "Its resourceType is not of FHIR R4", "quarantine", "Check which FHIR version the endpoint serves."
        ),
        Rule("CH205", "It has no id", "quarantine", _TELL),
        Rule("CH206", "Its id cannot stand in a reference", "quarantine", _TELL),
        Rule(
            "CH207",
            "It belongs to another patient",
            "quarantine",
            "Tell the provider at once: it sent another's record.",
        ),
        Rule("CH208", "A key element cannot be read", "quarantine", _TELL),
        Rule("CH209", "A key element is missing", "quarantine", _TELL),
        Rule("CH210", "It is nested too deeply to be read", "quarantine", _TELL),
        Rule("CH211", "A name stands twice in one object, with different values", "quarantine", _TELL),
        # -- CH22x, CH23x: structure -------------------------------------------------------------------------------
        Rule("CH220", "An element is unknown to R4", "remark", _KEPT),
        Rule("CH221", "An element has the wrong JSON type", "remark", _KEPT + _READ),
        Rule(
            "CH222",
            "A list stands where one value belongs",
            "remark",
            _KEPT + _READ,
        ),
        Rule(
            "CH223",
            "One value stands where a list belongs",
            "remark",
            _KEPT + _READ,
        ),
        Rule("CH224", "A required element is missing", "remark", _KEPT),
        Rule("CH225", "A code is outside the required value set", "remark", _KEPT),
        Rule("CH226", "A value does not have the format of its type", "remark", _KEPT),
        Rule("CH227", "A number is out of the range of its type", "remark", _KEPT),
        Rule("CH228", "A choice of types holds more than one", "remark", _KEPT),
        Rule("CH229", "A reference names a type that is not permitted here", "remark", _KEPT),
        Rule("CH230", "A reference is not literal", "remark", _KEPT),
        Rule("CH231", "An element is empty", "remark", _KEPT),
        Rule("CH232", "An element is null", "remark", _KEPT),
        Rule("CH233", "The narrative is no XHTML div", "remark", _KEPT),
        Rule("CH234", "A contained resource is not of FHIR R4", "remark", _KEPT),
        Rule("CH235", "A text holds control characters", "remark", _KEPT),
        Rule("CH236", "A name stands twice in one object", "remark", _KEPT + " Both have the same value."),
        Rule(
            "CH237",
            "A number is beyond what a DOUBLE holds",
            "remark",
            _KEPT + " The tables have its text, and no number.",
        ),
        Rule("CH238", "Its id is not one that FHIR permits", "remark", _KEPT),
        Rule(
            "CH239",
            "An element is as another version of FHIR has it",
            "remark",
            _KEPT + " The tables read it under its name in R4.",
        ),
        # -- CH24x: ownership and meaning --------------------------------------------------------------------------
        Rule(
            "CH240",
            "It does not say which patient it is about",
            "remark",
            "Nothing to do: it came through the person's link.",
        ),
        Rule("CH241", "Its patient cannot be resolved", "remark", "Nothing to do: it came through the person's link."),
        Rule("CH242", "It names another patient in a minor role only", "remark", _KEPT),
        Rule(
            "CH243",
            "It was entered in error and is not whole",
            "remark",
            "Nothing to do: it withdraws an earlier version.",
        ),
    )
}
