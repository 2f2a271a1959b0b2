"""A fetch that is killed, for real, and run again on the same folder."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from charthouse.sync import landing
from charthouse.sync.fetch import fetch_batch
from charthouse.sync.link_job import LinkJob

if TYPE_CHECKING:
    from charthouse.settings import Settings
    from tests.partners.odd_server import FhirServer

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = """
import sys
from pathlib import Path
from charthouse import faults
from charthouse.settings import get_settings
from charthouse.sync.fetch import fetch_batch
from charthouse.sync.link_job import LinkJob

base, folder, after = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
real, passed = faults.point, 0


def later(name):  # the crash is the project's own; only how often the point is passed first is the test's
    global passed
    passed += name == get_settings().crash_at
    if passed > after:
        real(name)


faults.point = later
fetch_batch([LinkJob("link-1", base, "canary-patient")], folder, lambda link, renew: "good", get_settings())
"""


def crash(provider: FhirServer, folder: Path, at: str, after: int) -> None:
    """Fetch in another process, which kills itself at a named point when it passes it after so many times."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, provider.base, str(folder), str(after)],
        cwd=ROOT,
        env=os.environ | {"CHARTHOUSE_CRASH_AT": at, "CHARTHOUSE_HOME": str(folder)},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()


def content(folder: Path) -> dict[str, list[bytes]]:
    return {file.name.split(".", 1)[1]: list(landing.read_pages(file)) for file in landing.page_files(folder)}


def run(provider: FhirServer, folder: Path, settings: Settings) -> None:
    fetch_batch([LinkJob("link-1", provider.base, "canary-patient")], folder, lambda *_: "good", settings)


@pytest.mark.crash
@pytest.mark.parametrize(
    ("at", "after", "kept"),
    [
        ("fetch.page", 0, set()),
        ("fetch.page", 4, {"Patient", "Condition", "Encounter"}),  # within the Observations
        ("fetch.query", 3, {"Patient", "Condition", "Encounter", "Observation"}),
        ("fetch.query", 5, {"Patient", "Condition", "Encounter", "Observation"}),  # within the references
        ("fetch.marker", 0, {"Patient", "Condition", "Encounter", "Observation"}),
    ],
)
def test_killed_and_run_again(
    provider: FhirServer, tmp_path: Path, quick: Settings, at: str, after: int, kept: set[str]
) -> None:
    run(provider, tmp_path / "undisturbed", quick)
    crash(provider, tmp_path / "killed", at, after)
    folder = tmp_path / "killed" / "link-1"
    assert landing.read_manifest(folder) is None
    provider.asked.clear()
    run(provider, tmp_path / "killed", quick)
    asked = {request.path.split("/")[2] for request in provider.asked}
    assert not asked & kept, "what is there is not asked for again"
    assert content(folder) == content(tmp_path / "undisturbed" / "link-1")
    first, second = (landing.read_manifest(tmp_path / name / "link-1") for name in ("undisturbed", "killed"))
    assert first is not None
    assert second is not None
    assert (second.status, second.outcomes, second.watermarks) == (first.status, first.outcomes, first.watermarks)
    assert {(q.label, q.pages, q.resources) for q in second.queries} == {
        (q.label, q.pages, q.resources) for q in first.queries
    }
    assert not list(folder.glob("*.part"))
    assert not (folder / landing.JOURNAL).exists()


@pytest.mark.crash
def test_killed_after_the_marker(provider: FhirServer, tmp_path: Path, quick: Settings) -> None:
    crash(provider, tmp_path, "fetch.link", 0)
    assert landing.read_manifest(tmp_path / "link-1") is not None
    provider.asked.clear()
    run(provider, tmp_path, quick)
    assert provider.asked == []


def test_what_a_killed_fetch_may_leave(tmp_path: Path) -> None:
    folder = tmp_path / "link"
    folder.mkdir()
    record = landing.QueryRecord(
        label="Condition", type="Condition", file="001.Condition.pages", mode="full", status="complete", code=None,
        pages=1, resources=1, bytes=2, watermark=None,
    )  # fmt: skip
    lost = landing.msgspec.structs.replace(record, label="Goal", type="Goal", file="002.Goal.pages")
    failed = landing.msgspec.structs.replace(record, label="Claim", status="partial", file="003.Claim.pages")
    torn = landing.msgspec.structs.replace(record, label="Torn", type="Torn", file="005.Torn.pages")
    with landing.Journal(folder) as lines:
        for entry in (record, lost, failed, torn):
            lines.note(entry)
    with (folder / landing.JOURNAL).open("ab") as journal:
        journal.write(b'{"label":"torn')
    for name in ("001.Condition", "003.Claim", "009.NobodyVouches", "referenced.Organization"):
        writer = landing.PageWriter(folder / f"{name}.pages")
        writer.add(b'{"resourceType":"Bundle","entry":[{"resource":{}}]}')
        writer.finish()
    (folder / "005.Torn.pages").write_bytes((folder / "001.Condition.pages").read_bytes()[:-3])
    landing.PageWriter(folder / "004.Half.pages").add(b"{}")
    assert landing.resume(folder) == ([record], {})
    assert sorted(file.name for file in folder.iterdir()) == ["001.Condition.pages", "journal.jsonl"]
    assert [json.loads(line)["label"] for line in (folder / "journal.jsonl").read_text().splitlines()] == ["Condition"]


def test_pages_of_any_size_come_back(tmp_path: Path) -> None:
    bodies = [b"", b"x", bytes(range(256)) * 5000, b"{}" * 300_000, b"y"]
    writer = landing.PageWriter(tmp_path / "a.pages")
    for body in bodies:
        writer.add(body)
    writer.finish()
    assert list(landing.read_pages(tmp_path / "a.pages")) == bodies
    short = tmp_path / "b.pages"
    short.write_bytes((tmp_path / "a.pages").read_bytes()[:-3])
    with pytest.raises(EOFError):
        list(landing.read_pages(short))
