"""The sandbox's partner network in the embedded night: some of the made-up people are found by it.

They have accounts that say who they are, are verified by the sandbox's verifier, agree, and are searched for as
everybody is. The network reaches one clinic of its own, whose people sign in nowhere.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any, Final

import orjson
import requests
from sqlalchemy import exists, select

from charthouse.errors import FetchError
from charthouse.files import write_whole
from charthouse.linking import consents, finding, links, people, signing_keys
from charthouse.linking.eligibility import LEAST_ANDROID, is_of_age
from charthouse.linking.found_providers import slug_of
from charthouse.linking.identity import identity_of, parse_identity
from charthouse.linking.network_accounts import ISSUER, set_account
from charthouse.operating import mailroom, sandbox_identity
from charthouse.operating.sandbox_account import refuse_real_ones
from charthouse.settings import get_settings
from charthouse.state import session, tombstones
from charthouse.state.models import Link, Person

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from charthouse.linking.identity import Identity
    from charthouse.operating.sandbox_process import Sandbox

PARTNER: Final = "bwell"
CLINIC: Final = "harbor"
"""The clinic that the network reaches: its store, and its id there."""
NAME: Final = "Harbor Clinic"
CLIENT_KEY: Final = "charthouse-sandbox"
ONE_OF: Final = 5
"""Of so many made-up people, one is found by the network."""
RATE: Final = 200.0


@dataclass(frozen=True, slots=True)
class Searched:
    """How many people are new, how many providers were found for them, and who was left out: they are gone."""

    people: int
    found: int
    left_out: tuple[str, ...]


def share_of(count: int) -> int:
    """How many of so many made-up people the network finds."""
    return count // ONE_OF


def store() -> Path:
    """Where the sandbox keeps what the network's clinic serves."""
    return get_settings().home / "sandbox" / "network" / f"{CLINIC}.sqlite"


def plan() -> Path:
    """The file that tells the sandbox which clinics its network reaches."""
    file = store().with_name("network.json")
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_whole(file, orjson.dumps([{"id": CLINIC, "name": NAME, "provider": CLINIC}]))
    return file


def provider() -> str:
    """The slug of the provider that stands for the network's clinic."""
    return slug_of(PARTNER, CLINIC)


def set_up(sandbox: Sandbox, api: str) -> None:
    """Let the running network and verifier be ours: their accounts here, ours there. `api` is where our REST API is.

    Raises:
        SetupError: CH990 where the home has a partner or a verifier that is no sandbox's.
    """
    refuse_real_ones()
    sandbox_identity.set_up(sandbox, api)
    network, secret, signs = f"{sandbox.url}/network", secrets.token_urlsafe(32), secrets.token_urlsafe(32)
    messages = f"{api}/partners/{PARTNER}/messages"
    with session() as state:
        set_account(
            state,
            PARTNER,
            api_url=network,
            fhir_base_url=f"{network}/fhir/4_0_0",
            users_url=network,
            client_key=CLIENT_KEY,
            secret=secret,
            webhook_url=messages,
            webhook_secret=signs,
            old_webhook_hours=0,
            requests_per_second=RATE,
        )
    issuer = get_settings().public_url.rstrip("/") or ISSUER
    keys = signing_keys.public_jwks("identity_token")
    client = {"client_key": CLIENT_KEY, "secret": secret, "issuer": issuer, "jwks": keys}
    hooked = client | {"webhook_url": messages, "webhook_secret": signs}
    requests.post(f"{network}/sandbox/clients", json=hooked, timeout=60).raise_for_status()


def search(sandbox: Sandbox, api: str, everybody: Sequence[dict[str, Any]]) -> Searched:
    """Set both up; let each of the clinic's people who is not found yet be verified and agree; search for all.

    `everybody` is what the sandbox says of its people: `patient`, `name`, `birthDate` as in FHIR. Minors, and whoever
    was erased, are left out. Who has an account of a night that was killed goes on with it.

    Raises:
        SetupError: CH990 as `set_up`, CH991 where one of them is not verified.
        FetchError: as `finding.find_providers`.
    """
    set_up(sandbox, api)
    with session(read_only=True) as state:
        linked = links.linked_patients(state, provider())
    missing = [said for said in everybody if said["patient"] not in linked]
    gone = tombstones.gone_patients(provider(), [said["patient"] for said in missing])
    minors = {said["patient"] for said in missing if not is_of_age(date.fromisoformat(said["birthDate"]), "US")}
    coming = [said for said in missing if said["patient"] not in gone | minors]
    accounts = _without_links() if coming else {}
    for said in coming:
        identity = parse_identity({"name": said["name"], "birthDate": said["birthDate"]})
        key = accounts.get(identity) or _account(identity)
        sandbox_identity.verify(api, key, said)
    looked = finding.find_providers(PARTNER)
    if looked.failed:
        raise FetchError("CH176", where="sandbox network")
    return Searched(len(coming), looked.new, tuple(sorted(gone | minors)))


def _account(identity: Identity) -> str:
    with session() as state:
        person = people.create_person(state, identity=identity, android_version=LEAST_ANDROID, actor="sync")
        consents.give(state, person.person_key, consents.IMPORT, actor="sync")
        mailroom.give_address(state, person.person_key)
        return person.person_key


def _without_links() -> dict[Identity, str]:
    """The accounts that have no link, by who they are."""
    with session(read_only=True) as state:
        alone = select(Person).where(~exists().where(Link.person_key == Person.person_key))
        known = {person.person_key: identity_of(person) for person in state.scalars(alone)}
    return {identity: key for key, identity in known.items() if identity is not None}
