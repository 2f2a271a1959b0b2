"""What to ask a FHIR server for one patient: the searches of a link, planned from what the server says it can do.

Every type of the Patient compartment that the server offers is asked for whole, by `patient` alone. Servers may refuse
that for some types (US Core 9.0.0 requires `patient` + `category` of them and no more); each of these has narrower
searches to fall back on. A label names a query without its patient and is the key of its watermark.
"""

from __future__ import annotations

import re
from collections.abc import Mapping  # noqa: TC003 - the dataclasses below are read at run time
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Final, Literal
from urllib.parse import quote, urlencode

from charthouse.partners.knowledge import NOTHING_KNOWN
from transforms.fhir_r4 import r4

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from charthouse.partners.capability import Capability, TypeCapability
    from charthouse.partners.knowledge import Knowledge
    from charthouse.partners.scopes import Scopes

_SIGN: Final = re.compile(r"[\\,$]")
"""Signs of an id that divide the values of a search, unless a backslash stands before them (R4 §3.1.1.4.0.1)."""
_SAFE: Final = "!$&'()*+,;=:@~"
"""What an id may hold as it is in a path (RFC 3986 §3.3)."""

NotRequested = Literal["not_in_compartment", "no_patient_search", "not_permitted"]

SUBJECT_PARAMS: Final = (
    "patient",
    "subject",
    "beneficiary",
    "individual",
    "actor",
    "member",
    "subscriber",
    "policy-holder",
)
"""Search parameters that say whose a resource is, the best first."""

REFERENCED_TYPES: Final = ("PractitionerRole", "Medication", "Practitioner", "Location", "Organization")
"""Types that belong to nobody and are read because a person's resources point at them. Each may point at later ones."""

FOLLOWED_TYPES: Final = ("Specimen", *REFERENCED_TYPES)
"""Types that are read where a person's resources point at them. A Specimen is the person's own: US Core requires
servers to let it be read, and not to find it by patient."""

MEDICATION_INCLUDES: Final = {
    kind: f"{kind}:medication"
    for kind in ("MedicationRequest", "MedicationStatement", "MedicationDispense", "MedicationAdministration")
}

PREGNANCY_CODES: Final = (
    "82810-3,11636-8,11637-6,11638-4,11639-2,11640-0,11612-9,11613-7,11614-5,33065-4,11778-8,11779-6,11780-4"
)
"""LOINC codes of pregnancy. US Core leaves the category of a pregnancy status out: a search by category misses it."""

CATEGORIES: Final[Mapping[str, tuple[str, ...]]] = {
    "Observation": (
        # http://terminology.hl7.org/CodeSystem/observation-category
        "laboratory",
        "vital-signs",
        "social-history",
        "survey",
        "exam",
        "imaging",
        "procedure",
        "therapy",
        "activity",
        # http://hl7.org/fhir/us/core/CodeSystem/us-core-category
        "sdoh",
        "functional-status",
        "disability-status",
        "cognitive-status",
        "treatment-intervention-preference",
        "care-experience-preference",
        "observation-adi-documentation",
    ),
    "Condition": ("problem-list-item", "encounter-diagnosis", "health-concern"),
    # Laboratory (v2-0074), then radiology, cardiology and pathology (LOINC).
    "DiagnosticReport": ("LAB", "LP29684-5", "LP29708-2", "LP7839-6"),
    "DocumentReference": ("clinical-note",),
}
"""The categories of US Core, asked for one by one where a type cannot be had whole.

Without their systems: a bare code finds it in any, and servers differ in which system they write.
"""

INTENTS: Final = (
    "order",
    "plan",
    "proposal",
    "original-order",
    "reflex-order",
    "filler-order",
    "instance-order",
    "option",
)


@dataclass(frozen=True, slots=True)
class Query:
    """One search (or, with `read`, one read). Its address says who the patient is and is kept out of `repr`."""

    type: str
    label: str
    path: str = field(repr=False)
    params: tuple[tuple[str, str], ...] = field(repr=False)
    options: tuple[tuple[str, str], ...] = ()
    watermark: str | None = None
    incremental: bool = False
    read: bool = False
    overlap: float = 0.0
    """Seconds before the watermark from which on is asked."""
    anew: bool = False
    """Whether everything is asked for although what is new could be."""

    def url(self, base_url: str) -> str:
        """The first page's address."""
        since: tuple[tuple[str, str], ...] = ()
        if self.incremental and self.watermark:
            since = (("_lastUpdated", f"ge{earlier(self.watermark, self.overlap)}"),)
        given = (*self.params, *self.options, *since)
        return f"{base_url}/{self.path}" + (f"?{urlencode(given)}" if given else "")

    def plain(self) -> Query:
        """The same without what a server may stumble over: `_count`, `_include` and `_lastUpdated`."""
        return replace(self, options=(), incremental=False)

    @property
    def count(self) -> int:
        """The `_count` that it asks for; 0 for none."""
        return int(dict(self.options).get("_count", "0"))

    def counted(self, count: int) -> Query:
        """The same by pages of this size."""
        return replace(self, options=tuple((name, str(count) if name == "_count" else v) for name, v in self.options))

    def smaller(self) -> Query | None:
        """The same by pages of a tenth; None where it cannot ask for any smaller."""
        return self.counted(self.count // 10 or 1) if self.count > 1 else None

    def whole(self) -> Query:
        """The same from the beginning of time."""
        return replace(self, incremental=False)

    def news(self) -> Query:
        """What is new of it alone."""
        return replace(self, incremental=True)

    @property
    def can_be_plainer(self) -> bool:
        """Whether `plain()` asks anything else."""
        return bool(self.options) or self.incremental


@dataclass(frozen=True, slots=True)
class TypePlan:
    """How to get one type: the whole of it, or, where that is refused, by its parts. Without `whole` only the parts."""

    type: str
    whole: Query | None
    parts: tuple[Query, ...] = ()
    withheld: tuple[str, ...] = ()
    """Labels of parts that the granted scopes leave out."""
    narrowed_by: Literal["", "scopes", "server"] = ""
    """Why the whole is not asked for: it is not granted, or it is known that the server refuses it."""


@dataclass(frozen=True, slots=True)
class LinkPlan:
    """Everything to ask for one link, and why the other offered types are not asked for."""

    types: tuple[TypePlan, ...]
    not_requested: Mapping[str, NotRequested]

    def queries(self) -> Iterator[Query]:
        """Every query that may be asked, the whole of a type before its parts."""
        for plan in self.types:
            yield from (plan.whole,) if plan.whole is not None else ()
            yield from plan.parts


@cache
def compartment_types() -> frozenset[str]:
    """The types that can be about a patient: R4 gives them a search parameter that says whose they are."""
    found = {name for name, params in r4().patient_search.items() if any(param in SUBJECT_PARAMS for param in params)}
    return frozenset(found | {"Patient"})


def plan_link(
    capability: Capability,
    patient_id: str,
    scopes: Scopes,
    watermarks: Mapping[str, str],
    page_size: int,
    knowledge: Knowledge = NOTHING_KNOWN,
    overlap: float = 0.0,
    anew: Collection[str] = (),
) -> LinkPlan:
    """Plan the searches of a link: Patient first, then every other type of the compartment by name.

    `knowledge` spares what is known to be in vain: a whole that is refused, an `_include` that is not there, and
    `_lastUpdated` where a probe has shown that it is passed over. What nobody has probed is believed. What is new is
    asked for from `overlap` seconds before the watermarks: servers show some resources later than they stamp them.
    Queries of the labels `anew` are asked for everything, whatever their watermarks.
    """
    types = []
    left_out: dict[str, NotRequested] = {}
    compartment = r4().patient_search
    for name in sorted(capability.types, key=lambda kind: (kind != "Patient", kind)):
        offer = capability.types[name]
        access = scopes.access(name)
        if name in REFERENCED_TYPES:
            if not (access.read or access.search):
                left_out[name] = "not_permitted"
            continue
        whose = "_id" if name == "Patient" else _subject_param(offer, compartment.get(name, ()))
        reads = name == "Patient" and offer.can_read
        if whose is None:
            left_out[name] = "no_patient_search" if name in compartment_types() else "not_in_compartment"
        elif not (reads or offer.can_search):
            left_out[name] = "no_patient_search"
        elif not (access.read if reads else access.search):
            left_out[name] = "not_permitted"
        elif reads:
            types.append(TypePlan(name, Query(name, name, f"{name}/{quote(patient_id, safe='')}", (), read=True)))
        else:
            maker = _Maker(capability, name, whose, patient_id, watermarks, page_size, knowledge, overlap, anew)
            types.append(maker.plan(access.categories))
    return LinkPlan(tuple(types), left_out)


def plan_reference_searches(resource_type: str, ids: Iterable[str], page_size: int, chunk: int = 50) -> Iterator[Query]:
    """Searches by `_id` for resources that others point at, some at a time so that addresses stay short."""
    wanted = sorted(ids)
    for start in range(0, len(wanted), chunk):
        listed = ",".join(_SIGN.sub(r"\\\g<0>", name) for name in wanted[start : start + chunk])
        options = (("_count", str(max(page_size, chunk))),)
        yield Query(resource_type, f"{resource_type}?_id", resource_type, (("_id", listed),), options)


def plan_reference_reads(resource_type: str, ids: Iterable[str]) -> Iterator[Query]:
    """Reads of single resources that others point at."""
    for name in sorted(ids):
        yield Query(resource_type, f"{resource_type}?_id", f"{resource_type}/{quote(name, safe=_SAFE)}", (), read=True)


@dataclass(frozen=True, slots=True)
class _Maker:
    """Makes the queries of one type."""

    capability: Capability
    type: str
    whose: str
    patient_id: str
    watermarks: Mapping[str, str]
    page_size: int
    knowledge: Knowledge
    overlap: float
    anew: Collection[str]

    def plan(self, categories: frozenset[str] | None) -> TypePlan:
        """The type whole with its parts behind it, or the parts alone where the scopes narrow it to categories."""
        parts = tuple(self._parts())
        if categories is None:
            if parts and self.knowledge.splits(self.type):
                return TypePlan(self.type, None, parts, narrowed_by="server")
            return TypePlan(self.type, self._query(self.type), parts)
        codes = {category.rpartition("|")[2] for category in categories}
        permitted = [code for code in codes if code]
        asked = tuple(self._query(f"{self.type}?category={code}", ("category", code)) for code in sorted(permitted))
        withheld = tuple(f"{self.type}?category={code}" for code in CATEGORIES.get(self.type, ()) if code not in codes)
        return TypePlan(self.type, None, asked, withheld, narrowed_by="scopes")

    def _parts(self) -> Iterator[Query]:
        offer = self.capability.types[self.type]
        if offer.takes("category"):
            for code in CATEGORIES.get(self.type, ()):
                yield self._query(f"{self.type}?category={code}", ("category", code))
        if self.type == "Observation" and offer.takes("code"):
            yield self._query("Observation?code=pregnancy", ("code", PREGNANCY_CODES))
        if self.type == "MedicationRequest" and offer.takes("intent"):
            for intent in INTENTS:
                yield self._query(f"MedicationRequest?intent={intent}", ("intent", intent))

    def _query(self, label: str, *more: tuple[str, str]) -> Query:
        # `patient` takes an id; the other parameters may point at other types, so they are told which.
        value = self.patient_id if self.whose in {"patient", "_id"} else f"Patient/{self.patient_id}"
        options = [("_count", str(self.knowledge.page_size(self.type, self.page_size)))]
        include = MEDICATION_INCLUDES.get(self.type)
        if include and self.knowledge.includes() and self.capability.types[self.type].includes & {include, "*"}:
            options.append(("_include", include))
        watermark = self.watermarks.get(label)
        works = self.knowledge.filters_by_date(self.type) if self.capability.has_last_updated(self.type) else False
        dated, anew = watermark is not None and works is not False, label in self.anew
        return Query(
            type=self.type,
            label=label,
            path=self.type,
            params=((self.whose, value), *more),
            options=tuple(options),
            watermark=watermark,
            incremental=dated and not anew,
            overlap=self.overlap,
            anew=dated and anew,
        )


def earlier(instant: str, seconds: float) -> str:
    """An instant as a server wrote it, some seconds before, in its own zone; as it is where it is none."""
    if not seconds:
        return instant
    try:
        moved = datetime.fromisoformat(instant) - timedelta(seconds=seconds)
    except (ValueError, OverflowError):
        return instant
    if moved.tzinfo is None:
        return instant
    text = moved.isoformat(timespec="milliseconds" if moved.microsecond else "seconds")
    return text.removesuffix("+00:00") + "Z" if instant.endswith("Z") else text


def _subject_param(offer: TypeCapability, compartment: Iterable[str]) -> str | None:
    """The parameter to find a patient's resources by: declared by the server and part of R4 for the type."""
    known = set(compartment)
    return next((param for param in SUBJECT_PARAMS if param in known and offer.takes(param)), None)
