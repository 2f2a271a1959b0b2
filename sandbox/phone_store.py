"""Health Connect on a made-up phone: data sources, medical records by type, permissions, reading in pages.

It follows Android's API (`HealthConnectManager`: getMedicalDataSources, readMedicalResources, upsertMedicalResources,
deleteMedicalResources) as far as an app that reads sees it.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, field
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

_TABLE: Final[dict[str, Any]] = json.loads(files("schemas").joinpath("health_connect.json").read_bytes())
TYPES: Final = tuple(_TABLE["medical_types"])
PERMISSION: Final = "android.permission.health.READ_MEDICAL_DATA_"
FIRST_PAGE: Final = 1000
_LOINC: Final = "http://loinc.org"
_CATEGORY: Final = "http://terminology.hl7.org/CodeSystem/observation-category"


class NotPermittedError(Exception):
    """A SecurityException of Android: the app may not read this type."""


@dataclass(frozen=True, slots=True)
class DataSource:
    """MedicalDataSource."""

    package_name: str
    fhir_base_uri: str
    display_name: str
    fhir_version: str = "4.0.1"
    id: str = field(default_factory=lambda: str(uuid.uuid4()))


@dataclass(frozen=True, slots=True)
class Resource:
    """MedicalResource: its medical type and the text of its FhirResource."""

    type: str
    data_source_id: str
    fhir_type: str
    fhir_id: str
    data: str


@dataclass(frozen=True, slots=True)
class Page:
    """ReadMedicalResourcesResponse."""

    resources: tuple[Resource, ...]
    next_page_token: str | None
    remaining: int


class HealthConnect:
    """The store of one phone."""

    def __init__(self, *, permissions: Collection[str] = TYPES) -> None:
        self.sources: dict[str, DataSource] = {}
        self.permissions = {PERMISSION + name for name in permissions}
        self._held: dict[tuple[str, str, str], Resource] = {}

    def add_source(self, source: DataSource) -> DataSource:
        """createMedicalDataSource."""
        self.sources[source.id] = source
        return source

    def upsert(self, source_id: str, data: str) -> Resource | None:
        """upsertMedicalResources with one resource; None for one that is of no medical type, which Android refuses."""
        said = json.loads(data)
        kind = type_of(said)
        if kind is None or said.get("contained"):
            return None
        made = Resource(kind, source_id, said["resourceType"], said["id"], data)
        self._held[source_id, made.fhir_type, made.fhir_id] = made
        return made

    def delete(self, source_id: str, fhir_type: str, fhir_id: str) -> None:
        """deleteMedicalResources."""
        del self._held[source_id, fhir_type, fhir_id]

    def grant(self, *names: str) -> None:
        """The person turns permissions on."""
        self.permissions |= {PERMISSION + name for name in names}

    def withdraw(self, *names: str) -> None:
        """The person turns permissions off."""
        self.permissions -= {PERMISSION + name for name in names}

    def granted_permissions(self) -> list[str]:
        """getGrantedPermissions: of other kinds, too."""
        return ["android.permission.health.READ_STEPS", *sorted(self.permissions)]

    def medical_data_sources(self) -> list[DataSource]:
        """getMedicalDataSources."""
        return list(self.sources.values())

    def read_medical_resources(
        self, medical_type: str, source_ids: Collection[str], *, page_token: str | None = None, size: int = FIRST_PAGE
    ) -> Page:
        """readMedicalResources.

        Raises:
            NotPermittedError: the type may not be read.
        """
        if PERMISSION + medical_type not in self.permissions:
            raise NotPermittedError(medical_type)
        found = [one for one in self._held.values() if one.type == medical_type and one.data_source_id in source_ids]
        begin = int(page_token or 0)
        end = begin + size
        more = str(end) if end < len(found) else None
        return Page(tuple(found[begin:end]), more, max(0, len(found) - end))

    def read_all(self, medical_type: str, source_ids: Collection[str], *, size: int = FIRST_PAGE) -> Iterator[Resource]:
        """All pages of a type."""
        token: str | None = None
        while True:
            page = self.read_medical_resources(medical_type, source_ids, page_token=token, size=size)
            yield from page.resources
            token = page.next_page_token
            if token is None:
                return


def type_of(resource: dict[str, Any]) -> str | None:
    """The medical type of a resource, as Android's documentation has it; None for one that it does not take."""
    kind = str(resource.get("resourceType"))
    if kind != "Observation":
        found = _TABLE["fhir_types"].get(kind)
        return None if found is None else str(found)
    loinc = _in_system([resource.get("code") or {}], _LOINC)
    categories = _in_system(resource.get("category") or [], _CATEGORY)
    codes = {rule["type"]: set(rule["codes"]) for rule in _TABLE["observation"]["order"]}
    if loinc & codes["PREGNANCY"]:
        return "PREGNANCY"
    if loinc & codes["SOCIAL_HISTORY"] or "social-history" in categories:
        return "SOCIAL_HISTORY"
    if loinc & codes["VITAL_SIGNS"] or "vital-signs" in categories:
        return "VITAL_SIGNS"
    return "LABORATORY_RESULTS" if "laboratory" in categories else None


def _in_system(concepts: list[dict[str, Any]], system: str) -> set[str]:
    return {
        coding["code"]
        for concept in concepts
        for coding in concept.get("coding", ())
        if coding.get("system") == system and "code" in coding
    }
