"""From a verified identity to records in the tables, as a person meets it: two pages in a browser, and what is told."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import pytest

from charthouse.linking import finding
from charthouse.notify.outbox import list_notices
from charthouse.state import session
from tests.network.conftest import Night, report, rows
from transforms.auditing import audit_staged

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Browser

    from tests.identity.conftest import Town
    from tests.network.conftest import Partner

pytestmark = pytest.mark.browser
NORTH, SOUTH = "bwell-north-clinic", "South Hospital"


def test_verified_found_told_signed_in_and_read(
    verifier: Town, partner: Partner, browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "charthouse.sync.auditor.audit",
        lambda rows, broken: [asdict(one) for one in audit_staged(rows, broken)],
    )
    said = partner.patients["north"][2]
    [name, *_] = said["name"]
    who = (name["given"][0], name["family"], said["birthDate"])
    key = verifier.person(who)
    page = browser.new_context(viewport={"width": 360, "height": 740}).new_page()

    # They verify who they are at the verifier's own page, and come back to ours.
    page.goto(verifier.begin(key)["open_url"])
    for field, value in zip(("first_name", "last_name", "birth_date"), who, strict=True):
        page.locator(f"#{field}").fill(value)
    page.locator("#outcome").select_option("success")
    page.screenshot(path=tmp_path / "1-verifier.png", full_page=True)
    page.locator("#done").click()
    page.wait_for_url("**/verified/**")
    assert "Your identity is verified" in page.inner_text("main")
    page.screenshot(path=tmp_path / "2-verified.png", full_page=True)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), "nothing is wider than a phone"
    assert verifier.until(key, "verified")["level"] == "IAL2"

    # The daily search finds two providers; each is told once. One is connected, one waits for a sign-in.
    assert finding.find_providers("bwell").people == 1
    found = {one["name"]: one for one in verifier.ask("GET", f"/people/{key}/found-providers", key).json()["items"]}
    assert set(found) == {"North Clinic", SOUTH}
    finding.look_now(key)
    with session(read_only=True) as state:
        told = sorted(one.reason for one in list_notices(state, key) if one.kind == "provider_found")
    assert told == ["connected", "sign_in_needed"]

    # They sign in at the other one's page.
    asked = verifier.ask("POST", f"/found-providers/{found[SOUTH]['found_id']}/sign-in", key)
    assert asked.status_code < 300, asked.text
    page.goto(asked.json()["sign_in_url"])
    page.screenshot(path=tmp_path / "3-sign-in.png", full_page=True)
    page.get_by_role("button", name="Sign in and share").click()
    page.wait_for_load_state()
    finding.look_now(key)

    # The next night has the records of both.
    assert report(Night("verified").run()).links.complete == 2
    providers = {provider for provider, route in rows("lab_results", "provider, route") if route == "verified"}
    assert NORTH in providers
    assert len(providers) == 2
