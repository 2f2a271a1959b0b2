"""What is on its way belongs to its person, too: a verification, what a partner found, half an upload of a phone."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import requests

from charthouse.api import tokens
from charthouse.linking import consents, finding, found_providers
from charthouse.linking.verifiers import set_verifier
from charthouse.privacy import erase, retention
from charthouse.privacy import requests as asked
from charthouse.privacy.export.account import account_of
from charthouse.privacy.export.scope import Scope
from charthouse.state import session
from charthouse.state.identity import IdentitySession, IdentityVerifier
from sandbox.identity import Identities
from sandbox.phone import App, CutError
from sandbox.server import make_app
from tests.api.conftest import Clock, clock, serving
from tests.identity.conftest import _line, _served
from tests.network.conftest import verified
from tests.phone.conftest import patient, phone_with, vaccine
from tests.privacy.scanner import where

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.network.conftest import Partner

__all__ = ["clock"]
KEY = "sandbox_key_of_ours"


@pytest.fixture
def verifier(clock: Clock, partner: Partner) -> Iterator[Identities]:  # the clock goes before the home
    """A verifier that is ours, and sends no messages."""
    held, (line, at) = Identities(), _line()
    with _served(make_app({}, identities=held), line):
        with session() as state:
            pages = {"api_url": f"{at}/identity/v1", "page_url": f"{at}/identity/verify"}
            set_verifier(state, project_id="project_1", key=KEY, **pages)
        project = {"project_id": "project_1", "api_key": KEY}
        requests.post(f"{at}/identity/sandbox/projects", json=project, timeout=10).raise_for_status()
        yield held


def test_it_is_exported_without_its_secrets_ages_and_is_erased_with_them(
    clock: Clock,
    partner: Partner,
    verifier: Identities,
    home: Path,
) -> None:
    said = partner.patients["north"][0]
    person, other = verified(said), verified(partner.patients["north"][1])
    for key in (person, other):
        finding.look_now(key)
    with session() as state:
        consents.give(state, person, consents.SYNC)
        found = found_providers.list_found(state, person)
    with serving(api_limit="100000/minute") as api:
        mine = {"Authorization": f"Bearer {tokens.issue(person=person)}"}
        begun = requests.post(
            f"{api.url}/people/{person}/verifications", json={"again": True}, headers=mine, timeout=10
        )
        assert begun.status_code == 201, begun.text
        store, source = phone_with([patient(), vaccine("canary-on-its-way")])
        app = App(api.url, person, lambda: tokens.issue(person=person), store)
        link = app.say_state()["data_sources"][0]["link_id"]
        reading = app.read(source.id)
        upload = app.begin(link, reading)
        with pytest.raises(CutError):
            app.send(link, upload, reading, chunk=reading.length // 2 + 1, cut_at=reading.length - 10)
        assert 0 < app.offset(link, upload)[0] < reading.length
    assert [file for file in (home / "uploads").rglob("*") if file.is_file()]
    (checked,) = verifier.sessions.values()

    # The export tells of all of it, and gives away neither addresses nor what only a hash or a seal should keep.
    with session(read_only=True) as state:
        told = json.dumps(account_of(state, person, Scope()), default=str)
        (row,) = state.query(IdentitySession)
        secret = [checked.token, str(row.state_hash), str(row.sealed_address)]
    for word in (checked.id, upload, app.device, source.id, *(one.found_id for one in found)):
        assert word in told, "it is in the export"
    assert [word for word in secret if word in told] == []
    assert other not in told

    # What nobody goes on with ends, also where nobody asks the verifier any more; what is found stays while it is.
    with session() as state:
        state.delete(state.get_one(IdentityVerifier, "clear"))
    clock.forward(days=7 * 365)
    removed = retention.apply()
    assert removed["uploads"] == 1
    assert removed["verifications"] >= 1
    with session(read_only=True) as state:
        assert state.query(IdentitySession).count() == 0
        assert found_providers.list_found(state, person) == found
    assert not [file for file in (home / "uploads").rglob("*") if file.is_file()]

    clock.forward(days=-7 * 365)  # the partner's clock goes right, and it takes no request of another year
    ids: list[Any] = [person, link, upload, app.device, source.id, checked.id]
    signs = {str(sign) for sign in [*ids, *(one.found_id for one in found), said["patient"], "canary-on-its-way"]}
    assert where(home, {person, link}), "the scanner finds what is there"
    with session() as state:
        request = asked.ask_erasure(state, person)
    (ended,) = erase.run([request.request_id])
    assert (ended.code, person in partner.deleted()) == (None, True)
    assert where(home, signs) == set()
    assert where(home, {other}), "somebody else's is there"
