"""Exports by REST: asked for, made, taken away once; and not by anybody else."""

from __future__ import annotations

import io
import json
import zipfile
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select

from charthouse.api import tokens
from charthouse.operating.home import prepare
from charthouse.privacy.export import job, store
from charthouse.settings import get_settings
from charthouse.state import session
from charthouse.state.models import AuditEvent
from charthouse.state.privacy import Download
from tests.api.conftest import api, clock, empty, home, operator, other, own, person, postgres_schema
from tests.privacy import stocked

if TYPE_CHECKING:
    from pathlib import Path

    from tests.api.conftest import Api, Clock

__all__ = ["api", "clock", "empty", "home", "operator", "other", "own", "person", "postgres_schema"]


@pytest.fixture
def export_id(api: Api, home: Path, person: str, own: str, tmp_path: Path) -> str:
    """An export of the person that is done."""
    from charthouse.linking import links

    prepare()
    with session() as state:
        link = links.start_link(state, person, "clinic", "direct", patient_id="p1").id
    patient = {"resourceType": "Patient", "id": "p1", "birthDate": "1931-07-19", "name": [{"family": "Quorvendish"}]}
    stocked.store(tmp_path / "stock", person, link, [json.dumps(patient)])
    stocked.publish(tmp_path / "stock", person)
    asked = api.ask("POST", f"/people/{person}/exports", own)
    assert asked.status_code == 202, asked.text
    made = str(asked.json()["export_id"])
    assert asked.json()["status"] == "waiting"
    assert api.ask("POST", f"/people/{person}/exports", own, json={}).json()["export_id"] == made, "the one under way"
    early = api.ask("POST", f"/people/{person}/exports/{made}/downloads", own)
    assert (early.status_code, early.json()["code"]) == (409, "CH932")
    assert job.run(made)
    return made


def refusal(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


def test_it_is_taken_away_once_and_gone_on_with(api: Api, person: str, own: str, export_id: str, clock: Clock) -> None:
    said = api.ask("GET", f"/people/{person}/exports/{export_id}", own).json()
    assert (said["status"], len(said["parts"])) == ("done", 1)
    assert api.ask("GET", f"/people/{person}/exports", own).json()["items"] == [said]
    [link] = api.ask("POST", f"/people/{person}/exports/{export_id}/downloads", own).json()["items"]
    token = link["url"].rpartition("/")[2]
    with session(read_only=True) as state:
        [kept] = state.scalars(select(Download.token_hash))
        assert kept == sha256(token.encode()).hexdigest(), "the token itself is kept nowhere"
    path = f"/downloads/{token}"
    assert api.ask("HEAD", path).status_code == 405, "looking at it uses nothing up"
    whole = api.ask("GET", path)
    assert whole.status_code == 200
    told = whole.headers
    assert told["Content-Type"] == "application/zip"
    assert told["Content-Length"] == str(link["size"]) == str(len(whole.content))
    assert (told["Cache-Control"], told["X-Content-Type-Options"]) == ("no-store", "nosniff")
    assert told["Content-Disposition"] == f'attachment; filename="charthouse-{export_id[:8]}-1.zip"'
    assert sha256(whole.content).hexdigest() == link["sha256"] == said["parts"][0]["sha256"]
    with zipfile.ZipFile(io.BytesIO(whole.content)) as archive:
        assert b"Quorvendish" in archive.read("fhir/Patient.ndjson")
        assert json.loads(archive.read("account/person.json"))["identity"]["birth_date"] == "1931-07-19"
    assert refusal(api.ask("GET", path)) == (410, "CH940")
    assert refusal(api.ask("GET", path, headers={"Range": "bytes=0-"})) == (410, "CH940")
    for asked, expected in (("bytes=1000-1999", whole.content[1000:2000]), ("bytes=5000-", whole.content[5000:])):
        some = api.ask("GET", path, headers={"Range": asked, "If-Range": told["ETag"]})
        assert (some.status_code, some.content) == (206, expected)
        assert some.headers["Content-Range"].endswith(f"/{link['size']}")
    last = api.ask("GET", path, headers={"Range": "bytes=-10"})
    assert (last.status_code, last.content) == (206, whole.content[-10:])
    beyond = api.ask("GET", path, headers={"Range": f"bytes={link['size']}-"})
    assert (refusal(beyond), beyond.headers["Content-Range"]) == ((416, "CH941"), f"bytes */{link['size']}")
    other_etag = api.ask("GET", path, headers={"Range": "bytes=5-", "If-Range": '"another"'})
    assert refusal(other_etag) == (410, "CH940"), "it would be all of it, a second time"
    clock.forward(minutes=get_settings().download_minutes + 1)
    assert refusal(api.ask("GET", path, headers={"Range": "bytes=5-"})) == (410, "CH940")
    assert refusal(api.ask("GET", "/downloads/never-was")) == (410, "CH940")


def test_it_ends_with_its_time(api: Api, person: str, export_id: str, clock: Clock) -> None:
    own = tokens.issue(person=person)
    [link] = api.ask("POST", f"/people/{person}/exports/{export_id}/downloads", own).json()["items"]
    clock.forward(days=get_settings().export_keep_days + 1)
    own = tokens.issue(person=person)
    assert refusal(api.ask("POST", f"/people/{person}/exports/{export_id}/downloads", own)) == (409, "CH932")
    assert api.ask("GET", f"/people/{person}/exports/{export_id}", own).json()["parts"] == []
    job.expire_exports()
    assert store.parts_of(export_id, get_settings()) == []
    assert refusal(api.ask("GET", f"/downloads/{link['url'].rpartition('/')[2]}")) == (410, "CH940")


def test_nobody_else_gets_it_or_learns_of_it(
    api: Api, person: str, other: str, own: str, operator: str, export_id: str
) -> None:
    stranger = tokens.issue(person=other)
    nobody = "00000000-0000-4000-8000-000000000000"
    for method, path in (
        ("POST", "/people/{}/exports"),
        ("GET", "/people/{}/exports"),
        ("GET", "/people/{}/exports/" + export_id),
        ("POST", "/people/{}/exports/" + export_id + "/downloads"),
    ):
        theirs, none = (api.ask(method, path.format(key), stranger) for key in (person, nobody))
        assert refusal(theirs) == refusal(none) == (404, "CH806")
        assert theirs.json() | {"instance": ""} == none.json() | {"instance": ""}
        assert api.ask(method, path.format(person)).status_code == 401
    mine = f"/people/{other}/exports/{export_id}"
    assert (
        refusal(api.ask("GET", mine, stranger)) == refusal(api.ask("GET", mine[:-1] + "x", stranger)) == (404, "CH806")
    )
    assert refusal(api.ask("POST", f"{mine}/downloads", operator)) == (404, "CH806")
    assert api.ask("GET", f"/people/{person}/exports/{export_id}", operator).status_code == 200


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"categories": ["horoscopes"]}, "CH930"),
        ({"categories": ["../x"]}, "CH811"),
        ({"since": "2026-02-30"}, "CH930"),
        ({"since": "yesterday"}, "CH811"),
        ({"providers": ["somebody-elses"]}, "CH930"),
        ({"everything": True}, "CH811"),
        ({"categories": ["vitals"] * 21}, "CH811"),
    ],
)
def test_bad_input_is_told(api: Api, person: str, own: str, body: dict[str, Any], code: str) -> None:
    assert refusal(api.ask("POST", f"/people/{person}/exports", own, json=body)) == (422, code)


def test_every_deed_is_done_once_and_audited(api: Api, person: str, own: str, export_id: str) -> None:
    headers = {"Idempotency-Key": "once"}
    path = f"/people/{person}/exports/{export_id}/downloads"
    first, again = (api.ask("POST", path, own, headers=headers) for _ in range(2))
    assert first.json() == again.json()
    assert again.headers["Idempotent-Replayed"] == "true"
    assert api.ask("GET", "/downloads/" + first.json()["items"][0]["url"].rpartition("/")[2]).status_code == 200
    with session(read_only=True) as state:
        deeds = list(state.scalars(select(AuditEvent.action).order_by(AuditEvent.id)))
    assert [deed for deed in deeds if deed.startswith("export.")] == [
        "export.asked",
        "export.made",
        "export.offered",
        "export.taken",
    ]
