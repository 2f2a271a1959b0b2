"""What goes into the check beside the resource, and what comes out."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import msgspec


class Status(StrEnum):
    """What becomes of a resource."""

    ACCEPTED = "accepted"
    REMARKS = "accepted_with_remarks"
    QUARANTINED = "quarantined"


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose records a link brings: the id of the Patient at the provider, and the FHIR base of that provider.

    Absolute references below `base_url` count as the provider's own; without it only relative ones do. `others` are ids
    of more Patients who are the same person, as a phone may hold several.
    """

    patient_id: str
    base_url: str = ""
    others: frozenset[str] = frozenset()

    def is_named(self, patient_id: object) -> bool:
        """Whether this is the id of a Patient who is the person."""
        return patient_id == self.patient_id or patient_id in self.others


class Finding(msgspec.Struct, frozen=True, order=True):
    """One rule that a resource breaks, and where: a FHIRPath of element names and indices, never a value.

    An element name that R4 does not know is written `*`, because a name that somebody made up can say something
    about a person.
    """

    rule: str
    path: str

    def __str__(self) -> str:
        return f"{self.rule} {self.path}" if self.path else self.rule


class Verdict(msgspec.Struct, frozen=True):
    """The outcome of one resource.

    `resource_type` and `resource_id` are as sent where they are readable, `last_updated` is `meta.lastUpdated` where it
    is an instant, and `content_hash` the SHA-256 of the bytes as received, in hex.
    """

    status: Status
    resource_type: str | None
    resource_id: str | None
    last_updated: str | None
    content_hash: str
    findings: tuple[Finding, ...] = ()

    @property
    def remarks(self) -> list[str]:
        """The findings as text, `CH225 Observation.issued`."""
        return [str(finding) for finding in self.findings]

    @property
    def rules(self) -> list[str]:
        """The ids of the rules that are broken, each once, those that stopped the resource first."""
        return list(dict.fromkeys(finding.rule for finding in self.findings))
