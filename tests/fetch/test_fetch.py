"""Fetching links from a real HTTP server: what lands, what is asked again, and what a fault costs."""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from charthouse.errors import FetchError
from charthouse.partners import http
from charthouse.partners.hosts import PROBE
from charthouse.sync import landing
from charthouse.sync.fetch import FetchSummary, fetch_batch
from charthouse.sync.fetch_link import GIVE_UP_AFTER
from charthouse.sync.link_job import LinkJob
from tests.partners.odd_server import Asked, FhirServer, Reply, as_json
from transforms.bundles import read_page, resource_stub

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from charthouse.settings import Settings
    from charthouse.sync.landing import Manifest, QueryRecord


def good(_link_id: str, _renew: bool) -> str:
    """The token that the server takes."""
    return "good"


def job(provider: FhirServer, link_id: str = "link-1", **more: Any) -> LinkJob:
    return LinkJob(link_id=link_id, base_url=provider.base, patient_id="canary-patient", **more)


def fetch(
    provider: FhirServer,
    folder: Path,
    settings: Settings,
    tokens: Callable[[str, bool], str] = good,
    **more: Any,
) -> Manifest:
    fetch_batch([job(provider, **more)], folder, tokens, settings)
    manifest = landing.read_manifest(folder / "link-1")
    assert manifest is not None
    return manifest


def landed(folder: Path) -> Counter[str]:
    """`Type/id` of everything in a landing, read from its files."""
    found: Counter[str] = Counter()
    for file in landing.page_files(folder):
        for body in landing.read_pages(file):
            for entry in read_page(body).entries:
                kind, name, _ = resource_stub(entry.raw)
                found[f"{kind}/{name}"] += 1
    return found


def by_label(manifest: Manifest) -> Mapping[str, QueryRecord]:
    return {query.label: query for query in manifest.queries}


def outcomes(manifest: Manifest) -> set[tuple[str, str, str | None, int]]:
    return {(outcome.code, outcome.unit, outcome.label, outcome.count) for outcome in manifest.outcomes}


def test_a_whole_link(provider: FhirServer, tmp_path: Path, quick: Settings) -> None:
    seen: list[Manifest] = []
    summary = fetch_batch([job(provider)], tmp_path, good, quick, on_link=seen.append)
    folder = tmp_path / "link-1"
    expected = {f"{r['resourceType']}/{r['id']}" for r in provider.resources} - {"Practitioner/nobody-points-at-me"}
    assert landed(folder) == Counter(expected)
    manifest = landing.read_manifest(folder)
    assert seen == [manifest]
    assert manifest is not None
    assert manifest.status == "complete"
    assert outcomes(manifest) == {("CH116", "resource", "Organization?_id", 1)}
    assert manifest.not_requested == {}
    assert sorted(file.name for file in folder.iterdir()) == [
        "000.Patient.pages",
        "001.Condition.pages",
        "002.Encounter.pages",
        "003.Observation.pages",
        "complete.json",
        "referenced.Location.pages",
        "referenced.Organization.pages",
        "referenced.Practitioner.pages",
        "referenced.PractitionerRole.pages",
    ]
    observations = by_label(manifest)["Observation"]
    assert (observations.pages, observations.resources, observations.status) == (3, 5, "complete")
    assert observations.watermark == "2024-05-01T10:04:00Z"
    assert summary == FetchSummary(1, 1, 0, 0, 14, manifest.bytes, len(provider.asked))
    assert all(asked.method == "GET" for asked in provider.asked)
    assert {asked.headers.get("Authorization") for asked in provider.asked[1:]} == {"Bearer good"}
    assert provider.asked[0].path == "/fhir/metadata"
    assert "Authorization" not in provider.asked[0].headers


def test_pages_land_byte_for_byte(provider: FhirServer, tmp_path: Path, quick: Settings) -> None:
    body = b'{\n "resourceType": "Bundle", "type":"searchset",\t"entry": [ {"resource": {"id":"c9", "x":1.10,'
    body += '"resourceType":"Condition","note":"dr\\u00fcber und drüben"} } ] }\n'.encode()
    provider.rule(lambda asked: Reply(body=body) if asked.path == "/fhir/Condition" else None)
    manifest = fetch(provider, tmp_path, quick)
    record = by_label(manifest)["Condition"]
    assert record.file is not None
    assert list(landing.read_pages(tmp_path / "link-1" / record.file)) == [body]
    assert record.bytes == len(body)


def test_nothing_of_the_person_is_in_names_or_markers(provider: FhirServer, tmp_path: Path, quick: Settings) -> None:
    provider.rule(lambda asked: Reply(500) if asked.path == "/fhir/Condition" else None)
    fetch(provider, tmp_path, quick, granted_scopes="patient/*.read")
    for file in (tmp_path / "link-1").iterdir():
        assert "canary" not in file.name
        if file.suffix == ".json":
            text = file.read_text()
            assert "canary" not in text
            assert "http" not in text
            assert "good" not in text


def test_the_next_night_asks_for_what_is_new(provider: FhirServer, tmp_path: Path, quick: Settings) -> None:
    first = fetch(provider, tmp_path / "first", quick)
    assert first.watermarks == {"Observation": "2024-05-01T10:04:00Z"}
    provider.asked.clear()
    later = "2024-05-01T12:30:00+02:00"  # 10:30 UTC, though its text is greater than the 11:00 that follows
    provider.resources[1]["meta"]["lastUpdated"] = later
    provider.resources[2]["meta"]["lastUpdated"] = "2024-05-01T11:00:00Z"
    second = fetch(provider, tmp_path / "second", quick, watermarks=first.watermarks)
    record = by_label(second)["Observation"]
    assert (record.mode, record.resources, record.watermark) == ("incremental", 3, "2024-05-01T11:00:00Z")
    probe, search, *_ = [asked.one("_lastUpdated") for asked in provider.searches("Observation")]
    assert (probe, search) == ("ge2199-01-01T00:00:00Z", "ge2024-05-01T10:04:00Z")
    provider.resources = [r for r in provider.resources if r["resourceType"] != "Observation"]
    provider.offers["Observation"] = {}
    third = fetch(provider, tmp_path / "third", quick, watermarks=second.watermarks)
    record = by_label(third)["Observation"]
    assert (record.status, record.file, record.watermark) == ("complete", None, "2024-05-01T11:00:00Z")


@pytest.mark.parametrize(
    ("reply", "code", "status"),
    [
        (Reply(500), "CH109", "failed"),
        (Reply(404), "CH104", "failed"),
        (Reply(body=b"<html></html>"), "CH105", "failed"),
        (Reply(body=b'{"resourceType":"Bundle",'), "CH106", "failed"),
        (Reply(body=b'{"resourceType":"Condition"}'), "CH107", "failed"),
        (Reply(body=b"{}", cut=0), "CH101", "failed"),
        (Reply(400), "CH111", "refused"),
        (Reply(403), "CH103", "not_permitted"),
    ],
)
def test_a_type_that_fails_leaves_the_others(
    provider: FhirServer, tmp_path: Path, quick: Settings, reply: Reply, code: str, status: str
) -> None:
    provider.rule(lambda asked: reply if asked.path == "/fhir/Encounter" else None)
    manifest = fetch(provider, tmp_path, quick, watermarks={"Encounter": "2024-01-01T00:00:00Z"})
    record = by_label(manifest)["Encounter"]
    assert (record.status, record.code, record.file) == (status, code, None)
    assert record.watermark == "2024-01-01T00:00:00Z"
    assert (code, "type", "Encounter", 1) in outcomes(manifest)
    assert manifest.status == ("complete" if code == "CH103" else "partial")
    assert by_label(manifest)["Observation"].status == "complete"


def test_what_came_before_a_broken_page_is_kept(provider: FhirServer, tmp_path: Path, quick: Settings) -> None:
    provider.rule(lambda asked: Reply(500) if asked.one("start") == "2" else None)
    manifest = fetch(provider, tmp_path, quick, watermarks={"Observation": "2024-05-01T09:00:00Z"})
    record = by_label(manifest)["Observation"]
    assert (record.status, record.code, record.pages, record.resources) == ("partial", "CH109", 1, 2)
    assert record.watermark == "2024-05-01T09:00:00Z", "no watermark moves past a hole"
    assert manifest.status == "partial"
    assert landed(tmp_path / "link-1")["Observation/o1"] == 1


def test_an_instant_that_cannot_be_moves_no_watermark(provider: FhirServer, tmp_path: Path, quick: Settings) -> None:
    long = f"2024-05-01T10:05:00.{'1' * 5000}Z"
    for number, odd in enumerate(
        ("2999-01-01T00:00:00Z", "9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00", long)
    ):
        provider.resources[1 + number]["meta"]["lastUpdated"] = odd
    assert fetch(provider, tmp_path, quick).watermarks == {"Observation": "2024-05-01T10:04:00Z"}


def test_an_entry_without_a_resource_is_counted_and_holds_the_watermark(
    provider: FhirServer, tmp_path: Path, quick: Settings
) -> None:
    entries = [None, {}, {"resource": None}, 7, {"fullUrl": "canary"}, {"resource": provider.resources[1]}]
    bundle = {"resourceType": "Bundle", "type": "searchset", "entry": entries}
    provider.rule(lambda asked: as_json(bundle) if asked.path == "/fhir/Observation" else None)
    manifest = fetch(provider, tmp_path, quick)
    assert ("CH125", "resource", "Observation", 5) in outcomes(manifest)
    assert landed(tmp_path / "link-1")["Observation/o0"] == 1
    assert manifest.watermarks == {}


def test_a_torn_entry_lands_with_its_page_and_holds_the_watermark(
    provider: FhirServer, tmp_path: Path, quick: Settings
) -> None:
    bundle = {"resourceType": "Bundle", "type": "searchset", "entry": [{"resource": provider.resources[1]}, {"a": 7}]}
    body = json.dumps(bundle).replace('{"a": 7}', '{"resource":{"resourceType":"Observation","id":"t","a":07}}')
    provider.rule(lambda asked: Reply(body=body.encode()) if asked.path == "/fhir/Observation" else None)
    manifest = fetch(provider, tmp_path, quick)
    assert landed(tmp_path / "link-1").items() >= {"Observation/o0": 1, "Observation/t": 1}.items()
    assert manifest.watermarks == {}
    assert manifest.status == "complete"


def test_pages_too_large_are_asked_for_smaller(
    provider: FhirServer, tmp_path: Path, quick: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for resource in provider.resources:
        resource["text"] = {"div": random.Random(resource["id"]).randbytes(3000).hex()}  # noqa: S311
    provider.page = 500
    monkeypatch.setattr(http, "MAX_BODY", 10_000)
    manifest = fetch(provider, tmp_path, quick)
    record = by_label(manifest)["Observation"]
    assert (record.status, record.resources) == ("complete", 5)
    assert [asked.one("_count") for asked in provider.searches("Observation")[:4]] == ["1000", "100", "10", "1"]


def test_an_empty_bundle_and_a_resource_without_id(provider: FhirServer, tmp_path: Path, quick: Settings) -> None:
    bare = {"resourceType": "Bundle", "type": "searchset"}
    no_id = bare | {"entry": [{"resource": {"resourceType": "Condition"}}]}
    provider.rule(lambda asked: as_json(bare) if asked.path == "/fhir/Observation" else None)
    provider.rule(lambda asked: as_json(no_id) if asked.path == "/fhir/Condition" else None)
    manifest = fetch(provider, tmp_path, quick)
    assert manifest.status == "complete"
    assert (by_label(manifest)["Observation"].pages, by_label(manifest)["Observation"].file) == (1, None)
    assert landed(tmp_path / "link-1")["Condition/None"] == 1


# -- servers that permit less ------------------------------------------------------------------------------------------


def categories_only(asked: Asked) -> Reply | None:
    """US Core's minimum: Observations by category or code, never whole, and no `activity`."""
    if asked.path != "/fhir/Observation":
        return None
    refusal = {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "required"}]}
    if asked.one("category") == "activity":
        return as_json(refusal, 400)
    if asked.one("category") or asked.one("code"):
        return None
    # This one refuses with a 200.
    return as_json({"resourceType": "Bundle", "type": "searchset", "entry": [{"resource": refusal}]})


def test_observations_by_category_where_the_whole_is_refused(
    provider: FhirServer, tmp_path: Path, quick: Settings
) -> None:
    provider.offers["Observation"] = {"params": ["patient", "category", "code", "_lastUpdated"]}
    provider.resources.append(provider.resources[1] | {"id": "v1", "category": [{"coding": [{"code": "vital-signs"}]}]})
    provider.rule(categories_only)
    manifest = fetch(provider, tmp_path, quick)
    records = by_label(manifest)
    assert records["Observation"].status == "refused"
    assert records["Observation?category=laboratory"].resources == 5
    assert records["Observation?category=laboratory"].watermark == "2024-05-01T10:04:00Z"
    assert records["Observation?category=vital-signs"].resources == 1
    assert records["Observation?category=activity"].status == "refused"
    assert "Observation?code=pregnancy" in records
    assert manifest.status == "complete", "the type was had, by its parts"
    assert ("CH111", "type", "Observation?category=activity", 1) in outcomes(manifest)
    assert ("CH111", "type", "Observation", 1) not in outcomes(manifest)
    assert list((tmp_path / "link-1").glob("*.Observation.category=laboratory.pages"))
    provider.asked.clear()
    second = fetch(provider, tmp_path / "second", quick, watermarks=manifest.watermarks)
    assert by_label(second)["Observation?category=laboratory"].mode == "incremental"
    assert by_label(second)["Observation?category=exam"].mode == "full"


def test_a_type_that_is_refused_in_every_way(provider: FhirServer, tmp_path: Path, quick: Settings) -> None:
    provider.rule(lambda asked: Reply(400) if asked.path == "/fhir/Observation" else None)
    provider.offers["Observation"] = {"params": ["patient", "category"]}
    manifest = fetch(provider, tmp_path, quick)
    assert {record.status for record in manifest.queries if record.type == "Observation"} == {"refused"}
    assert len([outcome for outcome in manifest.outcomes if outcome.resource_type == "Observation"]) == 1
    assert ("CH111", "type", "Observation", 1) in outcomes(manifest)
    assert manifest.status == "partial"


def test_a_category_is_had_where_the_whole_is_not_permitted(
    provider: FhirServer, tmp_path: Path, quick: Settings
) -> None:
    """A grant of some categories, at a server that does not say so in its scopes."""
    provider.offers["Observation"] = {"params": ["patient", "category", "code"]}
    provider.offers["Condition"] = {"params": ["patient", "category"]}
    permitted = {"laboratory", "exam"}

    def closed(asked: Asked) -> bool:
        return asked.path in {"/fhir/Observation", "/fhir/Condition"} and asked.one("category") not in permitted

    provider.rule(lambda asked: Reply(403) if closed(asked) else None)
    manifest = fetch(provider, tmp_path, quick)
    assert by_label(manifest)["Observation?category=laboratory"].resources == 5
    told = {outcome.label for outcome in manifest.outcomes if outcome.code == "CH103"}
    assert {"Observation?category=survey", "Condition"} <= told
    assert not told & {"Observation", "Observation?category=exam", "Condition?category=problem-list-item"}
    assert manifest.status == "complete"


def test_a_server_that_stumbles_over_an_option_is_asked_plainly(
    provider: FhirServer, tmp_path: Path, quick: Settings
) -> None:
    provider.rule(lambda asked: Reply(400) if asked.one("_lastUpdated") or asked.one("_count") else None)
    manifest = fetch(provider, tmp_path, quick, watermarks={"Observation": "2024-05-01T10:04:00Z"})
    record = by_label(manifest)["Observation"]
    assert (record.status, record.mode, record.resources) == ("complete", "full", 5)
    assert manifest.status == "complete"


def test_scopes_are_kept_to(provider: FhirServer, tmp_path: Path, quick: Settings) -> None:
    manifest = fetch(provider, tmp_path, quick, granted_scopes="patient/Patient.rs patient/Condition.read")
    assert {asked.path for asked in provider.asked} == {
        "/fhir/metadata",
        "/fhir/Patient/canary-patient",
        "/fhir/Condition",
    }
    assert manifest.not_requested["Observation"] == "not_permitted"
    assert ("CH103", "type", "Observation", 1) in outcomes(manifest)
    assert manifest.status == "complete"


def test_a_granted_category_may_be_of_any_length(provider: FhirServer, tmp_path: Path, quick: Settings) -> None:
    long = "long-" * 60
    provider.resources[1]["category"] = [{"coding": [{"code": long}]}]
    manifest = fetch(provider, tmp_path, quick, granted_scopes=f"patient/Observation.rs?category=urn:x|{long}")
    assert landed(tmp_path / "link-1")["Observation/o0"] == 1
    assert manifest.status == "complete"


def test_references_one_by_one_where_there_is_no_search(provider: FhirServer, tmp_path: Path, quick: Settings) -> None:
    for kind in ("Practitioner", "Location", "PractitionerRole"):
        provider.offers[kind] = {"interactions": ["read"], "params": []}
    provider.rule(lambda asked: Reply(400) if asked.path == "/fhir/Organization" else None)
    manifest = fetch(provider, tmp_path, quick)
    found = landed(tmp_path / "link-1")
    assert {"Practitioner/p1", "Practitioner/p2", "Location/l1", "Organization/g1", "Organization/g2"} <= set(found)
    assert max(found.values()) == 1
    assert outcomes(manifest) == {("CH116", "resource", "Organization?_id", 1)}
    assert manifest.status == "complete"


def organization(name: str, **more: Any) -> dict[str, Any]:
    return {"resourceType": "Organization", "id": name, **more}


def test_pointing_on_for_ever_comes_to_an_end(provider: FhirServer, tmp_path: Path, quick: Settings) -> None:
    """A parent that has a parent, and so on; a search by `_id` that brings everybody, page by page."""

    def further(asked: Asked) -> Reply | None:
        if asked.path == "/fhir/Organization":
            entries = [
                {
                    "resource": {
                        "resourceType": "Organization",
                        "id": name,
                        "partOf": {"reference": f"Organization/{name}x"},
                    }
                }
                for name in (asked.one("_id") or "").split(",")
            ]
            return as_json({"resourceType": "Bundle", "entry": entries})
        if asked.path == "/fhir/Practitioner":
            number = int(asked.one("page") or 0)
            link = {"relation": "next", "url": f"Practitioner?page={number + 1}"}
            entry = {"resource": {"resourceType": "Practitioner", "id": f"other-{number}"}}
            return as_json({"resourceType": "Bundle", "link": [link], "entry": [entry]})
        return None

    provider.rule(further)
    manifest = fetch(provider, tmp_path, quick.model_copy(update={"max_pages": 20}))
    records = by_label(manifest)
    assert (records["Organization?_id"].status, records["Organization?_id"].code) == ("partial", "CH110")
    assert (records["Practitioner?_id"].status, records["Practitioner?_id"].code) == ("partial", "CH110")
    assert len(provider.searches("Organization")) <= 20
    assert len(provider.searches("Practitioner")) <= 4
    assert records["Observation"].resources == 5


def test_includes_are_not_read_again(provider: FhirServer, tmp_path: Path, quick: Settings) -> None:
    request = {"resourceType": "MedicationRequest", "id": "m1", "meta": {"lastUpdated": "2024-05-01T10:00:00Z"}}
    request["medicationReference"] = {"reference": f"{provider.base}/Medication/d1"}
    drug = {"resourceType": "Medication", "id": "d1", "meta": {"lastUpdated": "2025-01-01T00:00:00Z"}}
    entries = [{"resource": request}, {"resource": drug, "search": {"mode": "include"}}]
    bundle = {"resourceType": "Bundle", "type": "searchset", "entry": entries}
    provider.resources += [request, drug]
    provider.offers["MedicationRequest"] = {"includes": ["MedicationRequest:medication"]}
    with_include = lambda asked: as_json(bundle) if asked.one("_include") else None  # noqa: E731
    provider.rule(with_include)
    manifest = fetch(provider, tmp_path / "a", quick)
    assert provider.searches("Medication") == []
    record = by_label(manifest)["MedicationRequest"]
    assert (record.resources, record.watermark) == (2, "2024-05-01T10:00:00Z"), "an include moves no watermark"
    provider.rules.remove(with_include)
    provider.offers["MedicationRequest"] = {}
    fetch(provider, tmp_path / "b", quick)
    assert landed(tmp_path / "b" / "link-1")["Medication/d1"] == 1


def test_a_type_that_is_pointed_at_and_not_offered_is_declared(
    provider: FhirServer, tmp_path: Path, quick: Settings
) -> None:
    provider.resources = [r for r in provider.resources if r["resourceType"] != "Location"]
    manifest = fetch(provider, tmp_path, quick)
    assert manifest.not_requested == {"Location": "not_offered"}


# -- links that end early ----------------------------------------------------------------------------------------------


def test_a_token_that_runs_out_is_renewed_once(provider: FhirServer, tmp_path: Path, quick: Settings) -> None:
    asked: list[bool] = []

    def tokens(link_id: str, renew: bool) -> str:
        assert link_id == "link-1"
        asked.append(renew)
        provider.token = "good"
        return "good" if renew else "old"

    manifest = fetch(provider, tmp_path, quick, tokens)
    assert manifest.status == "complete"
    assert asked == [False, True]

    once = iter([None])

    def expire(request: Asked) -> None:
        if request.one("start") and next(once, 0) is None:
            provider.token = "another"

    provider.asked.clear()
    provider.rule(expire)
    asked.clear()
    manifest = fetch(provider, tmp_path / "later", quick, tokens)
    assert manifest.status == "complete"
    assert asked == [False, True, True], "once for all queries under way that are refused"


@pytest.mark.parametrize("how", ["refused", "no_refresh_token"])
def test_a_token_that_is_refused_ends_the_link_and_keeps_what_landed(
    provider: FhirServer, tmp_path: Path, quick: Settings, how: str
) -> None:
    def tokens(_: str, renew: bool) -> str:
        if renew and how == "no_refresh_token":
            raise FetchError("CH113", where="the sandbox")
        return "good"

    def end(asked: Asked) -> None:
        if asked.one("start"):
            provider.token = "another"

    provider.rule(end)
    provider.offers["Procedure"] = {}
    settings = quick.model_copy(update={"fetch_threads": 1})
    for link_id in ("link-1", "link-2"):
        provider.token = "good"
        fetch_batch([job(provider, link_id)], tmp_path, tokens, settings)
        manifest = landing.read_manifest(tmp_path / link_id)
        assert manifest is not None
        code = "CH113" if how == "no_refresh_token" else "CH102"
        assert manifest.status == "partial"
        assert (code, "link", None, 1) in outcomes(manifest)
        records = by_label(manifest)
        assert records["Condition"].status == "complete"
        assert (records["Observation"].status, records["Observation"].resources) == ("partial", 2)
        assert (records["Procedure"].status, records["Procedure"].code) == ("failed", code)
        assert landed(tmp_path / link_id)["Observation/o0"] == 1
    assert len([asked for asked in provider.asked if asked.path == "/fhir/Procedure"]) == 0


def test_a_type_for_which_a_good_token_is_refused_costs_no_more_than_the_type(
    provider: FhirServer, tmp_path: Path, quick: Settings
) -> None:
    renewed: list[bool] = []

    def tokens(_: str, renew: bool) -> str:
        renewed.append(renew)
        return "good"

    provider.rule(lambda asked: Reply(401) if asked.path == "/fhir/Condition" else None)
    manifest = fetch(provider, tmp_path, quick, tokens)
    assert ("CH102", "type", "Condition", 1) in outcomes(manifest)
    assert not [outcome for outcome in manifest.outcomes if outcome.unit == "link"], "nobody has to sign in again"
    assert by_label(manifest)["Observation"].resources == 5
    assert renewed == [False]


def test_a_token_is_renewed_for_a_server_that_guards_its_metadata(
    provider: FhirServer, tmp_path: Path, quick: Settings
) -> None:
    guarded = lambda asked: Reply(401) if asked.headers.get("Authorization") != "Bearer good" else None  # noqa: E731
    provider.rule(lambda asked: guarded(asked) if asked.path == "/fhir/metadata" else None)
    manifest = fetch(provider, tmp_path, quick, lambda _, renew: "good" if renew else "old")
    assert manifest.status == "complete"


def test_the_time_of_a_batch_runs_out(provider: FhirServer, tmp_path: Path, quick: Settings) -> None:
    def slow(_: Asked) -> None:
        time.sleep(0.12)

    provider.rule(slow)
    settings = quick.model_copy(update={"fetch_time_max": 0.5, "fetch_threads": 1})
    began = time.monotonic()
    summary = fetch_batch([job(provider, f"link-{number}") for number in range(5)], tmp_path, good, settings)
    assert time.monotonic() - began < 8
    assert (summary.partial, summary.failed) == (1, 4)
    first, last = (landing.read_manifest(tmp_path / name) for name in ("link-0", "link-4"))
    assert first is not None
    assert last is not None
    assert landed(tmp_path / "link-0")["Patient/canary-patient"] == 1
    assert ("CH124", "link", None, 1) in outcomes(first)
    assert outcomes(last) == {("CH124", "link", None, 1)}


def test_what_nobody_thought_of_costs_one_link(
    provider: FhirServer, tmp_path: Path, quick: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    def tokens(link_id: str, _: bool) -> str:
        if link_id == "link-1":
            raise ValueError("canary")
        return "good"

    summary = fetch_batch([job(provider), job(provider, "link-2")], tmp_path, tokens, quick)
    assert (summary.complete, summary.failed) == (1, 1)
    broken = landing.read_manifest(tmp_path / "link-1")
    assert broken is not None
    assert outcomes(broken) == {("CH126", "link", None, 1)}
    assert "ValueError at test_fetch.py" in caplog.text
    assert "canary" not in caplog.text


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (Reply(500), "CH109"),
        (Reply(404), "CH104"),
        (Reply(body=b"<html></html>"), "CH112"),
        (Reply(401), "CH102"),
        (Reply(body=b"x", cut=0), "CH101"),
    ],
)
def test_a_provider_whose_metadata_cannot_be_had(
    provider: FhirServer, tmp_path: Path, quick: Settings, reply: Reply, code: str
) -> None:
    provider.rule(lambda asked: reply if asked.path == "/fhir/metadata" else None)
    jobs = [job(provider, f"link-{number}") for number in range(6)]
    summary = fetch_batch(jobs, tmp_path, good, quick)
    assert (summary.links, summary.failed) == (6, 6)
    manifest = landing.read_manifest(tmp_path / "link-5")
    assert manifest is not None
    assert outcomes(manifest) == {(code, "link", None, 1)}
    if code != "CH102":
        assert len(provider.asked) == quick.request_tries or len(provider.asked) == 1, "one link asks for all"


def test_a_provider_that_falls_silent_is_left_for_the_next_night(
    provider: FhirServer, tmp_path: Path, quick: Settings
) -> None:
    for kind in ("CarePlan", "Claim", "Coverage", "Device", "Goal", "Immunization", "Procedure"):
        provider.offers[kind] = {}
    provider.rule(
        lambda asked: Reply(503) if asked.path not in {"/fhir/metadata", "/fhir/Patient/canary-patient"} else None
    )
    manifest = fetch(provider, tmp_path, quick)
    assert manifest.status == "partial"
    assert ("CH109", "link", None, 1) in outcomes(manifest)
    most = 2 + (4 + quick.fetch_threads) * quick.request_tries
    assert len(provider.asked) <= most, "no more than were under way when the fourth had failed"
    assert by_label(manifest)["Procedure"].status == "failed"


@pytest.mark.parametrize("patience", [0.0, 60.0], ids=["for long", "for a moment"])
@pytest.mark.parametrize("reply", [Reply(body=b"{}", cut=0), Reply(503)], ids=["no answer", "busy"])
def test_a_host_that_stays_silent_is_left_by_every_link(
    provider: FhirServer, tmp_path: Path, quick: Settings, reply: Reply, patience: float
) -> None:
    """Each link alone would wait for four queries to time out."""
    kinds = ("CarePlan", "Claim", "Coverage", "Device", "Goal", "Immunization", "Procedure")
    provider.offers |= {kind: {} for kind in kinds}
    provider.rule(lambda asked: reply if asked.path != "/fhir/metadata" else None)
    settings = quick.model_copy(update={"fetch_threads": 4, "host_patience": patience, "retry_wait_max": 0.005})
    summary = fetch_batch([job(provider, f"link-{number}") for number in range(20)], tmp_path, good, settings)
    assert summary.failed == 20
    last = landing.read_manifest(tmp_path / "link-19")
    assert last is not None
    each = 1 + 20 * GIVE_UP_AFTER * settings.request_tries
    if patience:
        assert {outcome.code for outcome in last.outcomes if outcome.unit == "link"} <= {"CH101", "CH109"}
        assert len(provider.asked) >= each, "whoever is patient asks for all of them"
        manifests = [landing.read_manifest(tmp_path / f"link-{number}") for number in range(20)]
        waited = [query.waited for manifest in manifests if manifest is not None for query in manifest.queries]
        assert max(waited) < PROBE / 2, "nobody sleeps on when a probe has been answered"
    else:
        assert ("CH140", "link", None, 1) in outcomes(last)
        assert len(provider.asked) < each / 2


def test_links_that_wait_are_not_begun_once_the_task_has_to_end(
    provider: FhirServer, tmp_path: Path, quick: Settings
) -> None:
    def end(_: Manifest) -> None:
        raise TimeoutError

    provider.rule(lambda _: time.sleep(0.02))
    jobs = [job(provider, f"link-{number}") for number in range(20)]
    with pytest.raises(TimeoutError):
        fetch_batch(jobs, tmp_path, good, quick.model_copy(update={"fetch_threads": 1}), on_link=end)
    assert len(list(tmp_path.iterdir())) < 5


def test_a_batch_of_many_links(tmp_path: Path, quick: Settings) -> None:
    people = [{"resourceType": "Patient", "id": f"p{number}"} for number in range(40)]
    with FhirServer(people) as provider:
        jobs = [LinkJob(f"link-{n}", f"{provider.base}/", f"p{n}") for n in range(40)]
        summary = fetch_batch(jobs, tmp_path, good, quick)
        assert (summary.complete, summary.resources, summary.requests) == (40, 40, 41)
        assert landed(tmp_path / "link-7") == Counter(["Patient/p7"])
        again = fetch_batch(jobs, tmp_path, good, quick)
        assert (again.complete, again.resources, again.requests) == (40, 40, 0), "a marker is the end of it"


def test_the_manifest_is_as_documented(provider: FhirServer, tmp_path: Path, quick: Settings) -> None:
    fetch(provider, tmp_path, quick)
    said = json.loads((tmp_path / "link-1" / "complete.json").read_bytes())
    assert set(said) == {"version", "link_id", "status", "queries", "outcomes", "not_requested"}
    assert said["version"] == 1
    assert set(said["queries"][0]) == {
        *("label", "type", "file", "mode", "status", "code"),
        *("pages", "resources", "bytes", "watermark", "remarks", "requests", "retries", "waited", "exhaustive"),
    }
    assert set(said["outcomes"][0]) == {"code", "unit", "resource_type", "label", "count"}
