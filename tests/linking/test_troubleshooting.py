"""Every cause that a person meets is found where it is, and told with the one thing to do next."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import update

from charthouse.api import tokens
from charthouse.linking import links, people, providers
from charthouse.linking.identity import parse_identity
from charthouse.linking.refusals import has_message, message_for
from charthouse.linking.troubleshooting import causes, walk
from charthouse.state import session
from charthouse.state.base import new_key, now
from charthouse.state.ledger import ItemOutcome, SyncLink, SyncRun
from charthouse.state.linking import SignIn
from charthouse.state.models import Link, Person, Provider
from tests.api.conftest import serving
from tests.conftest import Installation
from tests.docs import troubleshooting as page

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy.orm import Session

ADULT, CHILD = "1980-02-03", "2020-02-03"


def linked(state: Session, *, born: str = ADULT, confirmed: bool = True) -> str:
    """A link of somebody at a clinic."""
    identity = parse_identity({"name": [{"family": "Quorvendish", "given": ["Zyxwalda"]}], "birthDate": born})
    person = people.create_person(state, identity=identity, android_version=14)
    if state.get(Provider, "clinic") is None:
        providers.register_provider(state, slug="clinic", name="Clinic", fhir_base_url="https://clinic.example/fhir")
    link = Link(
        id=new_key(), person_key=person.person_key, provider="clinic", route="direct", patient_id="p1", status="pending"
    )
    state.add(link)
    state.flush()
    if confirmed:
        links.transition(state, link.id, "confirmed", "records_received", "sync")
    return link.id


def night(state: Session, link_id: str, code: str, unit: str) -> None:
    """The last night, in which this went wrong with the link."""
    run = SyncRun(id=f"run-{code}", scope="all", airflow_run_id=f"run-{code}", started_at=now())
    state.add(run)
    state.flush()
    state.add(SyncLink(run_id=run.id, link_id=link_id, result="partial"))
    state.add(ItemOutcome(run_id=run.id, link_id=link_id, code=code, unit=unit, resource_type="Condition"))
    state.flush()


def ends(status: str, reason: str):
    return lambda state, link: links.transition(state, link, status, reason, "sync")


def sign_in_ended(code: str):
    def act(state: Session, link: str) -> None:
        at = now()
        state.add(
            SignIn(
                state_hash=code * 8,
                link_id=link,
                redirect_uri="https://app.example/",
                scope="",
                expires_at=at + timedelta(hours=1),
                used_at=at,
                outcome=code,
            )
        )
        links.transition(state, link, "failed", "sign_in_refused", "person")

    return act


CASES = {
    "nothing wrong": (True, lambda *_: None, None, "nothing_wrong"),
    "wrong password": (False, sign_in_ended("CH604"), "credentials", "CH604"),
    "nothing ticked": (False, sign_in_ended("CH639"), "credentials", "CH639"),
    "another name on file": (True, ends("failed", "identity_not_matched"), "details", "identity_not_matched"),
    "a name that cannot be read": (True, ends("failed", "patient_not_readable"), "details", "patient_not_readable"),
    "expired": (True, ends("expired", "authorization_ended"), "expiry", "authorization_ended"),
    "a child's records": (True, ends("disconnected", "minor_found"), "age", "minor_found"),
    "access removed": (True, ends("disconnected", "access_removed"), "end", "access_removed"),
    "consent withdrawn": (True, ends("disconnected", "consent_withdrawn"), "end", "consent_withdrawn"),
    "no answer": (True, lambda state, link: night(state, link, "CH109", "link"), "silence", "provider_unreachable"),
    "a kind that is not shared": (
        True,
        lambda state, link: night(state, link, "CH103", "type"),
        "permissions",
        "permissions",
    ),
    "too new": (False, lambda *_: None, "waiting", "not_confirmed"),
    "a provider that is closed": (
        True,
        lambda state, _: state.execute(update(Provider).values(active=False)),
        "provider",
        "CH613",
    ),
    "not in the preview": (
        False,
        lambda state, _: state.execute(update(Person).values(preview_member=False)),
        "account",
        "CH616",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_cause_is_found_and_told(home: Path, case: str) -> None:
    confirmed, befall, cause, reason = CASES[case]
    with session() as state:
        link = linked(state, confirmed=confirmed)
        befall(state, link)
    with session(read_only=True) as state:
        found = walk(state, link)
    assert (found.cause, found.reason or "nothing_wrong") == (cause, reason)
    assert found.told == message_for(reason)


def test_a_minor_who_waits_is_told_so(home: Path) -> None:
    with session() as state:
        link = linked(state, born=CHILD, confirmed=False)
    with session(read_only=True) as state:
        assert (walk(state, link).cause, walk(state, link).reason) == ("age", "CH611")


def test_an_operator_and_the_app_are_told_the_same(home: Path) -> None:
    with session() as state:
        link = linked(state, confirmed=False)
        sign_in_ended("CH604")(state, link)
    told = Installation(home).run("explain", link)
    assert told.returncode == 0, told.stderr
    assert told.stdout.splitlines()[-1] == f"What to do: {message_for('CH604').action}"
    assert "Quorvendish" not in told.stdout
    said = json.loads(Installation(home).run("explain", link, "--json").stdout)
    with serving() as api:
        answer = api.ask("GET", f"/links/{link}/explanation", tokens.issue(operator=True)).json()
    assert answer["action"] == said["told"]["action"] == message_for("CH604").action
    assert [step["cause"] for step in answer["steps"]] == [step["cause"] for step in said["steps"]]
    assert answer["cause"] == said["cause"] == "credentials"


def test_what_is_no_link_is_said(home: Path) -> None:
    refused = Installation(home).run("explain", new_key())
    assert (refused.returncode, refused.stderr[:5]) == (1, "CH602")


def test_every_reason_has_words_and_the_page_is_written_from_them() -> None:
    assert all(has_message(reason) for cause in causes() for reason in cause.reasons)
    assert set(page.SHOWN_BY) == {cause.id for cause in causes()}
    assert page.PAGE.read_text() == page.page(), "run: python -m tests.docs.troubleshooting"
    for names in page.SHOWN_BY.values():
        for name in names:
            file, _, function = name.partition("::")
            assert f"def {function}(" in (page.ROOT / "tests" / file).read_text(), name
