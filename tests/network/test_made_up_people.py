"""The made-up people of a night: verified and searched for by the product's own flow, also after a kill."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import requests

from charthouse.errors import SetupError
from charthouse.linking import people, verifications
from charthouse.linking.keys import ensure_key
from charthouse.linking.network_accounts import set_account
from charthouse.linking.verifiers import set_verifier
from charthouse.operating import own_api, sandbox_identity, sandbox_network, sandbox_process
from charthouse.state import session
from charthouse.state.identity import IdentitySession

if TYPE_CHECKING:
    from pathlib import Path


class KilledError(BaseException):
    """The process is gone."""


def test_a_night_killed_before_they_are_verified_goes_on_with_the_same_accounts(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ensure_key()
    (home / "logs").mkdir(exist_ok=True)
    (home / "sandbox").mkdir(exist_ok=True)
    sandbox_process.generate_into(sandbox_network.store(), 2, 31, broken=False)
    everybody = sandbox_process.people_in(sandbox_network.store())
    with sandbox_process.serving([], network=True) as sandbox, own_api.serving() as api:
        habits = f"{sandbox.url}/identity/sandbox/habits"
        with monkeypatch.context() as killed:

            def gone(*_: object) -> None:
                raise KilledError

            killed.setattr(sandbox_identity, "verify", gone)
            with pytest.raises(KilledError):
                sandbox_network.search(sandbox, api, everybody)
        requests.post(habits, json={"status": "fail"}, timeout=10).raise_for_status()
        with pytest.raises(SetupError, match="CH991"):
            sandbox_network.search(sandbox, api, everybody)
        requests.post(habits, json={}, timeout=10).raise_for_status()
        searched = sandbox_network.search(sandbox, api, everybody)
        assert (searched.people, searched.found) == (2, 2)
        assert sandbox_network.search(sandbox, api, everybody).people == 0, "they are found already"
    with session(read_only=True) as state:
        keys = [one.person_key for one in people.list_people(state)]
        assert len(keys) == 2, "whoever had an account went on with it"
        assert {verifications.current(state, key).verifier for key in keys} == {"clear"}
        assert {row.said for row in state.query(IdentitySession)} <= {"success", "fail"}


@pytest.mark.parametrize("what", ["partner", "verifier"])
def test_a_home_with_a_partner_or_a_verifier_of_its_own_is_left_alone(home: Path, what: str) -> None:
    ensure_key()
    real = "https://api.partner.example"
    with session() as state:
        if what == "partner":
            set_account(state, "bwell", api_url=real, fhir_base_url=real, client_key="ours", secret="a secret of ours")
        else:
            set_verifier(state, project_id="ours", key="a-key-of-ours", api_url=real)
    nowhere = sandbox_process.Sandbox("http://127.0.0.1:9", {})
    with pytest.raises(SetupError, match="CH990") as error:
        sandbox_network.set_up(nowhere, "http://127.0.0.1:9")
    assert error.value.where == what
