"""The User-access Brands Bundle: how it is linked, cached, and how awkward it is (SMART App Launch 2.2 §brands)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.sandbox.app import App, serving

if TYPE_CHECKING:
    from pathlib import Path

    from tests.sandbox.vendor import Vendor

ABSENT = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"


def _of(bundle: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [entry["resource"] for entry in bundle["entry"] if entry["resource"]["resourceType"] == kind]


def _portals(brand: dict[str, Any]) -> list[dict[str, list[Any]]]:
    portals = []
    for extension in brand["extension"]:
        if extension["url"].endswith("/organization-portal"):
            parts: dict[str, list[Any]] = {}
            for part in extension["extension"]:
                value = next(value for name, value in part.items() if name != "url")
                parts.setdefault(part["url"], []).append(value)
            portals.append(parts)
    return portals


def test_the_configuration_leads_to_a_bundle_with_its_own_brand(vendor: Vendor) -> None:
    answer = vendor.get(vendor.smart["user_access_brand_bundle"], None)
    bundle = answer.json()
    assert (bundle["type"], bundle["timestamp"]) == ("collection", bundle["meta"]["lastUpdated"])
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    brands, endpoints = _of(bundle, "Organization"), _of(bundle, "Endpoint")
    identifier = vendor.smart["user_access_brand_identifier"]
    (own,) = [brand for brand in brands if identifier in brand["identifier"]]
    # The primary brand refers to every endpoint of the bundle.
    assert {one["reference"] for one in own["endpoint"]} == {f"Endpoint/{endpoint['id']}" for endpoint in endpoints}
    versions = {endpoint["extension"][0]["valueCode"]: endpoint["address"] for endpoint in endpoints}
    assert set(versions) == {"4.0.1", "1.0.2"}
    assert versions["4.0.1"] == vendor.base
    portals = {brand["id"]: _portals(brand) for brand in brands}
    assert len(portals["vendor"]) == 2
    assert portals["vendor-clinics"] == [portals["vendor"][0]]
    assert sum(brand["name"].startswith("Vendor Health") for brand in brands) == 2
    hidden = portals["vendor-imaging"][0]
    reasons = [hidden[part][0]["extension"][0] for part in ("portalName", "portalUrl")]
    assert reasons == [
        {"url": ABSENT, "valueCode": "asked-unknown"},
        {"url": ABSENT, "valueCode": "asked-declined"},
    ]


def test_what_has_not_changed_is_not_sent_again(vendor: Vendor) -> None:
    url = vendor.smart["user_access_brand_bundle"]
    tag = vendor.get(url, None).headers["ETag"]
    assert tag.startswith('W/"')
    again = vendor.get(url, None, headers={"If-None-Match": tag})
    assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", tag)
    assert vendor.get(url, None, headers={"If-None-Match": 'W/"other"'}).status_code == 200
    try:
        empty = {"resourceType": "Bundle", "type": "collection", "entry": []}
        assert vendor.http.post(f"{vendor.admin}/brands", json=empty, timeout=10).status_code == 200
        changed = vendor.get(url, None, headers={"If-None-Match": tag})
        assert (changed.status_code, changed.json()) == (200, empty)
    finally:
        vendor.http.delete(f"{vendor.admin}/brands", timeout=10)
    assert vendor.get(url, None).headers["ETag"] == tag
    vendor.become(brands=False)
    assert "user_access_brand_bundle" not in vendor.smart
    assert vendor.get(url, None).status_code == 404


def test_a_vendor_lists_all_providers_under_old_names(generated: Path) -> None:
    with serving(north=generated, south=generated) as bases:
        app = App(bases["north"])
        bundle = app.get(bases["north"].removesuffix("/north/fhir") + "/brands.json", None).json()
        assert {endpoint["address"] for endpoint in _of(bundle, "Endpoint")} == set(bases.values())
        assert [brand["name"] for brand in _of(bundle, "Organization")] == [
            "North General Hospital",
            "South General Hospital",
        ]
        own = app.get(app.smart["user_access_brand_bundle"], None).json()
        assert "North Health" in [brand["name"] for brand in _of(own, "Organization")]
