"""Pages followed to their end, and every way in which they do not get there."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from charthouse.errors import FetchError
from charthouse.partners.http import HttpClient
from charthouse.partners.paging import EMPTY_IN_A_ROW, ReceivedPage, walk
from charthouse.partners.search import Query
from tests.partners.odd_server import Asked, OddServer, Reply, as_json
from transforms.bundles import read_page

if TYPE_CHECKING:
    from collections.abc import Callable

    from charthouse.settings import Settings

QUERY = Query("Observation", "Observation", "Observation", (("patient", "p"),))


def bundle(number: int, following: str | None = None, **more: Any) -> dict[str, Any]:
    page: dict[str, Any] = {"resourceType": "Bundle", "type": "searchset"}
    page["entry"] = [
        {"resource": {"resourceType": "Observation", "id": f"o{number}", "status": more.pop("written", "")}}
    ]
    if following is not None:
        page["link"] = [{"relation": "self", "url": "x"}, {"relation": "next", "url": following}]
    return page | more


def outcome(severity: str) -> dict[str, Any]:
    issue = {"severity": severity, "code": "processing", "diagnostics": "canary"}
    return {"resource": {"resourceType": "OperationOutcome", "issue": [issue]}, "search": {"mode": "outcome"}}


def walked(
    quick: Settings, answer: Callable[[Asked], Reply], query: Query = QUERY, most: int = 50
) -> tuple[list[ReceivedPage], str | None, list[Asked]]:
    """The pages that came, the code of the fault that ended them, and the requests."""
    pages: list[ReceivedPage] = []
    with OddServer(answer) as server, HttpClient(quick) as client:
        try:
            for page in walk(client.get, f"{server.url}/fhir", query, most):
                pages.append(page)  # noqa: PERF402 - what came before a fault counts
        except FetchError as error:
            return pages, error.code if "canary" not in str(error) else "a leak", server.asked
        return pages, None, server.asked


def test_next_links_are_followed_as_they_are(quick: Settings) -> None:
    def answer(asked: Asked) -> Reply:
        number = int(asked.one("page") or 0)
        host = f"http://{asked.headers['Host']}"
        links = [f"{host}/fhir/elsewhere?page=1&state=a%2Bb%3D", "Observation?page=2", "?page=3", "/fhir?page=4"]
        return as_json(bundle(number, links[number] if number < 4 else None))

    pages, fault, asked = walked(quick, answer)
    assert fault is None
    assert [page.resources[0].id for page in pages] == ["o0", "o1", "o2", "o3", "o4"]
    assert [request.path for request in asked] == [
        "/fhir/Observation",
        "/fhir/elsewhere",
        "/fhir/Observation",
        "/fhir/Observation",
        "/fhir",
    ]
    assert asked[1].query["state"] == ["a+b="]


@pytest.mark.parametrize(
    ("second", "code", "kept"),
    [
        (lambda _: as_json(bundle(1, "Observation?patient=p")), "CH108", 2),
        (lambda _: as_json(bundle(1, "Observation?page=1")), "CH108", 2),
        (lambda _: as_json(bundle(0, "Observation?page=other")), "CH108", 1),
        (lambda _: as_json(bundle(1, "http://127.0.0.1:1/fhir?page=2")), "CH114", 2),
        (lambda asked: as_json(bundle(1, f"https://{asked.headers['Host']}/fhir?page=2")), "CH114", 2),
        (lambda _: as_json(bundle(0, "Observation?page=other", written="anew")), "CH108", 1),
        (lambda asked: as_json(bundle(0, f"Observation?page={asked.one('page')}0")), "CH108", 1),
        *(
            (lambda _, odd=odd: as_json(bundle(1, odd)), "CH114", 2)
            for odd in ("http://[", "javascript:x", "urn:uuid:1")
        ),
        (lambda asked: as_json(bundle(1, f"http://127.0.0.1:1\\@{asked.headers['Host']}/")), "CH114", 2),
        (lambda _: Reply(body=b"<html>sign in</html>"), "CH105", 1),
        (lambda _: Reply(body=b""), "CH105", 1),
        (lambda _: Reply(body=json.dumps(bundle(1)).encode()[:-9]), "CH106", 1),
        (lambda _: as_json({"resourceType": "Observation"}), "CH107", 1),
        (lambda _: as_json(bundle(1, type="history")), "CH107", 1),
        (lambda _: as_json([1]), "CH107", 1),
        (lambda _: as_json(outcome("error")["resource"]), "CH111", 1),
        (lambda _: Reply(500), "CH109", 1),
        (lambda _: Reply(404), "CH104", 1),
    ],
)
def test_what_came_before_a_fault_counts(
    quick: Settings, second: Callable[[Asked], Reply], code: str, kept: int
) -> None:
    first = bundle(0, "Observation?page=1")
    pages, fault, _ = walked(quick, lambda asked: second(asked) if asked.one("page") else as_json(first))
    assert (len(pages), fault) == (kept, code)


def test_pages_without_end(quick: Settings) -> None:
    def endless(asked: Asked) -> Reply:
        number = int(asked.one("page") or 0)
        return as_json(bundle(number, f"Observation?page={number + 1}"))

    pages, fault, _ = walked(quick, endless, most=7)
    assert (len(pages), fault) == (7, "CH110")
    hollow = lambda asked: as_json(bundle(0, f"Observation?page={int(asked.one('page') or 0) + 1}", entry=[]))  # noqa: E731
    pages, fault, _ = walked(quick, hollow, most=10_000)
    assert (len(pages), fault) == (EMPTY_IN_A_ROW, "CH110")


@pytest.mark.parametrize("entries", [None, [], [outcome("warning")]], ids=["none", "empty", "a warning each"])
def test_empty_pages_are_no_loop(quick: Settings, entries: list[Any] | None) -> None:
    def empty(asked: Asked) -> Reply:
        number = int(asked.one("page") or 0)
        following = f"Observation?page={number + 1}" if number < 3 else None
        return as_json(bundle(number, following, entry=entries))

    pages, fault, _ = walked(quick, empty)
    assert (len(pages), fault) == (4, None)
    assert all(page.resources == () for page in pages)


@pytest.mark.parametrize(
    ("total", "lost", "fault"),
    [(2, None, None), (5, None, None), (2, 0, "CH119"), (2, 1, "CH119"), (1, 1, None)],
)
def test_a_page_that_lost_its_entries(quick: Settings, total: int, lost: int | None, fault: str | None) -> None:
    def answer(asked: Asked) -> Reply:
        number = int(asked.one("page") or 0)
        page = bundle(number, "Observation?page=1" if number == 0 else None, total=total)
        if number == lost:
            del page["entry"]
        return as_json(page)

    pages, code, _ = walked(quick, answer)
    assert (len(pages), code) == (2, fault)


@pytest.mark.parametrize(
    ("entries", "fault", "warnings", "broken"),
    [
        ([outcome("error")], "CH111", 0, False),
        ([outcome("fatal"), outcome("warning")], "CH111", 0, False),
        ([outcome("warning")], None, 1, False),
        ([outcome("information")], None, 0, False),
        ([*bundle(0)["entry"], outcome("warning")], None, 1, False),
        ([*bundle(0)["entry"], outcome("error")], None, 1, True),
    ],
)
def test_what_the_server_says_beside_its_results(
    quick: Settings, entries: list[Any], fault: str | None, warnings: int, broken: bool
) -> None:
    pages, code, _ = walked(quick, lambda _: as_json(bundle(0, entry=entries)))
    assert code == fault
    if code is None:
        assert (pages[0].warnings, pages[0].broken) == (warnings, broken)


def test_the_pages_behind_a_torn_entry_are_asked_for(quick: Settings) -> None:
    def answer(asked: Asked) -> Reply:
        if asked.one("page"):
            return as_json(bundle(2))
        page = bundle(1, "Observation?page=2")
        page["entry"].append({"resource": {"resourceType": "Observation", "id": "torn", "valueInteger": 7}})
        return Reply(body=json.dumps(page).replace(": 7", ": NaN").encode())

    pages, fault, _ = walked(quick, answer)
    assert fault is None
    assert [[peek.id for peek in page.resources] for page in pages] == [["o1", "torn"], ["o2"]]
    assert [page.torn for page in pages] == [1, 0]


def test_a_read_becomes_a_page_that_keeps_the_bytes(quick: Settings) -> None:
    raw = b'{ "id" : "p",\n "resourceType": "Patient", "multipleBirthInteger": 1.10 }'
    query = Query("Patient", "Patient", "Patient/p", (), read=True)
    pages, code, asked = walked(quick, lambda _: Reply(body=b"\xef\xbb\xbf" + raw + b"\n"), query)
    assert code is None
    assert asked[0].path == "/fhir/Patient/p"
    assert [entry.raw for entry in read_page(pages[0].answer.body).entries] == [raw]
    for body, fault in ((b"<html>", "CH105"), (b'{"resourceType":', "CH106"), (b"[]", "CH107"), (b"", "CH105")):
        assert walked(quick, lambda _, body=body: Reply(body=body), query)[1] == fault
    torn = b'{"resourceType":"Patient","id":"p","multipleBirthInteger":01}'
    pages, code, _ = walked(quick, lambda _: Reply(body=torn), query)
    assert (code, pages[0].torn) == (None, 1)
    assert [entry.raw for entry in read_page(pages[0].answer.body).entries] == [torn]
    refusal = lambda _: as_json(outcome("error")["resource"])  # noqa: E731
    assert walked(quick, refusal, query)[1] == "CH111"
