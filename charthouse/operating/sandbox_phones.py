"""Phones in the embedded night: some of the made-up people have their records in Health Connect.

The sandbox's app uploads what such a phone holds to the REST API.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import uuid
from dataclasses import dataclass
from datetime import date
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import orjson

from charthouse.api import tokens
from charthouse.errors import SetupError
from charthouse.linking import consents, people, phones
from charthouse.linking.eligibility import LEAST_ANDROID, is_of_age
from charthouse.linking.identity import parse_identity
from charthouse.operating import mailroom
from charthouse.settings import PROJECT_ROOT
from charthouse.state import session, tombstones
from charthouse.state.phones import PhoneDevice

if TYPE_CHECKING:
    from collections.abc import Iterator

ONE_OF: Final = 6
"""Of so many made-up people, one comes by phone."""
PROVIDER: Final = phones.SLUG
_NAMES: Final = uuid.UUID("5f1c7a52-7a0b-4f0e-9d3e-3a2f6b9c1d10")


@dataclass(frozen=True, slots=True)
class Uploaded:
    """How many people came by phone, and how many of their records were accepted."""

    people: int
    records: int


def share_of(number: int) -> int:
    """How many of so many made-up people come by phone."""
    return number // ONE_OF


def upload_all(api: str, number: int, seed: int) -> Uploaded:
    """Let the apps of so many people upload what their phones hold. `api` is where they reach our REST API.

    New people get an account; minors are passed over, and whoever was erased is left out.

    Raises:
        SetupError: CH008 when the sandbox's app does not come to its end.
    """
    taken = records = 0
    for person in _adults(number, seed):
        device, source = _id(seed, person, "device"), _id(seed, person, "source")
        with session() as state:
            known = state.get(PhoneDevice, device)
            key = known.person_key if known is not None else None
        if key is None and tombstones.gone_patients(PROVIDER, [source]):
            continue
        found = _upload(api, key or _account(person, seed), device, source, person, seed)
        taken += 1
        records += sum(sum(said["records"].values()) for said in found)
    return Uploaded(taken, records)


def _adults(number: int, seed: int) -> Iterator[int]:
    """The numbers of the first people who are of age."""
    found = 0
    for person in count():
        if found == number:
            return
        if is_of_age(date.fromisoformat(_described(person, seed)["birthDate"]), "US"):
            found += 1
            yield person


def _account(person: int, seed: int) -> str:
    with session() as state:
        made = people.create_person(
            state, identity=parse_identity(_described(person, seed)), android_version=LEAST_ANDROID, actor="sync"
        )
        consents.give(state, made.person_key, consents.SYNC, actor="sync")
        mailroom.give_address(state, made.person_key)
        return made.person_key


def _described(person: int, seed: int) -> dict[str, Any]:
    said: dict[str, Any] = orjson.loads(_app("--number", str(person), "--seed", str(seed), "--describe"))
    return said


def _upload(url: str, key: str, device: str, source: str, person: int, seed: int) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        token = Path(folder) / "token"
        token.touch(mode=0o600)
        token.write_text(tokens.issue(person=key))
        told = ["--number", str(person), "--seed", str(seed), "--url", url, "--person", key]
        told += ["--token-file", str(token), "--device", device, "--source", source]
        found: list[dict[str, Any]] = orjson.loads(_app(*told))
    return found


def _app(*arguments: str) -> bytes:
    command = [sys.executable, "-m", "sandbox", "phone", *arguments]
    done = subprocess.run(command, cwd=PROJECT_ROOT, capture_output=True, check=False)  # noqa: S603
    if done.returncode:
        last = (done.stderr.decode(errors="replace").strip().splitlines() or [""])[-1]
        raise SetupError("CH008", where="sandbox phone", what=last.partition(":")[0])
    return done.stdout


def _id(seed: int, person: int, what: str) -> str:
    """The same phone, and the same data source, in every night."""
    return str(uuid.uuid5(_NAMES, f"{what} {seed} {person}"))
