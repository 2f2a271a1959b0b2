"""From `POST /people/{key}/links` through both pages and back to the app: by plain requests, and in a real browser."""

from __future__ import annotations

import os
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
import requests

from charthouse.linking import links
from charthouse.state import session
from tests.api.conftest import CANARIES, serving
from tests.partners.odd_server import Asked, Reply

if TYPE_CHECKING:
    from tests.api.conftest import Api, Clock
    from tests.linking.odd_provider import OddProvider

CHROMIUM = Path("/usr/bin/chromium")
PICTURES = os.environ.get("CHARTHOUSE_TEST_PICTURES", "")
ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


def started(api: Api, token: str, person: str, **more: Any) -> str:
    """The address that the person opens."""
    answer = api.ask("POST", f"/people/{person}/links", token, json={"provider": "odd", **more})
    assert answer.status_code == 201, answer.text
    url: str = answer.json()["authorize_url"]
    assert url.startswith(f"{api.url}/start/")
    return url


class Browser:
    """Somebody's browser, without one: a jar of cookies."""

    def __init__(self, api: Api, provider: OddProvider) -> None:
        self.api, self.provider, self.http = api, provider, requests.Session()
        self.http.trust_env = False

    def begin(self, url: str, **headers: str) -> requests.Response:
        return self.http.post(url, headers=headers, allow_redirects=False, timeout=30)

    def come_back(self, authorize_url: str, **changes: str | None) -> requests.Response:
        told = self.provider.agree(authorize_url, **changes)
        return self.http.get(f"{self.api.url}/callback?{urlencode(told)}", timeout=30)


@pytest.fixture
def browser(api: Api, provider: OddProvider) -> Browser:
    return Browser(api, provider)


def heading(page: requests.Response) -> str:
    found = re.search(r"<h1[^>]*>(.*?)</h1>", page.text)
    assert found, page.text
    return found[1]


def test_the_whole_way(
    provider: OddProvider, api: Api, browser: Browser, own: str, person: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    url = started(api, own, person, return_to="https://app.example/linked?tab=2")
    page = browser.http.get(url, timeout=30)
    assert page.status_code == 200
    assert "Odd Clinic" in page.text
    assert "<script" not in page.text
    assert "form-action" not in page.headers["Content-Security-Policy"]
    assert not browser.http.cookies, "looking binds nothing"

    away = browser.begin(url)
    assert away.status_code == 303
    assert away.headers["Location"].startswith(f"{provider.url}/as/authorize?")
    cookie = away.headers["Set-Cookie"]
    assert {"HttpOnly", "Path=/", "SameSite=lax"} <= set(cookie.split("; "))
    asked = parse_qs(urlsplit(away.headers["Location"]).query)
    assert asked["redirect_uri"] == [f"{api.url}/callback"]

    back = browser.come_back(away.headers["Location"])
    assert (back.status_code, heading(back)) == (200, "You are connected")
    link = api.ask("GET", f"/people/{person}/links", own).json()["items"][0]
    assert f"https://app.example/linked?tab=2&amp;status=pending&amp;link_id={link['link_id']}" in back.text
    assert (link["status"], link["provider"]) == ("pending", "odd")
    assert set(link["categories"].values()) == {"permitted"}
    events = api.ask("GET", f"/links/{link['link_id']}/events?limit=1", own).json()
    assert [(event["after"], event["reason"]) for event in events["items"]] == [("pending", "started")]
    assert not [canary for canary in (*CANARIES, "canary", url.rsplit("/", 1)[1]) if canary in caplog.text]


def test_a_sign_in_belongs_to_one_browser_and_works_once(
    api: Api, provider: OddProvider, browser: Browser, own: str, person: str
) -> None:
    url = started(api, own, person)
    other = Browser(api, provider)
    away = browser.begin(url)
    assert other.begin(url).status_code == 403
    assert requests.get(url, timeout=30).status_code == 403, "nor is it shown to another"
    assert browser.http.get(url, timeout=30).status_code == 200
    assert browser.begin(url).headers["Location"] == away.headers["Location"], "the same browser may go back"
    told = provider.agree(away.headers["Location"])
    callback = f"{api.url}/callback?{urlencode(told)}"
    assert requests.get(callback, timeout=30).status_code == 403
    with ThreadPoolExecutor(4) as pool:
        pages = list(pool.map(lambda _: browser.http.get(callback, timeout=60), range(4)))
    assert {heading(page) for page in pages} == {"You are connected"}
    assert provider.asked_for_tokens() == 1
    assert browser.begin(url).status_code in (403, 404, 410)


def test_returns_that_are_not_what_they_should_be(
    api: Api, provider: OddProvider, browser: Browser, own: str, person: str, clock: Clock
) -> None:
    def away() -> str:
        location: str = browser.begin(started(api, own, person)).headers["Location"]
        return location

    assert browser.come_back(away(), state="tampered").status_code == 404
    assert browser.come_back(away(), state=None).status_code == 404
    at = away()
    told = urlencode(provider.agree(at))
    doubled = browser.http.get(f"{api.url}/callback?{told}&{told}", timeout=30)
    assert doubled.status_code == 410
    assert heading(browser.come_back(at)) == "You are connected", "nothing was lost"
    refused = browser.come_back(away(), code=None, error="access_denied", error_description="<b>canary</b>")
    assert refused.status_code == 200
    assert "canary" not in refused.text
    assert "CH635" in refused.text
    assert "CH634" in browser.come_back(away(), iss="https://evil.example").text
    late = away()
    clock.forward(minutes=61)
    assert "CH632" in browser.come_back(late).text
    for odd in ("?state=%00", "?state=" + "x" * 5000, "?code=a", "?state=a&code=%ED%A0%80", ""):
        answer = browser.http.get(f"{api.url}/callback{odd}", timeout=30)
        assert 400 <= answer.status_code < 500, odd
        assert "text/html" in answer.headers["content-type"]


def test_what_the_person_kept_back_is_said(
    api: Api, provider: OddProvider, browser: Browser, own: str, person: str
) -> None:
    provider.granted["scope"] = "launch/patient patient/Patient.rs patient/Condition.rs patient/Immunization.rs"
    page = browser.come_back(browser.begin(started(api, own, person)).headers["Location"])
    assert heading(page) == "You are connected"
    assert "allergies, " in page.text
    assert "lab results" in page.text
    assert "vaccines" not in page.text
    link = api.ask("GET", f"/people/{person}/links", own).json()["items"][0]
    assert link["categories"]["vaccines"] == "permitted"
    assert link["categories"]["allergies"] == "not_permitted"


def test_somebody_elses_records_are_said_to_be(
    api: Api, provider: OddProvider, browser: Browser, own: str, person: str
) -> None:
    assert provider.patient is not None
    provider.patient = provider.patient | {"birthDate": "1955-05-05"}
    page = browser.come_back(browser.begin(started(api, own, person)).headers["Location"])
    assert page.status_code == 200
    assert "CH644" in page.text
    link = api.ask("GET", f"/people/{person}/links", own).json()["items"][0]
    assert (link["status"], link["reason"]) == ("failed", "identity_not_matched")
    assert link["message"]
    assert link["action"]


def test_who_may_not_link_is_told_why(api: Api, provider: OddProvider, operator: str, other: str) -> None:
    refused = api.ask("POST", f"/people/{other}/links", operator, json={"provider": "odd"})
    assert (refused.status_code, refused.json()["code"]) == (409, "CH610")
    assert refused.json()["message"]
    assert refused.json()["action"]
    unknown = api.ask("POST", f"/people/{other}/links", operator, json={"provider": "nobody"})
    assert unknown.json()["code"] == "CH613"


def test_a_provider_that_is_down(api: Api, provider: OddProvider, own: str, person: str) -> None:
    provider.odd["/fhir/.well-known/smart-configuration"] = Reply(200, b"<html>", {"Content-Type": "text/html"})
    provider.odd["/fhir/metadata"] = Reply(503)
    asked = {"json": {"provider": "odd"}, "headers": {"Idempotency-Key": "once"}}
    answer = api.ask("POST", f"/people/{person}/links", own, **asked)
    assert (answer.status_code, answer.headers["Retry-After"].isdigit()) == (409, True)
    assert answer.json()["message"]
    provider.odd.clear()
    assert api.ask("POST", f"/people/{person}/links", own, **asked).status_code == 201, 'the key keeps no "not now"'


def test_reconnecting_asking_for_records_and_ending(
    api: Api, provider: OddProvider, browser: Browser, own: str, person: str
) -> None:
    browser.come_back(browser.begin(started(api, own, person)).headers["Location"])
    link = api.ask("GET", f"/people/{person}/links", own).json()["items"][0]["link_id"]
    asked = api.ask("POST", f"/links/{link}/sync", own)
    assert (asked.status_code, "sync_requested_at" in asked.json()) == (202, True)
    ended = api.ask("POST", f"/links/{link}/disconnect", own)
    assert ended.status_code == 200, ended.text
    assert (ended.json()["link"]["status"], ended.json()["revoked"]) == ("disconnected", True)
    assert provider.revoked
    assert api.ask("POST", f"/links/{link}/sync", own).status_code == 409
    again = api.ask("POST", f"/links/{link}/reconnect", own, json={"return_to": "charthouse-app:linked"})
    assert (again.status_code, again.json()["link_id"]) == (200, link)
    page = browser.come_back(browser.begin(again.json()["authorize_url"]).headers["Location"])
    assert heading(page) == "You are connected"
    assert f"charthouse-app:linked?status=pending&amp;link_id={link}" in page.text
    with session(read_only=True) as state:
        assert links.get_link(state, link).status == "pending"


def test_a_link_is_ended_once_by_whoever_ends_it(api: Api, own: str, link: str) -> None:
    def end(_: int) -> Any:
        return api.ask("POST", f"/links/{link}/disconnect", own)

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(end, range(8)))
    assert [(one.status_code, one.json()["link"]["status"]) for one in answers] == [(200, "disconnected")] * 8


@pytest.mark.parametrize(
    "address",
    [
        "https://evil.example/",
        "https://app.example.evil.example/",
        "https://app.example@evil.example/",
        "https://app.example:444/",
        "http://app.example/",
        "//app.example/",
        "/relative",
        "javascript:alert(1)",
        "data:text/html,x",
        "https://app.example\\@evil.example",
        "https://app.example/\r\nSet-Cookie: a=b",
        "https://[",
        "",
    ],
)
def test_people_are_sent_back_to_declared_places_alone(
    api: Api, provider: OddProvider, own: str, person: str, address: str
) -> None:
    answer = api.ask("POST", f"/people/{person}/links", own, json={"provider": "odd", "return_to": address})
    assert answer.status_code == 422
    assert answer.json()["code"] in ("CH817", "CH811")


def test_a_form_of_another_site_does_nothing(api: Api, browser: Browser, own: str, person: str) -> None:
    url = started(api, own, person)
    assert browser.begin(url, **{"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert not browser.http.cookies
    assert browser.begin(url, **{"Sec-Fetch-Site": "same-origin"}).status_code == 303


def test_over_https_the_cookie_is_the_hosts_own(provider: OddProvider, home: object, own: str, person: str) -> None:
    with serving(public_url="https://charts.example") as api:
        answer = api.ask("POST", f"/people/{person}/links", own, json={"provider": "odd"})
        state = answer.json()["authorize_url"].removeprefix("https://charts.example/charthouse/v1/start/")
        away = api.ask("POST", f"/start/{state}")
        assert away.headers["Set-Cookie"].startswith("__Host-charthouse=")
        assert "Secure" in away.headers["Set-Cookie"]
        assert "https%3A%2F%2Fcharts.example%2Fcharthouse%2Fv1%2Fcallback" in away.headers["Location"]
        assert "max-age" in away.headers["Strict-Transport-Security"]
    with serving(public_url="") as api:
        answer = api.ask("POST", f"/people/{person}/links", own, json={"provider": "odd"})
        assert (answer.status_code, answer.json()["code"]) == (503, "CH823")


@pytest.mark.skipif(not CHROMIUM.exists(), reason="there is no Chromium here")
def test_a_person_links_in_a_browser_with_nothing_but_the_keyboard(
    provider: OddProvider, api: Api, own: str, person: str, tmp_path: Path
) -> None:
    from playwright.sync_api import sync_playwright

    def consent(asked: Asked) -> Reply:
        query = urlencode(provider.agree(f"{provider.url}/as/authorize?{urlencode(asked.query, doseq=True)}"))
        return Reply(302, b"", {"Location": f"{asked.one('redirect_uri')}?{query}"})

    provider.odd["/as/authorize"] = consent
    pictures = Path(PICTURES) if PICTURES else tmp_path
    with sync_playwright() as play:
        chromium = play.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        try:
            for number, (width, scheme) in enumerate([(360, "light"), (360, "dark"), (1280, "light"), (1280, "dark")]):
                context = chromium.new_context(
                    viewport={"width": width, "height": 740}, color_scheme=scheme, java_script_enabled=number < 2
                )
                page = context.new_page()
                complaints: list[str] = []
                page.on("console", lambda said, kept=complaints: kept.append(said.text))
                page.goto(started(api, own, person, return_to="https://app.example/linked"))
                page.screenshot(path=pictures / f"start-{width}-{scheme}.png", full_page=True)
                assert page.get_by_role("heading", level=1).inner_text() == "Connect Odd Clinic"
                _fits(page, width)
                while (
                    page.locator(":focus").count() == 0 or page.locator(":focus").inner_text() != "Go on to Odd Clinic"
                ):
                    page.keyboard.press("Tab")
                page.keyboard.press("Enter")
                page.wait_for_url(f"{api.url}/callback*")
                page.screenshot(path=pictures / f"callback-{width}-{scheme}.png", full_page=True)
                assert "You are connected" in page.get_by_role("heading", level=1).inner_text()
                _fits(page, width)
                back = page.get_by_role("link", name="Back to the app")
                assert (back.get_attribute("href") or "").startswith("https://app.example/linked?status=pending")
                assert context.cookies()[0]["httpOnly"]
                assert not complaints
                page.goto(f"{api.url}/callback?state=x")
                page.screenshot(path=pictures / f"refused-{width}-{scheme}.png", full_page=True)
                _fits(page, width)
                context.close()
        finally:
            chromium.close()


def _fits(page: Any, width: int) -> None:
    """Nothing is wider than the screen; what is pressed is large enough for a finger; the page has its landmarks."""
    assert page.locator("html").evaluate("e => e.scrollWidth") <= width
    for button in page.locator("button, a.button").all():
        assert button.bounding_box()["height"] >= 44
    assert page.locator("html").get_attribute("lang") == "en"
    assert page.get_by_role("main").count() == 1
