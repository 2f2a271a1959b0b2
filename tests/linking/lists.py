"""Lists of brands for tests, in the shapes that vendors publish; every name is made up."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

EXTENSION = "http://hl7.org/fhir/StructureDefinition"
BASE = "https://lists.example.org"
ABSENT = {"extension": [{"url": f"{EXTENSION}/data-absent-reason", "valueCode": "asked-declined"}]}


def endpoint(identity: str, address: Any, version: Any = "4.0.1", **more: Any) -> dict[str, Any]:
    """An Endpoint; without a version where that is None."""
    said = {
        "resourceType": "Endpoint",
        "id": identity,
        "status": "active",
        "connectionType": {"code": "hl7-fhir-rest"},
        "address": address,
    }
    if version is not None:
        said["extension"] = [{"url": f"{EXTENSION}/endpoint-fhir-version", "valueCode": version}]
    return said | more


def portal(name: str | None, url: Any, *endpoints: str) -> dict[str, Any]:
    """A portal of a brand."""
    parts: list[dict[str, Any]] = [{"url": "portalName", "valueString": name}] if name else []
    parts += [{"url": "portalUrl", "valueUrl": url}] if url else [{"url": "portalUrl", "_valueUrl": ABSENT}]
    parts += [{"url": "portalEndpoint", "valueReference": {"reference": f"Endpoint/{one}"}} for one in endpoints]
    return {"url": f"{EXTENSION}/organization-portal", "extension": parts}


def brand(identity: str, name: Any, *portals: dict[str, Any], site: str | None = None, **more: Any) -> dict[str, Any]:
    """A brand with its portals."""
    said: dict[str, Any] = {"resourceType": "Organization", "id": identity, "active": True, "name": name}
    if portals:
        said["extension"] = list(portals)
    if site:
        said["identifier"] = [{"system": "urn:ietf:rfc:3986", "value": f"https://{site}"}]
        said["telecom"] = [{"system": "url", "value": f"https://www.{site}/home"}]
    return said | more


def at(city: str, state: str, code: str = "") -> dict[str, str]:
    """An address."""
    return {"city": city, "state": state, **({"postalCode": code} if code else {}), "country": "US"}


def bundle(*resources: Any, **more: Any) -> dict[str, Any]:
    """A list of brands."""
    entries = [{"fullUrl": f"{BASE}/{one['resourceType']}/{one['id']}", "resource": one} for one in resources]
    return {
        "resourceType": "Bundle",
        "type": "collection",
        "timestamp": "2026-01-01T00:00:00Z",
        "entry": entries,
    } | more


def write(folder: Path, said: Any, name: str = "brands.json") -> str:
    """Write a list to a file."""
    file = folder / name
    file.write_bytes(said if isinstance(said, bytes) else json.dumps(said).encode())
    return str(file)


def region() -> dict[str, Any]:
    """A health system whose clinics share its portal, a hospital of its name elsewhere, and one with two portals."""
    return bundle(
        brand("mercy", "Mercy", portal("MyMercy", "https://my.mercy.example", "r4", "r2"), site="mercy.example",
              address=[at("St. Louis", "MO", "63141-1234"), at("Springfield", "MO"), at("Kansas City", "KS")],
              alias=["Sisters of Mercy"]),
        brand("clinic", "Mercy Clinic Heart & Vascular", partOf={"reference": "Organization/mercy"},
              address=[at("Saint Louis", "Missouri")]),
        brand("medical", "Mercy Medical Center", portal("MercyChart", "https://chart.example", "chart"),
              site="mercymedical.example", address=[at("Baltimore", "MD", "21202")]),
        brand("kids", "Núñez Children’s Hospital", portal("Grown-ups", "https://a.example", "adult"),
              portal("Kids", "https://k.example", "child"), site="nunez.example",
              address=[at("Boston", "MA", "02115")]),
        endpoint("r4", "https://ehr.example/Mercy/api/FHIR/R4/"),
        endpoint("r2", "https://ehr.example/Mercy/api/FHIR/DSTU2/", "1.0.2"),
        endpoint("chart", "https://chart.example/fhir/r4"),
        endpoint("adult", "https://a.example/fhir"),
        endpoint("child", "https://k.example/fhir", "4.0.0"),
    )  # fmt: skip
