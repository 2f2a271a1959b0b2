"""What a night learns of a server and the next one knows: its offer, whether `_lastUpdated` works, what it refuses."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import parse_qs, urlsplit

import pytest

from charthouse.partners.capability import parse_capability
from charthouse.partners.host_book import MemoryBook
from charthouse.partners.hosts import Hosts
from charthouse.partners.http import HttpClient
from charthouse.partners.knowledge import TRIED_AGAIN_AFTER, Knowledge, Learnt
from charthouse.partners.query_plan import tell
from charthouse.partners.scopes import parse_scopes
from charthouse.partners.search import CATEGORIES, plan_link
from charthouse.partners.vendors import Fact, vendor_of, vendors
from charthouse.settings import Settings, get_settings
from charthouse.state import migrate
from charthouse.sync import landing
from charthouse.sync.fetch import fetch_batch
from charthouse.sync.link_job import LinkJob
from charthouse.sync.server_memory import StateMemory
from charthouse.sync.servers import Servers
from tests.fetch.conftest import observation
from tests.partners.odd_server import Asked, FhirServer, Reply, as_json
from transforms.bundles import read_page

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from charthouse.sync.landing import Manifest

REFUSED = as_json({"resourceType": "OperationOutcome", "issue": [{"severity": "fatal", "code": "required"}]}, 400)


@pytest.fixture
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StateMemory]:
    """A state database of its own."""
    monkeypatch.setenv("CHARTHOUSE_HOME", str(tmp_path / "home"))
    get_settings.cache_clear()
    migrate()
    yield StateMemory()
    get_settings.cache_clear()


class Nights:
    """Nights of some links at one server, each with the watermarks of the one before."""

    def __init__(self, provider: FhirServer, folder: Path, settings: Settings, memory: StateMemory) -> None:
        self._provider = provider
        self._folder = folder
        self._settings = settings
        self._memory = memory
        self._marks: dict[str, Mapping[str, str]] = {}
        self._number = 0

    def night(self, *links: str) -> dict[str, Manifest]:
        """One more night; the provider's account of requests begins anew."""
        self._provider.asked.clear()
        self._number += 1
        folder = self._folder / str(self._number)
        jobs = [
            LinkJob(name, self._provider.base, "canary-patient", watermarks=self._marks.get(name, {})) for name in links
        ]
        fetch_batch(jobs, folder, lambda *_: "good", self._settings, memory=self._memory)
        found = {name: landing.read_manifest(folder / name) for name in links}
        manifests = {name: manifest for name, manifest in found.items() if manifest is not None}
        self._marks |= {name: manifest.watermarks for name, manifest in manifests.items()}
        return manifests


@pytest.fixture
def nights(provider: FhirServer, tmp_path: Path, quick: Settings, memory: StateMemory) -> Nights:
    return Nights(provider, tmp_path / "landing", quick, memory)


def observations(manifest: Manifest) -> list[tuple[str, str, int]]:
    return [(one.label, one.mode, one.resources) for one in manifest.queries if one.type == "Observation"]


def since(provider: FhirServer) -> list[str | None]:
    return [asked.one("_lastUpdated") for asked in provider.searches("Observation") if not asked.one("start")]


def test_a_date_that_is_passed_over_is_found_out_once_and_everything_is_compared(
    provider: FhirServer, nights: Nights
) -> None:
    def deaf(asked: Asked) -> Reply | None:
        if "_lastUpdated" not in asked.query:
            return None
        heard = {name: values for name, values in asked.query.items() if name != "_lastUpdated"}
        return provider._search(asked.path.split("/")[2], Asked(asked.method, asked.path, heard, {}))

    nights.night("a", "b")
    provider.rule(deaf)
    second = nights.night("a", "b")
    assert {name: observations(manifest) for name, manifest in second.items()} == {
        name: [("Observation", "full", 5)] for name in ("a", "b")
    }
    assert [asked for asked in since(provider) if asked] == ["ge2199-01-01T00:00:00Z"], "one link asks for all"
    nights.night("a", "b")
    assert since(provider) == [None, None], "it is known by now"
    provider.offers["Observation"] = {"params": ["patient", "_lastUpdated", "date"]}
    nights.night("a")
    assert "ge2199-01-01T00:00:00Z" in since(provider), "another offer may mean another server"


def test_a_date_that_works_is_believed_until_it_brings_too_little(provider: FhirServer, nights: Nights) -> None:
    nights.night("a")
    assert observations(nights.night("a")["a"]) == [("Observation", "incremental", 1)]
    nights.night("a")
    assert since(provider) == ["ge2024-05-01T10:04:00Z"], "nothing new costs one request"
    nothing = as_json({"resourceType": "Bundle", "type": "searchset", "total": 0})
    provider.rule(lambda asked: nothing if "_lastUpdated" in asked.query else None)
    assert observations(nights.night("a")["a"]) == [("Observation", "full", 5)], (
        "what bears the watermark was not there"
    )


def test_a_statement_that_has_not_changed_is_not_sent_again(provider: FhirServer, nights: Nights) -> None:
    sent: list[str | None] = []

    def tagged(asked: Asked) -> Reply | None:
        if not asked.path.endswith("/metadata"):
            return None
        sent.append(asked.headers.get("If-None-Match"))
        return Reply(304) if sent[-1] == 'W/"7"' else as_json(provider.metadata(), ETag='W/"7"')

    provider.rule(tagged)
    for _ in range(3):
        assert nights.night("a")["a"].status == "complete"
    assert sent == [None, 'W/"7"', 'W/"7"']


def test_a_whole_that_is_refused_is_not_asked_for_every_night(
    provider: FhirServer, nights: Nights, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    provider.offers["Observation"] = {"params": ["patient", "category", "_lastUpdated"]}
    provider.rule(
        lambda asked: REFUSED if asked.path.endswith("/Observation") and "category" not in asked.query else None
    )

    def wholes() -> int:
        return sum("category" not in asked.query for asked in provider.searches("Observation"))

    first = nights.night("a")["a"]
    assert ("Observation?category=laboratory", "full", 5) in observations(first)
    assert wholes() > 0
    second = nights.night("a")["a"]
    assert (second.status, wholes()) == ("complete", 0)
    assert len(observations(second)) == len(CATEGORIES["Observation"])
    ahead = tmp_path / "ahead"
    ahead.write_text(str(TRIED_AGAIN_AFTER + 60))
    monkeypatch.setenv("CHARTHOUSE_CLOCK_FILE", str(ahead))
    get_settings.cache_clear()
    nights.night("a")
    assert wholes() > 0, "a week later it may be possible"


def test_a_specimen_that_no_search_finds_is_read_where_it_is_pointed_at(provider: FhirServer, nights: Nights) -> None:
    provider.resources[1]["specimen"] = {"reference": "Specimen/s1"}
    provider.resources.append(
        {"resourceType": "Specimen", "id": "s1", "subject": {"reference": "Patient/canary-patient"}}
    )
    provider.offers["Specimen"] = {"params": ["type"], "interactions": ["read"]}
    manifest = nights.night("a")["a"]
    assert ("Specimen?_id", 1) in [(query.label, query.resources) for query in manifest.queries]
    assert manifest.status == "complete"
    provider.offers["Specimen"] = {}
    assert "Specimen" in [query.label for query in nights.night("b")["b"].queries], (
        "where a search finds them it is asked"
    )


def test_documents_that_records_show_are_read_once(
    provider: FhirServer, tmp_path: Path, quick: Settings, memory: StateMemory
) -> None:
    pdf = b"%PDF-1.7 \x00\xff"
    urls = [
        "Binary/as-resource", f"{provider.base}/Binary/as-bytes", "Binary/sign-in", "Binary/large", "Binary/gone",
        "https://elsewhere.example/fhir/Binary/theirs", "Binary/held",
    ]  # fmt: skip
    shown = [{"attachment": {"url": url}} for url in urls]
    person = {"reference": "Patient/canary-patient"}
    provider.resources.append({"resourceType": "DocumentReference", "id": "d", "subject": person, "content": shown})
    provider.resources.append({"resourceType": "Binary", "id": "as-resource", "contentType": "a/b", "data": "AAAA"})
    answers = {
        "as-bytes": Reply(200, pdf, {"Content-Type": "application/pdf"}),
        "sign-in": Reply(200, b"<!DOCTYPE html><html>Sign in</html>", {"Content-Type": "text/html"}),
        "large": Reply(200, b"x" * 5000, {"Content-Type": "text/plain"}),
    }
    provider.rule(lambda asked: answers.get(asked.path.rpartition("/")[2]) if "/Binary/" in asked.path else None)
    small = quick.model_copy(update={"attachment_bytes": 4000})
    job = LinkJob("a", provider.base, "canary-patient", held=lambda: {"Binary/held"})
    fetch_batch([job], tmp_path / "landing", lambda *_: "good", small, memory=memory)
    folder = tmp_path / "landing" / "a"
    manifest = landing.read_manifest(folder)
    assert manifest is not None
    found = {
        json.loads(entry.raw)["id"]: json.loads(entry.raw)
        for file in landing.page_files(folder)
        if "Binary" in file.name
        for body in landing.read_pages(file)
        for entry in read_page(body).entries
    }
    assert set(found) == {"as-resource", "as-bytes"}
    assert found["as-bytes"]["contentType"] == "application/pdf"
    assert base64.b64decode(found["as-bytes"]["data"]) == pdf
    (record,) = [query for query in manifest.queries if query.type == "Binary"]
    assert record.remarks == {"CH164": 2, "CH116": 1}
    assert manifest.status == "complete"
    assert not [asked for asked in provider.asked if asked.path.endswith("/held")]


def test_a_vendors_rate_is_kept_to(provider: FhirServer, quick: Settings) -> None:
    class Noting(Hosts):
        paced: ClassVar[list[tuple[str, float]]] = []

        def pace(self, host: str, rate: float) -> None:
            self.paced.append((host, rate))

    said = {**provider.metadata(), "software": {"name": "eClinicalWorks FHIR Server"}}
    provider.rule(lambda asked: as_json(said) if asked.path.endswith("/metadata") else None)
    with HttpClient(quick, hosts=Noting(MemoryBook(), quick)) as client:
        assert Servers(client).of(provider.base, "").vendor.name == "eClinicalWorks (healow)"
    assert Noting.paced == [(provider.url.removeprefix("http://"), 250 / 60)]


def offer(software: str = "", publisher: str = "", **types: list[str]) -> Any:
    listed = [{"type": kind, "searchParam": [{"name": name} for name in params]} for kind, params in types.items()]
    said = {"resourceType": "CapabilityStatement", "software": {"name": software}, "publisher": publisher}
    return parse_capability(json.dumps(said | {"rest": [{"resource": listed or [{"type": "Patient"}]}]}).encode())


@pytest.mark.parametrize(
    ("base", "said", "whose"),
    [
        ("https://fhir.epic.com/interconnect-fhir-oauth/api/FHIR/R4", {}, "epic"),
        ("https://epicproxy.hospital.example/FHIRProxy/api/FHIR/R4", {}, "epic"),
        ("https://fhir.clinic.example/r4", {"software": "Epic"}, "epic"),
        ("https://fhir-myrecord.cerner.com/r4/ec2458f2-1e24-41c8-b71b-0e701af7583d", {}, "oracle-health"),
        ("https://fhir.clinic.example/r4", {"publisher": "Cerner"}, "oracle-health"),
        ("https://api.platform.athenahealth.com/fhir/r4", {}, "athenahealth"),
        ("https://fhir4.healow.com/fhir/r4/ABCDAA", {}, "healow"),
        ("https://fhir.nextgen.com/nge/prod/fhir-api-r4/fhir/R4", {}, "nextgen"),
        ("https://greenfield-prod-apis.meditech.com/v1/uscore/R4", {}, "meditech"),
        ("https://fhir.prod.icanbwell.com/4_0_0", {}, "bwell"),
        ("http://127.0.0.1:8090/fhir", {"software": "HAPI FHIR Server"}, "hapi"),
        ("https://api.medplum.com/fhir/R4", {}, "medplum"),
        ("https://healthcare.googleapis.com/v1/projects/p/locations/l/datasets/d/fhirStores/f/fhir", {}, "google"),
        ("https://ws-fhir.fhir.azurehealthcareapis.com", {}, "azure"),
        ("https://healthlake.us-east-1.amazonaws.com/datastore/0123/r4", {}, "aws"),
        ("https://launch.smarthealthit.org/v/r4/fhir", {"software": "HAPI FHIR Server"}, "smart-sandbox"),
        ("https://fhir.clinic.example/epicurean/r4", {"software": "Replicepic"}, None),
    ],
)
def test_whose_server_it_is(base: str, said: dict[str, str], whose: str | None) -> None:
    found = vendor_of(base, offer(**said))
    assert found.name == (vendors()[whose].name if whose else "")


def test_every_fact_of_a_vendor_says_where_it_was_read() -> None:
    def facts(part: Any) -> Iterator[Fact]:
        if isinstance(part, Fact):
            yield part
        elif isinstance(part, dict):
            for each in part.values():
                yield from facts(each)
        elif hasattr(part, "__struct_fields__"):
            for name in part.__struct_fields__:
                yield from facts(getattr(part, name))

    found = [fact for vendor in vendors().values() for fact in facts(vendor)]
    assert len(found) > 15
    assert not [fact for fact in found if not fact.why.endswith(".") or not fact.source]


def test_a_vendors_habits_shape_the_plan_and_are_told() -> None:
    epic = offer(Patient=[], Observation=["patient", "category", "code"], Condition=["patient", "category"])
    knowledge = Knowledge(vendors()["epic"], Learnt(last_updated={"Condition": False}))
    plan = plan_link(epic, "canary", parse_scopes(""), {"Condition": "2024-05-01T10:00:00Z"}, 500, knowledge)
    (split,) = [entry for entry in plan.types if entry.type == "Observation"]
    assert split.whole is None
    assert split.parts[-1].label == "Observation?code=pregnancy"
    told = tell(epic, knowledge, plan)
    lines = {line.type: line for line in told.lines}
    assert (lines["Observation"].how, len(lines["Observation"].queries)) == ("by parts", 17)
    assert "refused" in lines["Observation"].why
    assert lines["Condition"].how == "whole"
    assert told.vendor == "Epic"
    assert "canary" not in repr(told)
    cerner = Knowledge(vendors()["oracle-health"])
    plan = plan_link(offer(Observation=["patient"], Goal=["patient"]), "x", parse_scopes(""), {}, 500, cerner)
    counts = {
        entry.type: parse_qs(urlsplit(entry.whole.url("")).query)["_count"] for entry in plan.types if entry.whole
    }
    assert counts == {"Goal": ["500"], "Observation": ["200"]}


def test_what_a_server_found_shortly_before_is_not_taken_for_what_it_has(provider: FhirServer, nights: Nights) -> None:
    """HAPI FHIR answers a search by what the same one found within the last minute, unless it is told not to."""
    stored: dict[str, Reply] = {}

    def remembers(asked: Asked) -> Reply | None:
        if "patient" not in asked.query:
            return None
        name = json.dumps([asked.path, sorted(asked.query.items())])
        if name not in stored or "no-cache" in asked.headers.get("Cache-Control", ""):
            stored[name] = provider._search(asked.path.split("/")[2], asked)
        return stored[name]

    provider.rule(remembers)
    nights.night("a")
    nights.night("a")
    provider.resources.append(observation(9))
    assert observations(nights.night("a")["a"]) == [("Observation", "incremental", 2)]


@pytest.mark.parametrize("killed", [False, True], ids=["in one go", "killed between the pages"])
def test_what_is_new_while_pages_are_read_comes_with_the_next_night(
    provider: FhirServer, nights: Nights, tmp_path: Path, killed: bool
) -> None:
    """A search is decided at its first page: what changes while it is read is newer than what came too late for it."""
    begun = datetime.now(UTC)
    late, later = ((begun + timedelta(seconds=seconds)).isoformat() for seconds in (2, 3))
    found = list(provider.resources)

    def snapshot(asked: Asked) -> Reply | None:
        if asked.path != "/fhir/Observation" or "_lastUpdated" in asked.query:
            return None
        if asked.one("start"):
            found[5]["meta"]["lastUpdated"] = later
            missed = observation(7) | {"meta": {"lastUpdated": late}}
            provider.resources = [*found, missed]
        now, provider.resources = provider.resources, found
        reply = provider._search("Observation", asked)
        provider.resources = now
        return reply

    provider.rule(snapshot)
    if killed:
        provider.rule(lambda asked: Reply(503) if asked.one("start") == "4" else None)
        nights.night("a")
        provider.rules.pop(0)
        half_way(tmp_path / "landing" / "1" / "a", tmp_path / "landing" / "2" / "a", begun)
    assert observations(nights.night("a")["a"]) == [("Observation", "full", 5)]
    starts = [asked.one("start") for asked in provider.searches("Observation")]
    assert starts == (["4"] if killed else [None, "2", "4"])
    assert ("Observation", "incremental", 3) in observations(nights.night("a")["a"])


def half_way(partial: Path, folder: Path, as_of: datetime) -> None:
    """Lay a landing out as a fetch leaves it that was killed behind the pages that this one has."""
    file = next(file for file in landing.page_files(partial) if ".Observation" in file.name)
    folder.mkdir(parents=True)
    (folder / f"{file.name}.part").write_bytes(file.read_bytes())
    with landing.Journal(folder) as journal:
        journal.note(landing.Begun("Observation", file.name, as_of))
