"""Every kind of bad answer, made to happen on a real connection."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
import requests

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.sandbox.app import App


@pytest.fixture
def person(app: App) -> Iterator[tuple[str, str]]:
    """A patient, a token, and a provider without faults before and after."""
    app.mend()
    patient = app.people()[1]
    yield patient, app.link(patient)["access_token"]
    app.mend()


def test_answers_are_spoiled_as_asked(app: App, person: tuple[str, str]) -> None:
    patient, token = person
    path = f"Condition?patient={patient}&_count=2"
    whole = app.get(path, token).json()

    def spoiled(**act: Any) -> requests.Response:
        app.mend()
        app.fault({"match": {"type": "Condition"}, "times": 1, "act": act})
        return app.get(path, token)

    assert spoiled(body="html").text.startswith("<!DOCTYPE html>")
    for body in ("invalid_json", "truncate"):
        answer = spoiled(body=body)
        assert answer.status_code == 200
        with pytest.raises(requests.JSONDecodeError):
            answer.json()
    assert "entry" not in spoiled(body="no_entry").json()
    loop = spoiled(body="loop").json()
    urls = {link["relation"]: link["url"] for link in loop["link"]}
    assert urls["next"] == urls["self"]
    assert loop["entry"] == whole["entry"]
    foreign = spoiled(body="foreign_next").json()
    assert [link["url"] for link in foreign["link"] if link["relation"] == "next"] in (
        [],
        ["https://elsewhere.invalid/fhir?page=2"],
    )
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        spoiled(cut=True)
    strangers = [entry["resource"] for entry in spoiled(body="other_patient").json()["entry"]]
    assert sum(one["subject"] != {"reference": f"Patient/{patient}"} for one in strangers) == 1
    assert [("id" in entry["resource"]) for entry in spoiled(body="no_id").json()["entry"]] == [False, True]
    assert spoiled(status=500).json()["resourceType"] == "OperationOutcome"
    assert (spoiled(status=404).status_code, spoiled(status=503, body="html").status_code) == (404, 503)
    busy = spoiled(retry_after=7)
    assert (busy.status_code, busy.headers["Retry-After"]) == (429, "7")
    began = time.monotonic()
    assert spoiled(slow_seconds=0.3).json()["entry"] == whole["entry"]
    assert time.monotonic() - began >= 0.3
    with pytest.raises(requests.ConnectionError):
        spoiled(hang_up=True)
    assert spoiled(expire_token=True).status_code == 401
    assert app.get(path, token).status_code == 401


def test_rules_match_what_they_name_and_wear_out(app: App, person: tuple[str, str]) -> None:
    patient, token = person
    app.fault(
        {"match": {"type": "Observation", "patient": patient, "page": 2}, "act": {"status": 500}},
        {"match": {"path": "/Goal"}, "times": 2, "act": {"status": 502}},
        {"match": {"query": "category=laboratory"}, "act": {"status": 403}},
        {"match": {"path": "oauth/token"}, "times": 1, "act": {"status": 503, "retry_after": 1}},
    )
    first = app.get(f"Observation?patient={patient}&_count=3", token).json()
    following = next(link["url"] for link in first["link"] if link["relation"] == "next")
    assert [app.get(following, token).status_code for _ in range(2)] == [500, 500]
    assert [app.get(f"Goal?patient={patient}", token).status_code for _ in range(3)] == [502, 502, 200]
    assert app.get(f"Observation?patient={patient}&category=laboratory", token).status_code == 403
    other = app.people()[0]
    refused, _ = app.authorize(other)
    assert refused.status_code == 302
    assert app.token(grant_type="refresh_token", refresh_token="x").status_code == 503
    assert app.token(grant_type="refresh_token", refresh_token="x").status_code == 400
    token = app.link(other)["access_token"]
    assert len(list(app.pages(f"Observation?patient={other}&_count=100", token))) > 1
    acted = [rule["acted"] for rule in app.get(f"{app.admin}/faults", None).json()]
    assert acted == [2, 2, 1, 1]
    wrong = app.http.post(f"{app.admin}/faults", json={"act": {"body": "nonsense"}}, timeout=10)
    assert wrong.status_code == 400


def test_requests_are_counted(app: App, person: tuple[str, str]) -> None:
    patient, token = person
    app.http.delete(f"{app.admin}/requests", timeout=10)
    app.search(f"Goal?patient={patient}", token)
    app.get("metadata", None)
    app.get(f"Patient/{patient}", token)
    said = app.get(f"{app.admin}/requests", None).json()
    nothing = {"grant_types": {}, "families": {}, "unknown": 0}
    types = {"Goal": {"search": 1}, "Patient": {"read": 1}}
    assert said == {"total": 3, "types": types, "others": {"metadata": 1}, "verbs": {"GET": 3}, "tokens": nothing}
