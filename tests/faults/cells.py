"""One home and one server process for many providers: each is a cell of the matrix, with a fault and a link of its own.

Every cell is fetched, killed, checked and stored by itself, as the batches of a night are; what they brought is built,
audited and published for all of them at once.
"""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import requests
from joserfc.jwk import ECKey
from sqlalchemy import delete, select, update

from charthouse.lake.session import open_records
from charthouse.linking import credentials, links, people, providers
from charthouse.linking.bulk_sources import group_level, set_bulk_source
from charthouse.linking.registrations import set_registration
from charthouse.partners import smart
from charthouse.partners.client import Client
from charthouse.settings import get_settings
from charthouse.state import session
from charthouse.state.hosts import Host
from charthouse.state.ledger import ItemOutcome
from charthouse.state.models import Link
from charthouse.sync import batches, landing
from charthouse.sync.audit import audit_run
from charthouse.sync.build import build_group, plan_build
from charthouse.sync.check import check_batch
from charthouse.sync.collect import collect_batch
from charthouse.sync.finish import finish_run
from charthouse.sync.night import run_id_of
from charthouse.sync.plan import plan_run
from charthouse.sync.publish import publish_run
from charthouse.sync.store import store_batch
from tests.faults.forks import ROOT
from transforms.auditing import audit_staged
from transforms.tables import tables

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    import pytest

    from tests.faults.forks import Kill

Way = Literal["search", "export"]
Heals = Literal["at once", "the next night", "the next whole reading"]
Tables = dict[str, list[str]]

SYSTEM = "charthouse-system"
KEY = ECKey.generate_key("P-384", private=True, parameters={"kid": "one"})
PERSON = Client("charthouse-test")
REDIRECT = "http://127.0.0.1/callback"
SETTINGS = {
    "CLIENT_ID": PERSON.client_id,
    "PAGE_SIZE": "40",
    "RETRY_WAIT_MAX": "0.02",
    "REQUESTS_PER_SECOND": "5000",
    "FAILURE_THRESHOLD": "1",
}
"""What every cell is fetched with: three pages of Observations, and no waiting."""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One thing that goes wrong, by the rules of `sandbox/faults.py`, and what it may cost.

    `codes` is what is told of the first night. `habits` are those of the server's exports, `options` what an operator
    set here, `settings` ours. `kills` are the points at which a fetch is killed, one after the other.
    """

    rules: tuple[dict[str, Any], ...] = ()
    codes: frozenset[str] = frozenset()
    heals: Heals = "at once"
    habits: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)
    kills: tuple[str, ...] = ()
    moves: bool = False
    """Whether it changes the records: they are then held against those of a night that came later."""


@dataclass
class Cell:
    """A provider of one person, linked here, and what became of it. `nights` are its tables after each."""

    slug: str
    way: Way
    fault: Fault
    killed: bool
    link_id: str = ""
    person_key: str = ""
    acted: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    codes: set[str] = field(default_factory=set)
    nights: list[Tables] = field(default_factory=list)
    later: Tables | None = None
    """The tables of somebody who came to the same records when they had moved already."""


class Server:
    """The sandbox in a process of its own: a provider for each cell."""

    def __init__(self, bases: Mapping[str, str]) -> None:
        self.bases = bases
        self._http = requests.Session()

    def ask(self, verb: str, slug: str, what: str, said: Any = None) -> Any:
        """Speak to a provider's operator."""
        address = f"{self.bases[slug].removesuffix('/fhir')}/sandbox/{what}"
        answer = self._http.request(verb, address, json=said, timeout=30)
        answer.raise_for_status()
        return answer.json()


@contextmanager
def serving(stores: Mapping[str, Path], folder: Path) -> Iterator[Server]:
    """Serve a store under each name, with our system client registered at all of them."""
    public = KEY.as_dict(private=False) | {"alg": "ES384"}
    clients = [
        {"client_id": SYSTEM, "jwks": {"keys": [public]}},
        {"client_id": PERSON.client_id, "redirect_uris": [REDIRECT]},
    ]
    (folder / "clients.json").write_text(json.dumps(clients))
    command = [sys.executable, "-m", "sandbox", "serve", "--clients", str(folder / "clients.json")]
    named = [part for slug, store in stores.items() for part in ("--provider", f"{slug}={store}")]
    with subprocess.Popen([*command, *named], cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield Server(json.loads(process.stdout.readline())["providers"])
        finally:
            process.terminate()


class House:
    """The home in which the person of every cell is linked."""

    def __init__(self, server: Server, patient: str, patch: pytest.MonkeyPatch, kill: Kill) -> None:
        self._server = server
        self._patient = patient
        self._patch = patch
        self._kill = kill
        self._cells: dict[str, Cell] = {}
        self._nights = 0
        self._first_page = 0
        patch.setattr(  # the audit itself, but in this process: Great Expectations is loaded once
            "charthouse.sync.auditor.audit", lambda rows, broken: [asdict(one) for one in audit_staged(rows, broken)]
        )
        with session() as state:
            set_registration(state, "ours", SYSTEM, "private_key_jwt", json.dumps(KEY.as_dict(private=True)))

    def link(self, cells: Iterable[Cell]) -> None:
        """Let a person of each cell sign in, or be exported."""
        for cell in cells:
            base = self._server.bases[cell.slug]
            searched = cell.way == "search"
            tokens = smart.sign_in_unattended(base, self._patient, PERSON, REDIRECT, None) if searched else None
            with session() as state:
                providers.register_provider(state, slug=cell.slug, name="Clinic", fhir_base_url=base)
                cell.person_key = people.create_person(state).person_key
                link = links.start_link(state, cell.person_key, cell.slug, "direct", patient_id=self._patient)
                cell.link_id = link.id
                if tokens is not None:
                    credentials.store_tokens(state, link.id, tokens)
                else:
                    level = group_level("everyone")
                    set_bulk_source(state, cell.slug, level=level, registration="ours", **cell.fault.options)
            if not searched:
                habits = {"working_polls": 1, "retry_seconds": 0, "resources_per_file": 40} | dict(cell.fault.habits)
                self._server.ask("POST", cell.slug, "profile", {"name": "standard", "bulk": habits})
            self._cells[cell.link_id] = cell

    def night(self, cells: Sequence[Cell], *, disturbed: bool = False) -> None:
        """A night of these cells, each of which meets its fault where it is `disturbed`."""
        self._nights += 1
        name = f"night-{self._nights}"
        for batch in plan_run([cell.slug for cell in cells], airflow_run_id=name):
            cell = self._cells[batches.read(batch).link_ids[0]]
            with session() as state:
                state.execute(delete(Host))  # what one cell learnt of the host is nothing that the next one knows
            if disturbed:
                self._disturb(cell, batch)
            else:
                collect_batch(batch, wait=at_once)
            self._count_pages(cell, batch)
            store_batch(check_batch(batch))
        for group in plan_build(name):
            build_group(group)
        audit_run(name)
        publish_run(name)
        finish_run(name)
        found = tables_by_person({cell.person_key: cell for cell in cells})
        for cell in cells:
            cell.nights.append(found[cell.person_key])
        with session(read_only=True) as state:
            told = state.execute(
                select(ItemOutcome.link_id, ItemOutcome.code).where(ItemOutcome.run_id == run_id_of(name))
            ).all()
        for link_id, code in told if disturbed else ():
            self._cells[link_id].codes.add(code)

    def read_whole_next(self, cells: Iterable[Cell]) -> None:
        """Let it be the night in which these links are read whole."""
        with session() as state:
            chosen = Link.id.in_([cell.link_id for cell in cells])
            state.execute(update(Link).where(chosen).values(read_whole_at=None))

    def _disturb(self, cell: Cell, batch: str) -> None:
        own = dict(cell.fault.settings)
        if cell.killed:
            own["FETCH_THREADS"] = "1"  # in the order of the plan: a page is the same one in every run
        env = {f"CHARTHOUSE_{key}": value for key, value in own.items()}
        if cell.fault.rules:
            self._server.ask("POST", cell.slug, "faults", list(cell.fault.rules))
        for point in cell.fault.kills if cell.killed else ():
            first = self._first_page if point == "fetch.page" else 0
            cell.ends.append(self._kill(batch, point, first, env))
        with self._patch.context() as patch:
            for key, value in env.items():
                patch.setenv(key, value)
            get_settings.cache_clear()
            collect_batch(batch, wait=at_once)
        get_settings.cache_clear()
        cell.acted = [rule["acted"] for rule in self._server.ask("GET", cell.slug, "faults")]
        self._server.ask("DELETE", cell.slug, "faults")

    def _count_pages(self, cell: Cell, batch: str) -> None:
        """How many pages come before the first one of the Observations, where nothing goes wrong."""
        if self._first_page or cell.way != "search" or cell.fault.rules:
            return
        manifest = landing.read_manifest(batches.read(batch).folder / cell.link_id)
        assert manifest is not None
        labels = [query.label for query in manifest.queries]
        before = manifest.queries[: labels.index("Observation")]
        self._first_page = sum(query.pages for query in before)


def at_once(_: object) -> None:
    """A server of this machine has worked at an export before it is asked again."""


def tables_by_person(cells: Mapping[str, Cell]) -> dict[str, Tables]:
    """The published tables of each person, row by row, with the keys of link and person taken out of them."""
    names = [declared.name for declared in tables()]
    found: dict[str, Tables] = {person: {name: [] for name in names} for person in cells}
    with open_records(read_only=True) as connection:
        for name in names:
            for person, row in connection.execute(f"SELECT person_key, t FROM records.{name} AS t").fetchall():
                if person in cells:
                    text = repr(row).replace(cells[person].link_id, "LINK").replace(person, "PERSON")
                    found[person][name].append(text.replace(cells[person].slug, "PROVIDER"))
    for rows in found.values():
        for listed in rows.values():
            listed.sort()
    return found
