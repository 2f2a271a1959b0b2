"""A provider's User-access Brands Bundle (SMART App Launch 2.2 §brands): organizations, their portals, and endpoints.

Made to be awkward in the ways that real ones are: two brands share a portal, one brand has two portals, two names
differ by a word, one endpoint is of FHIR DSTU2, and one brand keeps its address and portal to itself.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

import orjson

if TYPE_CHECKING:
    from collections.abc import Iterable

_EXTENSION: Final = "http://hl7.org/fhir/StructureDefinition"
_ABSENT: Final = f"{_EXTENSION}/data-absent-reason"
_TERMS: Final = "http://terminology.hl7.org/CodeSystem"
Json = dict[str, Any]


def brand_identifier(provider: str) -> dict[str, str]:
    """The identifier of a provider's own brand: the address of its web site, as the specification recommends."""
    return {"system": "urn:ietf:rfc:3986", "value": f"https://{_slug(provider)}.example.org"}


def brands_bundle(origin: str, provider: str, updated: str) -> Json:
    """The bundle that the provider's own configuration links. `updated` is an instant."""
    slug, name = _slug(provider), _name(provider)
    r4, older = f"{slug}-r4", f"{slug}-dstu2"
    shared = _portal(f"My{name}", f"https://my.{slug}.example.org", [r4, older], "For adults.")
    entries = [
        _brand(
            slug,
            f"{name} Health",
            brand_identifier(provider),
            portals=[shared, _portal(f"My{name} Kids", f"https://kids.{slug}.example.org", [r4], "For children.")],
            endpoints=[r4, older],
            alias=[f"{name} General Hospital"],
            address=[{"city": "Boston", "state": "MA", "postalCode": "02111"}, {"postalCode": "02139"}],
        ),
        _brand(
            f"{slug}-clinics",
            f"{name} Health Clinics",
            {"system": "urn:ietf:rfc:3986", "value": f"https://{slug}clinics.example.org"},
            portals=[shared],
            endpoints=[r4, older],
            address=[{"state": "MA"}],
            part_of=slug,
        ),
        _brand(
            f"{slug}-imaging",
            f"{name} Imaging",
            {"system": "urn:ietf:rfc:3986", "value": f"https://{slug}imaging.example.org"},
            portals=[_portal(None, None, [r4], None)],
            endpoints=[r4],
            category="imaging",
            website=None,
            part_of=slug,
        ),
        _endpoint(r4, f"{origin}/{provider}/fhir", "4.0.1", f"{name} FHIR R4"),
        _endpoint(older, f"{origin}/{provider}/dstu2", "1.0.2", f"{name} FHIR DSTU2"),
    ]
    return _bundle(slug, updated, entries)


def vendor_bundle(origin: str, providers: Iterable[tuple[str, str]]) -> Json:
    """The list of a vendor with the brands of all providers, under names that are no longer theirs: what a provider's
    own bundle says goes before it."""
    entries: list[Json] = []
    latest = ""
    for provider, updated in providers:
        slug, name = _slug(provider), _name(provider)
        portal = _portal(f"My{name}", f"https://my.{slug}.example.org", [f"{slug}-r4"], None)
        entries += [
            _brand(
                f"vendor-{slug}",
                f"{name} General Hospital",
                brand_identifier(provider),
                portals=[portal],
                endpoints=[f"{slug}-r4"],
            ),
            _endpoint(f"{slug}-r4", f"{origin}/{provider}/fhir", "4.0.1", f"{name} FHIR R4"),
        ]
        latest = max(latest, updated)
    return _bundle("vendor", latest, entries)


def etag(body: bytes) -> str:
    """The weak entity tag of a bundle."""
    return f'W/"{sha256(body).hexdigest()[:32]}"'


def written(bundle: Json) -> bytes:
    """A bundle as text."""
    return orjson.dumps(bundle)


def _bundle(identity: str, updated: str, resources: list[Json]) -> Json:
    base = "https://brands.example.org"
    return {
        "resourceType": "Bundle",
        "id": f"{identity}-brands",
        "meta": {"lastUpdated": updated},
        "type": "collection",
        "timestamp": updated,
        "entry": [
            {"fullUrl": f"{base}/{resource['resourceType']}/{resource['id']}", "resource": resource}
            for resource in resources
        ],
    }


def _brand(
    identity: str,
    name: str,
    identifier: dict[str, str],
    *,
    portals: list[Json],
    endpoints: list[str],
    category: str = "prov",
    alias: list[str] | None = None,
    address: list[Json] | None = None,
    website: str | None = "",
    part_of: str | None = None,
) -> Json:
    site: Json = {"system": "url"}
    if website is None:
        site["_value"] = _absent("asked-declined")
    else:
        site["value"] = website or identifier["value"]
    said: Json = {
        "resourceType": "Organization",
        "id": identity,
        "extension": [
            {
                "url": f"{_EXTENSION}/organization-brand",
                "extension": [{"url": "brandLogo", "valueUrl": f"{identifier['value']}/logo.svg"}],
            },
            *portals,
        ],
        "identifier": [identifier],
        "active": True,
        "type": [{"coding": [{"system": f"{_TERMS}/organization-type", "code": category}]}],
        "name": name,
        "telecom": [site],
        "endpoint": [{"reference": f"Endpoint/{endpoint}"} for endpoint in endpoints],
    }
    if alias:
        said["alias"] = alias
    if address:
        said["address"] = address
    if part_of:
        said["partOf"] = {"reference": f"Organization/{part_of}"}
    return said


def _portal(name: str | None, url: str | None, endpoints: list[str], description: str | None) -> Json:
    parts: list[Json] = [
        {"url": "portalName", **({"valueString": name} if name else {"_valueString": _absent("asked-unknown")})},
        {"url": "portalUrl", **({"valueUrl": url} if url else {"_valueUrl": _absent("asked-declined")})},
    ]
    if description:
        parts.append({"url": "portalDescription", "valueMarkdown": description})
    parts += [
        {"url": "portalEndpoint", "valueReference": {"reference": f"Endpoint/{endpoint}"}} for endpoint in endpoints
    ]
    return {"url": f"{_EXTENSION}/organization-portal", "extension": parts}


def _endpoint(identity: str, address: str, version: str, name: str) -> Json:
    return {
        "resourceType": "Endpoint",
        "id": identity,
        "extension": [{"url": f"{_EXTENSION}/endpoint-fhir-version", "valueCode": version}],
        "status": "active",
        "connectionType": {"system": f"{_TERMS}/endpoint-connection-type", "code": "hl7-fhir-rest"},
        "name": name,
        "contact": [{"system": "url", "value": "https://developer.example.org"}],
        "payloadType": [{"coding": [{"system": f"{_TERMS}/endpoint-payload-type", "code": "none"}]}],
        "address": address,
    }


def _absent(reason: str) -> Json:
    return {"extension": [{"url": _ABSENT, "valueCode": reason}]}


def _slug(provider: str) -> str:
    return provider.lower().replace("_", "-")


def _name(provider: str) -> str:
    return provider.replace("_", " ").replace("-", " ").title()
