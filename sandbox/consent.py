"""What a person may agree to: the scopes asked for, taken apart by type and category (SMART App Launch 2.2 §scopes).

The categories are those of ONC's certification (3 of Condition, 6 of Observation; US Core, granular scopes). What stays
ticked as a whole is granted as it was asked for; what is narrowed is granted as explicit scopes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sandbox.scopes import CONTEXT_SCOPES, as_written, read_scope

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from sandbox.profiles import Profile

_CONDITION: Final = "http://terminology.hl7.org/CodeSystem/condition-category"
_OBSERVATION: Final = "http://terminology.hl7.org/CodeSystem/observation-category"
_US_CORE: Final = "http://hl7.org/fhir/us/core/CodeSystem"
CATEGORIES: Final = {
    "Condition": (
        ("Diagnoses made at visits", f"{_CONDITION}|encounter-diagnosis"),
        ("Problem list", f"{_CONDITION}|problem-list-item"),
        ("Health concerns", f"{_US_CORE}/condition-category|health-concern"),
    ),
    "Observation": (
        ("Clinical tests", f"{_US_CORE}/us-core-observation-category|clinical-test"),
        ("Laboratory", f"{_OBSERVATION}|laboratory"),
        ("Social history", f"{_OBSERVATION}|social-history"),
        ("Social determinants of health", f"{_US_CORE}/us-core-category|sdoh"),
        ("Surveys", f"{_OBSERVATION}|survey"),
        ("Vital signs", f"{_OBSERVATION}|vital-signs"),
    ),
}
_LABELS: Final = {
    "AllergyIntolerance": "Allergies and intolerances",
    "CarePlan": "Care plans",
    "CareTeam": "Care team",
    "Condition": "Conditions and concerns",
    "Coverage": "Insurance coverage",
    "Claim": "Claims to your insurer",
    "Device": "Implants and devices",
    "DiagnosticReport": "Reports of tests",
    "DocumentReference": "Notes and documents",
    "Encounter": "Visits",
    "FamilyMemberHistory": "Family history",
    "ExplanationOfBenefit": "What your insurer paid",
    "Goal": "Goals",
    "Immunization": "Vaccines",
    "Location": "Places where you were treated",
    "Medication": "What medications are made of",
    "MedicationAdministration": "Medications given to you",
    "MedicationDispense": "Medications handed out",
    "MedicationRequest": "Medications prescribed",
    "MedicationStatement": "Medications you said you take",
    "Observation": "Results, vital signs and other observations",
    "Organization": "Organizations that treated you",
    "Patient": "Your name, birth date and contact details",
    "Practitioner": "People who treated you",
    "PractitionerRole": "Roles of people who treated you",
    "Procedure": "Procedures",
    "Provenance": "Who wrote what",
    "QuestionnaireResponse": "Answers to questionnaires",
    "RelatedPerson": "Family and contacts",
    "ServiceRequest": "Orders and referrals",
    "Specimen": "Samples taken",
}
_WORDS: Final = re.compile(r"(?<=[a-z])(?=[A-Z])")


@dataclass(frozen=True, slots=True)
class Choice:
    """A type that may be ticked: its scope as asked for, and a narrower scope for each of its categories."""

    scope: str
    type: str
    label: str
    categories: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Offer:
    """A request as it is put to a person. `context` is granted with it, `offline` may be unticked."""

    asked: tuple[str, ...]
    choices: tuple[Choice, ...]
    offline: bool

    @property
    def boxes(self) -> list[str]:
        """The value of every checkbox."""
        found = [box for choice in self.choices for box in (choice.scope, *(scope for _, scope in choice.categories))]
        return [*found, "offline_access"] if self.offline else found

    def granted(self, ticked: Collection[str], profile: Profile) -> str:
        """The scopes to grant for the boxes that are ticked. An unticked type shares none of its categories."""
        if not profile.offers_types:
            ticked = [*(box for box in self.boxes if box != "offline_access"), *ticked]
        whole = set(ticked) >= {box for box in self.boxes if box != "offline_access"}
        kept: dict[str, None] = {}
        for text in self.asked:
            if text in CONTEXT_SCOPES:
                if text != "offline_access" or text in ticked:
                    kept[text] = None
            elif whole and not (text.startswith("patient/*") and profile.wildcards == "expanded"):
                kept[text] = None
            else:
                kept |= dict.fromkeys(self._narrowed(text, ticked))
        return " ".join(kept)

    def _narrowed(self, text: str, ticked: Collection[str]) -> Iterable[str]:
        scope = read_scope(text)
        for choice in self.choices:
            is_meant = choice.scope == text or (
                scope is not None and scope.type == "*" and choice.scope == _of_type(text, choice.type)
            )
            if not is_meant or choice.scope not in ticked:
                continue
            chosen = [narrow for _, narrow in choice.categories if narrow in ticked]
            yield from [choice.scope] if len(chosen) == len(choice.categories) else chosen


def offer(scope: str, types: Iterable[str], profile: Profile) -> Offer:
    """Take a request apart. `types` are those that a wildcard stands for."""
    asked = tuple(scope.split())
    choices: dict[str, Choice] = {}
    for text in asked:
        read = read_scope(text)
        if read is None:
            continue
        for kind in types if read.type == "*" else (read.type,):
            own = _of_type(text, kind)
            label = _LABELS.get(kind, _WORDS.sub(" ", kind).capitalize())
            if read.only is not None:
                label += f": {_said(read.only[2])}"
            categories: tuple[tuple[str, str], ...] = ()
            if read.only is None and "v2" in profile.scope_versions:
                base = own.removesuffix(".read") + ".rs" if own.endswith(".read") else own
                categories = tuple(
                    (name, as_written(f"{base}?category={category}", profile))
                    for name, category in CATEGORIES.get(kind, ())
                )
            choices.setdefault(own, Choice(own, kind, label, categories))
    # What is a part of a type that is asked for whole is among its categories already.
    shown = [choice for text, choice in choices.items() if "?" not in text or text.partition("?")[0] not in choices]
    return Offer(asked, tuple(shown), "offline_access" in asked)


def lasting(seconds: float) -> str:
    """How a form names a length of time."""
    return f"{seconds:.3f}".rstrip("0").rstrip(".")


def _of_type(scope: str, kind: str) -> str:
    return scope.replace("patient/*.", f"patient/{kind}.", 1)


def _said(code: str) -> str:
    return code.replace("-", " ")
