"""Collect: fetch a planned batch, with tokens that are renewed while it runs."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from charthouse import progress
from charthouse.errors import FetchError, LinkError
from charthouse.lake import vault
from charthouse.lake.session import open_vault
from charthouse.linking import links
from charthouse.linking.bulk_sources import export_of
from charthouse.linking.credentials import Tokens
from charthouse.linking.registrations import client_of
from charthouse.partners import smart
from charthouse.partners.addresses import origins_in
from charthouse.partners.binaries import BINARY
from charthouse.partners.host_book import StateBook
from charthouse.partners.hosts import Hosts
from charthouse.settings import get_settings
from charthouse.state import session
from charthouse.sync import batches, documents, holding, phone, runs
from charthouse.sync.bulk import export_batch, sleep_until
from charthouse.sync.fetch import fetch_batch
from charthouse.sync.link_job import LinkJob
from charthouse.sync.network import stream_batch
from charthouse.sync.server_memory import StateMemory
from charthouse.sync.system_tokens import SystemTokenSource

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy.orm import Session

    from charthouse.linking.bulk_sources import Export
    from charthouse.linking.links import LinkWork
    from charthouse.partners.token_endpoint import TokenSet
    from charthouse.sync.batches import Batch
    from charthouse.sync.bulk import Wait
    from charthouse.sync.landing import Manifest


def collect_batch(name: str, *, wait: Wait = sleep_until) -> str:
    """Land everything that the batch's links may see. Returns the batch's name.

    What goes wrong with a link, type or resource is in that link's manifest; only a fault of ours raises. `wait` is
    called where a provider works at an export, with the instant at which to look again; it may raise to come back then.
    """
    batch = batches.read(name)
    if batch.stored:
        return name
    settings = get_settings()
    with session(settings, read_only=True) as state:
        export = _export_of(state, batch)
    if export is not None:
        return _collect_export(batch, export, wait)
    if batch.partner is not None:
        return _collect_streams(batch, batch.partner)
    work = batches.links_of(batch)
    if batch.phone:
        return _collect_uploads(batch, work)
    places = {link.link_id: (link.provider, link.fhir_base_url) for link in work}
    tokens = Tokens(settings)
    system = SystemTokenSource(work[0].provider if work else "", settings)

    def token(link_id: str, renew: bool) -> str:
        def exchange(refresh_token: str) -> TokenSet:
            provider, base = places[link_id]
            try:
                with session(settings, read_only=True) as state:
                    client = client_of(state, provider, settings)
            except LinkError as error:  # the registration is gone: that is no reason to end anyone's grant
                raise FetchError("CH123", where=error.where) from None
            return smart.refresh(base, refresh_token, client)

        if system.stands_for(link_id):
            return system.token(renew=renew)
        access = tokens.access_token(link_id, exchange, force=renew)
        return access or system.token_for(link_id)

    def landed(manifest: Manifest) -> None:
        provider = places[manifest.link_id][0]
        progress.tell("fetch", 1, unit="links", provider=provider, resources=manifest.resources)

    with runs.stage(batch.run_id, "fetch", part=batch.folder.name) as counts:
        _begin(batch)
        binaries = _HeldBinaries([link.link_id for link in work])
        jobs = [
            LinkJob(
                link_id=link.link_id,
                base_url=link.fhir_base_url,
                patient_id=link.patient_id,
                granted_scopes=link.granted_scopes,
                watermarks=link.watermarks,
                whole=link.link_id in batch.whole,
                owed=link.owed,
                held=partial(binaries.of, link.link_id),
                missing=partial(documents.known, link.link_id, settings.whole_days),
                origins=origins_in(link.page_origins),
            )
            for link in work
        ]
        hosts = Hosts(StateBook(settings), settings)
        summary = fetch_batch(
            jobs,
            batch.folder,
            token,
            settings,
            on_link=landed,
            present=_present,
            hosts=hosts,
            memory=StateMemory(settings),
        )
        counts |= {"links": summary.links, "resources": summary.resources, "requests": summary.requests}
    return name


def _collect_uploads(batch: Batch, work: Sequence[LinkWork]) -> str:
    providers = {link.link_id: link.provider for link in work}

    def landed(manifest: Manifest) -> None:
        provider = providers[manifest.link_id]
        progress.tell("fetch", 1, unit="links", provider=provider, resources=manifest.resources)

    with runs.stage(batch.run_id, "fetch", part=batch.folder.name) as counts:
        _begin(batch)
        counts |= phone.land_batch(batch, work, _present, landed)
    return batch.name


def _export_of(state: Session, batch: Batch) -> Export | None:
    """How the batch's provider exports; None where the batch is one of searches, or nobody of it is there any more."""
    work = links.work_of(state, batch.link_ids) if batch.bulk else []
    return export_of(state, work[0].provider) if work else None


def _collect_export(batch: Batch, export: Export, wait: Wait) -> str:
    settings = get_settings()
    with runs.stage(batch.run_id, "fetch", part=batch.folder.name) as counts:
        _begin(batch)
        summary = export_batch(
            batch,
            batches.links_of(batch),
            export,
            settings,
            wait=wait,
            present=_present,
            hosts=Hosts(StateBook(settings), settings),
            on_link=lambda: progress.tell("fetch", 1, unit="links", provider=export.provider),
        )
        counts |= {"links": summary.links, "resources": summary.resources, "requests": summary.requests}
        counts["left_out"] = summary.left_out
    return batch.name


def _collect_streams(batch: Batch, partner: str) -> str:
    settings = get_settings()
    with runs.stage(batch.run_id, "fetch", part=batch.folder.name) as counts:
        _begin(batch)
        summary = stream_batch(
            batch,
            batches.links_of(batch),
            partner,
            settings,
            present=_present,
            hosts=Hosts(StateBook(settings), settings),
            on_link=lambda resources: progress.tell("fetch", 1, unit="links", provider=partner, resources=resources),
        )
        counts |= {"links": summary.links, "resources": summary.resources, "requests": summary.requests}
        counts["left_out"] = summary.left_out
    return batch.name


def _begin(batch: Batch) -> None:
    with session() as state:
        there = links.work_of(state, batch.link_ids)
        waiting = [link.link_id for link in there if link.sync_status == "waiting"]
        links.set_sync_statuses(state, dict.fromkeys(waiting, "running"))


@contextmanager
def _present(link_id: str) -> Iterator[bool]:
    """Whether a link is still there: nobody takes it away while its folder is made, or closed."""
    with holding.link(link_id):
        yield not holding.gone_among([link_id])


class _HeldBinaries:
    """Documents of a batch's links that the vault has; looked up once, when the first link needs to know."""

    def __init__(self, link_ids: Sequence[str]) -> None:
        self._link_ids = link_ids
        self._lock = threading.Lock()
        self._held: dict[str, set[str]] | None = None

    def of(self, link_id: str) -> set[str]:
        """`Binary/id` of a link's."""
        with self._lock:
            if self._held is None:
                self._held = {}
                with open_vault(read_only=True) as connection:
                    for owner, name in vault.ids_of(connection, BINARY, self._link_ids):
                        self._held.setdefault(owner, set()).add(f"{BINARY}/{name}")
            return self._held.get(link_id, set())
