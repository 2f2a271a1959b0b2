"""The plan of one link, as the next night would make it; nothing of the person's is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import select

from charthouse.errors import FetchError, LinkError
from charthouse.linking.bulk_sources import bulk_source
from charthouse.linking.links import get_link, list_links, work_of
from charthouse.linking.providers import get_provider
from charthouse.partners.capability import parse_capability
from charthouse.partners.http import HttpClient
from charthouse.partners.knowledge import Knowledge
from charthouse.partners.query_plan import Told, tell
from charthouse.partners.scopes import parse_scopes
from charthouse.partners.search import plan_link
from charthouse.partners.vendors import vendor_of
from charthouse.settings import get_settings
from charthouse.state import session
from charthouse.state.models import Watermark
from charthouse.sync import network_marks
from charthouse.sync.server_memory import StateMemory
from charthouse.sync.servers import Servers

if TYPE_CHECKING:
    from charthouse.partners.capability import Capability

TRIES = 2


@dataclass(frozen=True, slots=True)
class LinkPlanTold:
    """The plan of a link in words. `as_before`: the server did not answer, and is taken as it was read last.

    `exported_from`: from so many due links of the provider on, they are had by Bulk Data export in place of all this.
    """

    link_id: str
    provider: str
    base: str
    as_before: str
    exported_from: int | None
    plan: Told


@dataclass(frozen=True, slots=True)
class StreamTold:
    """A link that is read through a partner: all links of its person in one stream, of what changed `since`, or all."""

    link_id: str
    provider: str
    partner: str
    since: str | None


def stream_of(link_id: str) -> StreamTold | None:
    """How the next night reads a link through a partner; None for one that is read at its provider.

    Raises:
        StateError: CH602 when there is no such link.
    """
    settings = get_settings()
    with session(read_only=True) as state:
        link = get_link(state, link_id)
        partner = get_provider(state, link.provider).partner
        mine = [one.link_id for one in list_links(state, person_key=link.person_key) if one.route == "verified"]
        marks = [work.watermarks for work in work_of(state, mine) if work.partner == partner]
    if link.route != "verified" or partner is None:
        return None
    return StreamTold(link_id, link.provider, partner, network_marks.since(marks, settings.overlap_seconds))


def plan_of(link_id: str) -> LinkPlanTold:
    """What the next night asks for a link.

    Raises:
        StateError: CH602 when there is no such link.
        LinkError: CH614 for a link of a phone, whose app uploads: nobody is asked.
        FetchError: the server's `/metadata` cannot be had, and was never read.
    """
    settings = get_settings()
    with session(read_only=True) as state:
        link = get_link(state, link_id)
        if link.route == "phone":
            raise LinkError("CH614", where=f"link {link_id}", what="the phone uploads what it has")
        provider = get_provider(state, link.provider)
        rows = list(state.scalars(select(Watermark).where(Watermark.link_id == link_id)))
        marks, owed = {row.label: row.value for row in rows}, {row.label for row in rows if row.owed}
        base, patient, granted = provider.fhir_base_url, link.patient_id or "-", link.granted_scopes or ""
        slug = provider.slug
        export = bulk_source(state, slug)
    offer, knowledge, code = _server(base)
    overlap = settings.overlap_seconds
    plan = plan_link(offer, patient, parse_scopes(granted), marks, settings.page_size, knowledge, overlap, owed)
    exported_from = export.from_links if export is not None else None
    return LinkPlanTold(link_id, slug, base, code, exported_from, tell(offer, knowledge, plan))


def _server(base: str) -> tuple[Capability, Knowledge, str]:
    """The server as it says it is now, or as it was read last, and then why."""
    memory = StateMemory()
    settings = get_settings().model_copy(update={"request_tries": TRIES})
    with HttpClient(settings) as client:
        try:
            server = Servers(client, memory).of(base.rstrip("/"), "")
        except FetchError as error:
            before = memory.recall(base.rstrip("/"))
            if before is None:
                raise
            offer = parse_capability(before.statement)
            return offer, Knowledge(vendor_of(base, offer), before.learnt), f"{error.code} {error.entry.title}"
    return server.offer, server.knowledge, ""
