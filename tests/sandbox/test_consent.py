"""The consent page: what a person unticks is not granted, and it works in a browser with a keyboard on a phone."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from tests.sandbox.app import redirected
from tests.sandbox.vendor import error_of, publishing

if TYPE_CHECKING:
    from collections.abc import Iterator

    import requests
    from playwright.sync_api import Browser, Page

    from tests.sandbox.vendor import Vendor

CHROMIUM = Path("/usr/bin/chromium")
OBSERVATION = "http://terminology.hl7.org/CodeSystem/observation-category"
US_CORE = "http://hl7.org/fhir/us/core/CodeSystem"
LABORATORY = f"patient/Observation.rs?category={OBSERVATION}|laboratory"
ASKED = "launch/patient openid fhirUser offline_access patient/*.rs"
_ALL_CONTRASTS = """() => {
  const rgb = text => text.match(/[\\d.]+/g).map(Number);
  const light = c => { const [r, g, b] = c.map(v => (v /= 255) <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
    return .2126 * r + .7152 * g + .0722 * b; };
  const ground = e => { for (; e; e = e.parentElement) { const c = rgb(getComputedStyle(e).backgroundColor);
    if (c.length < 4 || c[3] > 0) return c.slice(0, 3); } return [255, 255, 255]; };
  return [...document.querySelectorAll('main *')].filter(e => [...e.childNodes].some(n => n.nodeType === 3 &&
    n.textContent.trim())).map(e => { const a = light(rgb(getComputedStyle(e).color).slice(0, 3)), b = light(ground(e));
    return (Math.max(a, b) + .05) / (Math.min(a, b) + .05); });
}"""


class Form:
    """The consent form as a browser would hold it: all that is ticked at first."""

    def __init__(self, vendor: Vendor, scope: str, **changes: str | None) -> None:
        self.vendor = vendor
        page, self.verifier = vendor.authorize("", scope, prompt=None, login_hint=None, **changes)
        assert page.status_code == 200, page.text
        self.text = page.text
        hidden = re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)">', page.text)
        self.hidden = {name: unescape(value) for name, value in hidden}
        self.boxes = self._values('type="checkbox" name="granted"')
        self.lengths = self._values('type="radio" name="lasting"')

    def _values(self, of: str) -> list[str]:
        return [unescape(value) for value in re.findall(rf'<input {of} value="([^"]*)"', self.text)]

    def decide(self, patient: str, without: tuple[str, ...] = (), **more: Any) -> requests.Response:
        """Send it, with some boxes unticked."""
        ticked = [box for box in self.boxes if box not in without]
        form = {**self.hidden, "granted": ticked, "patient": patient, "decision": "allow", **more}
        url = self.vendor.smart["authorization_endpoint"].replace("authorize", "decide")
        return self.vendor.http.post(url, data=form, allow_redirects=False, timeout=10)

    def granted(self, patient: str, without: tuple[str, ...] = (), **more: Any) -> dict[str, Any]:
        """Send it and trade the code."""
        code = redirected(self.decide(patient, without, **more))["code"]
        form = {"code": code, "redirect_uri": self.hidden["redirect_uri"], "code_verifier": self.verifier}
        answer = self.vendor.token(grant_type="authorization_code", **form)
        assert answer.status_code == 200, answer.text
        return answer.json()


def test_a_wildcard_is_taken_apart_when_something_is_unticked(vendor: Vendor, person: str) -> None:
    form = Form(vendor, ASKED)
    types = {box.removeprefix("patient/").split(".")[0] for box in form.boxes if box.startswith("patient/")}
    assert {"Patient", "Observation", "Condition", "Immunization", "Practitioner"} <= types
    assert sum("Condition.rs?category=" in box for box in form.boxes) == 3
    assert sum("Observation.rs?category=" in box for box in form.boxes) == 6
    assert form.granted(person)["scope"] == ASKED
    said = Form(vendor, ASKED).granted(person, without=(LABORATORY, "patient/Goal.rs"))
    scopes = said["scope"].split()
    assert "patient/*.rs" not in scopes
    assert "patient/Goal.rs" not in scopes
    assert "patient/Observation.rs" not in scopes
    assert sorted(scope for scope in scopes if "Observation" in scope) == sorted(
        f"patient/Observation.rs?category={category}"
        for category in (
            f"{US_CORE}/us-core-observation-category|clinical-test",
            f"{OBSERVATION}|social-history",
            f"{US_CORE}/us-core-category|sdoh",
            f"{OBSERVATION}|survey",
            f"{OBSERVATION}|vital-signs",
        )
    )
    assert {"patient/Condition.rs", "patient/Patient.rs", "offline_access", "openid"} <= set(scopes)
    token = said["access_token"]
    found = vendor.search(f"Observation?patient={person}&_count=1000", token)
    codes = {one["category"][0]["coding"][0]["code"] for one in found}
    assert "vital-signs" in codes
    assert "laboratory" not in codes
    assert vendor.get(f"Goal?patient={person}", token).status_code == 403


def test_unticked_types_kinds_and_absence_of_the_person(vendor: Vendor, person: str) -> None:
    asked = "launch/patient offline_access patient/Patient.read patient/Condition.read patient/Goal.rs"
    said = Form(vendor, asked).granted(person, without=("patient/Patient.read",))
    assert said["scope"] == "launch/patient offline_access patient/Condition.read patient/Goal.rs"
    assert vendor.get(f"Patient/{person}", said["access_token"]).status_code == 403
    form = Form(vendor, asked)
    kinds = tuple(box for box in form.boxes if "Condition.rs?" in box)
    said = form.granted(person, without=(*kinds[1:], "offline_access"))
    assert said["scope"] == f"launch/patient patient/Patient.read {kinds[0]} patient/Goal.rs"
    assert "refresh_token" not in said
    # A type that is not ticked shares none of its kinds, and nothing at all is a no.
    said = Form(vendor, asked).granted(person, without=("patient/Condition.read",))
    assert "Condition" not in said["scope"]
    form = Form(vendor, asked)
    assert redirected(form.decide(person, without=tuple(form.boxes)))["error"] == "access_denied"
    narrow = f"launch/patient {LABORATORY}"
    assert Form(vendor, narrow).boxes == [LABORATORY]
    assert Form(vendor, narrow).granted(person)["scope"] == narrow
    both = f"patient/Observation.rs {LABORATORY}"
    assert Form(vendor, both).boxes.count(LABORATORY) == 1
    assert "laboratory" not in Form(vendor, both).granted(person, without=(LABORATORY,))["scope"]


def test_a_person_may_choose_for_how_long(vendor: Vendor, person: str) -> None:
    vendor.become(lifetimes_offered=[600, 86_400, 7_776_000])
    form = Form(vendor, ASKED)
    assert form.lengths == ["600", "86400", "7776000"]
    assert all(text in form.text for text in ("10 minutes", "1 day", "3 months"))
    short, long = (Form(vendor, ASKED).granted(person, lasting=length) for length in (form.lengths[0], form.lengths[2]))
    vendor.later(601)
    assert error_of(vendor.refresh(short["refresh_token"])) == (400, "invalid_grant")
    assert vendor.get(f"Patient/{person}", short["access_token"]).status_code == 401
    vendor.later(7_775_000)
    renewed = vendor.refresh(long["refresh_token"]).json()
    vendor.later(7_776_100)
    assert error_of(vendor.refresh(renewed["refresh_token"])) == (400, "invalid_grant")


def test_the_person_whom_the_app_names_is_chosen_already(vendor: Vendor, person: str) -> None:
    page = vendor.authorize(person, ASKED, prompt=None)[0].text
    assert re.findall(r'type="radio" name="patient" value="([^"]*)" checked', page) == [person]
    assert (
        "checked" not in vendor.authorize("a@b.example", "patient/*.rs", prompt=None)[0].text.partition("<h2>What")[0]
    )


def test_what_went_wrong_is_said_on_the_same_page(vendor: Vendor) -> None:
    form = Form(vendor, ASKED)
    again = form.decide("nobody", without=(LABORATORY,))
    assert again.status_code == 400
    assert 'role="alert"' in again.text
    assert f'value="{LABORATORY}">' in again.text
    assert f'value="{LABORATORY}" checked' not in again.text
    assert again.text.count('name="decision"') == 2


def test_a_provider_may_offer_no_choice_or_expand_wildcards(vendor: Vendor, person: str) -> None:
    vendor.become(offers_types=False)
    form = Form(vendor, ASKED)
    assert form.boxes == ["offline_access"]
    assert form.granted(person)["scope"] == ASKED
    vendor.become("keycloak")
    assert "patient/*.rs" not in Form(vendor, ASKED).granted(person)["scope"]
    assert "patient/Goal.rs" in vendor.exchange(person, ASKED).json()["scope"].split()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if not CHROMIUM.exists():
        pytest.skip("there is no Chromium")
    from playwright.sync_api import sync_playwright

    quiet = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=str(CHROMIUM), args=["--headless", *quiet, "--disable-sync"]
        )
        yield started
        started.close()


def _address(vendor: Vendor, back: str) -> str:
    asked = {
        "response_type": "code",
        "client_id": "an-app",
        "redirect_uri": back,
        "scope": ASKED,
        "state": "a-state-of-sufficient-length",
        "aud": vendor.base,
        "code_challenge": "a" * 43,
        "code_challenge_method": "S256",
    }
    return f"{vendor.smart['authorization_endpoint']}?{urlencode(asked)}"


def _errors(page: Page) -> list[str]:
    found: list[str] = []
    page.on("console", lambda message: found.append(message.text))
    page.on("pageerror", lambda error: found.append(str(error)))
    return found


def test_a_browser_gets_through_with_the_keyboard_alone(vendor: Vendor, browser: Browser) -> None:
    vendor.become("epic")
    with publishing({"back": "at the app"}) as back, browser.new_context() as context:
        page = context.new_page()
        errors = _errors(page)
        page.goto(_address(vendor, back))
        assert page.get_by_role("heading", level=1).count() == 1
        page.keyboard.press("Tab")
        page.keyboard.press("Space")
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.name") == "other"
        assert page.evaluate("getComputedStyle(document.activeElement).outlineWidth") == "3px"
        page.get_by_label("Laboratory", exact=True).focus()
        page.keyboard.press("Space")
        assert not page.get_by_label("Laboratory", exact=True).is_checked()
        page.get_by_role("button", name="Allow").focus()
        page.keyboard.press("Enter")
        # The policy of the page lets the form's answer lead to the app, and nothing else was complained of.
        page.wait_for_url(f"{back}?*")
        given = parse_qs(urlsplit(page.url).query)
        assert {"code", "state", "iss"} == set(given)
        assert [error for error in errors if "favicon" not in error] == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_is_readable_on_a_small_phone(vendor: Vendor, browser: Browser, scheme: Any) -> None:
    vendor.become("epic")
    viewport: Any = {"width": 360, "height": 740}
    with browser.new_context(viewport=viewport, color_scheme=scheme, java_script_enabled=True) as context:
        page = context.new_page()
        page.goto(_address(vendor, "http://127.0.0.1:1/back"))
        assert page.evaluate("document.documentElement.scrollWidth") == 360
        assert min(page.evaluate(_ALL_CONTRASTS)) >= 4.5
        unnamed = "inputs => inputs.filter(i => i.type !== 'hidden' && !i.labels.length).length"
        assert page.eval_on_selector_all("input", unnamed) == 0
        assert page.evaluate("document.documentElement.lang") == "en"
        assert min(page.eval_on_selector_all("button", "all => all.map(b => b.getBoundingClientRect().height)")) >= 44
