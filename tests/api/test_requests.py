"""Requests as they should not be: each gets one clear problem, none a server's error, and nothing is lost."""

from __future__ import annotations

import gzip
import json
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from sqlalchemy import select, update

from charthouse.api import idempotency, tokens
from charthouse.errors import SetupError
from charthouse.linking import people
from charthouse.state import session
from charthouse.state.requests import IdempotentRequest
from tests.api.conftest import serving

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.api.conftest import Api, Clock

JSON = {"Content-Type": "application/json"}


def problem(answer: Any) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    told = answer.json()
    assert {"type", "title", "status", "detail", "instance", "code"} <= told.keys()
    assert told["status"] == answer.status_code
    assert "Traceback" not in answer.text
    return answer.status_code, told["code"]


def test_bodies_that_are_too_large_are_refused_before_they_are_read(api: Api, operator: str) -> None:
    large = b'{"country": "' + b"x" * 10_000_000 + b'"}'
    assert problem(api.ask("POST", "/people", operator, data=large, headers=JSON)) == (413, "CH808")

    def chunks() -> Iterator[bytes]:
        for start in range(0, len(large), 65_536):
            yield large[start : start + 65_536]

    assert problem(api.ask("POST", "/people", operator, data=chunks(), headers=JSON)) == (413, "CH808")

    # 10 GB are declared, and none of it is sent: the answer comes all the same.
    address = urlsplit(api.url)
    with socket.create_connection((address.hostname, address.port), timeout=10) as line:
        head = f"POST {address.path}/people HTTP/1.1\r\nHost: x\r\nContent-Length: 10000000000\r\n"
        line.sendall(f"{head}Content-Type: application/json\r\n\r\n".encode())
        assert b" 413 " in line.recv(4096)
    assert api.ask("GET", "/providers", operator).status_code == 200


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", (422, "CH811")),
        (b"{", (400, "CH810")),
        (b'{"country": NaN}', (400, "CH810")),
        (b'{"subject": "\\ud800"}', (400, "CH810")),
        (b'{"subject": "\xff"}', (400, "CH810")),
        (b'{"android_version": ' + b"9" * 6000 + b"}", (400, "CH810")),
        (b'{"android_version": 99999999999999999999}', (422, "CH811")),
        (b'{"android_version": 1e999}', (400, "CH810")),
        (b'{"subject": "a\\u0000b"}', (422, "CH811")),
        (b'{"a":' * 5000 + b"1" + b"}" * 5000, (400, "CH810")),
        (b'{"x":' + b"[" * 900 + b"]" * 900 + b"}", (422, "CH811")),
        (b"[]", (422, "CH811")),
        (b"null", (422, "CH811")),
        (b'{"country": "us"}', (422, "CH811")),
        (b'{"__proto__": 1, "extra": "canary"}', (422, "CH811")),
    ],
)
def test_bodies_that_make_no_sense(api: Api, operator: str, body: bytes, expected: tuple[int, str]) -> None:
    answer = api.ask("POST", "/people", operator, data=body, headers=JSON)
    assert problem(answer) == expected
    assert "canary" not in answer.text


def test_forms_of_bodies_that_are_not_read(api: Api, operator: str) -> None:
    body = json.dumps({"country": "US"}).encode()
    for headers in (
        {},
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "application/json; charset=utf-16"},
        {**JSON, "Content-Encoding": "gzip"},
    ):
        data = gzip.compress(body) if "Content-Encoding" in headers else body
        assert problem(api.ask("POST", "/people", operator, data=data, headers=headers)) == (415, "CH809"), headers
    assert (
        api.ask(
            "POST", "/people", operator, data=body, headers={"Content-Type": "Application/JSON;charset=UTF-8"}
        ).status_code
        == 201
    )


def test_addresses_and_methods(api: Api, operator: str, person: str) -> None:
    for path in ("/nothing", "/people/", f"/people/{person}/", "/../x", "//people", "/start", "/%0a", "/people/a%0Ab"):
        assert problem(api.ask("GET", path, operator)) == (404, "CH806"), path
    assert problem(api.ask("GET", "/../../elsewhere", operator)) == (404, "CH806")
    refused = api.ask("PUT", f"/people/{person}", operator)
    assert problem(refused) == (405, "CH807")
    assert refused.headers["Allow"] == "GET, HEAD, OPTIONS, PATCH"
    assert api.ask("GET", "/people", operator).headers["Allow"] == "OPTIONS, POST"
    assert problem(api.ask("TRACE", f"/people/{person}", operator)) == (405, "CH807")
    asked = api.ask("OPTIONS", f"/people/{person}/consents/sync", headers={"Origin": "https://a.example"})
    assert (asked.status_code, asked.headers["Allow"]) == (204, "DELETE, GET, HEAD, OPTIONS, PUT")
    assert not [name for name in asked.headers if name.lower().startswith("access-control")]
    head = api.ask("HEAD", f"/people/{person}", operator)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["Content-Length"] == str(len(api.ask("GET", f"/people/{person}", operator).content))
    assert api.ask("HEAD", "/callback?state=x").status_code == 405, "a look must not spend a sign-in"


def test_every_answer_has_safe_headers(api: Api, operator: str) -> None:
    for path in ("/health", "/jwks.json", "/openapi.json", "/providers", "/nothing", "/start/x", "/callback"):
        headers = api.ask("GET", path, operator).headers
        assert headers["X-Content-Type-Options"] == "nosniff", path
        assert headers["Referrer-Policy"] == "no-referrer"
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert headers["Cache-Control"] == ("public, max-age=300" if path == "/jwks.json" else "no-store")
        assert len(headers["X-Request-Id"]) == 36


def test_health_and_keys_are_for_anybody(api: Api) -> None:
    assert api.ask("GET", "/health").json() == {"status": "ok"}
    keys = api.ask("GET", "/jwks.json").json()["keys"]
    assert keys
    assert all("d" not in key and key["use"] == "sig" for key in keys)


def test_the_same_post_with_the_same_key_is_done_once(api: Api, operator: str, clock: Clock) -> None:
    def post(key: str, body: dict[str, Any], token: str = operator) -> Any:
        return api.ask("POST", "/people", token, json=body, headers={"Idempotency-Key": key})

    with session() as state:
        before = len(people.list_people(state))
    first, second = post("a-key", {}), post('"a-key"', {})
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.content == second.content
    assert "Idempotent-Replayed" not in first.headers
    assert second.headers["Idempotent-Replayed"] == "true"
    assert second.headers["Location"] == first.headers["Location"]
    assert problem(post("a-key", {"country": "GB"})) == (422, "CH814")
    refused = post("b-key", {"country": "nowhere"})
    assert refused.content == post("b-key", {"country": "nowhere"}).content
    assert post("a-key", {}, tokens.issue(operator=True, name="another")).json() != first.json(), "another's key"
    with session() as state:
        assert len(people.list_people(state)) == before + 2
        stored = state.scalars(select(IdempotentRequest)).all()
        assert first.json()["person_key"].encode() not in b"".join(row.sealed_answer or b"" for row in stored)
    for bad in ("", "x" * 256, '"', "a b", "ü"):
        assert problem(post(bad.encode().decode("latin-1"), {})) == (400, "CH815"), bad
    clock.forward(hours=24, minutes=1)
    later = post("a-key", {}, tokens.issue(operator=True))
    assert later.json()["person_key"] != first.json()["person_key"], "keys are forgotten after a day"


def test_a_key_that_is_at_work_is_waited_for_and_one_that_crashed_is_not(api: Api, operator: str, clock: Clock) -> None:
    headers = {"Idempotency-Key": "crashed"}
    answer = api.ask("POST", "/people", operator, json={}, headers=headers)
    with session() as state:  # as if the process had died before it could keep the answer
        state.execute(update(IdempotentRequest).values(status=None, sealed_answer=None))
    waiting = api.ask("POST", "/people", operator, json={}, headers=headers)
    assert problem(waiting) == (409, "CH813")
    assert waiting.headers["Retry-After"] == "1"
    clock.forward(seconds=idempotency.LEASE.total_seconds() + 1)
    again = api.ask("POST", "/people", operator, json={}, headers=headers)
    assert again.status_code == 201
    assert again.json() != answer.json()
    assert api.ask("POST", "/people", operator, json={}, headers=headers).json() == again.json()


def test_one_of_many_at_once_is_done(api: Api, operator: str) -> None:
    with session() as state:
        before = len(people.list_people(state))

    def post(_: int) -> Any:
        return api.ask("POST", "/people", operator, json={}, headers={"Idempotency-Key": "at-once"})

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(post, range(16)))
    assert {answer.status_code for answer in answers} <= {201, 409}
    assert len({answer.text for answer in answers if answer.status_code == 201}) == 1
    with session() as state:
        assert len(people.list_people(state)) == before + 1


def test_a_server_fault_is_not_kept(api: Api, operator: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("canary")

    with monkeypatch.context() as patched:
        patched.setattr(people, "create_person", broken)
        answer = api.ask("POST", "/people", operator, json={}, headers={"Idempotency-Key": "fault"})
        assert problem(answer) == (500, "CH818")
        assert "canary" not in answer.text
    assert api.ask("POST", "/people", operator, json={}, headers={"Idempotency-Key": "fault"}).status_code == 201


def test_who_asks_too_often_waits(home: object, person: str, operator: str, own: str) -> None:
    with serving(api_limit="5/minute", api_page_limit="3/minute") as api:
        answers = [api.ask("GET", "/providers", operator) for _ in range(8)]
        assert {answer.status_code for answer in answers[:3]} == {200}
        assert answers[0].headers["RateLimit-Policy"] == '"caller";q=5;w=60'
        assert answers[0].headers["RateLimit"].startswith('"caller";r=4;t=')
        assert problem(answers[-1]) == (429, "CH812")
        assert 1 <= int(answers[-1].headers["Retry-After"]) <= 60
        assert api.ask("GET", f"/people/{person}", own).status_code == 200, "another caller"
        pages = [api.ask("GET", "/start/x") for _ in range(5)]
        assert pages[-1].status_code == 429
        assert "text/html" in pages[-1].headers["content-type"]
        assert api.ask("GET", "/providers", "bad").status_code == 429, "bad tokens count for their address"
        assert api.ask("GET", f"/people/{person}", own).status_code == 200, "good ones do not"
        assert {api.ask("GET", "/health").status_code for _ in range(9)} == {200}


def test_limits_that_cannot_be_counted_keep_nobody_out(home: object, operator: str) -> None:
    with serving(api_limits_url="redis://127.0.0.1:1/0", api_limit="1/minute") as api:
        assert {api.ask("GET", "/providers", operator).status_code for _ in range(3)} == {200}
    with pytest.raises(SetupError, match="CHARTHOUSE_API_LIMITS_URL"), serving(api_limits_url="pigeon://post"):
        pass


@pytest.mark.redis
def test_servers_that_share_a_redis_count_together(home: object, operator: str, redis_url: str) -> None:
    with serving(api_limits_url=redis_url, api_limit="6/minute") as one:
        with serving(api_limits_url=redis_url, api_limit="6/minute") as other:
            answers = [api.ask("GET", "/providers", operator).status_code for api in (one, other) * 4]
        assert answers == [200] * 6 + [429] * 2
        stopped = one.ask("GET", "/providers", operator)
        assert problem(stopped) == (429, "CH812")


def test_cursors_belong_to_their_listing(api: Api, operator: str, own: str, person: str) -> None:
    for kind in ("a", "b", "c"):
        api.ask("PUT", f"/people/{person}/consents/{kind}", own, json={})
    at = f"/people/{person}/consents"
    first = api.ask("GET", f"{at}?limit=2", own).json()
    assert [one["kind"] for one in first["items"]] == ["a", "b"]
    rest = api.ask("GET", f"{at}?limit=2&cursor={first['next']}", own).json()
    assert [one["kind"] for one in rest["items"]] == ["c"]
    assert "next" not in rest
    forged = first["next"][:-4] + "AAAA"
    for cursor, path, token in ((forged, at, own), (first["next"], at, operator), (first["next"], "/providers", own)):
        assert problem(api.ask("GET", f"{path}?cursor={cursor}", token)) == (422, "CH816")
    for query in ("limit=0", "limit=201", "limit=x", "limit=1e9", "cursor=%00", "cursor="):
        assert api.ask("GET", f"{at}?{query}", own).status_code == 422, query


def test_providers_are_found(api: Api, own: str) -> None:
    found = api.ask("GET", "/providers?search=clin", own).json()["items"]
    assert [(one["provider"], one["name"]) for one in found] == [("clinic", "Clinic")]
    assert api.ask("GET", "/providers/clinic", own).json()["name"] == "Clinic"
    for slug in ("nobody", "Clinic", "%00", "x" * 100):
        assert api.ask("GET", f"/providers/{slug}", own).status_code == 404
    for query in ("search=%00", "region=us", f"search={'x' * 300}"):
        assert api.ask("GET", f"/providers?{query}", own).status_code == 422
