"""Pages of the size that a server can do, remembered; pages that landed are not asked for again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from backports import zstd

from charthouse.partners.host_book import StateBook
from charthouse.partners.hosts import Hosts
from charthouse.state import migrate
from charthouse.sync import landing
from charthouse.sync.fetch import fetch_batch
from charthouse.sync.link_job import LinkJob
from tests.fetch.conftest import observation
from tests.partners.odd_server import Asked, FhirServer, OddServer, Reply, as_json
from transforms.bundles import read_page, resource_stub

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from charthouse.settings import Settings
    from charthouse.sync.landing import Manifest

PATIENT = {"resourceType": "Patient", "id": "canary-patient"}


@pytest.fixture
def many() -> Iterator[FhirServer]:
    """A provider with 300 Observations that serves as many a page as it is asked for."""
    with FhirServer([PATIENT, *(observation(number % 60, id=f"o{number}") for number in range(300))]) as server:
        server.page = 10_000
        yield server


def fetch(provider: FhirServer, folder: Path, settings: Settings, link: str = "link", **more: Any) -> Manifest:
    job = LinkJob(link, provider.base, "canary-patient", **more)
    fetch_batch([job], folder, lambda *_: "good", settings, hosts=Hosts(StateBook(settings), settings))
    manifest = landing.read_manifest(folder / link)
    assert manifest is not None
    return manifest


def ids(folder: Path) -> list[str | None]:
    """The ids of the Observations that landed, in order."""
    files = [file for file in landing.page_files(folder / "link") if ".Observation" in file.name]
    bodies = [body for file in files for body in landing.read_pages(file)]
    return [resource_stub(entry.raw)[1] for body in bodies for entry in read_page(body).entries]


def refuses(count: int) -> Reply:
    return as_json({"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "value"}]}, 400)


def breaks(_: int) -> Reply:
    return Reply(500)


def hangs_up(_: int) -> Reply:
    return Reply(body=b"{}", cut=0)


@pytest.mark.parametrize("how", [refuses, breaks, hangs_up])
def test_pages_are_halved_until_the_server_can_do_them_and_it_is_remembered(
    many: FhirServer, tmp_path: Path, quick: Settings, how: Callable[[int], Reply]
) -> None:
    settings = quick.model_copy(update={"home": tmp_path, "request_tries": 4})
    migrate(settings)
    many.offers["Condition"] = {}

    def limit(asked: Asked) -> Reply | None:
        count = int(asked.one("_count") or 0)
        return how(count) if count > 250 else None

    many.rule(limit)
    first = fetch(many, tmp_path / "first", settings)
    assert first.status == "complete"
    assert sorted(ids(tmp_path / "first"), key=str) == sorted((f"o{number}" for number in range(300)), key=str)
    asked = [int(request.one("_count") or 0) for request in many.searches("Observation")]
    assert asked[:3] == [1000, 500, 250]
    many.asked.clear()
    fetch(many, tmp_path / "second", settings)
    assert {request.one("_count") for request in many.asked if request.one("_count")} == {"250"}


def test_a_page_that_breaks_within_a_search_is_asked_for_in_halves(
    many: FhirServer, tmp_path: Path, quick: Settings
) -> None:
    settings = quick.model_copy(update={"home": tmp_path, "page_size": 100, "request_tries": 3})
    migrate(settings)

    def limit(asked: Asked) -> Reply | None:
        start, count = int(asked.one("start") or 0), int(asked.one("_count") or 0)
        return Reply(500) if start <= 170 < start + count and count > 50 else None

    many.rule(limit)
    assert fetch(many, tmp_path, settings).status == "complete"
    assert ids(tmp_path) == [f"o{number}" for number in range(300)]


def test_a_server_that_is_only_busy_is_not_taken_for_a_weak_one(
    many: FhirServer, tmp_path: Path, quick: Settings
) -> None:
    settings = quick.model_copy(update={"home": tmp_path, "request_tries": 4})
    migrate(settings)
    busy = iter([Reply(503), Reply(429, headers={"Retry-After": "0"}), Reply(503)])
    many.rule(lambda asked: next(busy, None) if asked.one("_count") else None)
    assert fetch(many, tmp_path, settings).status == "complete"
    assert {request.one("_count") for request in many.searches("Observation")} == {"1000"}


def test_pages_land_as_the_frames_they_came_in_or_packed(many: FhirServer, tmp_path: Path, quick: Settings) -> None:
    settings = quick.model_copy(update={"home": tmp_path, "page_size": 100})
    migrate(settings)

    def odd(asked: Asked) -> Reply | None:
        if asked.path != "/fhir/Observation":
            return None
        plain = many._search("Observation", Asked(asked.method, asked.path, asked.query, {}))
        if asked.one("start") == "100":
            return Reply(body=zstd.compress(plain.body), headers={"Content-Encoding": "zstd"})
        return plain if asked.one("start") == "200" else None

    many.rule(odd)
    assert fetch(many, tmp_path, settings).status == "complete"
    assert ids(tmp_path) == [f"o{number}" for number in range(300)]
    file = next(file for file in landing.page_files(tmp_path / "link") if ".Observation" in file.name)
    assert file.read_bytes().startswith(b"\x1f\x8b")
    assert file.read_bytes().count(b"\x28\xb5\x2f\xfd") == 2


def test_pages_go_on_at_an_origin_that_was_declared_and_at_no_other(tmp_path: Path, quick: Settings) -> None:
    migrate(settings := quick.model_copy(update={"home": tmp_path}))
    second = {"resourceType": "Bundle", "type": "searchset", "entry": [{"resource": observation(2)}]}
    with FhirServer([PATIENT]) as provider, OddServer(lambda _: as_json(second)) as pages:
        link = {"relation": "next", "url": f"{pages.url}/pages/2"}
        first = second | {"entry": [{"resource": observation(1)}], "link": [link]}
        provider.offers["Observation"] = {}
        provider.rule(lambda asked: as_json(first) if asked.path == "/fhir/Observation" else None)
        refused = fetch(provider, tmp_path / "refused", settings)
        assert refused.status == "partial"
        assert pages.asked == []
        port = int(pages.url.rpartition(":")[2])
        origins = [("http", "127.0.0.1", port)]
        assert fetch(provider, tmp_path / "declared", settings, origins=origins).status == "complete"
        assert ids(tmp_path / "declared") == ["o1", "o2"]


@pytest.mark.parametrize("cut", [0, 1, 40], ids=["whole pages", "a byte short", "many bytes short"])
@pytest.mark.parametrize("cursor", ["lives", "is lost"])
def test_a_killed_search_goes_on_behind_the_pages_that_landed(
    many: FhirServer, tmp_path: Path, quick: Settings, cut: int, cursor: str
) -> None:
    """What a kill leaves: whole pages in a scratch, perhaps a torn one behind them."""
    settings = quick.model_copy(update={"home": tmp_path, "page_size": 100})
    migrate(settings)
    fetch(many, tmp_path / "whole", settings)
    file = next(file for file in landing.page_files(tmp_path / "whole" / "link") if ".Observation" in file.name)
    folder = tmp_path / "killed" / "link"
    folder.mkdir(parents=True)
    pages = list(landing.read_pages(file))
    writer = landing.PageWriter(folder / file.name)
    for body in pages[:2]:
        writer.add(body)
    writer._stream.close()
    scratch = folder / f"{file.name}.part"
    scratch.write_bytes(scratch.read_bytes()[: scratch.stat().st_size - cut])
    with landing.Journal(folder) as journal:
        journal.note(landing.Begun("Observation", file.name))
    if cursor == "is lost":
        many.rule(lambda asked: Reply(410) if asked.one("start") and not many.searches("Procedure") else None)
        many.rule(lambda asked: many.rules.clear() if not asked.one("start") and asked.path.endswith("ion") else None)
    many.asked.clear()
    manifest = fetch(many, tmp_path / "killed", settings)
    assert manifest.status == "complete"
    assert ids(tmp_path / "killed") == [f"o{number}" for number in range(300)]
    record = next(query for query in manifest.queries if query.label == "Observation")
    assert (record.pages, record.resources, record.watermark) == (3, 300, "2024-05-01T10:59:00Z")
    starts = [request.one("start") for request in many.searches("Observation")]
    if cursor == "lives":
        assert starts == (["200"] if cut == 0 else ["100", "200"])
    else:
        assert starts[1:] == [None, "100", "200"]
    assert not list(folder.glob("*.part"))
