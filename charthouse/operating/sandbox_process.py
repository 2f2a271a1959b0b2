"""The sandbox provider as a program of its own, and the links that the embedded night makes with its people.

The sandbox knows the standards and nothing of us, so everything here goes over its command line and HTTP: people are
linked by the same sign-in that a real provider would be asked for.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, count
from typing import TYPE_CHECKING, Any

import orjson
import requests

from charthouse.errors import SetupError
from charthouse.files import write_whole
from charthouse.linking import credentials, links, people, providers
from charthouse.operating import mailroom, sandbox_identity, sandbox_network
from charthouse.operating.tether import tethered
from charthouse.partners import smart
from charthouse.partners.client import Client
from charthouse.settings import PROJECT_ROOT, get_settings
from charthouse.state import session, tombstones

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

REDIRECT_URI = "http://127.0.0.1/charthouse/callback"
STORES = "*.sqlite"
GENERATED = "generated"
"""The provider of made-up people."""
NO_RESOURCES = 2
"""The exit code by which the sandbox says that a folder holds nothing it can serve."""


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A running sandbox: its address, and the FHIR base of each provider it plays."""

    url: str
    bases: Mapping[str, str]

    def ask(self, provider: str, what: str, said: Any = None) -> Any:
        """What the sandbox itself says of a provider: `people`, `inventory`, `resources` or `requests`."""
        method = "GET" if said is None else "POST"
        answer = requests.request(method, f"{self.url}/{provider}/sandbox/{what}", json=said, timeout=60)
        answer.raise_for_status()
        return answer.json()


def provider_of(source: Path) -> str:
    """The slug of a SOURCE's provider: the name of the folder or file, numbered where another has it already.

    Raises:
        SetupError: CH002 for one that cannot be read.
    """
    if not source.exists() or not os.access(source, os.R_OK | (os.X_OK if source.is_dir() else 0)):
        raise SetupError("CH002", where=printable(source), what="it is not there, or may not be read")
    path = printable(source.resolve())
    called = source.resolve().name if source.is_dir() else source.resolve().name.partition(".")[0]
    name = re.sub(r"[^a-z0-9]+", "-", called.lower()).strip("-")[:48] or "source"
    for slug in chain([name], (f"{name}-{number}" for number in count(2))):
        note = store_of(slug).with_suffix(".source")
        if not note.exists() and not store_of(slug).exists():
            note.write_text(path, encoding="utf-8")
        if note.exists() and note.read_text(encoding="utf-8") == path:
            return slug
    raise AssertionError("numbers do not end")


def printable(path: Path) -> str:
    """A path as text that can be printed and written anywhere, whatever bytes it is made of."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def store_of(provider: str) -> Path:
    """Where the sandbox keeps what a provider serves."""
    return get_settings().home / "sandbox" / f"{provider}.sqlite"


def load(source: Path, provider: str) -> None:
    """Let the sandbox read a folder of FHIR files.

    Raises:
        SetupError: CH003 for one without FHIR resources.
    """
    _command(["load", "--source", str(source), "--store", str(store_of(provider))], where=printable(source))


def generate(count: int, seed: int, provider: str) -> None:
    """Let the sandbox make `count` people up."""
    generate_into(store_of(provider), count, seed)


def generate_into(store: Path, count: int, seed: int, *, broken: bool = True) -> None:
    """Let the sandbox make `count` people up, in a store; some of their records broken on purpose, or none."""
    arguments = ["generate", "--people", str(count), "--seed", str(seed), "--store", str(store)]
    _command([*arguments, *([] if broken else ["--broken-share", "0"])], where="sandbox generate")


def people_in(store: Path) -> list[dict[str, Any]]:
    """Who is in a store: `patient` (its id), `name` and `birthDate` as in FHIR."""
    return list(orjson.loads(_command(["people", "--store", str(store)], where="sandbox people")))


def people_of(provider: str) -> list[dict[str, Any]]:
    """Who can sign in at a provider that the sandbox plays: `patient` (its id), `name` and `birthDate` as in FHIR.

    Raises:
        SetupError: CH016 when the sandbox of this home plays no such provider.
    """
    if provider not in known_providers():
        raise SetupError("CH016", where=provider)
    return people_in(store_of(provider))


def refuse_while_down(provider: str) -> None:
    """Say of a provider that does not answer that it is the sandbox, if it is: that is no fault of anybody's.

    Raises:
        SetupError: CH015 when it is.
    """
    if provider in known_providers():
        raise SetupError("CH015", where=provider) from None


def known_providers() -> list[str]:
    """Every provider that this home's sandbox can play."""
    return sorted(file.stem for file in (get_settings().home / "sandbox").glob(STORES))


@contextmanager
def serving(names: list[str], *, network: bool = False) -> Iterator[Sandbox]:
    """The sandbox, serving `names` on loopback until the block ends; with `network`, its partner network
    with a clinic, and its verifier.

    Raises:
        SetupError: CH004 when the port is in use, CH008 when it does not start.
    """
    settings = get_settings()
    log = settings.home / "logs" / "sandbox.log"
    chosen = [part for name in names for part in ("--provider", f"{name}={store_of(name)}")]
    if network:
        clinic = f"{sandbox_network.CLINIC}={sandbox_network.store()}"
        chosen += ["--provider", clinic, "--network", str(sandbox_network.plan())]
        chosen += ["--identity", str(sandbox_identity.known())]
    with log.open("ab") as noise:
        process = subprocess.Popen(  # noqa: S603
            tethered([sys.executable, "-m", "sandbox", "serve", "--port", str(settings.sandbox_port or 0), *chosen]),
            cwd=PROJECT_ROOT,
            stdout=subprocess.PIPE,
            stderr=noise,
            stdin=subprocess.DEVNULL,
            text=True,
            # Ctrl-C is for us: a sandbox that dies first would make links fail in the moment before the tasks end.
            start_new_session=True,
        )
    try:
        ready = process.stdout.readline() if process.stdout else ""
        if not ready.startswith("{"):
            code = "CH004" if settings.sandbox_port else "CH008"
            raise SetupError(code, where=str(settings.sandbox_port or log))
        said = orjson.loads(ready)
        write_whole(settings.sandbox_address, str(said["port"]).encode())
        yield Sandbox(f"http://127.0.0.1:{said['port']}", said["providers"])
    finally:
        settings.sandbox_address.unlink(missing_ok=True)
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()


@dataclass(frozen=True, slots=True)
class Linked:
    """How many links are new, and which of the provider's patients were left out: they are gone, and stay so."""

    new: int
    left_out: tuple[str, ...] = ()


def link_everyone(sandbox: Sandbox, provider: str, on_linked: Callable[[], None] = lambda: None) -> Linked:
    """Make an account and a link for each of the provider's people who has none.

    Each signs in at the provider (SMART standalone launch, PKCE), without a page to click on. Nobody is asked, so
    whoever was erased, or whose link was deleted, is left out: only they themselves may come back.
    """
    base = sandbox.bases[provider]
    with session() as state:
        providers.register_provider(state, slug=provider, name=_called(provider), fhir_base_url=base, actor="sync")
        linked = links.linked_patients(state, provider)
    new = 0
    missing = [said["patient"] for said in sandbox.ask(provider, "people") if said["patient"] not in linked]
    left_out = tombstones.gone_patients(provider, missing)
    for patient in missing:
        if patient in left_out:
            continue
        tokens = smart.sign_in_unattended(
            base, login_hint=patient, client=Client(get_settings().client_id), redirect_uri=REDIRECT_URI
        )
        with session() as state:
            person = people.create_person(state, actor="sync")
            link = links.start_link(
                state, person.person_key, provider, "direct", patient_id=tokens.patient, actor="sync"
            )
            credentials.store_tokens(state, link.id, tokens)
            mailroom.give_address(state, person.person_key)
        new += 1
        on_linked()
    return Linked(new, tuple(sorted(left_out)))


def _called(provider: str) -> str:
    """What people read as the name of a provider that the sandbox plays."""
    return "Sandbox Clinic" if provider == GENERATED else f"Sandbox Clinic ({provider})"


def anybody_linked(provider: str) -> bool:
    """Whether there is a link to the provider, of whoever."""
    with session(read_only=True) as state:
        return bool(links.linked_patients(state, provider))


def _command(arguments: list[str], where: str) -> str:
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-m", "sandbox", *arguments],
        cwd=PROJECT_ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == NO_RESOURCES:
        raise SetupError("CH003", where=where)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [""])[-1]
        raise SetupError("CH008", where=where, what=last.removesuffix("."))
    return done.stdout
