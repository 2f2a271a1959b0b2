"""A User-access Brands Bundle, read leniently: brands, their portals, and the R4 endpoints behind them. Pure.

Sources: SMART App Launch 2.2, brands.md. Lists in the field differ from it: vendors' older lists have organizations
without portals, or endpoints that no organization names; Epic's give a clinic no portal but that of its `partOf`; most
say no FHIR version. What cannot be used is left out with a remark, and the rest is read.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import orjson

from charthouse.errors import LinkError
from charthouse.partners.addresses import host_of, origin

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

LONGEST_NAME: Final = 200
LONGEST_URL: Final = 2_000
MOST_PLACES: Final = 5_000
MOST_ALIASES: Final = 50
MOST_SAMPLES: Final = 5
DEEPEST: Final = 20
"""Organizations above one another; what is deeper is a mistake, or a circle."""
OPEN: Final = frozenset({"active", ""})
LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "[::1]", "localhost"})
_OTHER_VERSION: Final = re.compile(r"/(dstu2|stu3|dstu3|r2|r3|r5)(/|$)", re.IGNORECASE)


@dataclass(slots=True)
class Remarks:
    """What was left out or cut, counted by kind, with a few places of each."""

    counts: Counter[str] = field(default_factory=Counter)
    samples: dict[str, list[str]] = field(default_factory=dict)

    def note(self, kind: str, where: str) -> None:
        """Count one, and keep where it was while there are few."""
        self.counts[kind] += 1
        kept = self.samples.setdefault(kind, [])
        if len(kept) < MOST_SAMPLES:
            kept.append(cleaned(where, 80))


@dataclass(frozen=True, slots=True)
class Portal:
    """A portal of a brand, and the FHIR bases that it leads to."""

    name: str
    url: str | None
    endpoints: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FoundBrand:
    """A brand of a bundle. `reference` names it there; `parent` is that of the one it is part of."""

    reference: str
    name: str
    aliases: tuple[str, ...]
    identifier: str | None
    categories: tuple[str, ...]
    places: tuple[dict[str, str], ...]
    website: str | None
    parent: str | None
    portals: tuple[Portal, ...]


@dataclass(frozen=True, slots=True)
class BrandList:
    """What a bundle holds that can be used."""

    updated: str | None
    brands: tuple[FoundBrand, ...]
    other_versions: int
    remarks: Remarks


def read_bundle(body: bytes, where: str) -> BrandList:
    """Read a bundle.

    Raises:
        LinkError: CH621 when it is no bundle at all.
    """
    try:
        said = orjson.loads(body.removeprefix(b"\xef\xbb\xbf"))
    except (orjson.JSONDecodeError, RecursionError):
        raise LinkError("CH621", where=where, what="it is not JSON") from None
    if not isinstance(said, dict) or said.get("resourceType") != "Bundle":
        raise LinkError("CH621", where=where, what="it is no FHIR Bundle")
    entries = said.get("entry", [])
    if not isinstance(entries, list):
        raise LinkError("CH621", where=where, what="its `entry` is no list")
    return _Reader(entries).read(_updated(said))


def cleaned(text: str, most: int = LONGEST_NAME) -> str:
    """A text of a stranger on one line: without control and formatting characters, and no longer than `most`."""
    text = text[: most * 4]
    if text.isascii() and text.isprintable():
        return " ".join(text.split())[:most].rstrip()
    kept = "".join(" " if unicodedata.category(sign)[0] in "CZ" else sign for sign in text)
    return " ".join(kept.split())[:most].rstrip()


def web_address(text: object) -> str | None:
    """An http(s) address without a login, or None for anything else."""
    if not isinstance(text, str):
        return None
    text = text.strip()
    if len(text) > LONGEST_URL or not text.isprintable() or " " in text or origin(text) is None:
        return None
    try:
        return None if "@" in urlsplit(text).netloc else text
    except ValueError:
        return None


class _Reader:
    def __init__(self, entries: list[Any]) -> None:
        self.remarks = Remarks()
        self.other_versions = 0
        self.organizations: dict[str, Mapping[str, Any]] = {}
        self.endpoints: dict[str, Mapping[str, Any]] = {}
        self.short: dict[str, str] = {}
        self.bases: dict[str, str | None] = {}
        self.managed: dict[str, list[str]] = {}
        for place, entry in enumerate(entries):
            self._take(place, entry)

    def read(self, updated: str | None) -> BrandList:
        """Everything that can be used."""
        for reference, endpoint in self.endpoints.items():
            self.bases[reference] = base = self._base(reference, endpoint)
            manager = self._resolved(reference, endpoint.get("managingOrganization"))
            if base is not None and manager is not None:
                self.managed.setdefault(manager, []).append(base)
        brands = [brand for reference in self.organizations if (brand := self._brand(reference)) is not None]
        named = {base for brand in brands for portal in brand.portals for base in portal.endpoints}
        brands += self._alone(named)
        return BrandList(updated, tuple(brands), self.other_versions, self.remarks)

    def _take(self, place: int, entry: object) -> None:
        resource = entry.get("resource") if isinstance(entry, dict) else None
        if not isinstance(entry, dict) or not isinstance(resource, dict):
            self.remarks.note("entry_without_resource", f"entry {place}")
            return
        kind, identity, full = resource.get("resourceType"), resource.get("id"), entry.get("fullUrl")
        known = {"Organization": self.organizations, "Endpoint": self.endpoints}.get(str(kind))
        if known is None:
            self.remarks.note("other_resource", f"entry {place}")
            return
        short = f"{kind}/{identity}" if isinstance(identity, str) and identity else ""
        reference = full if isinstance(full, str) and full and len(full) <= LONGEST_URL else short
        if not reference:
            self.remarks.note("entry_without_id", f"entry {place}")
            return
        if reference in known:
            self.remarks.note("twice_in_the_list", reference)
            return
        known[reference] = resource
        if short:
            self.short.setdefault(short, reference)

    def _base(self, reference: str, endpoint: Mapping[str, Any]) -> str | None:
        """The FHIR base of an endpoint that we can speak to."""
        if endpoint.get("status", "") not in OPEN:
            self.remarks.note("endpoint_not_active", reference)
            return None
        kind = endpoint.get("connectionType")
        if isinstance(kind, dict) and kind.get("code") not in (None, "hl7-fhir-rest"):
            self.remarks.note("endpoint_is_no_fhir_rest", reference)
            return None
        base = web_address(endpoint.get("address"))
        home = origin(base) if base else None
        if base is None or home is None or "?" in base or "#" in base:
            self.remarks.note("endpoint_address_unusable", reference)
            return None
        versions = [
            extension.get("valueCode")
            for extension in _objects(endpoint.get("extension"))
            if str(extension.get("url", "")).endswith("/endpoint-fhir-version")
        ]
        if versions and not any(isinstance(one, str) and (one.startswith("4.0") or one == "R4") for one in versions):
            self.other_versions += 1
            return None
        if not versions and _OTHER_VERSION.search(base):
            self.other_versions += 1
            return None
        if home[0] != "https" and home[1] not in LOOPBACK:
            self.remarks.note("endpoint_not_encrypted", host_of(home))
            return None
        if not versions:
            self.remarks.note("fhir_version_not_said", reference)
        return base.rstrip("/")

    def _brand(self, reference: str) -> FoundBrand | None:
        said = self.organizations[reference]
        if said.get("active") is False:
            self.remarks.note("brand_not_active", reference)
            return None
        name = self._text(said.get("name"), reference)
        if not name:
            self.remarks.note("brand_without_name", reference)
            return None
        aliases = [self._text(alias, reference) for alias in _listed(said.get("alias"))[:MOST_ALIASES]]
        return FoundBrand(
            reference=reference,
            name=name,
            aliases=tuple(dict.fromkeys(alias for alias in aliases if alias and alias != name)),
            identifier=_identifier(said),
            categories=tuple(_categories(said)),
            places=tuple(self._places(said, reference)),
            website=self._website(said, reference),
            parent=self._parent(reference),
            portals=tuple(self._portals(reference)),
        )

    def _portals(self, reference: str) -> list[Portal]:
        """The portals of a brand; of the nearest one above it where it has no way of its own."""
        seen = [reference]
        while True:
            found = self._own_portals(seen[-1], at=reference)
            above = self._parent(seen[-1])
            if found or above is None:
                return found
            if above in seen or len(seen) == DEEPEST:
                self.remarks.note("part_of_itself", reference)
                return []
            seen.append(above)

    def _own_portals(self, reference: str, *, at: str) -> list[Portal]:
        said = self.organizations[reference]
        own = self._bases_of(reference, said.get("endpoint")) or self.managed.get(reference, [])
        portals = []
        for extension in _objects(said.get("extension")):
            if not str(extension.get("url", "")).endswith("/organization-portal"):
                continue
            parts = list(_objects(extension.get("extension")))
            values = {str(part.get("url")): part for part in parts}
            url = values.get("portalUrl", {}).get("valueUrl")
            address = web_address(url)
            if url is not None and address is None:
                self.remarks.note("portal_address_unusable", at)
            bases = [
                base
                for part in parts
                if part.get("url") == "portalEndpoint"
                for base in self._bases_of(reference, part.get("valueReference"))
            ]
            name = self._text(values.get("portalName", {}).get("valueString"), at)
            portals.append(Portal(name, address, tuple(dict.fromkeys(bases))))
        if len(portals) == 1 and not portals[0].endpoints:
            return [Portal(portals[0].name, portals[0].url, tuple(dict.fromkeys(own)))] if own else []
        covered = {base for portal in portals for base in portal.endpoints}
        bare = tuple(base for base in dict.fromkeys(own) if base not in covered)
        return [portal for portal in portals if portal.endpoints] + ([Portal("", None, bare)] if bare else [])

    def _alone(self, named: set[str]) -> Iterator[FoundBrand]:
        """Endpoints that no organization names, as brands by the name they carry (vendors' older lists)."""
        for reference, endpoint in self.endpoints.items():
            base = self.bases[reference]
            if base is None or base in named:
                continue
            managed = endpoint.get("managingOrganization")
            display = managed.get("display") if isinstance(managed, dict) else None
            name = self._text(endpoint.get("name"), reference) or self._text(display, reference)
            if not name:
                self.remarks.note("endpoint_of_nobody", reference)
                continue
            yield FoundBrand(reference, name, (), None, (), (), None, None, (Portal("", None, (base,)),))

    def _bases_of(self, at: str, references: object) -> list[str]:
        found = []
        for reference in _objects(references):
            resolved = self._resolved(at, reference, "Endpoint")
            if resolved is not None:
                found.append(self.bases[resolved])
            elif isinstance(reference.get("reference"), str):
                self.remarks.note("endpoint_not_in_the_list", at)
        return [base for base in found if base]

    def _parent(self, reference: str) -> str | None:
        return self._resolved(reference, self.organizations[reference].get("partOf"))

    def _resolved(self, at: str, reference: object, kind: str = "Organization") -> str | None:
        """The entry that a reference leads to: as it stands, beside the one that it stands in, or by type and id."""
        given = reference.get("reference") if isinstance(reference, dict) else None
        if not isinstance(given, str):
            return None
        known = self.organizations if kind == "Organization" else self.endpoints
        beside = f"{at.rsplit('/', 2)[0]}/{given}"
        last = "/".join(given.rsplit("/", 2)[-2:])
        for one in (given, beside, self.short.get(given), self.short.get(last) if "://" not in given else None):
            if one is not None and one in known:
                return one
        return None

    def _website(self, said: Mapping[str, Any], reference: str) -> str | None:
        for contact in _objects(said.get("telecom")):
            if contact.get("system") == "url" and contact.get("value") is not None:
                address = web_address(contact["value"])
                if address is not None:
                    return address
                self.remarks.note("website_unusable", reference)
        return None

    def _places(self, said: Mapping[str, Any], reference: str) -> Iterator[dict[str, str]]:
        listed = list(_objects(said.get("address")))
        if len(listed) > MOST_PLACES:
            self.remarks.note("places_cut", reference)
        seen = set()
        for address in listed[:MOST_PLACES]:
            lines = [self._text(line, reference) for line in _listed(address.get("line"))[:4]]
            place = {"line": ", ".join(line for line in lines if line)}
            for key in ("city", "state", "postalCode", "country"):
                place[key] = self._text(address.get(key), reference)
            place = {key: text for key, text in place.items() if text}
            if place and tuple(place.items()) not in seen:
                seen.add(tuple(place.items()))
                yield place

    def _text(self, said: object, where: str) -> str:
        if not isinstance(said, str):
            return ""
        text = cleaned(said)
        if len(said) > LONGEST_NAME and len(text) > LONGEST_NAME - 1:
            self.remarks.note("text_cut", where)
        return text


def _updated(said: Mapping[str, Any]) -> str | None:
    """When the list last changed: the specification asks for `timestamp`, its profile for `meta.lastUpdated`."""
    meta = said.get("meta")
    for stamp in (said.get("timestamp"), meta.get("lastUpdated") if isinstance(meta, dict) else None):
        if isinstance(stamp, str) and stamp:
            return cleaned(stamp, 64)
    return None


def _identifier(said: Mapping[str, Any]) -> str | None:
    """The address of a brand's web site, as brands of several publishers share it: https, no `www.`, no path."""
    for identifier in _objects(said.get("identifier")):
        if str(identifier.get("system", "")).replace(" ", "") != "urn:ietf:rfc:3986":
            continue
        address = web_address(identifier.get("value"))
        home = origin(address) if address else None
        if home is not None:
            return f"https://{home[1].removeprefix('www.')}"[:512]
    return None


def _categories(said: Mapping[str, Any]) -> Iterator[str]:
    for concept in _objects(said.get("type")):
        for coding in _objects(concept.get("coding")):
            code = coding.get("code")
            if isinstance(code, str) and str(coding.get("system", "")).endswith("/organization-type"):
                yield cleaned(code, 64)


def _objects(items: object) -> Iterator[dict[str, Any]]:
    """The objects of a list; a single object where a list belongs counts as a list of one."""
    for item in _listed(items):
        if isinstance(item, dict):
            yield item


def _listed(items: object) -> list[Any]:
    return items if isinstance(items, list) else [items]
