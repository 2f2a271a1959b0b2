"""A person's whole way, in a real browser: from "start" to a confirmed link with records in the tables, and on to the
warning, the end, and signing in again.

The back end speaks REST, mails arrive at a real SMTP server, Airflow runs the DAGs, and time is moved by a file.

The tests here are one story and run in their order.
"""

from __future__ import annotations

import json
import re
import signal
import sqlite3
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
import requests

from tests.conftest import ROOT, Installation
from tests.notify.receivers import MailServer, mail_controller

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from email.message import EmailMessage
    from pathlib import Path

    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser

MAIL = "hanna.canary@example.org"
DAY = 86_400
WEEK = 7 * DAY
UNTICKED = "Social history"


@dataclass
class Town:
    """The installation and everybody around it."""

    installation: Installation
    api: str
    base: str
    store: Path
    mail: MailServer
    clock: Path
    pictures: Path
    tokens: list[str] = field(default_factory=list)
    held: dict[str, str] = field(default_factory=dict)
    person: str = ""
    link: str = ""

    def ask(self, method: str, path: str, body: Any = None, *, operator: bool = False) -> Any:
        """Ask the API as the app's back end would, for the person or as operator."""
        token = self.token("--operator" if operator else f"--person={self.person}")
        answer = requests.request(
            method, self.api + path, json=body, headers={"Authorization": f"Bearer {token}"}, timeout=30
        )
        assert answer.status_code < 300, answer.text
        return answer.json() if answer.content else None

    def token(self, who: str) -> str:
        """A token that is good now; they live for minutes, so time that is moved ends them."""
        if who not in self.held:
            done = self.installation.run("tokens", "issue", who)
            assert done.returncode == 0, done.stderr
            self.held[who] = done.stdout.strip()
            self.tokens.append(self.held[who])
        return self.held[who]

    def dag(self, name: str) -> str:
        """One run of a DAG by Airflow's own command."""
        done = self.installation.run("airflow", "dags", "test", name)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout + done.stderr

    def forward(self, seconds: float) -> None:
        """Let time pass, for us and for the provider."""
        self.clock.write_text(str(float(self.clock.read_text()) + seconds))
        self.held.clear()

    def send(self) -> list[EmailMessage]:
        """Send what stands in the outbox, as an operator would; the mails that came."""
        done = self.installation.run("notices", "send")
        assert done.returncode == 0, done.stderr
        return self.letters()

    def letters(self) -> list[EmailMessage]:
        """The mails that came since last time."""
        taken = list(self.mail.mails)
        self.mail.mails.clear()
        return taken

    def patient(self) -> dict[str, Any]:
        """The first made-up person, as the provider knows them."""
        with sqlite3.connect(self.store) as store:
            [(body,)] = store.execute(
                "SELECT body FROM body JOIN resource USING (seq) WHERE type = 'Patient' ORDER BY seq LIMIT 1"
            )
        found: dict[str, Any] = json.loads(body)
        return found

    def status(self) -> str:
        """Where the link stands."""
        return str(self.ask("GET", f"/links/{self.link}")["status"])


@contextmanager
def running(*command: str, env: dict[str, str], until: str) -> Iterator[str]:
    """A program that says when it is ready; the line in which it does."""
    process = subprocess.Popen(
        [sys.executable, "-m", *command], cwd=ROOT, env=env, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True
    )
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if re.search(until, line):
                yield line
                break
        else:
            raise AssertionError(f"{command[0]} did not start")
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory, migrated_airflow: Callable[[Path], None]) -> Iterator[Town]:
    """A home, a provider whose grants live for a week, an API, a mail server."""
    folder = tmp_path_factory.mktemp("town")
    clock, store, server = folder / "clock", folder / "clinic.sqlite", MailServer()
    clock.write_text("0")
    mail = mail_controller(server)
    with ExitStack() as stack:
        stack.callback(mail.stop)
        settings = {
            "CHARTHOUSE_CLOCK_FILE": str(clock),
            "CHARTHOUSE_SMTP_URL": f"smtp://127.0.0.1:{mail.port}",
            "CHARTHOUSE_MAIL_FROM": "Charthouse <care@charthouse.example>",
        }
        installation = Installation(folder / "home", settings)
        made = [sys.executable, "-m", "sandbox", "generate", "--people", "2", "--seed", "11", "--store", str(store)]
        subprocess.run(made, cwd=ROOT, check=True, capture_output=True)
        assert installation.run("init").returncode == 0
        env = installation.environment()
        migrated_airflow(installation.home)
        served = ("sandbox", "serve", "--provider", f"clinic={store}", "--clock-file", str(clock))
        ready = stack.enter_context(running(*served, env=env, until="ready"))
        base = json.loads(ready)["providers"]["clinic"]
        habits = {"name": "standard", "grant_seconds": WEEK}
        assert requests.post(base.removesuffix("/fhir") + "/sandbox/profile", json=habits, timeout=10).ok
        said = stack.enter_context(running("charthouse", "serve", env=env, until="REST API"))
        yield Town(installation, said.split()[-1], base, store, server, clock, folder / "pictures")


def sign_in(town: Town, browser: Browser, address: str, *, without: str = "", picture: str = "") -> Page:
    """Go the person's way through the pages, on a phone. Returns the last page."""
    phone = browser.new_context(viewport={"width": 360, "height": 740})
    page = phone.new_page()
    page.goto(address)
    shoot(page, town, picture and f"{picture}-1-start")
    page.get_by_role("button", name=re.compile("Go on")).click()
    page.locator(f'input[name=patient][value="{town.patient()["id"]}"]').check()
    if without:
        page.get_by_label(without, exact=True).uncheck()
    shoot(page, town, picture and f"{picture}-2-provider")
    page.get_by_role("button", name="Allow").click()
    page.wait_for_url(re.compile("/callback"))
    shoot(page, town, picture and f"{picture}-3-told")
    return page


def shoot(page: Page, town: Town, name: str) -> None:
    if name:
        town.pictures.mkdir(exist_ok=True)
        page.screenshot(path=town.pictures / f"{name}.png", full_page=True)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), "nothing is wider than a phone"


def test_an_operator_adds_the_provider_and_the_back_end_its_person(town: Town) -> None:
    done = town.installation.run("providers", "add", "clinic", town.base, "--name", "Harbour Clinic")
    assert done.returncode == 0, done.stderr
    checked = town.installation.run("providers", "check", "clinic")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    patient = town.patient()
    name = patient["name"][0]
    made = town.ask(
        "POST",
        "/people",
        {
            "identity": {
                "names": [{"family": name["family"].upper(), "given": name["given"][:1]}],
                "birth_date": patient["birthDate"],
            },
            "android_version": 15,
        },
        operator=True,
    )
    town.person = made["person_key"]
    assert name["family"] not in json.dumps(made)
    town.ask("PUT", f"/people/{town.person}/contacts/email", {"address": MAIL})
    [found] = town.ask("GET", "/providers?search=harbour")["items"]
    assert found["provider"] == "clinic"


def test_the_person_links_in_a_browser(town: Town, browser: Browser) -> None:
    started = town.ask("POST", f"/people/{town.person}/links", {"provider": "clinic"})
    town.link = started["link_id"]
    page = sign_in(town, browser, started["authorize_url"], without=UNTICKED, picture="link")
    assert "a day" in page.inner_text("main"), "confirmed within a day, it says"
    assert town.status() == "pending"


def test_the_night_confirms_it_and_tells(town: Town) -> None:
    town.dag("refresh_connections")
    town.dag("sync_records")
    assert town.status() == "confirmed"
    rows = town.installation.rows("select count(*) as n from lab_results")
    assert rows[0]["n"] > 0
    assert town.installation.rows("select count(*) as n from social_history where code = '72166-2'") == [{"n": 0}]
    town.dag("notify_people")
    [letter] = town.letters()
    assert letter["To"] == MAIL
    assert "Harbour" not in letter["Subject"]
    assert town.send() == [], "told once"


def test_it_is_warned_a_day_before_the_end(town: Town) -> None:
    town.forward(2 * DAY)
    town.dag("refresh_connections")
    assert town.send() == [], "background refreshes tell nobody"
    town.forward(WEEK - 3 * DAY - 1800)
    town.dag("refresh_connections")
    [letter] = town.send()
    assert "ends" in letter.get_body(("plain",)).get_content() or "end" in letter["Subject"].lower()
    assert town.status() == "confirmed"


def test_it_is_told_when_it_has_ended(town: Town) -> None:
    town.forward(2 * DAY)
    town.dag("refresh_connections")
    assert town.status() == "expired"
    assert len(town.send()) == 1
    assert town.send() == []
    assert town.installation.rows("select count(*) as n from lab_results")[0]["n"] > 0, "what was read stays"


def test_signing_in_again_keeps_the_link_and_its_records(town: Town, browser: Browser) -> None:
    before = town.installation.rows("select link_id, count(*) as n from lab_results group by all")
    started = town.ask("POST", f"/links/{town.link}/reconnect", {})
    assert started["link_id"] == town.link
    sign_in(town, browser, started["authorize_url"], without=UNTICKED, picture="again")
    assert town.status() == "pending"
    town.dag("sync_records")
    assert town.status() == "confirmed"
    assert town.installation.rows("select link_id, count(*) as n from lab_results group by all") == before
    assert len(town.send()) == 1
    kinds = [notice["kind"] for notice in town.ask("GET", f"/people/{town.person}/notices")["items"]]
    assert sorted(kinds) == ["confirmed", "expired", "expiring", "reconnected"]
    assert [link["link_id"] for link in town.ask("GET", f"/people/{town.person}/links")["items"]] == [town.link]


def test_nothing_of_the_person_is_where_it_does_not_belong(town: Town) -> None:
    """The last one: everything that was written on the way, but for the lakes, which hold the records, encrypted.

    The state database, the logs, Airflow's metadata database with XCom and rendered fields: no name, no birth date, no
    mail address, no token of ours or of the provider's.
    """
    patient = town.patient()
    name = patient["name"][0]
    canaries = {name["family"], name["family"].upper(), patient["birthDate"], MAIL, *town.tokens}
    canaries |= {token.partition(".")[2].partition(".")[0] for token in town.tokens}
    issued = sealed_tokens(town)
    assert len(issued) == 2
    canaries |= issued
    home = town.installation.home
    files = [file for file in home.rglob("*") if file.is_file() and "data" not in file.relative_to(home).parts]
    found = {
        (file.relative_to(home).as_posix(), len(canary))
        for file in files
        for content in [file.read_bytes()]
        for canary in canaries
        if canary.encode() in content
    }
    assert found == set()
    looked_at = {file.name for file in files}
    assert {"state.sqlite", "airflow.db"} <= looked_at


def sealed_tokens(town: Town) -> set[str]:
    """The tokens that the link holds now, opened as only the key's holder can."""
    code = (
        "import json, sys\nfrom charthouse.linking.credentials import read_tokens\n"
        "from charthouse.state import session\n"
        "with session(read_only=True) as s: print(json.dumps(read_tokens(s, sys.argv[1])))"
    )
    env = town.installation.environment()
    done = subprocess.run(
        [sys.executable, "-c", code, town.link], cwd=ROOT, env=env, capture_output=True, text=True, check=True
    )
    return set(json.loads(done.stdout))
